//! epoll(7): the kernel keeps the set of interests between the waits, and returns only those that are ready.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use common::{Call, CallError};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use super::{Dispatcher, Trigger, poll_timeout};
use crate::{Event, Interest, Readiness, Token};

/// How many events one wait can return. What does not fit comes with the next: the kernel takes turns.
const BATCH: usize = 512;

/// Waits with epoll_wait(2).
#[derive(Debug)]
pub struct EpollDispatcher {
    epoll: Epoll,
    trigger: Trigger,
    ready: Vec<EpollEvent>,
}

impl EpollDispatcher {
    /// A new, empty set of interests.
    pub fn new(trigger: Trigger) -> Result<Self, CallError> {
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).call("epoll_create1")?,
            trigger,
            ready: vec![EpollEvent::empty(); BATCH],
        })
    }

    fn event(&self, token: Token, interest: Interest) -> EpollEvent {
        let mut flags = EpollFlags::from_bits_retain(interest.bits().into());
        flags.set(EpollFlags::EPOLLET, self.trigger == Trigger::Edge);
        EpollEvent::new(flags, token.to_bits())
    }
}

impl Dispatcher for EpollDispatcher {
    fn call(&self) -> &'static str {
        "epoll_wait"
    }

    fn trigger(&self) -> Trigger {
        self.trigger
    }

    fn add(&mut self, fd: BorrowedFd, token: Token, interest: Interest) -> Result<(), CallError> {
        let event = self.event(token, interest);
        self.epoll.add(fd, event).call("epoll_ctl EPOLL_CTL_ADD")
    }

    fn update(&mut self, fd: BorrowedFd, token: Token, wanted: Interest) -> Result<(), CallError> {
        let mut event = self.event(token, wanted);
        let updated = self.epoll.modify(fd, &mut event);
        updated.call("epoll_ctl EPOLL_CTL_MOD")
    }

    fn remove(&mut self, fd: BorrowedFd, _: Token) -> Result<(), CallError> {
        self.epoll.delete(fd).call("epoll_ctl EPOLL_CTL_DEL")
    }

    fn wait(&mut self, into: &mut Vec<Event>, most: Option<Duration>) -> Result<(), CallError> {
        let count = match self.epoll.wait(&mut self.ready, poll_timeout(most)) {
            Err(Errno::EINTR) => 0,
            outcome => outcome.call("epoll_wait")?,
        };
        into.extend(self.ready[..count].iter().map(|event| Event {
            token: Token::from_bits(event.data()),
            readiness: Readiness::from_bits(event.events().bits() as i16),
        }));
        Ok(())
    }
}
