//! The solution of exercise 12/while-typing.

use std::io::stdin;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use clap::Parser;
use common::address::Peer;
use common::io::{Received, send_all};
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, CallError, say, tcp};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

/// From a sign of life to the first PING, and from each PING to the next.
const INTERVAL: Duration = Duration::from_millis(300);
/// How many PINGs in a row may stay without a sign of life.
const PROBES: u32 = 3;

/// Sends each line that is typed, and finds out when the server is dead
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    server: Peer,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

/// Waits for either of the two, but not longer than this. Says which of them can be read.
fn wait(fds: [&dyn AsFd; 2], time: Duration) -> Result<[bool; 2], CallError> {
    let mut fds = fds.map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN));
    match ppoll(&mut fds, Some(TimeSpec::from_duration(time)), None) {
        Ok(_) => Ok(fds.map(|fd| fd.any() == Some(true))),
        Err(Errno::EINTR) => Ok([false; 2]),
        Err(error) => Err(error).call("ppoll"),
    }
}

/// Sends the lines that were typed. Ctrl-D ends the client.
fn send_typed(typed: &mut LineBuffer, connection: &OwnedFd) -> anyhow::Result<Received> {
    let received = typed.fill(stdin()).call("read standard input")?;
    while let Some(line) = typed.next_line() {
        send_all(connection, &[&line, &b"\n"[..]].concat()).call("send")?;
    }
    Ok(received)
}

/// Prints what the server says.
fn print_heard(heard: &mut LineBuffer, connection: &OwnedFd) -> anyhow::Result<()> {
    let received = heard.fill(connection).call("read")?;
    while let Some(line) = heard.next_line() {
        say!("the server: {}", printable(&line))?;
    }
    ensure!(matches!(received, Received::Data(_)), "the server is gone");
    Ok(())
}

fn run(args: &Args) -> anyhow::Result<()> {
    let connection = tcp::connect(&args.server)?;
    let stdin = stdin();
    let (mut typed, mut heard) = (LineBuffer::new(), LineBuffer::new());
    let mut pings = 0;
    // ANCHOR: answer
    // A point in time, and not a span that begins again with each wait. Only two things put it off: a sign of life and a PING.
    // What we send ourselves is none: send succeeds for as long as the kernel has room.
    let mut due = Instant::now() + INTERVAL;
    loop {
        let left = due.saturating_duration_since(Instant::now());
        let [keyboard, server] = wait([&stdin, &connection], left)?;
        if keyboard && send_typed(&mut typed, &connection)? == Received::EndOfFile {
            return Ok(());
        }
        if server {
            print_heard(&mut heard, &connection)?;
            pings = 0;
            due = Instant::now() + INTERVAL;
        }
        if Instant::now() >= due {
            if pings == PROBES {
                bail!("the server is dead");
            }
            pings += 1;
            send_all(&connection, b"PING\n").call("send")?;
            due = Instant::now() + INTERVAL;
        }
    }
    // ANCHOR_END: answer
}
