//! Those who were sent away, and have not read why.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use common::io::{Received, receive};
use nix::poll::PollFlags;
use nix::sys::socket::{MsgFlags, Shutdown, send, shutdown};

/// How long each of them may take.
const PARTING: Duration = Duration::from_secs(1);
/// More than so many at a time are closed at once.
const LIMIT: usize = 16;

// ANCHOR: parting
/// A close with something unread would be a reset, chapter 11, and the last word could be lost. So our side is ended first,
/// and what comes is read for a moment.
#[derive(Debug, Default)]
pub struct Parting(Vec<(OwnedFd, Instant)>);

impl Parting {
    /// Says the last word.
    pub fn send_away(&mut self, socket: OwnedFd) {
        let sent = send(
            socket.as_raw_fd(),
            b"too many users\n",
            MsgFlags::MSG_NOSIGNAL,
        );
        let ended = sent.and_then(|_| shutdown(socket.as_raw_fd(), Shutdown::Write));
        if ended.is_ok() && self.0.len() < LIMIT {
            self.0.push((socket, Instant::now()));
        }
    }

    /// Reads on, from those that are ready, and closes when they have ended or their time is up.
    pub fn read(&mut self, ready: &[PollFlags]) {
        let mut ready = ready.iter();
        self.0.retain(|(socket, since)| {
            let ready = ready.next().is_some_and(|ready| !ready.is_empty());
            let over = ready && !matches!(receive(socket, &mut [0; 4096]), Ok(Received::Data(_)));
            !over && since.elapsed() < PARTING
        });
    }
}
// ANCHOR_END: parting

impl Parting {
    /// What is to be waited for, in the order in which [`Parting::read`] wants the answers.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().map(|(socket, _)| socket.as_fd())
    }

    /// When somebody's time is up.
    pub fn next_end(&self) -> Option<Instant> {
        self.0.iter().map(|(_, since)| *since + PARTING).min()
    }
}
