//! A streamed body whose parts come from another thread: events of a worker, a log that grows, an answer that is computed
//! piece by piece. The thread has a [`Sender`], the answer has the [`Feed`].

use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, OnceLock};

use reactor::Remote;

use crate::connection::HttpConnection;
use crate::response::{More, Produce};

/// Makes a pair of them. At most `parts` parts wait between the two.
///
/// ```
/// # let handler = |_: &httpd::Request, response: &mut httpd::Response| {
/// let (sender, feed) = httpd::feed(16);
/// std::thread::spawn(move || {
///     for number in 1..=3 {
///         sender.send(format!("data: {number}\n\n"))?;
///     }
///     Ok::<(), httpd::Gone>(())
/// });
/// response.events(feed);
/// # };
/// ```
pub fn feed(parts: usize) -> (Sender, Feed) {
    let (parts, queue) = sync_channel(parts);
    let waker = Arc::new(OnceLock::new());
    let sender = Sender {
        parts: Some(parts),
        waker: Arc::clone(&waker),
    };
    (sender, Feed { queue, waker })
}

/// The client is gone, or the server is: nobody will read any more of this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads this stream any more")]
pub struct Gone;

/// The end in the other thread. The body ends when the last one is dropped.
#[derive(Clone)]
pub struct Sender {
    /// `None` while it is being dropped.
    parts: Option<SyncSender<Vec<u8>>>,
    waker: Arc<OnceLock<Waker>>,
}

impl Sender {
    /// Sends a part. It blocks while the queue is full, as the client takes what was sent before: never call it in the
    /// thread of an event loop.
    pub fn send(&self, part: impl Into<Vec<u8>>) -> Result<(), Gone> {
        let part = part.into();
        if part.is_empty() {
            return Ok(());
        }
        let parts = self.parts.as_ref().ok_or(Gone)?;
        parts.send(part).map_err(|_| Gone)?;
        self.wake();
        Ok(())
    }

    /// Without a waker nobody has looked for parts yet, and will find them.
    fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake();
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        // First the end, then the word about it.
        self.parts = None;
        self.wake();
    }
}

/// The end in the answer: for [`Response::stream`](crate::Response::stream) or [`events`](crate::Response::events).
pub struct Feed {
    queue: Receiver<Vec<u8>>,
    waker: Arc<OnceLock<Waker>>,
}

impl Produce for Feed {
    fn started(&mut self, waker: Waker) {
        let _ = self.waker.set(waker);
    }

    fn produce(&mut self, part: &mut Vec<u8>) -> More {
        match self.queue.try_recv() {
            Ok(next) => {
                part.extend_from_slice(&next);
                More::Now
            }
            Err(TryRecvError::Empty) => More::WhenWoken,
            Err(TryRecvError::Disconnected) => More::End,
        }
    }
}

/// Has a producer that rests called again, from any thread. A connection that has ended is not disturbed.
#[derive(Clone)]
pub struct Waker(pub(crate) Remote<HttpConnection>);

impl Waker {
    /// Has [`Produce::produce`] called as soon as the client has taken what was produced before.
    pub fn wake(&self) {
        // A loop that has ended has no connections left.
        let _ = self.0.queue(HttpConnection::woken);
    }
}
