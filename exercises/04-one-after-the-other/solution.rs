//! The solution of exercise 4/one-after-the-other.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;

use anyhow::bail;
use clap::Parser;
use common::address::PORT;
use common::{Call, CallError, complain, say, tcp};
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

// ANCHOR: answer
/// A connection to the first of these addresses that answers.
fn connect_to_one_of(addresses: &[SocketAddr]) -> anyhow::Result<OwnedFd> {
    for address in addresses {
        match try_one(address) {
            Ok(connection) => return Ok(connection),
            Err(error) => complain!("{:#}", anyhow::Error::from(error)),
        }
    }
    bail!("no address answers");
}

/// A socket of its own for each attempt: it has the family of this address, and what state a failed connect leaves it in, no
/// standard says, connect(2). A machine without IPv6 refuses the socket already, and that is an attempt that failed, no more.
fn try_one(address: &SocketAddr) -> Result<OwnedFd, CallError> {
    let connection = tcp::stream_socket(address)?;
    let place = SockaddrStorage::from(*address);
    connect(connection.as_raw_fd(), &place).call(format_args!("connect {address}"))?;
    Ok(connection)
}
// ANCHOR_END: answer
