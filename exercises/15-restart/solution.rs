//! The solution of exercise 15/restart.

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

// ANCHOR: answer
/// A socket that listens where the command line says.
fn listener(place: &Listen) -> Result<OwnedFd, CallError> {
    let address = place.address();
    let listener = tcp::stream_socket(&address)?;
    // The option is asked for in bind, and only there: afterwards it is set in vain, and no error says so. What is in TIME-WAIT
    // must have had it, too, so every server sets it, the first one as well. It forgives no socket in LISTEN; SO_REUSEPORT
    // would, and two servers would share the port.
    setsockopt(&listener, sockopt::ReuseAddr, &true).call("setsockopt SO_REUSEADDR")?;
    bind(listener.as_raw_fd(), &SockaddrStorage::from(address))
        .call(format_args!("bind {address}"))?;
    listen(&listener, Backlog::MAXCONN).call(format_args!("listen {address}"))?;
    Ok(listener)
}
// ANCHOR_END: answer
