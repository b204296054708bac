//! Exercise 5/both-ways, 10 minutes: a client that sends much, and gets it all back.
//!
//! The server sends back what it reads, when it likes. The client sends two million bytes, ends its direction, and compares what
//! came back until the server's end with what was sent.
//!
//! What goes wrong now: it works with a short text, as in the server's tests. With this one both programs stand still.
//!
//! `5/blocking-send` shows the half of it. Man pages: send(2), read(2), SO_SNDBUF in socket(7).
//! Your program is checked by `scripts/exercise 5/both-ways`, as often as you like.

use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;

use anyhow::ensure;
use clap::Parser;
use common::address::Peer;
use common::io::{Received, receive, send_all};
use common::{Call, say, tcp};
use nix::errno::Errno;
use nix::sys::socket::{Shutdown, setsockopt, shutdown, sockopt};

/// The size of the text, in bytes.
const TEXT: usize = 2_000_000;
/// Small buffers in the kernel, as a busy machine has them.
const BUFFER: usize = 32 * 1024;

/// Sends a long text, and compares what comes back
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    server: Peer,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let connection = tcp::connect(&args.server)?;
    setsockopt(&connection, sockopt::SndBuf, &BUFFER).call("setsockopt SO_SNDBUF")?;
    setsockopt(&connection, sockopt::RcvBuf, &BUFFER).call("setsockopt SO_RCVBUF")?;
    let text: Vec<u8> = (b'a'..=b'z').cycle().take(TEXT).collect();
    let back = exchange(&connection, &text)?;
    ensure!(back == text, "{} bytes came back, changed", back.len());
    say!("{} bytes came back as they were", back.len())?;
    Ok(())
}

fn send_text(connection: &OwnedFd, text: &[u8]) -> anyhow::Result<()> {
    send_all(connection, text).call("send")?;
    shutdown(connection.as_raw_fd(), Shutdown::Write).call("shutdown")?;
    Ok(())
}

fn receive_all(connection: &OwnedFd) -> anyhow::Result<Vec<u8>> {
    let mut back = Vec::new();
    let mut part = [0; 16 * 1024];
    loop {
        match receive(connection, &mut part).call("read")? {
            Received::Data(length) => back.extend_from_slice(&part[..length]),
            Received::EndOfFile => return Ok(back),
            Received::Reset | Received::WouldBlock => Err(Errno::ECONNRESET).call("read")?,
        }
    }
}

/// Sends the text and the end, and returns what comes back.
fn exchange(connection: &OwnedFd, text: &[u8]) -> anyhow::Result<Vec<u8>> {
    send_text(connection, text)?;
    receive_all(connection)
}
