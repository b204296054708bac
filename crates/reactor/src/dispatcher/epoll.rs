//! epoll(7): the kernel keeps the set of interests between the waits, and returns only those that are ready.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use common::{Call, CallError};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::{Dispatcher, Trigger, milliseconds};
use crate::interest::{Event, Interest, Readiness};
use crate::token::Token;

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
        let mut flags = EpollFlags::empty();
        flags.set(EpollFlags::EPOLLIN, interest.reads());
        flags.set(EpollFlags::EPOLLRDHUP, interest.reads());
        flags.set(EpollFlags::EPOLLOUT, interest.writes());
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

    fn update(
        &mut self,
        fd: BorrowedFd,
        token: Token,
        interest: Interest,
    ) -> Result<(), CallError> {
        let mut event = self.event(token, interest);
        self.epoll
            .modify(fd, &mut event)
            .call("epoll_ctl EPOLL_CTL_MOD")
    }

    fn remove(&mut self, fd: BorrowedFd, _: Token) -> Result<(), CallError> {
        self.epoll.delete(fd).call("epoll_ctl EPOLL_CTL_DEL")
    }

    fn wait(
        &mut self,
        events: &mut Vec<Event>,
        timeout: Option<Duration>,
    ) -> Result<(), CallError> {
        let timeout = timeout.map_or(EpollTimeout::NONE, |timeout| {
            EpollTimeout::try_from(milliseconds(timeout)).unwrap_or(EpollTimeout::MAX)
        });
        let count = match self.epoll.wait(&mut self.ready, timeout) {
            Err(Errno::EINTR) => 0,
            outcome => outcome.call("epoll_wait")?,
        };
        events.extend(self.ready[..count].iter().map(|event| {
            let flags = event.events();
            let readiness = Readiness::default()
                .with(Readiness::READABLE, flags.contains(EpollFlags::EPOLLIN))
                .with(Readiness::WRITABLE, flags.contains(EpollFlags::EPOLLOUT))
                .with(Readiness::ERROR, flags.contains(EpollFlags::EPOLLERR))
                .with(Readiness::HANGUP, flags.contains(EpollFlags::EPOLLHUP))
                .with(
                    Readiness::PEER_ENDED,
                    flags.contains(EpollFlags::EPOLLRDHUP),
                );
            Event {
                token: Token::from_bits(event.data()),
                readiness,
            }
        }));
        Ok(())
    }
}
