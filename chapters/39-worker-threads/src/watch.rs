//! What epoll is told.

use std::os::fd::AsFd;

use common::{Call, CallError};
use nix::sys::epoll::{EpollEvent, EpollFlags};

use crate::reactor_server::Mistake;
use crate::shared::Shared;

/// What epoll hands back for the descriptors that are no clients. A client's number is never used again, so that an event
/// of one that has gone finds nobody; chapter 32.
pub const LISTENER: u64 = 0;
pub const STOP: u64 = 1;
pub const WAKER: u64 = 2;
pub const FIRST_CLIENT: u64 = 3;

impl Shared {
    // ANCHOR: watch
    /// Watches a descriptor for one event. After it epoll is silent about the descriptor, whatever comes, until `watch_again`.
    pub fn watch(&self, fd: impl AsFd, id: u64, events: EpollFlags) -> Result<(), CallError> {
        let event = EpollEvent::new(events | self.once(id), id);
        self.epoll.add(fd, event).call("epoll_ctl EPOLL_CTL_ADD")
    }

    /// EPOLL_CTL_MOD looks anew: what has come meanwhile is told of at once.
    pub fn watch_again(&self, fd: impl AsFd, id: u64, events: EpollFlags) -> Result<(), CallError> {
        let mut event = EpollEvent::new(events | self.once(id), id);
        let done = self.epoll.modify(fd, &mut event);
        done.call("epoll_ctl EPOLL_CTL_MOD")
    }

    fn once(&self, id: u64) -> EpollFlags {
        match self.makes(Mistake::LevelTriggered) && id != LISTENER {
            true => EpollFlags::empty(), // on purpose
            false => EpollFlags::EPOLLONESHOT,
        }
    }
    // ANCHOR_END: watch
}
