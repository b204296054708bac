//! Exercise 3/which-port, 5 minutes: a server that listens where it is told to.
//!
//! It fills in the kernel's own structure, as a C program does, and greets each client. Only IPv4 is asked for.
//!
//! What goes wrong now: no call fails, the server says that it listens, and nobody can connect to the port that was asked for.
//!
//! `3/bytes` shows it. Man pages: bind(2), ip(7), byteorder(3).
//! Your program is checked by `scripts/exercise 3/which-port`, as often as you like.

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

/// An address as the kernel wants it, ip(7).
fn kernel_address(ip: Ipv4Addr, port: u16) -> sockaddr_in {
    sockaddr_in {
        sin_family: AF_INET as sa_family_t,
        sin_port: port,
        sin_addr: in_addr {
            s_addr: u32::from_ne_bytes(ip.octets()),
        },
        sin_zero: [0; 8],
    }
}
