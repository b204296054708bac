//! The main thread: waits for all of them, and says who is ready.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::Call;
use common::signal::StopSignal;
use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollFlags, EpollTimeout};

use crate::shared::{Request, Shared};
use crate::watch::{LISTENER, STOP, WAKER};

/// How many events one wait may bring. What is ready beyond that comes with the next.
const MAX_EVENTS: usize = 1024;

/// What the main thread has to itself.
pub struct MainThread<'a> {
    pub shared: &'a Shared,
    pub stop: StopSignal,
}

impl MainThread<'_> {
    // ANCHOR: wait
    /// Waits, and says who is ready; touches no connection itself. Returns whether all clients have left when the server
    /// stops; if not, the time was up, or the signal came a second time.
    pub fn serve(&self, accepts: JoinHandle<()>, patience: Duration) -> anyhow::Result<bool> {
        let mut events = [EpollEvent::empty(); MAX_EVENTS];
        let mut accepts = Some(accepts);
        let mut deadline: Option<Instant> = None;
        loop {
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some() && self.shared.is_empty() {
                return Ok(true);
            } else if left == Some(Duration::ZERO) {
                return Ok(false);
            }
            let count = match self.shared.epoll.wait(&mut events, timeout(left)) {
                Err(Errno::EINTR) => continue, // a process that was stopped and goes on sees it, too: signal(7)
                outcome => outcome.call("epoll_wait")?,
            };
            for event in &events[..count] {
                match event.data() {
                    LISTENER => self.shared.turns.push(()),
                    WAKER => {
                        let _ = self.shared.waker.read(); // it was to end the wait, and has
                        self.shared.output_error().map_or(Ok(()), Err)?;
                    }
                    STOP => {
                        if self.stop.received()?.is_none() {
                            continue;
                        }
                        let Some(accepts) = accepts.take() else {
                            return Ok(false);
                        };
                        self.shared.turns.end();
                        let _ = accepts.join(); // and the listener is closed
                        self.shared.stop();
                        deadline = Some(Instant::now() + patience);
                    }
                    id => self.hand_over(id, event.events()),
                }
            }
        }
    }
    // ANCHOR_END: wait

    // ANCHOR: hand_over
    /// Puts a connection into the queue: from now on it is the worker's.
    fn hand_over(&self, id: u64, events: EpollFlags) {
        let Some(connection) = self.shared.take(id) else {
            return;
        };
        let writable = events.contains(EpollFlags::EPOLLOUT);
        let what = if writable { "writable" } else { "readable" };
        let address = connection.address;
        self.shared
            .tell(format_args!("main thread: {address} is {what}"));
        self.shared.requests.push(Request { id, connection });
    }
    // ANCHOR_END: hand_over
}

/// In whole milliseconds, rounded up: to wake a moment too early would be to wake again and again.
fn timeout(left: Option<Duration>) -> EpollTimeout {
    match left {
        None => EpollTimeout::NONE,
        Some(left) => u16::try_from(left.as_micros().div_ceil(1000))
            .unwrap_or(u16::MAX)
            .into(),
    }
}
