//! Many connects at once, each under way in the kernel.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::bail;
use common::address::{PORT, Peer, seconds};
use common::output::OutputError;
use common::{Call, CallError, complain, say};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect, getsockopt, socket, sockopt,
};
use nix::sys::time::TimeSpec;

/// Connects to all addresses at once, and says what becomes of each
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Addresses or names; of a name, every address
    #[arg(value_name = "ADDR", required = true)]
    hosts: Vec<String>,
    /// Port of the servers
    #[arg(long, default_value_t = PORT)]
    port: u16,
    /// Give up what is not decided after so many seconds; without it the kernel's patience counts
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    deadline: Option<Duration>,
    /// One address after the other, each with a connect that waits
    #[arg(long, conflicts_with = "deadline")]
    blocking: bool,
}

/// A connect whose outcome is not known yet.
struct Attempt {
    address: SocketAddr,
    socket: OwnedFd,
    started: Instant,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let (mut pending, mut connected, mut failed) = (Vec::new(), Vec::new(), 0);
    for host in &args.hosts {
        let peer = Peer {
            host: host.clone(),
            port: args.port,
        };
        let addresses = peer.resolve().unwrap_or_else(|error| {
            failed += 1;
            complain!("{:#}", anyhow::Error::from(error));
            Vec::new()
        });
        for address in addresses {
            let (attempt, outcome) = begin(address, args.blocking)?;
            match outcome {
                Err(Errno::EINPROGRESS | Errno::EINTR) => {
                    say!("{address}: in progress")?;
                    pending.push(attempt);
                }
                outcome => match attempt.tell(outcome)? {
                    Some(socket) => connected.push(socket),
                    None => failed += 1,
                },
            }
        }
    }

    // ANCHOR: wait
    let end = args.deadline.map(|deadline| Instant::now() + deadline);
    while !pending.is_empty() {
        let mut wait: Vec<_> = pending
            .iter()
            .map(|attempt: &Attempt| PollFd::new(attempt.socket.as_fd(), PollFlags::POLLOUT))
            .collect();
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        match ppoll(&mut wait, left.map(TimeSpec::from_duration), None) {
            Err(Errno::EINTR) => continue,
            Ok(0) => break, // the deadline
            outcome => outcome.call("poll")?,
        };
        // Writable means decided, and not that it has succeeded.
        let decided: Vec<bool> = wait.iter().map(|fd| fd.any() == Some(true)).collect();
        for (attempt, decided) in std::mem::take(&mut pending).into_iter().zip(decided) {
            if !decided {
                pending.push(attempt);
                continue;
            }
            let outcome = outcome(&attempt.socket)?;
            match attempt.tell(outcome)? {
                Some(socket) => connected.push(socket),
                None => failed += 1,
            }
        }
    }
    // ANCHOR_END: wait
    for Attempt { address, .. } in &pending {
        say!("{address}: no answer, given up")?; // closing the socket ends the attempt
    }
    failed += pending.len();
    if failed > 0 {
        bail!("{failed} of {} failed", failed + connected.len());
    }
    Ok(())
}

// ANCHOR: begin
/// Asks the kernel for a connection. A non-blocking connect(2) sends the SYN and returns: EINPROGRESS.
fn begin(address: SocketAddr, blocking: bool) -> Result<(Attempt, nix::Result<()>), CallError> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let mut flags = SockFlag::SOCK_CLOEXEC;
    flags.set(SockFlag::SOCK_NONBLOCK, !blocking);
    let attempt = Attempt {
        address,
        started: Instant::now(),
        socket: socket(family, SockType::Stream, flags, None).call("socket")?,
    };
    let outcome = connect(attempt.socket.as_raw_fd(), &SockaddrStorage::from(address));
    Ok((attempt, outcome))
}

/// What became of it: SO_ERROR is 0, or the error that a blocking connect(2) would have returned. To ask takes it away.
fn outcome(socket: &OwnedFd) -> Result<nix::Result<()>, CallError> {
    match getsockopt(socket, sockopt::SocketError).call("getsockopt SO_ERROR")? {
        0 => Ok(Ok(())),
        errno => Ok(Err(Errno::from_raw(errno))),
    }
}
// ANCHOR_END: begin

impl Attempt {
    /// Says how it ended. The connection, if there is one.
    fn tell(self, outcome: nix::Result<()>) -> Result<Option<OwnedFd>, OutputError> {
        let took = self.started.elapsed().as_secs_f64();
        let address = self.address;
        match outcome {
            Ok(()) => {
                say!("{address}: connected after {took:.3} s")?;
                Ok(Some(self.socket))
            }
            Err(error) => {
                let error = io::Error::from(error);
                say!("{address}: {error} after {took:.3} s")?;
                Ok(None)
            }
        }
    }
}
