//! The solution of exercise 3/which-port.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;

use anyhow::bail;
use clap::Parser;
use common::address::Listen;
use common::io::send_all;
use common::{Call, complain, say, tcp};
use nix::libc::{AF_INET, in_addr, sa_family_t, sockaddr_in};
use nix::sys::socket::{Backlog, SockaddrIn, bind, listen, setsockopt, sockopt};

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
            Err(error) => complain!("client {client}: {:#}", anyhow::Error::from(error)),
        }
    }
}

/// A socket that listens where the command line says.
fn listener(place: &Listen) -> anyhow::Result<OwnedFd> {
    let IpAddr::V4(ip) = place.bind else {
        bail!("{} is no IPv4 address", place.bind);
    };
    let listener = tcp::stream_socket(&place.address())?;
    setsockopt(&listener, sockopt::ReuseAddr, &true).call("setsockopt SO_REUSEADDR")?;
    let address = SockaddrIn::from(kernel_address(ip, place.port));
    bind(listener.as_raw_fd(), &address).call(format_args!("bind {}", place.address()))?;
    listen(&listener, Backlog::MAXCONN).call("listen")?;
    Ok(listener)
}

// ANCHOR: answer
/// An address as the kernel wants it, ip(7).
fn kernel_address(ip: Ipv4Addr, port: u16) -> sockaddr_in {
    sockaddr_in {
        sin_family: AF_INET as sa_family_t,
        // Network order, byteorder(3): the most significant byte comes first in memory, on every machine. Here is the only place
        // for it: a port that is swapped before it is printed, too, would only hide that the server listens elsewhere.
        sin_port: port.to_be(),
        sin_addr: in_addr {
            // The octets are in that order already, and must stay as they lie there.
            s_addr: u32::from_ne_bytes(ip.octets()),
        },
        sin_zero: [0; 8],
    }
}
// ANCHOR_END: answer
