//! Descriptors in situations of which poll(2) tells, or does not tell, without being asked.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

use common::io::set_nonblocking;
use common::{Call, CallError, tcp};
use nix::sys::socket::{MsgFlags, Shutdown, send, setsockopt, shutdown, sockopt};
use nix::unistd::pipe;

/// A descriptor in some situation.
pub struct Subject {
    pub number: RawFd,
    /// Whether it is asked to write in place of to read.
    pub writes: bool,
    /// What has to stay open as long as it is looked at, the descriptor itself included.
    pub kept: Vec<OwnedFd>,
}

type Made = Result<Subject, CallError>;

fn subject(watched: OwnedFd, others: impl IntoIterator<Item = OwnedFd>) -> Subject {
    let number = watched.as_raw_fd();
    Subject {
        number,
        writes: false,
        kept: [watched].into_iter().chain(others).collect(),
    }
}

/// A connection from this process to itself. The end that is looked at does not block.
fn connection() -> Result<(OwnedFd, OwnedFd), CallError> {
    let listener = tcp::listen(&(Ipv4Addr::LOCALHOST, 0).into())?;
    let ours = tcp::connect_to(&tcp::local_address(&listener)?)?;
    let (peers, _) = tcp::accept(&listener)?;
    set_nonblocking(&ours)?;
    Ok((ours, peers))
}

fn sends(socket: &OwnedFd) -> Result<(), CallError> {
    send(socket.as_raw_fd(), b"data1", MsgFlags::empty()).call("send")?;
    Ok(())
}

fn ends(socket: &OwnedFd) -> Result<(), CallError> {
    shutdown(socket.as_raw_fd(), Shutdown::Write).call("shutdown")
}

pub fn idle() -> Made {
    let (ours, peers) = connection()?;
    Ok(subject(ours, [peers]))
}

pub fn data() -> Made {
    let (ours, peers) = connection()?;
    sends(&peers)?;
    Ok(subject(ours, [peers]))
}

pub fn peer_ended() -> Made {
    let (ours, peers) = connection()?;
    ends(&peers)?;
    Ok(subject(ours, [peers]))
}

pub fn both_ended(unread: bool) -> Made {
    let (ours, peers) = connection()?;
    ends(&ours)?;
    if unread {
        sends(&peers)?;
    }
    ends(&peers)?;
    Ok(subject(ours, [peers]))
}

/// Zero seconds of lingering make close(2) send RST: chapter 10.
pub fn reset() -> Made {
    let (ours, peers) = connection()?;
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&peers, sockopt::Linger, &linger).call("setsockopt SO_LINGER")?;
    Ok(subject(ours, None))
}

pub fn never_connected() -> Made {
    let socket = tcp::stream_socket(&(Ipv4Addr::LOCALHOST, 0).into())?;
    Ok(subject(socket, None))
}

pub fn pipe_without_writer() -> Made {
    let (reader, _) = pipe().call("pipe")?;
    Ok(subject(reader, None))
}

pub fn pipe_without_reader() -> Made {
    let (_, writer) = pipe().call("pipe")?;
    Ok(Subject {
        writes: true,
        ..subject(writer, None)
    })
}

/// A number that was a descriptor's, and is nobody's now.
pub fn not_open() -> Made {
    let (reader, _) = pipe().call("pipe")?;
    let number = reader.into_raw_fd();
    nix::unistd::close(number).call("close")?;
    Ok(Subject {
        number,
        writes: false,
        kept: Vec::new(),
    })
}
