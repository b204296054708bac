//! Exercise 14/late-error, 10 minutes: a client whose next line is not lost with the last one.
//!
//! It sends each line that is typed to a collector, in a datagram of its own, and waits for no answer. A line that is typed while
//! the collector runs is sent. While it does not run, lines may be lost, and the client says so; it never ends because of that.
//!
//! What goes wrong now: the collector is started, and the first line after that is lost, too.
//!
//! `14/refused` and `14/unconnected-sees-no-error` show why. Man pages: send(2), connect(2), udp(7).
//! Your program is checked by `scripts/exercise 14/late-error`, as often as you like.

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

/// Sends a line.
fn send_line(socket: &OwnedFd, line: &[u8]) -> nix::Result<()> {
    send(socket.as_raw_fd(), line, MsgFlags::empty())?;
    Ok(())
}
