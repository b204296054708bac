//! Exercise 4/one-after-the-other, 5 minutes: a client that finds its server at one of several addresses.
//!
//! It tries the addresses in the order in which they were given, says of each that fails why, and stops at the first that answers.
//! When none does, it ends with an error.
//!
//! What goes wrong now: the server is at the second address, and the client does not reach it.
//!
//! `4/refused` shows the first attempt. Man pages: socket(2), connect(2).
//! Your program is checked by `scripts/exercise 4/one-after-the-other`, as often as you like.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;

use anyhow::bail;
use clap::Parser;
use common::address::PORT;
use common::{Call, complain, say, tcp};
use nix::sys::socket::{SockaddrStorage, connect};

/// Connects to the first address that answers
#[derive(Parser)]
struct Args {
    /// Addresses of the server
    #[arg(value_name = "ADDRESS", required = true)]
    addresses: Vec<IpAddr>,
    /// Port of the server
    #[arg(long, default_value_t = PORT)]
    port: u16,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let with_port = |ip: &IpAddr| SocketAddr::new(*ip, args.port);
    let addresses: Vec<_> = args.addresses.iter().map(with_port).collect();
    let connection = connect_to_one_of(&addresses)?;
    say!("connected to {}", tcp::peer_address(&connection)?)?;
    Ok(())
}

/// A connection to the first of these addresses that answers.
fn connect_to_one_of(addresses: &[SocketAddr]) -> anyhow::Result<OwnedFd> {
    let connection = tcp::stream_socket(&addresses[0])?;
    for address in addresses {
        let place = SockaddrStorage::from(*address);
        let outcome = connect(connection.as_raw_fd(), &place);
        match outcome.call(format_args!("connect {address}")) {
            Ok(()) => return Ok(connection),
            Err(error) => complain!("{:#}", anyhow::Error::from(error)),
        }
    }
    bail!("no address answers");
}
