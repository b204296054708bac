//! Wakes a loop out of its wait: an eventfd(2), one descriptor and eight bytes where the course has a pair of sockets
//! and a byte for each wake-up. It is a channel like others.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use common::{Call, CallError};
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd;
use tracing::debug;

use crate::event_loop::{EventLoop, Next, Source};
use crate::handle::Task;
use crate::handler::Handler;
use crate::interest::Readiness;
use crate::token::Token;

/// The waker, seen from the threads that wake.
#[derive(Debug)]
pub(crate) struct Waker(EventFd);

impl Waker {
    pub(crate) fn new() -> Result<Self, CallError> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self(
            EventFd::from_value_and_flags(0, flags).call("eventfd")?,
        ))
    }

    /// The only error is EAGAIN, when 2⁶⁴ − 2 wake-ups are waiting already.
    pub(crate) fn wake(&self) {
        while unistd::write(&self.0, &1u64.to_ne_bytes()) == Err(Errno::EINTR) {}
    }

    /// Takes all wake-ups at once, eventfd(2).
    fn clear(&self) {
        let mut count = [0; 8];
        while unistd::read(&self.0, &mut count) == Err(Errno::EINTR) {}
    }
}

/// The waker, seen from its loop: when it is ready, there are tasks.
pub(crate) struct Woken<H: Handler> {
    waker: Arc<Waker>,
    batch: Vec<Task<H>>,
}

impl<H: Handler> Woken<H> {
    pub(crate) fn new(waker: Arc<Waker>) -> Self {
        let batch = Vec::new();
        Self { waker, batch }
    }
}

impl<H: Handler> Source<H> for Woken<H> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.waker.0.as_fd()
    }

    fn ready(&mut self, event_loop: &mut EventLoop<H>, _: Token, _: Readiness) -> Next {
        self.waker.clear();
        debug!("wakeup, {}", event_loop.name());
        event_loop.take_tasks(&mut self.batch);
        for task in self.batch.drain(..) {
            task(event_loop);
        }
        Next::Keep
    }
}
