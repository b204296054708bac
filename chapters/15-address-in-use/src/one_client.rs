//! What the two servers do once they listen: one client, to its end or to Ctrl-C.

use std::io::{IsTerminal, stdout};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use common::io::{Received, receive};
use common::signal::StopSignal;
use common::text::printable;
use common::{Call, CallError, say, tcp};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Serves one client. The end of this function closes the connection: whether ours is the first FIN depends on who has
/// ended it.
pub fn serve(listener: OwnedFd, stop: &StopSignal, close_listener: bool) -> anyhow::Result<()> {
    say!("listening on {}", tcp::local_address(&listener)?)?;
    accept_without_waiting(&listener)?;
    let mut listener = Some(listener);
    let mut connection = None;
    let mut message = [0; 4096];
    let mut count = 0;
    loop {
        let source = connection.as_ref().or(listener.as_ref());
        if stopped(stop, source)? {
            break;
        }
        let Some(connected) = &connection else {
            if let Some(listener) = &listener {
                connection = accept_ready(listener)?.map(|(connection, _)| connection);
            }
            if close_listener && connection.is_some() {
                listener = None; // close(2)
            }
            continue;
        };
        // ANCHOR: receive
        match receive(connected, &mut message).call("read")? {
            Received::Data(length) => {
                say!("received {length} bytes: {}", printable(&message[..length]))?;
                count += 1;
            }
            // The client has ended first. Ours is the second FIN, and TIME-WAIT is the client's.
            Received::EndOfFile => return Ok(say!("client closed")?),
            Received::Reset | Received::WouldBlock => Err(Errno::ECONNRESET).call("read")?,
        }
        // ANCHOR_END: receive
    }
    drop(connection); // close(2): the first FIN, so TIME-WAIT is ours
    if stdout().is_terminal() {
        say!("")?; // The terminal has just shown ^C.
    }
    Ok(say!("received {count} messages")?)
}

/// Makes accept return at once. The client for which poll(2) woke us may have gone, and a blocking accept would then wait
/// for the next one.
pub fn accept_without_waiting(listener: &OwnedFd) -> Result<(), CallError> {
    let flags = fcntl(listener, FcntlArg::F_GETFL).call("fcntl F_GETFL")?;
    let flags = OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK;
    fcntl(listener, FcntlArg::F_SETFL(flags)).call("fcntl F_SETFL")?;
    Ok(())
}

/// The next client, if it is still there.
pub fn accept_ready(listener: &OwnedFd) -> Result<Option<(OwnedFd, SocketAddr)>, CallError> {
    match tcp::accept(listener) {
        Err(error) if error.errno() == Some(Errno::EAGAIN) => Ok(None),
        accepted => accepted.map(Some),
    }
}

/// Waits until the socket is readable; true when SIGINT or SIGTERM has come.
fn stopped(stop: &StopSignal, source: Option<&OwnedFd>) -> Result<bool, CallError> {
    let fds = [Some(stop.as_fd()), source.map(AsFd::as_fd)];
    let fds = fds.into_iter().flatten();
    let mut fds: Vec<_> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    loop {
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            ready => {
                ready.call("poll")?;
                return Ok(stop.received()?.is_some());
            }
        }
    }
}
