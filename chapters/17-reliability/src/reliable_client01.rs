//! A client that learns from read(2) what has become of its server.

use std::io::stdin;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::bail;
use common::address::{Peer, seconds};
use common::io::{Received, receive, send_all};
use common::lines::LineBuffer;
use common::output::OutputError;
use common::text::printable;
use common::{Call, say, tcp};
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;

use crate::errors::Errors;

/// Sends each line that is typed, and waits for the answer
///
/// A line that is not sent: "read", which only waits for an answer.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Peer,
    /// Seconds to wait for an answer (SO_RCVTIMEO); without it the wait has no end
    #[arg(long, value_name = "SECONDS", value_parser = timeout)]
    timeout: Option<Duration>,
    /// Ask to be told at once what a router reports by ICMP (IP_RECVERR, IPV6_RECVERR)
    #[arg(long)]
    recverr: bool,
    /// How many errors to report before giving up: to see what the call after a failed one says. An answer that is late may
    /// then be taken for the answer to the next line
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    errors: u32,
}

/// A timeout of nothing would mean "for ever" to the kernel, socket(7).
fn timeout(text: &str) -> Result<Duration, String> {
    match seconds(text)? {
        time if time < Duration::from_millis(1) => Err("less than a millisecond".into()),
        time => Ok(time),
    }
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let connection = tcp::connect(&args.server)?;
    set(&connection, args)?;
    let mut errors = Errors::new(args.errors);
    let stdin = stdin();
    let mut typed = LineBuffer::new();
    loop {
        // While this waits for the keyboard, it cannot see what happens to the connection: that takes select(2),
        // chapter 20.
        let ended = typed.fill(&stdin).call("read standard input")? == Received::EndOfFile;
        while let Some(line) = typed.next_line() {
            match exchange(&connection, &line, args) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) if error.is::<OutputError>() => return Err(error),
                Err(error) => errors.happened(error)?,
            }
        }
        if ended {
            return Ok(());
        }
    }
}

// ANCHOR: exchange
/// One request and its answer. False when the server has closed.
fn exchange(connection: &OwnedFd, line: &[u8], args: &Args) -> anyhow::Result<bool> {
    if line.is_empty() {
        return Ok(true); // no byte would go out, and no answer come
    }
    if line != b"read" {
        send_all(connection, line).call("send")?;
        say!("send bytes: {}", line.len())?;
    }
    let mut answer = [0; 1024];
    match receive(connection, &mut answer).call("read")? {
        Received::Data(length) => say!("{}", printable(&answer[..length]))?,
        Received::EndOfFile => {
            say!("peer connection closed")?;
            return Ok(false);
        }
        Received::Reset => Err(Errno::ECONNRESET).call("read")?,
        Received::WouldBlock => bail!(
            "read: no answer within {} s",
            args.timeout.unwrap_or_default().as_secs_f64()
        ),
    }
    Ok(true)
}
// ANCHOR_END: exchange

// ANCHOR: set
fn set(connection: &OwnedFd, args: &Args) -> anyhow::Result<()> {
    if let Some(timeout) = args.timeout {
        let timeout = TimeVal::new(timeout.as_secs() as i64, timeout.subsec_micros().into());
        setsockopt(connection, sockopt::ReceiveTimeout, &timeout).call("setsockopt SO_RCVTIMEO")?;
    }
    if args.recverr {
        match tcp::local_address(connection)?.is_ipv4() {
            true => {
                setsockopt(connection, sockopt::Ipv4RecvErr, &true).call("setsockopt IP_RECVERR")?
            }
            false => setsockopt(connection, sockopt::Ipv6RecvErr, &true)
                .call("setsockopt IPV6_RECVERR")?,
        }
    }
    Ok(())
}
// ANCHOR_END: set
