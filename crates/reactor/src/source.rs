//! Channels that are no connections: acceptors, the waker, a connect under way, whatever else has a descriptor.

use std::os::fd::{AsFd, BorrowedFd};

use crate::{EventLoop, Handler, Interest, Readiness, Token};

/// A channel other than a connection: an acceptor, the waker, a connect under way, and whatever an application wants to
/// wait for. There are few of them, so their calls may be dynamic ones. See [`EventLoop::watch`] for the short way.
pub trait Source<H: Handler>: 'static {
    /// The descriptor: open, and the same, for as long as the source lives.
    fn fd(&self) -> BorrowedFd<'_>;

    /// Something has happened to it.
    fn ready(&mut self, event_loop: &mut EventLoop<H>, token: Token, readiness: Readiness) -> Next;

    /// It has been taken out of the loop.
    fn removed(self: Box<Self>, event_loop: &mut EventLoop<H>) {
        let _ = event_loop;
    }
}

/// What becomes of a source after its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It stays as it is.
    Keep,
    /// It waits for this from now on.
    Watch(Interest),
    /// It was not done: call it once more in the next turn, when others had theirs.
    Again,
    /// It is taken out.
    Remove,
}

/// A source made of anything that has a descriptor, and a function.
pub(crate) struct Watch<S, F> {
    pub(crate) subject: S,
    pub(crate) ready: F,
}

impl<H, S, F> Source<H> for Watch<S, F>
where
    H: Handler,
    S: AsFd + 'static,
    F: FnMut(&mut EventLoop<H>, &mut S, Readiness) -> Next + 'static,
{
    fn fd(&self) -> BorrowedFd<'_> {
        self.subject.as_fd()
    }

    fn ready(&mut self, event_loop: &mut EventLoop<H>, _: Token, readiness: Readiness) -> Next {
        (self.ready)(event_loop, &mut self.subject, readiness)
    }
}
