//! Exercise 15/restart, 10 minutes: a server that can be started again at once.
//!
//! It greets each client and closes the connection. When it was killed, another one may start on the same port in the same
//! moment. While one runs, a second one is refused.
//!
//! What goes wrong now: after a client was there, the next start fails: "Address already in use". A minute later it works.
//!
//! `15/server-closes-first`, `15/reuseaddr` and `15/two-servers` show it. Man pages: bind(2), setsockopt(2), socket(7), tcp(7).
//! Your program is checked by `scripts/exercise 15/restart`, as often as you like.

use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;

use clap::Parser;
use common::address::Listen;
use common::io::send_all;
use common::{Call, CallError, complain, say, tcp};
use nix::sys::socket::{Backlog, SockaddrStorage, bind, listen, setsockopt, sockopt};

/// Greets each client
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    listen: Listen,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let listener = listener(&args.listen)?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    loop {
        let (connection, client) = tcp::accept(&listener)?;
        match send_all(&connection, b"good morning\n").call("send") {
            Ok(()) => say!("greeted {client}")?,
            // The end of this client, and of nobody else.
            Err(error) => complain!("client {client}: {:#}", anyhow::Error::new(error)),
        }
    }
}

/// A socket that listens where the command line says.
fn listener(place: &Listen) -> Result<OwnedFd, CallError> {
    let address = place.address();
    let listener = tcp::stream_socket(&address)?;
    bind(listener.as_raw_fd(), &SockaddrStorage::from(address))
        .call(format_args!("bind {address}"))?;
    setsockopt(&listener, sockopt::ReuseAddr, &true).call("setsockopt SO_REUSEADDR")?;
    listen(&listener, Backlog::MAXCONN).call(format_args!("listen {address}"))?;
    Ok(listener)
}
