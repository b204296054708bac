//! poll(2): we keep the set of interests, hand all of it to the kernel at each wait, and look through all of it after.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use common::{Call, CallError};
use nix::errno::Errno;
use tracing::debug;

use super::{Dispatcher, poll_timeout};
use crate::{Event, Interest, Readiness, Token};

/// No place in the array.
const NOWHERE: u32 = u32::MAX;

/// Waits with poll(2).
#[derive(Debug, Default)]
pub struct PollDispatcher {
    /// What the kernel gets: exactly as many as there are, for it refuses more than RLIMIT_NOFILE.
    entries: Vec<libc::pollfd>,
    /// The token of each entry.
    tokens: Vec<Token>,
    /// The place in `entries` of each slot.
    places: Vec<u32>,
}

impl PollDispatcher {
    fn place(&self, token: Token) -> Result<usize, CallError> {
        let place = self.places.get(token.slot()).copied().unwrap_or(NOWHERE) as usize;
        match self.tokens.get(place) {
            Some(found) if *found == token => Ok(place),
            _ => Err(Errno::ENOENT).call("look for a poll entry"),
        }
    }
}

impl Dispatcher for PollDispatcher {
    fn call(&self) -> &'static str {
        "poll"
    }

    fn add(&mut self, fd: BorrowedFd, token: Token, interest: Interest) -> Result<(), CallError> {
        if self.places.len() <= token.slot() {
            self.places.resize(token.slot() + 1, NOWHERE);
        }
        self.places[token.slot()] = self.entries.len() as u32;
        self.entries.push(libc::pollfd {
            fd: fd.as_raw_fd(),
            events: interest.bits(),
            revents: 0,
        });
        self.tokens.push(token);
        debug!("poll added channel fd=={}", fd.as_raw_fd());
        Ok(())
    }

    fn update(&mut self, _: BorrowedFd, token: Token, wanted: Interest) -> Result<(), CallError> {
        let place = self.place(token)?;
        self.entries[place].events = wanted.bits();
        Ok(())
    }

    fn remove(&mut self, fd: BorrowedFd, token: Token) -> Result<(), CallError> {
        let place = self.place(token)?;
        self.entries.swap_remove(place);
        self.tokens.swap_remove(place);
        self.places[token.slot()] = NOWHERE;
        if let Some(moved) = self.tokens.get(place) {
            self.places[moved.slot()] = place as u32;
        }
        debug!("poll delete channel fd=={}", fd.as_raw_fd());
        Ok(())
    }

    fn wait(&mut self, into: &mut Vec<Event>, most: Option<Duration>) -> Result<(), CallError> {
        let timeout = poll_timeout(most).into();
        let count = self.entries.len() as libc::nfds_t;
        // SAFETY: the pointer and the count are those of one vector that lives through the call.
        let ready = unsafe { libc::poll(self.entries.as_mut_ptr(), count, timeout) };
        let ready = match Errno::result(ready) {
            Err(Errno::EINTR) => 0,
            outcome => outcome.call("poll")?,
        };
        let entries = self.entries.iter().zip(&self.tokens).enumerate();
        let happened = entries.filter(|(_, (entry, _))| entry.revents != 0);
        for (i, (entry, token)) in happened.take(ready as usize) {
            debug!("get message channel i=={i}, fd=={}", entry.fd);
            into.push(Event {
                token: *token,
                readiness: Readiness::from_bits(entry.revents),
            });
        }
        Ok(())
    }
}
