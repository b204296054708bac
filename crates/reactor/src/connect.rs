//! The client's side: a connect(2) that blocks nobody, with a time limit, and tried again.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use common::tcp;
use nix::errno::Errno;
use nix::sys::socket::{self, SockaddrStorage, sockopt};
use tracing::debug;

use crate::event_loop::{EventLoop, Next, Source, make_non_blocking};
use crate::handler::Handler;
use crate::interest::{Interest, Readiness};
use crate::sys;
use crate::timer::TimerId;
use crate::token::Token;

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
}

impl Connect {
    /// One attempt of at most 10 s.
    pub fn to(address: SocketAddr) -> Self {
        Self {
            address,
            timeout: Duration::from_secs(10),
            attempts: 1,
            pause: Duration::from_millis(100),
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

/// One attempt that is under way.
struct Attempt<H: Handler> {
    socket: OwnedFd,
    request: Connect,
    number: u32,
    timer: Option<TimerId>,
    /// `None` when the time is up.
    outcome: Option<Result<(), Errno>>,
    done: Done<H>,
}

impl<H: Handler> EventLoop<H> {
    /// Connects without blocking, and calls `done` with the connected socket, for [`EventLoop::adopt`], or with what went
    /// wrong. An attempt that is refused or takes too long is repeated as `request` says.
    pub fn connect(
        &mut self,
        request: Connect,
        done: impl FnOnce(&mut EventLoop<H>, Result<OwnedFd, ConnectError>) + 'static,
    ) {
        attempt(self, request, 1, Box::new(done));
    }
}

fn attempt<H: Handler>(
    event_loop: &mut EventLoop<H>,
    request: Connect,
    number: u32,
    done: Done<H>,
) {
    match start(&request) {
        Ok((socket, true)) => done(event_loop, Ok(socket)),
        Ok((socket, false)) => {
            let attempt = Box::new(Attempt {
                socket,
                request,
                number,
                timer: None,
                outcome: None,
                done,
            });
            wait(event_loop, attempt);
        }
        Err(error) => retry(event_loop, request, number, done, error),
    }
}

/// True if the connection is there at once.
fn start(request: &Connect) -> Result<(OwnedFd, bool), Errno> {
    let errno = |error: common::CallError| error.errno().unwrap_or(Errno::EIO);
    let socket = tcp::stream_socket(&request.address).map_err(errno)?;
    make_non_blocking(socket.as_fd()).map_err(errno)?;
    socket::setsockopt(&socket, sockopt::TcpNoDelay, &true)?;
    let address = SockaddrStorage::from(request.address);
    match socket::connect(socket.as_raw_fd(), &address) {
        Ok(()) => Ok((socket, true)),
        // Interrupted, it goes on all the same, connect(2).
        Err(Errno::EINPROGRESS | Errno::EINTR) => Ok((socket, false)),
        Err(error) => Err(error),
    }
}

fn wait<H: Handler>(event_loop: &mut EventLoop<H>, mut attempt: Box<Attempt<H>>) {
    // The timer has to know the token, and the attempt the timer: the token comes through a cell that both see.
    let token = std::rc::Rc::new(std::cell::Cell::new(None));
    let seen = std::rc::Rc::clone(&token);
    let timer = event_loop.after(attempt.request.timeout, move |event_loop| {
        if let Some(token) = seen.get() {
            event_loop.remove(token);
        }
    });
    attempt.timer = Some(timer);
    match event_loop.add(attempt, Interest::WRITE) {
        Ok(added) => token.set(Some(added)),
        Err(error) => {
            event_loop.cancel(timer);
            tracing::warn!("{}", crate::handle::chain(&error));
        }
    }
}

fn retry<H: Handler>(
    event_loop: &mut EventLoop<H>,
    request: Connect,
    number: u32,
    done: Done<H>,
    error: Errno,
) {
    debug!(
        "connect {}: {}, attempt {number}",
        request.address,
        error.desc()
    );
    if number >= request.attempts {
        let failed = ConnectError {
            address: request.address,
            attempts: number,
            source: error.into(),
        };
        return done(event_loop, Err(failed));
    }
    let factor = 1 << (number - 1).min(20);
    let pause = request.pause.saturating_mul(factor).min(LONGEST_PAUSE);
    event_loop.after(pause, move |event_loop| {
        attempt(event_loop, request, number + 1, done);
    });
}

impl<H: Handler> Source<H> for Attempt<H> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Writable: the attempt is over, one way or the other, and SO_ERROR tells which, connect(2).
    fn ready(&mut self, _: &mut EventLoop<H>, _: Token, _: Readiness) -> Next {
        self.outcome = Some(sys::pending_error(self.socket.as_fd()));
        Next::Remove
    }

    /// Out of the loop: over, or out of time.
    fn removed(self: Box<Self>, event_loop: &mut EventLoop<H>) {
        if let Some(timer) = self.timer {
            event_loop.cancel(timer);
        }
        let Self {
            socket,
            request,
            number,
            outcome,
            done,
            ..
        } = *self;
        match outcome.unwrap_or(Err(Errno::ETIMEDOUT)) {
            Ok(()) => done(event_loop, Ok(socket)),
            Err(error) => {
                drop(socket);
                retry(event_loop, request, number, done, error);
            }
        }
    }
}
