//! select(2): sets of bits, one for each descriptor below 1024. A descriptor above does not fit, and is refused: setting
//! its bit would write past the set.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::time::Duration;

use common::{Call, CallError};
use libc::c_ulong;
use nix::errno::Errno;

use super::Dispatcher;
use crate::{Event, Interest, Readiness, Token};

/// How many descriptors fit.
const SIZE: usize = libc::FD_SETSIZE;

/// Descriptors in a word of a set.
const WORD: usize = c_ulong::BITS as usize;

/// A century: longer waits overflow the kernel's clock and are refused.
const LONGEST: u64 = 100 * 365 * 24 * 60 * 60;

/// A set as the kernel has it: `fd_set` without its macros, which do not check.
type Set = [c_ulong; SIZE / WORD];

fn assign(set: &mut Set, fd: usize, on: bool) {
    let (word, bit) = (&mut set[fd / WORD], 1 << (fd % WORD));
    *word = if on { *word | bit } else { *word & !bit };
}

fn is_in(set: &Set, fd: usize) -> bool {
    set[fd / WORD] & (1 << (fd % WORD)) != 0
}

// ANCHOR: select
/// Waits with select(2).
pub struct SelectDispatcher {
    read: Set,
    write: Set,
    /// The token of each descriptor.
    tokens: [Option<Token>; SIZE],
    /// One more than the highest descriptor that is watched.
    end: usize,
}
// ANCHOR_END: select

/// Nothing is watched at first.
impl Default for SelectDispatcher {
    fn default() -> Self {
        Self {
            read: Set::default(),
            write: Set::default(),
            tokens: [None; SIZE],
            end: 0,
        }
    }
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
        if self.tokens[number].is_some() {
            return Err(Errno::EEXIST).call(format_args!("select on descriptor {number}"));
        }
        self.tokens[number] = Some(token);
        self.end = self.end.max(number + 1);
        self.update(fd, token, interest)
    }

    fn update(&mut self, fd: BorrowedFd, token: Token, wanted: Interest) -> Result<(), CallError> {
        let number = fd.as_raw_fd() as usize;
        if self.tokens.get(number) != Some(&Some(token)) {
            return Err(Errno::ENOENT).call(format_args!("select on descriptor {number}"));
        }
        assign(&mut self.read, number, wanted.reads());
        assign(&mut self.write, number, wanted.writes());
        Ok(())
    }

    fn remove(&mut self, fd: BorrowedFd, token: Token) -> Result<(), CallError> {
        self.update(fd, token, Interest::NONE)?;
        self.tokens[fd.as_raw_fd() as usize] = None;
        let highest = self.tokens.iter().rposition(Option::is_some);
        self.end = highest.map_or(0, |highest| highest + 1);
        Ok(())
    }

    // ANCHOR: wait
    fn wait(&mut self, into: &mut Vec<Event>, most: Option<Duration>) -> Result<(), CallError> {
        // The kernel overwrites the sets with its answer, and on Linux the time with what was left of it.
        let (mut read, mut write) = (self.read, self.write);
        let mut time = most.map(|most| libc::timeval {
            tv_sec: most.as_secs().min(LONGEST) as libc::time_t,
            tv_usec: libc::suseconds_t::from(most.subsec_micros()),
        });
        let time = time.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
        let set = |set: &mut Set| ptr::from_mut(set).cast::<libc::fd_set>();
        let (reads, writes, none) = (set(&mut read), set(&mut write), ptr::null_mut());
        // SAFETY: the sets and the time are local and live through the call; a set has the bits of an fd_set, select(2), and
        // `end` is at most FD_SETSIZE.
        let ready = unsafe { libc::select(self.end as i32, reads, writes, none, time) };
        match Errno::result(ready) {
            Ok(0) | Err(Errno::EINTR) => return Ok(()),
            outcome => outcome.call("select")?,
        };
        // An error or a hang-up makes a descriptor readable and writable; the call that follows tells which.
        for (number, token) in self.tokens[..self.end].iter().enumerate() {
            let readiness = Readiness::default()
                .with(Readiness::READABLE, is_in(&read, number))
                .with(Readiness::WRITABLE, is_in(&write, number));
            if let Some(token) = *token
                && readiness != Readiness::default()
            {
                into.push(Event { token, readiness });
            }
        }
        Ok(())
    }
    // ANCHOR_END: wait
}
