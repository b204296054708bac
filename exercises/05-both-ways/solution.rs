//! The solution of exercise 5/both-ways.

use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::thread;

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

// ANCHOR: answer
/// Sends the text and the end, and returns what comes back.
fn exchange(connection: &OwnedFd, text: &[u8]) -> anyhow::Result<Vec<u8>> {
    // Who only sends fills four buffers, two in each direction. Then the server's send waits for us to read, and ours for the
    // server. Larger buffers move that to a larger text. To read after each piece is no way out either: nobody promised that
    // an answer comes to each piece. So both are done at once, one of them in a thread of its own.
    thread::scope(|scope| {
        let sending = scope.spawn(|| send_text(connection, text));
        let back = receive_all(connection);
        sending.join().expect("sending does not panic")?;
        back
    })
}
// ANCHOR_END: answer
