//! What other threads may hold of a loop, and of one of its connections.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::CallError;
use tracing::warn;

use crate::sys::Accepted;
use crate::tasks::TaskQueue;
use crate::waker::Waker;
use crate::{EventLoop, Handler, TcpConnection, Token};

/// Something to be done in a loop's own thread.
pub(crate) type Task<H> = Box<dyn FnOnce(&mut EventLoop<H>) + Send>;

/// Makes the handler of a new connection, in the thread of the connection's loop: what all handlers of a loop share can be
/// a thread-local value. The address is the peer's, `None` for a local socket.
pub type MakeHandler<H> = Arc<dyn Fn(Option<SocketAddr>) -> H + Send + Sync>;

struct Shared<H: Handler> {
    tasks: TaskQueue<Task<H>>,
    waker: Arc<Waker>,
    name: String,
    /// Connections of the loop, those on their way to it included.
    connections: AtomicUsize,
}

/// The loop has ended: what was to be done there will not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the event loop has ended")]
pub struct LoopEnded;

/// A loop as other threads see it: they can have something done there, and nothing else.
pub struct LoopHandle<H: Handler>(Arc<Shared<H>>);

impl<H: Handler> LoopHandle<H> {
    pub(crate) fn new(name: &str) -> Result<Self, CallError> {
        Ok(Self(Arc::new(Shared {
            tasks: TaskQueue::new(),
            waker: Arc::new(Waker::new()?),
            name: name.into(),
            connections: AtomicUsize::new(0),
        })))
    }

    /// Has `task` run in the loop's thread, after those queued before it. The loop is woken if nobody has woken it yet.
    pub fn queue(
        &self,
        task: impl FnOnce(&mut EventLoop<H>) + Send + 'static,
    ) -> Result<(), LoopEnded> {
        let pushed = self.0.tasks.push(Box::new(task), || self.0.waker.wake());
        pushed.map_err(|_| LoopEnded)
    }

    // ANCHOR: place
    /// Gives a connected, non-blocking socket to the loop. It is counted at once, so that the next one is placed with this one in
    /// mind; everything else happens in the loop's own thread: nobody sees a connection half built.
    pub(crate) fn place(&self, accepted: Accepted, make: &MakeHandler<H>) {
        self.count(1);
        let make = Arc::clone(make);
        let placed = self.queue(move |event_loop| event_loop.take_in(accepted, &make));
        if let Err(ended) = placed {
            self.count(-1);
            warn!("a connection is closed at once: {ended}");
        }
    }
    // ANCHOR_END: place

    /// Asks the loop to stop, [`EventLoop::stop`].
    pub fn stop(&self, within: Duration) -> Result<(), LoopEnded> {
        self.queue(move |event_loop| event_loop.stop(within))
    }

    /// The name of the loop's thread: `main thread`, `Thread-1`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// How many connections the loop has.
    pub fn connections(&self) -> usize {
        self.0.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, change: isize) {
        let connections = &self.0.connections;
        connections.fetch_add(change as usize, Ordering::Relaxed);
    }

    pub(crate) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.0.waker)
    }

    pub(crate) fn take_tasks(&self, batch: &mut Vec<Task<H>>) {
        self.0.tasks.take(batch);
    }

    pub(crate) fn close(&self) {
        // Dropped here, without the lock: a task may own anything, another handle of this queue included.
        drop(self.0.tasks.close());
    }
}

impl<H: Handler> Clone for LoopHandle<H> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<H: Handler> fmt::Debug for LoopHandle<H> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_tuple("LoopHandle").field(&self.0.name).finish()
    }
}

/// A connection as other threads see it. It may be gone by the time that something reaches it; then nothing happens.
pub struct Remote<H: Handler> {
    event_loop: LoopHandle<H>,
    token: Token,
}

impl<H: Handler> Remote<H> {
    pub(crate) fn new(event_loop: LoopHandle<H>, token: Token) -> Self {
        Self { event_loop, token }
    }

    /// Has `task` run with the connection and its handler, in the thread of its loop.
    pub fn queue(
        &self,
        task: impl FnOnce(&mut H, &mut TcpConnection<H>) + Send + 'static,
    ) -> Result<(), LoopEnded> {
        let token = self.token;
        self.event_loop.queue(move |event_loop| {
            event_loop.with(token, task);
        })
    }

    /// Sends bytes on the connection. For many receivers of the same bytes, an `Arc<[u8]>`.
    pub fn send(&self, data: impl AsRef<[u8]> + Send + 'static) -> Result<(), LoopEnded> {
        self.queue(move |_, connection| connection.send(data.as_ref()))
    }

    /// Names the connection within its loop.
    pub fn token(&self) -> Token {
        self.token
    }

    /// The connection's loop.
    pub fn event_loop(&self) -> &LoopHandle<H> {
        &self.event_loop
    }
}

impl<H: Handler> Clone for Remote<H> {
    fn clone(&self) -> Self {
        Self::new(self.event_loop.clone(), self.token)
    }
}

impl<H: Handler> fmt::Debug for Remote<H> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Remote({:?} of {})", self.token, self.event_loop.name())
    }
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<_> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}
