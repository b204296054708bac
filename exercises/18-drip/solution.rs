//! The solution of exercise 18/drip.

use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Parser;
use common::address::Listen;
use common::io::{Received, receive, send_all};
use common::{Call, complain, say, tcp};
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;

/// The longest line, with its newline.
const LONGEST: usize = 100;
/// The time that a client has for its line.
const PATIENCE: Duration = Duration::from_secs(1);

/// Sends back the line of one client after the other
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    listen: Listen,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let listener = tcp::listen(&args.listen.address())?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    loop {
        let (connection, client) = tcp::accept(&listener)?;
        let line = read_line(&connection);
        match line.and_then(|line| Ok(send_all(&connection, &line).call("send")?)) {
            Ok(()) => say!("served {client}")?,
            // The end of this client, and of nobody else.
            Err(error) => complain!("client {client}: {error:#}"),
        }
    }
}

/// Has a read that waits fail after this time, which is not 0: socket(7).
fn limit_reads(connection: &OwnedFd, time: Duration) -> anyhow::Result<()> {
    let time = TimeVal::new(time.as_secs() as i64, time.subsec_micros().into());
    setsockopt(connection, sockopt::ReceiveTimeout, &time).call("setsockopt SO_RCVTIMEO")?;
    Ok(())
}

// ANCHOR: answer
/// Reads the client's line, with its newline. What comes behind it is not looked at.
fn read_line(connection: &OwnedFd) -> anyhow::Result<Vec<u8>> {
    let mut buffer = [0; LONGEST];
    let mut filled = 0;
    // The option limits each read, and a client that sends a byte in time begins each time anew. So the time of the whole line
    // is kept here, and each read gets what is left of it.
    let deadline = Instant::now() + PATIENCE;
    while filled < LONGEST {
        let left = deadline.saturating_duration_since(Instant::now());
        // 0 would be no limit at all.
        if left < Duration::from_micros(1) {
            bail!("no line in time");
        }
        limit_reads(connection, left)?;
        match receive(connection, &mut buffer[filled..]).call("read")? {
            Received::Data(length) => filled += length,
            Received::WouldBlock => bail!("no line in time"),
            Received::EndOfFile => bail!("no newline before the end"),
            Received::Reset => Err(Errno::ECONNRESET).call("read")?,
        }
        if let Some(newline) = buffer[..filled].iter().position(|&byte| byte == b'\n') {
            return Ok(buffer[..=newline].to_vec());
        }
    }
    bail!("a line of more than {LONGEST} bytes")
}
// ANCHOR_END: answer
