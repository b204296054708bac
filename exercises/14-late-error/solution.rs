//! The solution of exercise 14/late-error.

use std::io::stdin;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;

use clap::Parser;
use common::address::Peer;
use common::io::Received;
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, complain, say, udp};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockaddrStorage, connect, send};

/// Sends each line that is typed, in a datagram
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    collector: Peer,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let collector = args.collector.first()?;
    let socket = udp::bind(&udp::any_for(&collector))?;
    // So that the kernel tells us when nobody is there.
    connect(socket.as_raw_fd(), &SockaddrStorage::from(collector))
        .call(format_args!("connect {collector}"))?;
    let mut typed = LineBuffer::new();
    while typed.fill(stdin()).call("read standard input")? != Received::EndOfFile {
        while let Some(line) = typed.next_line() {
            match send_line(&socket, &line) {
                Ok(()) => say!("sent: {}", printable(&line))?,
                Err(Errno::ECONNREFUSED) => complain!("nobody collects: {}", printable(&line)),
                Err(error) => Err(error).call("send")?,
            }
        }
    }
    Ok(())
}

// ANCHOR: answer
/// Sends a line.
fn send_line(socket: &OwnedFd, line: &[u8]) -> nix::Result<()> {
    let sent = match send(socket.as_raw_fd(), line, MsgFlags::empty()) {
        // This is about the datagram before: the answer to it came when its call was long over, and lay with the socket until
        // the next call. That call has sent nothing. It has taken the error away, so another one sends.
        Err(Errno::ECONNREFUSED) => {
            complain!("an earlier line was lost");
            send(socket.as_raw_fd(), line, MsgFlags::empty())
        }
        outcome => outcome,
    };
    // Once, and not for as long as it fails: where nobody is, the answer to this one may be here before we look again.
    sent.map(drop)
}
// ANCHOR_END: answer
