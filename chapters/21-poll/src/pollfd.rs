//! The array that poll(2) is given. An entry of `nix` borrows its descriptor, and so has no way to say "none"; these are the
//! kernel's own entries.

use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use common::{Call, CallError};
use libc::pollfd;
use nix::errno::Errno;

// ANCHOR: entry
/// An entry that poll passes over: nothing is looked at, and its `revents` becomes 0. So says poll(2) of negative numbers.
pub const FREE: pollfd = pollfd {
    fd: -1,
    events: 0,
    revents: 0,
};

/// An entry that asks about a descriptor. It is only a number: whoever makes it has to keep the descriptor open.
pub fn entry(fd: impl AsFd, events: i16) -> pollfd {
    pollfd {
        fd: fd.as_fd().as_raw_fd(),
        events,
        revents: 0,
    }
}

/// Waits until something has happened to one of the entries, or the time is up, and returns to how many something has.
pub fn poll(entries: &mut [pollfd], wait: Option<Duration>) -> Result<usize, CallError> {
    let milliseconds = wait.map_or(-1, |wait| {
        i32::try_from(wait.as_millis()).unwrap_or(i32::MAX)
    });
    loop {
        // SAFETY: the pointer and the count are those of a slice that is ours alone until the call returns.
        let ready = unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as _, milliseconds) };
        match Errno::result(ready) {
            Err(Errno::EINTR) => {} // a signal is no reason to end, and no event either: signal(7)
            ready => return Ok(ready.call("poll")? as usize),
        }
    }
}
// ANCHOR_END: entry

#[cfg(test)]
mod tests {
    use std::os::unix::thread::JoinHandleExt;
    use std::thread;

    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    use nix::unistd::{pipe, write};

    use super::*;

    extern "C" fn nothing(_: i32) {}

    /// A signal that is handled while poll waits: the original ends.
    #[test]
    fn e1_18_a_signal_does_not_end_the_wait() {
        let handler = SigHandler::Handler(nothing);
        let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
        // SAFETY: the handler does nothing.
        unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();
        let (reader, writer) = pipe().unwrap();
        let waiting = thread::spawn(move || {
            let mut entries = [entry(&reader, libc::POLLIN)];
            let ready = poll(&mut entries, None).unwrap();
            (ready, entries[0].revents)
        });
        for _ in 0..50 {
            // SAFETY: the thread has not been joined yet.
            unsafe { libc::pthread_kill(waiting.as_pthread_t(), Signal::SIGUSR1 as i32) };
            thread::sleep(Duration::from_millis(1));
            assert!(!waiting.is_finished());
        }
        write(&writer, b"x").unwrap();
        assert_eq!(waiting.join().unwrap(), (1, libc::POLLIN));
    }
}
