//! select(2): sets of bits, one for each descriptor below 1024. A descriptor above does not fit, and is refused: setting
//! its bit would write past the set.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::time::Duration;

use common::{Call, CallError};
use nix::errno::Errno;

use super::Dispatcher;
use crate::interest::{Event, Interest, Readiness};
use crate::token::Token;

/// How many descriptors fit.
const SIZE: usize = libc::FD_SETSIZE;

/// A century: longer waits overflow the kernel's clock and are refused.
const LONGEST: u64 = 100 * 365 * 24 * 60 * 60;

/// Waits with select(2).
pub struct SelectDispatcher {
    read: libc::fd_set,
    write: libc::fd_set,
    /// The token of each descriptor.
    tokens: [Option<Token>; SIZE],
    /// One more than the highest descriptor that is watched.
    end: usize,
}

impl SelectDispatcher {
    /// Nothing is watched at first.
    pub fn new() -> Self {
        Self {
            read: empty(),
            write: empty(),
            tokens: [None; SIZE],
            end: 0,
        }
    }
}

impl Default for SelectDispatcher {
    fn default() -> Self {
        Self::new()
    }
}

fn empty() -> libc::fd_set {
    let mut set = MaybeUninit::uninit();
    // SAFETY: FD_ZERO initialises the whole set.
    unsafe {
        libc::FD_ZERO(set.as_mut_ptr());
        set.assume_init()
    }
}

fn assign(set: &mut libc::fd_set, fd: usize, on: bool) {
    debug_assert!(fd < SIZE);
    // SAFETY: the descriptor is below FD_SETSIZE: only such ones get through `add`.
    unsafe {
        match on {
            true => libc::FD_SET(fd as i32, set),
            false => libc::FD_CLR(fd as i32, set),
        }
    }
}

fn is_in(set: &libc::fd_set, fd: usize) -> bool {
    debug_assert!(fd < SIZE);
    // SAFETY: as above; `end` is at most FD_SETSIZE.
    unsafe { libc::FD_ISSET(fd as i32, set) }
}

impl Dispatcher for SelectDispatcher {
    fn call(&self) -> &'static str {
        "select"
    }

    fn add(&mut self, fd: BorrowedFd, token: Token, interest: Interest) -> Result<(), CallError> {
        let number = fd.as_raw_fd() as usize;
        if number >= SIZE {
            return Err(Errno::EMFILE).call(format_args!("select on descriptor {number}"));
        }
        self.tokens[number] = Some(token);
        self.end = self.end.max(number + 1);
        self.update(fd, token, interest)
    }

    fn update(
        &mut self,
        fd: BorrowedFd,
        token: Token,
        interest: Interest,
    ) -> Result<(), CallError> {
        let number = fd.as_raw_fd() as usize;
        if self.tokens.get(number) != Some(&Some(token)) {
            return Err(Errno::ENOENT).call(format_args!("select on descriptor {number}"));
        }
        assign(&mut self.read, number, interest.reads());
        assign(&mut self.write, number, interest.writes());
        Ok(())
    }

    fn remove(&mut self, fd: BorrowedFd, token: Token) -> Result<(), CallError> {
        self.update(fd, token, Interest::NONE)?;
        self.tokens[fd.as_raw_fd() as usize] = None;
        self.end = self.tokens[..self.end]
            .iter()
            .rposition(Option::is_some)
            .map_or(0, |highest| highest + 1);
        Ok(())
    }

    fn wait(
        &mut self,
        events: &mut Vec<Event>,
        timeout: Option<Duration>,
    ) -> Result<(), CallError> {
        // The kernel overwrites the sets with its answer, and on Linux the time with what was left of it.
        let (mut read, mut write) = (self.read, self.write);
        let mut time = timeout.map(|timeout| libc::timeval {
            tv_sec: timeout.as_secs().min(LONGEST) as libc::time_t,
            tv_usec: libc::suseconds_t::from(timeout.subsec_micros()),
        });
        let time = time.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
        let none = ptr::null_mut();
        // SAFETY: the sets and the time are local and live through the call; `end` is at most FD_SETSIZE.
        let ready = unsafe { libc::select(self.end as i32, &mut read, &mut write, none, time) };
        let mut left = match Errno::result(ready) {
            Err(Errno::EINTR) => return Ok(()),
            outcome => outcome.call("select")?,
        };
        // An error or a hang-up makes a descriptor readable and writable; the call that follows tells which.
        for number in 0..self.end {
            if left == 0 {
                break;
            }
            let (readable, writable) = (is_in(&read, number), is_in(&write, number));
            left -= i32::from(readable) + i32::from(writable);
            let readiness = Readiness::default()
                .with(Readiness::READABLE, readable)
                .with(Readiness::WRITABLE, writable);
            if let Some(token) = self.tokens[number]
                && readiness != Readiness::default()
            {
                events.push(Event { token, readiness });
            }
        }
        Ok(())
    }
}
