//! A client, call by call: socket, perhaps bind, connect. It tells what became of each attempt.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::bail;
use common::address::{PORT, Peer, seconds};
use common::{Call, CallError, say, tcp};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, getsockopt, socket, sockopt,
};
use nix::sys::time::TimeSpec;

use crate::hold::hold;

/// Tries the addresses of a name one after the other, and says how each attempt ended and how long it took
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address or name of the server
    name: String,
    /// Port of the server
    #[arg(default_value_t = PORT)]
    port: u16,
    /// Give up after so many seconds, shared among the addresses; without it the kernel's patience counts
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    deadline: Option<Duration>,
    /// Bind to this address and port before connecting; port 0 for any. Addresses of another family are not tried
    #[arg(long, value_name = "ADDR:PORT")]
    from: Option<SocketAddr>,
    /// Keep the connection until the input ends (Ctrl-D), and send each line that is typed
    #[arg(long)]
    hold: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let server = Peer {
        host: args.name.clone(),
        port: args.port,
    };
    let mut addresses = server.resolve()?;
    if let Some(from) = args.from {
        addresses.retain(|address| address.is_ipv4() == from.is_ipv4());
    }
    let end = args.deadline.map(|deadline| Instant::now() + deadline);
    let mut failure = None;
    for (address, untried) in addresses.iter().zip((1..=addresses.len() as u32).rev()) {
        let started = Instant::now();
        // An address that is silent must not use up the time of those after it.
        let until = end.map(|end| started + end.saturating_duration_since(started) / untried);
        say!("trying {address}")?;
        let outcome = attempt(address, args.from, until);
        let took = format!("after {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
        match outcome {
            Ok(connection) => {
                let local = tcp::local_address(&connection)?;
                say!("connected to {address} from {local} {took}")?;
                return if args.hold { hold(&connection) } else { Ok(()) };
            }
            Err(error) => {
                match error.errno() {
                    Some(errno) => say!("{error}: {errno}, {took}")?, // ECONNREFUSED: Connection refused
                    None => say!("{error}: no answer, {took}")?,
                }
                failure = Some(error);
            }
        }
    }
    match failure {
        Some(error) => Err(error.into()),
        None => bail!("{} has no address of the family of --from", args.name),
    }
}

// ANCHOR: attempt
/// One attempt. Without a time to end it, connect(2) blocks until the handshake is done or has failed. With one, it
/// starts the handshake and returns: the socket is non-blocking.
fn attempt(
    to: &SocketAddr,
    from: Option<SocketAddr>,
    until: Option<Instant>,
) -> Result<OwnedFd, CallError> {
    let family = match to {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let mut flags = SockFlag::SOCK_CLOEXEC;
    flags.set(SockFlag::SOCK_NONBLOCK, until.is_some());
    let connection = socket(family, SockType::Stream, flags, None).call("socket")?;
    if let Some(from) = from {
        // A client may, and seldom does: without it the kernel picks an address and a port when it connects.
        bind(connection.as_raw_fd(), &SockaddrStorage::from(from))
            .call(format_args!("bind {from}"))?;
    }
    let outcome = match connect(connection.as_raw_fd(), &SockaddrStorage::from(*to)) {
        // Not done, not failed: the handshake goes on in the kernel, connect(2).
        Err(Errno::EINPROGRESS | Errno::EINTR) => outcome(&connection, until),
        outcome => outcome.map_err(io::Error::from),
    };
    outcome.call(format_args!("connect {to}"))?;
    if until.is_some() {
        let flags = fcntl(&connection, FcntlArg::F_GETFL).call("fcntl F_GETFL")?;
        let blocking = OFlag::from_bits_retain(flags) - OFlag::O_NONBLOCK;
        fcntl(&connection, FcntlArg::F_SETFL(blocking)).call("fcntl F_SETFL")?;
    }
    Ok(connection)
}
// ANCHOR_END: attempt

// ANCHOR: outcome
/// A handshake has ended when the socket is writable; SO_ERROR says how, connect(2).
fn outcome(connection: &OwnedFd, until: Option<Instant>) -> io::Result<()> {
    let mut wait = [PollFd::new(connection.as_fd(), PollFlags::POLLOUT)];
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        match ppoll(&mut wait, left.map(TimeSpec::from_duration), None) {
            Err(Errno::EINTR) => {}
            Ok(0) => return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer")),
            ready => {
                ready?;
                break;
            }
        }
    }
    match getsockopt(connection, sockopt::SocketError)? {
        0 => Ok(()),
        errno => Err(Errno::from_raw(errno).into()),
    }
}
// ANCHOR_END: outcome
