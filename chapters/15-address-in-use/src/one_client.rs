//! What the two servers do once they listen: one client, to its end or to Ctrl-C.

use std::io::{IsTerminal, stdout};
use std::os::fd::{AsFd, OwnedFd};

use common::io::{Received, receive};
use common::signal::StopSignal;
use common::text::printable;
use common::{Call, CallError, say, tcp};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Serves one client. The end of this function closes the connection: whether ours is the first FIN depends on who has
/// ended it.
pub fn serve(listener: OwnedFd, stop: &StopSignal, close_listener: bool) -> anyhow::Result<()> {
    say!("listening on {}", tcp::local_address(&listener)?)?;
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
            let (accepted, _) = tcp::accept(listener.as_ref().ok_or(Errno::EBADF)?)?;
            connection = Some(accepted);
            if close_listener {
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
