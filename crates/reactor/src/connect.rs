//! The client's side: a connect(2) that blocks nobody, with a time limit, and tried again.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use common::{CallError, tcp};
use nix::errno::Errno;
use nix::sys::socket::{self, SockaddrStorage, sockopt};
use tracing::{debug, warn};

use crate::handle::chain;
use crate::sys;
use crate::{EventLoop, Handler, Interest, Next, Readiness, Source, Token};

/// The pause between two attempts never grows beyond this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Whom to connect to, and how patiently.
#[derive(Debug, Clone, Copy)]
pub struct Connect {
    /// The peer.
    pub address: SocketAddr,
    /// The time for one attempt. The kernel's own is two minutes, tcp_syn_retries in tcp(7).
    pub timeout: Duration,
    /// How many attempts, 1 or more.
    pub attempts: u32,
    /// The pause before the second attempt. It doubles with each further one, up to 30 s.
    pub pause: Duration,
    /// Our own address, where the kernel's choice will not do: one address has no more ports for one peer than
    /// net.ipv4.ip_local_port_range allows. Port 0 for any.
    pub from: Option<SocketAddr>,
}

impl Connect {
    /// One attempt of at most 10 s.
    pub fn to(address: SocketAddr) -> Self {
        Self {
            address,
            timeout: Duration::from_secs(10),
            attempts: 1,
            pause: Duration::from_millis(100),
            from: None,
        }
    }
}

/// No attempt succeeded. The source is the last one's error.
#[derive(Debug, thiserror::Error)]
#[error("connect {address}, {attempts} attempts")]
pub struct ConnectError {
    /// The peer.
    pub address: SocketAddr,
    /// How often it was tried.
    pub attempts: u32,
    /// What the last attempt gave; ETIMEDOUT if its time was up.
    pub source: io::Error,
}

/// What is to be done with the outcome.
type Done<H> = Box<dyn FnOnce(&mut EventLoop<H>, Result<OwnedFd, ConnectError>)>;

impl<H: Handler> EventLoop<H> {
    /// Connects without blocking, and calls `done` with the connected socket, for [`EventLoop::adopt`], or with what went
    /// wrong. An attempt that is refused or takes too long is repeated as `request` says. `done` is not called within this call,
    /// nor when the loop ends first.
    pub fn connect(
        &mut self,
        request: Connect,
        done: impl FnOnce(&mut EventLoop<H>, Result<OwnedFd, ConnectError>) + 'static,
    ) {
        let (number, done) = (1, Box::new(done));
        attempt(
            self,
            Task {
                request,
                number,
                done,
            },
        );
    }
}

/// What is to be done, by one attempt after the other.
struct Task<H: Handler> {
    request: Connect,
    /// Of the attempt.
    number: u32,
    done: Done<H>,
}

/// One attempt that is under way.
struct Attempt<H: Handler> {
    socket: OwnedFd,
    /// ETIMEDOUT until there is another one.
    outcome: Result<(), Errno>,
    task: Task<H>,
}

fn attempt<H: Handler>(event_loop: &mut EventLoop<H>, task: Task<H>) {
    let timeout = task.request.timeout;
    let socket = match start(&task.request) {
        Ok(socket) => socket,
        Err(error) => return fail_later(event_loop, task, error),
    };
    let token = match event_loop.register(socket.as_fd(), Interest::WRITE) {
        Ok(token) => token,
        Err(error) => {
            warn!("{}", chain(&error));
            return fail_later(event_loop, task, errno(error));
        }
    };
    let attempt = Attempt {
        socket,
        outcome: Err(Errno::ETIMEDOUT),
        task,
    };
    event_loop.install(token, Box::new(attempt));
    // If the attempt is over by then, the token names nobody.
    event_loop.after(timeout, move |event_loop| event_loop.remove(token));
}

/// Not within [`EventLoop::connect`]: a `done` that tries anew would never come back.
fn fail_later<H: Handler>(event_loop: &mut EventLoop<H>, task: Task<H>, error: Errno) {
    event_loop.after(Duration::ZERO, move |event_loop| {
        failed(event_loop, task, error)
    });
}

fn errno(error: CallError) -> Errno {
    error.errno().unwrap_or(Errno::EIO)
}

/// A socket that connects; it will be writable when that has succeeded or failed.
fn start(request: &Connect) -> Result<OwnedFd, Errno> {
    let Connect { address, from, .. } = request;
    let socket = tcp::stream_socket(address).map_err(errno)?;
    sys::make_non_blocking(socket.as_fd()).map_err(errno)?;
    socket::setsockopt(&socket, sockopt::TcpNoDelay, &true)?;
    if let Some(from) = from {
        // The port is picked by connect, which knows the peer, and so may pick one that is in use towards another: ip(7).
        socket::setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
        socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(*from))?;
    }
    match socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(*address)) {
        // Interrupted, it goes on all the same, connect(2).
        Ok(()) | Err(Errno::EINPROGRESS | Errno::EINTR) => Ok(socket),
        Err(error) => Err(error),
    }
}

fn failed<H: Handler>(event_loop: &mut EventLoop<H>, mut task: Task<H>, error: Errno) {
    let Connect {
        address,
        attempts,
        pause,
        ..
    } = task.request;
    debug!(
        "connect {address}: {}, attempt {}",
        error.desc(),
        task.number
    );
    if task.number >= attempts {
        let source = error.into();
        return (task.done)(
            event_loop,
            Err(ConnectError {
                address,
                attempts,
                source,
            }),
        );
    }
    let pause = pause.saturating_mul(1 << (task.number - 1).min(20));
    task.number += 1;
    event_loop.after(pause.min(LONGEST_PAUSE), move |event_loop| {
        attempt(event_loop, task);
    });
}

impl<H: Handler> Source<H> for Attempt<H> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Writable: the attempt is over, one way or the other, and SO_ERROR tells which, connect(2).
    fn ready(&mut self, _: &mut EventLoop<H>, _: Token, _: Readiness) -> Next {
        self.outcome = sys::pending_error(self.socket.as_fd());
        Next::Remove
    }

    /// Out of the loop: over, or out of time.
    fn removed(self: Box<Self>, event_loop: &mut EventLoop<H>) {
        let Self {
            socket,
            outcome,
            task,
        } = *self;
        match outcome {
            Ok(()) => (task.done)(event_loop, Ok(socket)),
            Err(error) => failed(event_loop, task, error),
        }
    }
}
