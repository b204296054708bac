//! A client that makes sure that its server is alive, as TCP's keep-alive does, but in its own time.

use std::convert::Infallible;
use std::os::fd::AsFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::bail;
use common::address::{Peer, seconds};
use common::output::OutputError;
use common::{Call, complain, say};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use crate::link::Link;
use crate::message::{Kind, message};

/// Sends a PING when nothing has come for a while, and gives up when no PONG answers
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Peer,
    /// Seconds of silence before the first PING
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    idle: Duration,
    /// Seconds from a PING to the next one, or to the end
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    interval: Duration,
    /// How many PINGs in a row may stay without an answer
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    probes: u32,
    /// Connect again when the connection has ended, until it works
    #[arg(long)]
    reconnect: bool,
    /// Use datagrams in place of a connection
    #[arg(long)]
    udp: bool,
}

/// The least time between two attempts to connect, whatever the interval.
const PATIENCE: Duration = Duration::from_millis(100);

pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut link = Link::open(&args.server, args.udp)?;
    loop {
        let Err(end) = watch(&mut link, args);
        if !args.reconnect || end.is::<OutputError>() {
            return Err(end);
        }
        complain!("{end:#}");
        drop(link);
        link = reconnect(args)?;
    }
}

// ANCHOR: watch
/// Returns when the connection is no longer good, and why.
fn watch(link: &mut Link, args: &Args) -> anyhow::Result<Infallible> {
    let mut heartbeats = 0;
    // A point in time and not a span: whatever else wakes us, a part of a message for one, does not put it off.
    let mut due = Instant::now() + args.idle;
    loop {
        let left = due.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(link.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut fds, Some(TimeSpec::from_duration(left)), None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => Err(error).call("ppoll")?,
        }
        if fds[0].any() == Some(true) {
            match link.receive()? {
                Some(Kind::Pong) => {
                    say!("received heartbeat, make heartbeats to 0")?;
                    heartbeats = 0;
                    due = Instant::now() + args.idle;
                }
                Some(other) => say!("received {other}, which is no heartbeat")?,
                None => {}
            }
        }
        if Instant::now() < due {
            continue;
        }
        if heartbeats == args.probes {
            bail!("connection dead");
        }
        heartbeats += 1;
        say!("sending heartbeat #{heartbeats}")?;
        link.send(&message(Kind::Ping))?;
        due = Instant::now() + args.interval;
    }
}
// ANCHOR_END: watch

// ANCHOR: reconnect
/// Waits before each attempt: a server that has just been overwhelmed, or that hangs up on everybody, needs no crowd.
fn reconnect(args: &Args) -> Result<Link, OutputError> {
    loop {
        sleep(args.interval.max(PATIENCE));
        match Link::open(&args.server, args.udp) {
            Ok(link) => {
                say!("reconnected")?;
                return Ok(link);
            }
            Err(error) => complain!("{:#}", anyhow::Error::from(error)),
        }
    }
}
// ANCHOR_END: reconnect
