//! Waiting for a socket, or for Ctrl-C: ppoll(2).

use std::os::fd::AsFd;
use std::time::Instant;

use common::signal::StopSignal;
use common::{Call, CallError};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// The descriptor is ready, or has an error to tell.
    Ready,
    /// SIGINT or SIGTERM.
    Stop,
    /// The time is up.
    Late,
}

/// Waits until the descriptor is ready for `events`, a stop signal has come, or the time is up.
pub fn wait(
    stop: &StopSignal,
    fd: impl AsFd,
    events: PollFlags,
    deadline: Option<Instant>,
) -> Result<Woken, CallError> {
    let mut fds = [
        PollFd::new(stop.as_fd(), PollFlags::POLLIN),
        PollFd::new(fd.as_fd(), events),
    ];
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match ppoll(&mut fds, left.map(TimeSpec::from_duration), None) {
            Ok(0) => return Ok(Woken::Late),
            Ok(_) if stop.received()?.is_some() => return Ok(Woken::Stop),
            Ok(_) if fds[1].any() == Some(true) => return Ok(Woken::Ready),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).call("ppoll"),
        }
    }
}
