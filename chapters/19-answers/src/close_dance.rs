//! One connection, and both its ends close when they are told to: either one first, or both at once.

use std::io::stdin;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};

use common::address::{Listen, PORT, Peer};
use common::io::{Received, receive, send_all};
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, say, tcp};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// One end of a connection, the client's with ADDR, the server's without; "close" or Ctrl-D closes it
///
/// Every other line is sent. The end of the other side is reported, and closes nothing here: that is for the user to do.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address or name of the server; without it this is the server
    #[arg(value_name = "ADDR")]
    host: Option<String>,
    /// Local address to listen on; 0.0.0.0 or :: for all of them
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1",
        conflicts_with = "host"
    )]
    bind: IpAddr,
    /// Port of the server; 0 lets the kernel pick a free one to listen on
    #[arg(long, default_value_t = PORT)]
    port: u16,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let (bind, port) = (args.bind, args.port);
    match &args.host {
        Some(host) => {
            let host = host.clone();
            let connection = tcp::connect(&Peer { host, port })?;
            say!("connected to {}", tcp::peer_address(&connection)?)?;
            dance(connection, "server terminated")
        }
        None => {
            let listener = tcp::listen(&Listen { bind, port }.address())?;
            say!("listening on {}", tcp::local_address(&listener)?)?;
            let (connection, client) = tcp::accept(&listener)?;
            drop(listener); // one connection is enough, and ss shows it alone
            say!("accepted {client}")?;
            dance(connection, "client closed")
        }
    }
}

// ANCHOR: dance
/// Reads what the other side sends until it ends, and closes when the user says so. The two have nothing to do with each
/// other: whoever is told first sends the first FIN.
fn dance(connection: OwnedFd, other_ended: &str) -> anyhow::Result<()> {
    let stdin = stdin();
    let mut typed = LineBuffer::new();
    let mut open = true; // the other side has not ended
    loop {
        let mut wait =
            [stdin.as_fd(), connection.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        // After its end of file a socket is readable for ever: then wait for the keyboard alone.
        match poll(&mut wait[..if open { 2 } else { 1 }], PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            outcome => outcome.call("poll")?,
        };
        let [keyboard, other] = wait.map(|fd| fd.any() == Some(true));
        // The connection first: close(2) with unread input would send RST and not FIN.
        if open && other {
            open = print(&connection, other_ended)?;
        }
        if !keyboard {
            continue;
        }
        let ended = typed.fill(&stdin).call("read standard input")? == Received::EndOfFile;
        while let Some(line) = typed.next_line() {
            if line == b"close" {
                return Ok(()); // the descriptor is dropped: close(2)
            }
            say!("now sending {}", printable(&line))?;
            send_all(&connection, &line).call("send")?;
        }
        if ended {
            return Ok(());
        }
    }
}
// ANCHOR_END: dance

/// Prints what has come. False once the other side has ended.
fn print(connection: &OwnedFd, other_ended: &str) -> anyhow::Result<bool> {
    let mut message = [0; 4096];
    match receive(connection, &mut message).call("read")? {
        Received::Data(length) => {
            say!("received {length} bytes: {}", printable(&message[..length]))?;
        }
        Received::EndOfFile => {
            say!("{other_ended}")?;
            return Ok(false);
        }
        Received::Reset | Received::WouldBlock => Err(Errno::ECONNRESET).call("read")?,
    }
    Ok(true)
}
