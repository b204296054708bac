//! A server that does not wait for ever for a client that says nothing.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use clap::ValueEnum;
use common::address::{Listen, seconds};
use common::io::{Received, receive};
use common::output::OutputError;
use common::text::printable;
use common::{Call, CallError, complain, say, tcp};
use nix::errno::Errno;
use nix::sys::select::{FdSet, select};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

/// Prints what one client after the other sends, and ends a connection that is silent for too long
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// How the wait is bounded
    #[arg(long, value_name = "WAY", default_value = "rcvtimeo")]
    by: By,
    /// Seconds of silence that are allowed. 0 means no limit to SO_RCVTIMEO, and no wait at all to select
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    timeout: Duration,
    /// Fill in the time for select once and not for each call: wrong on purpose
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    /// An option of the socket, SO_RCVTIMEO: read fails with EAGAIN
    Rcvtimeo,
    /// select(2) returns 0, and read is not called
    Select,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let listener = tcp::listen(&args.listen.address())?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    loop {
        let (connection, client) = tcp::accept(&listener)?;
        let outcome = serve(&connection, args);
        drop(connection); // close(2): the client need not wait for our words
        match outcome {
            Ok(ending) => say!("{ending}")?,
            Err(error) if error.is::<OutputError>() => return Err(error),
            // The end of this client, and of nobody else.
            Err(error) => complain!("client {client}: {error:#}"),
        }
    }
}

/// Prints what comes. Returns how it ended.
fn serve(connection: &OwnedFd, args: &Args) -> anyhow::Result<&'static str> {
    let mut left = timeval(args.timeout);
    if matches!(args.by, By::Rcvtimeo) {
        // ANCHOR: rcvtimeo
        // Once for the socket: it holds for each read of it.
        setsockopt(connection, sockopt::ReceiveTimeout, &left).call("setsockopt SO_RCVTIMEO")?;
        // ANCHOR_END: rcvtimeo
    }
    let mut data = [0; 4096];
    loop {
        if matches!(args.by, By::Select) {
            if !args.keep {
                left = timeval(args.timeout);
            }
            if !readable(connection, &mut left)? {
                return Ok("read timeout");
            }
        }
        // ANCHOR: read
        match receive(connection, &mut data).call("read")? {
            Received::Data(length) => {
                say!("received {length} bytes: {}", printable(&data[..length]))?;
            }
            Received::EndOfFile => return Ok("client closed"),
            Received::WouldBlock => return Ok("read timeout"), // EAGAIN: the time is up
            Received::Reset => Err(Errno::ECONNRESET).call("read")?,
        }
        // ANCHOR_END: read
    }
}

// ANCHOR: select
/// Whether something can be read before the time is up. Linux takes from `left` the time that
/// has passed, select(2); so it goes on counting after a signal, and is used up afterwards.
fn readable(connection: &OwnedFd, left: &mut TimeVal) -> Result<bool, CallError> {
    loop {
        let mut set = FdSet::new();
        set.insert(connection.as_fd());
        let last = connection.as_raw_fd() + 1;
        match select(last, &mut set, None, None, &mut *left) {
            Err(Errno::EINTR) => {}
            outcome => return Ok(outcome.call("select")? > 0),
        }
    }
}
// ANCHOR_END: select

/// The time in the kernel's type. Less than a microsecond is one, not none: 0 has a meaning of its own.
fn timeval(time: Duration) -> TimeVal {
    let micros = time.as_nanos().div_ceil(1000);
    TimeVal::microseconds(micros.try_into().unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_becomes_none() {
        let micros = |time| timeval(time).num_microseconds();
        assert_eq!(micros(Duration::from_nanos(1)), 1);
        assert_eq!(micros(Duration::ZERO), 0);
        assert_eq!(micros(Duration::from_millis(1500)), 1_500_000);
        let century = seconds("3153600000").unwrap();
        assert_eq!(timeval(century).tv_sec(), 3_153_600_000);
    }
}
