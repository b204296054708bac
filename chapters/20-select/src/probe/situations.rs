//! Situations of a TCP socket, each made by real calls at both ends.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use common::io::set_nonblocking;
use common::{Call, CallError, tcp};
use nix::errno::Errno;
use nix::sys::socket::{
    self, Backlog, MsgFlags, Shutdown, SockaddrStorage, bind, listen, send, setsockopt, shutdown,
    sockopt,
};
use nix::unistd::{read, write};

use super::table::{Complete, Subject, poll_for};

/// A connection from this process to itself. The first end is the one that is looked at.
pub struct Connection {
    ours: OwnedFd,
    /// `None` once it is closed.
    peers: Option<OwnedFd>,
}

type Situation = Result<Connection, CallError>;

impl Connection {
    pub fn new() -> Situation {
        let listener = tcp::listen(&anywhere())?;
        let ours = tcp::connect_to(&tcp::local_address(&listener)?)?;
        let (peers, _) = tcp::accept(&listener)?;
        set_nonblocking(&ours)?;
        Ok(Self {
            ours,
            peers: Some(peers),
        })
    }

    pub fn looked_at(self, complete: Complete) -> Result<Subject, CallError> {
        Ok(Subject {
            watched: self.ours,
            others: self.peers.into_iter().collect(),
            complete,
        })
    }

    pub fn peer_sends(self) -> Situation {
        self.of_peer("send", |peer| {
            send(peer, b"data1", MsgFlags::empty()).map(drop)
        })
    }

    pub fn peer_sends_urgent(self) -> Situation {
        self.of_peer("send", |peer| send(peer, b"!", MsgFlags::MSG_OOB).map(drop))
    }

    pub fn peer_ends(self) -> Situation {
        self.of_peer("shutdown", |peer| shutdown(peer, Shutdown::Write))
    }

    /// Zero seconds of lingering make close(2) send RST: chapter 10.
    pub fn peer_resets(mut self) -> Situation {
        let linger = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        if let Some(peer) = self.peers.take() {
            setsockopt(&peer, sockopt::Linger, &linger).call("setsockopt SO_LINGER")?;
        }
        Ok(self)
    }

    /// A read takes the error with it: each is told once.
    pub fn error_is_read(self) -> Situation {
        poll_for(self.ours.as_fd(), Complete::Hup)?;
        match read(&self.ours, &mut [0; 16]) {
            Err(Errno::ECONNRESET) => Ok(self),
            outcome => outcome.map(|_| self).call("read"),
        }
    }

    pub fn ends(self) -> Situation {
        shutdown(self.ours.as_raw_fd(), Shutdown::Write).call("shutdown")?;
        Ok(self)
    }

    pub fn stops_reading(self) -> Situation {
        shutdown(self.ours.as_raw_fd(), Shutdown::Read).call("shutdown")?;
        Ok(self)
    }

    /// Writes until nothing more is taken, and nothing more a moment later: the peer's kernel takes what still fits into
    /// its receive buffer.
    pub fn fills(self) -> Situation {
        let data = vec![b'x'; 1 << 16];
        let mut full = false;
        loop {
            match write(&self.ours, &data) {
                Ok(_) => full = false,
                Err(Errno::EAGAIN) if full => return Ok(self),
                Err(Errno::EAGAIN) => full = !poll_for(self.ours.as_fd(), Complete::Out)?,
                Err(error) => return Err(error).call("write"),
            }
        }
    }

    fn of_peer(self, call: &str, act: fn(i32) -> nix::Result<()>) -> Situation {
        match &self.peers {
            Some(peer) => act(peer.as_raw_fd()).call(call)?,
            None => Err(Errno::EBADF).call(call)?,
        }
        Ok(self)
    }
}

/// A listening socket, with or without a connection that can be accepted.
pub fn listener(waiting: bool) -> Result<Subject, CallError> {
    let listener = tcp::listen(&anywhere())?;
    set_nonblocking(&listener)?;
    let mut others = Vec::new();
    if waiting {
        others.push(tcp::connect_to(&tcp::local_address(&listener)?)?);
    }
    Ok(Subject {
        watched: listener,
        others,
        complete: if waiting {
            Complete::In
        } else {
            Complete::AtOnce
        },
    })
}

pub fn never_connected() -> Result<Subject, CallError> {
    let socket = tcp::stream_socket(&anywhere())?;
    set_nonblocking(&socket)?;
    Ok(Subject {
        watched: socket,
        others: Vec::new(),
        complete: Complete::AtOnce,
    })
}

/// A connect(2) that has failed in the background.
pub fn refused() -> Result<Subject, CallError> {
    let silent = bound()?; // it has the port, and does not listen
    begin_to_connect(silent, Vec::new(), Complete::Hup)
}

/// A connect(2) whose SYN the other side drops: its queue, of a backlog of 0, is full with one connection.
pub fn answered_by_nobody() -> Result<Subject, CallError> {
    let listener = bound()?;
    listen(
        &listener,
        Backlog::new(0).expect("in the range that nix allows"),
    )
    .call("listen")?;
    let first = tcp::connect_to(&tcp::local_address(&listener)?)?;
    poll_for(listener.as_fd(), Complete::In)?;
    begin_to_connect(listener, vec![first], Complete::AtOnce)
}

fn begin_to_connect(
    to: OwnedFd,
    mut others: Vec<OwnedFd>,
    complete: Complete,
) -> Result<Subject, CallError> {
    let socket = tcp::stream_socket(&anywhere())?;
    set_nonblocking(&socket)?;
    let address = SockaddrStorage::from(tcp::local_address(&to)?);
    match socket::connect(socket.as_raw_fd(), &address) {
        Ok(()) | Err(Errno::EINPROGRESS) => {}
        Err(error) => return Err(error).call("connect"),
    }
    others.push(to);
    Ok(Subject {
        watched: socket,
        others,
        complete,
    })
}

fn bound() -> Result<OwnedFd, CallError> {
    let socket = tcp::stream_socket(&anywhere())?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(anywhere())).call("bind")?;
    Ok(socket)
}

/// The loopback address, and any free port.
fn anywhere() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}
