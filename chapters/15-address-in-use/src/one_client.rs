//! What the two servers do once they listen: one client, to its end or to Ctrl-C.

use std::io::{IsTerminal, stdout};
use std::os::fd::{AsFd, OwnedFd};

use common::io::{Received, receive, set_nonblocking};
use common::signal::StopSignal;
use common::text::printable;
use common::{Call, say, tcp};
use nix::errno::Errno;

/// Serves one client. The end of this function closes the connection: whether ours is the first FIN depends on who has
/// ended it.
pub fn serve(listener: OwnedFd, stop: &StopSignal, close_listener: bool) -> anyhow::Result<()> {
    say!("listening on {}", tcp::local_address(&listener)?)?;
    // The client for which poll(2) woke us may have gone, and a blocking accept would wait for the next one.
    set_nonblocking(&listener)?;
    let mut listener = Some(listener);
    let mut connection = None;
    let mut message = [0; 4096];
    let mut count = 0;
    loop {
        let source = connection.as_ref().or(listener.as_ref());
        if stop.comes_while(source.map(AsFd::as_fd), None)? {
            break;
        }
        let Some(connected) = &connection else {
            if let Some(listener) = &listener {
                connection = tcp::accept_ready(listener)?.map(|(connection, _)| connection);
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
