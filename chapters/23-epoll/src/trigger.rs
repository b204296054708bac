//! What the lesson's servers tell epoll(7), and what it tells them.

use std::os::fd::{AsFd, AsRawFd};

use nix::sys::epoll::EpollFlags;

/// When epoll tells of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Trigger {
    /// Once, when something new happens to it
    Edge,
    /// Again and again, as long as it is ready
    Level,
}

impl Trigger {
    /// The flag to be added to the events. Level-triggered is what epoll does without one.
    pub fn flag(self) -> EpollFlags {
        match self {
            Trigger::Edge => EpollFlags::EPOLLET,
            Trigger::Level => EpollFlags::empty(),
        }
    }
}

/// What the kernel keeps with a descriptor and hands back with its events: here, as in the course, the descriptor's own
/// number. A closed descriptor's number is soon another's. That does no harm in these servers, because a descriptor is
/// closed by its own event alone, and one wait brings at most one event for it. Chapter 32 has what is safe in general.
pub fn id(fd: impl AsFd) -> u64 {
    fd.as_fd().as_raw_fd() as u64
}
