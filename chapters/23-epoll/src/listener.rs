//! A listening socket watched by epoll, edge-triggered or level-triggered.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use common::address::Listen;
use common::io::set_nonblocking;
use common::{Call, CallError, complain, tcp};
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags, EpollTimeout};

use crate::trigger::{Trigger, id};

/// How long the listener is left alone when there are no descriptors left, in milliseconds.
const PAUSE: u16 = 100;

/// A listener that does not block.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    trigger: Trigger,
    /// accept has failed for want of descriptors or memory, and has not succeeded since.
    starved: bool,
    /// It is left alone for a moment.
    paused: bool,
}

impl Listener {
    /// Listens, and has epoll watch.
    pub fn new(listen: &Listen, trigger: Trigger, epoll: &Epoll) -> Result<Self, CallError> {
        let socket = tcp::listen(&listen.address())?;
        set_nonblocking(&socket)?;
        let event = EpollEvent::new(EpollFlags::EPOLLIN | trigger.flag(), id(&socket));
        epoll.add(&socket, event).call("epoll_ctl")?;
        Ok(Self {
            socket,
            trigger,
            starved: false,
            paused: false,
        })
    }

    // ANCHOR: accept
    /// The next connection that waits, made non-blocking. `None` when no more can be had now.
    pub fn accept(&mut self, epoll: &Epoll) -> Result<Option<(OwnedFd, SocketAddr)>, CallError> {
        match tcp::accept_ready(&self.socket) {
            Ok(None) => {
                self.starved = false;
                Ok(None)
            }
            Ok(Some((connection, address))) => {
                self.starved = false;
                set_nonblocking(&connection)?;
                Ok(Some((connection, address)))
            }
            Err(error) if error.is_shortage() => {
                self.starve(error, epoll)?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
    // ANCHOR_END: accept

    // ANCHOR: starve
    /// There are no descriptors left. Clients stay in the queue, and a level-triggered epoll would tell of them
    /// without end: the listener is left alone for a moment.
    fn starve(&mut self, error: CallError, epoll: &Epoll) -> Result<(), CallError> {
        if !self.starved {
            complain!("Error: {:#}", anyhow::Error::from(error));
        }
        (self.starved, self.paused) = (true, true);
        self.watch(EpollFlags::empty(), epoll)
    }

    /// How long to wait for events at most.
    pub fn timeout(&self) -> EpollTimeout {
        match self.paused {
            true => PAUSE.into(),
            false => EpollTimeout::NONE,
        }
    }

    /// To be called after a wait: tries again after a failure. EPOLL_CTL_MOD looks anew, so that those who wait are told of.
    pub fn recover(&mut self, epoll: &Epoll) -> Result<(), CallError> {
        match std::mem::take(&mut self.paused) {
            true => self.watch(EpollFlags::EPOLLIN, epoll),
            false => Ok(()),
        }
    }
    // ANCHOR_END: starve

    fn watch(&self, events: EpollFlags, epoll: &Epoll) -> Result<(), CallError> {
        let mut event = EpollEvent::new(events | self.trigger.flag(), id(&self.socket));
        epoll.modify(&self.socket, &mut event).call("epoll_ctl")
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
