//! The listening socket as a channel: accepts what is there, and hands it to the loops.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use common::{Call, CallError, tcp};
use nix::errno::Errno;
use nix::sys::socket::{self, Backlog, SockaddrStorage, sockopt};
use tracing::{debug, warn};

use crate::placement::Placer;
use crate::sys::{self, Accepted};
use crate::{EventLoop, Handler, Interest, MakeHandler, Next, Readiness, Source, Token};

/// How many connections are accepted in one turn when the wait is edge-triggered and tells of them only once: those that
/// are here already have their turn as well.
const BATCH: usize = 64;

/// How long accepting rests when the process or the system is out of something. The clients wait in the kernel's queue
/// meanwhile, and are served when something is free again.
const REST: Duration = Duration::from_millis(100);

/// A bound socket that does not listen yet. What is set on it is inherited by the connections, so that none of them needs a
/// system call for it: TCP_NODELAY, as answers are sent whole, chapter 13.
pub(crate) fn bind(address: &SocketAddr, reuse_port: bool) -> Result<OwnedFd, CallError> {
    let listener = tcp::stream_socket(address)?;
    socket::setsockopt(&listener, sockopt::ReuseAddr, &true).call("setsockopt SO_REUSEADDR")?;
    socket::setsockopt(&listener, sockopt::ReusePort, &reuse_port)
        .call("setsockopt SO_REUSEPORT")?;
    socket::setsockopt(&listener, sockopt::TcpNoDelay, &true).call("setsockopt TCP_NODELAY")?;
    socket::bind(listener.as_raw_fd(), &SockaddrStorage::from(*address))
        .call(format_args!("bind {address}"))?;
    Ok(listener)
}

/// Accepts connections for one or more loops.
pub(crate) struct Acceptor<H: Handler> {
    listener: OwnedFd,
    /// `None`: they stay in the loop of the acceptor.
    placer: Option<Placer<H>>,
    make: MakeHandler<H>,
    most: usize,
    /// Nothing was accepted since it rested: do not say so again.
    resting: bool,
}

impl<H: Handler> Acceptor<H> {
    /// Starts to listen on a bound stream socket; on one that listens already, listen(2) changes its backlog at most. The
    /// backlog is the largest that net.core.somaxconn allows.
    pub(crate) fn new(
        listener: OwnedFd,
        placer: Option<Placer<H>>,
        make: MakeHandler<H>,
        most: usize,
    ) -> Result<Self, CallError> {
        sys::make_non_blocking(listener.as_fd())?;
        socket::listen(&listener, Backlog::MAXALLOWABLE).call("listen")?;
        Ok(Self {
            listener,
            placer,
            make,
            most,
            resting: false,
        })
    }

    fn place(&mut self, event_loop: &mut EventLoop<H>, accepted: Accepted) {
        let fd = accepted.0.as_raw_fd();
        debug!("new connection established, socket == {fd}");
        self.resting = false;
        match &mut self.placer {
            Some(placer) => placer.pick(accepted.1).place(accepted, &self.make),
            None => {
                event_loop.handle().count(1);
                event_loop.take_in(accepted, &self.make);
            }
        }
    }

    fn rest(&mut self, event_loop: &mut EventLoop<H>, token: Token, why: Errno) -> Next {
        if !std::mem::replace(&mut self.resting, true) {
            warn!("accept: {}; clients have to wait", why.desc());
        }
        event_loop.after(REST, move |event_loop| {
            event_loop.set_interest(token, Interest::READ);
        });
        Next::Watch(Interest::NONE)
    }
}

impl<H: Handler> Source<H> for Acceptor<H> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    // ANCHOR: accept
    fn ready(&mut self, event_loop: &mut EventLoop<H>, token: Token, _: Readiness) -> Next {
        // Otherwise one: that nobody else is in the queue is what accept(2) finds out last, after it has made a socket and its
        // descriptor for nothing. The loop's wait tells the same for less.
        let edge = event_loop.edge;
        for _ in 0..if edge { BATCH } else { 1 } {
            let placer = self.placer.as_ref();
            if placer.map_or(event_loop.connections(), Placer::connections) >= self.most {
                return self.rest(event_loop, token, Errno::EUSERS);
            }
            match sys::accept(self.listener.as_fd()) {
                Ok(accepted) => self.place(event_loop, accepted),
                Err(Errno::EAGAIN) => return Next::Keep,
                // Errors of that one connection, not of the listener, accept(2).
                Err(
                    Errno::EINTR
                    | Errno::ECONNABORTED
                    | Errno::EPROTO
                    | Errno::EPERM
                    | Errno::ENETDOWN
                    | Errno::ENOPROTOOPT
                    | Errno::EHOSTDOWN
                    | Errno::ENONET
                    | Errno::EHOSTUNREACH
                    | Errno::ENETUNREACH,
                ) => {}
                // Somebody has shut the listener down: it would tell so without end, and nobody can come any more.
                Err(error @ Errno::EINVAL) => {
                    warn!("accept: {}; the listener is closed", error.desc());
                    return Next::Remove;
                }
                // EMFILE, ENFILE, ENOBUFS, ENOMEM. The connection stays in the queue and the listener readable: without
                // a rest we would be told so again at once, and again.
                Err(error) => return self.rest(event_loop, token, error),
            }
        }
        if edge { Next::Again } else { Next::Keep }
    }
    // ANCHOR_END: accept
}
