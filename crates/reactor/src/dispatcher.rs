//! The seam between the loop and the kernel: who is ready? Select, poll and epoll answer it, each in a file of its own
//! that knows nothing of connections.

mod epoll;
mod poll;
mod select;

use std::fmt;
use std::os::fd::BorrowedFd;
use std::str::FromStr;
use std::time::Duration;

use common::CallError;
use nix::poll::PollTimeout;

pub use epoll::EpollDispatcher;
pub use poll::PollDispatcher;
pub use select::SelectDispatcher;

use crate::names::{UnknownName, by_name};
use crate::timer::milliseconds;
use crate::{Event, Interest, Token};

// ANCHOR: dispatcher
/// Watches descriptors and tells which are ready. The descriptor stays open and the token stays the same from `add` to
/// `remove`; the loop sees to that.
pub trait Dispatcher {
    /// The system call that it waits in, for the log.
    fn call(&self) -> &'static str;

    /// When readiness is reported.
    fn trigger(&self) -> Trigger {
        Trigger::Level
    }

    /// Starts to watch a descriptor.
    fn add(&mut self, fd: BorrowedFd, token: Token, interest: Interest) -> Result<(), CallError>;

    /// Changes what is watched for. Under [`Trigger::Edge`] what is ready already is reported once more.
    fn update(&mut self, fd: BorrowedFd, token: Token, wanted: Interest) -> Result<(), CallError>;

    /// Ends the watch. The descriptor is still open: a closed one that has a duplicate elsewhere would go on being
    /// reported, and could not be removed any more, epoll(7) question 6.
    fn remove(&mut self, fd: BorrowedFd, token: Token) -> Result<(), CallError>;

    /// Waits until a descriptor is ready, for `most` so long (`None`: no limit), and appends what has happened to `into`.
    /// A signal may end the wait early, with no events.
    fn wait(&mut self, into: &mut Vec<Event>, most: Option<Duration>) -> Result<(), CallError>;
}
// ANCHOR_END: dispatcher

/// When a dispatcher reports readiness, epoll(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trigger {
    /// As long as it lasts.
    #[default]
    Level,
    /// When it begins: whoever is told has to go on until nothing is left.
    Edge,
}

/// The dispatchers to choose from at run time: `select`, `poll`, `epoll`, `epoll-edge`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DispatcherKind {
    /// select(2): descriptors below 1024 only.
    Select,
    /// poll(2).
    Poll,
    /// epoll(7).
    Epoll(Trigger),
}

impl Default for DispatcherKind {
    fn default() -> Self {
        Self::Epoll(Trigger::Level)
    }
}

impl DispatcherKind {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Select,
        Self::Poll,
        Self::Epoll(Trigger::Level),
        Self::Epoll(Trigger::Edge),
    ];

    /// A new dispatcher of this kind; only epoll can fail, for want of a descriptor.
    pub fn open(self) -> Result<Box<dyn Dispatcher>, CallError> {
        Ok(match self {
            Self::Select => Box::new(SelectDispatcher::default()),
            Self::Poll => Box::new(PollDispatcher::default()),
            Self::Epoll(trigger) => Box::new(EpollDispatcher::new(trigger)?),
        })
    }
}

impl fmt::Display for DispatcherKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Select => "select",
            Self::Poll => "poll",
            Self::Epoll(Trigger::Level) => "epoll",
            Self::Epoll(Trigger::Edge) => "epoll-edge",
        })
    }
}

impl FromStr for DispatcherKind {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        by_name(&Self::ALL, name)
    }
}

/// What poll(2) and epoll_wait(2) get for a time.
fn poll_timeout(most: Option<Duration>) -> PollTimeout {
    most.map_or(PollTimeout::NONE, |most| {
        PollTimeout::try_from(milliseconds(most)).unwrap_or(PollTimeout::MAX)
    })
}
