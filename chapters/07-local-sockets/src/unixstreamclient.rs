//! A client for one machine: it connects to a file, and no handshake takes place.

use std::io::stdin;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::thread::sleep;
use std::time::Duration;

use anyhow::bail;
use common::address::seconds;
use common::io::{Received, send_all};
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, CallError, say};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, connect, socket};

use crate::name::Name;

/// Sends each line that is typed and prints the answer
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server's socket file, or an abstract name after an @
    #[arg(value_name = "PATH")]
    server: Name,
    /// Seconds to let each answer wait before it is read
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pause: Option<Duration>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let connection = connected(&args.server)?;
    let (mut typed, mut answers) = (LineBuffer::new(), LineBuffer::new());
    loop {
        let ended = typed.fill(stdin()).call("read standard input")? == Received::EndOfFile;
        // Every line that this read brought.
        while let Some(line) = typed.next_line() {
            say!("now sending {}", printable(&line))?;
            send_all(&connection, &[&line, &b"\n"[..]].concat()).call("send")?;
            if let Some(pause) = args.pause {
                let mut wait = [PollFd::new(connection.as_fd(), PollFlags::POLLIN)];
                poll(&mut wait, PollTimeout::NONE).call("poll")?;
                say!("the answer waits")?;
                sleep(pause);
            }
            say!("{}", printable(&answer(&connection, &mut answers)?))?;
        }
        if ended {
            return Ok(());
        }
    }
}

// ANCHOR: connect
/// A stream socket that is connected to the server of this name.
pub fn connected(server: &Name) -> Result<OwnedFd, CallError> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let connection = socket(AddressFamily::Unix, SockType::Stream, flags, None).call("socket")?;
    let address = server.address()?;
    // No packets and no handshake: the kernel finds the listening socket behind the file, and
    // puts a connected one into its queue. If the queue is full, connect waits; a signal that
    // interrupts it there has changed nothing.
    let outcome = loop {
        match connect(connection.as_raw_fd(), &address) {
            Err(Errno::EINTR) => {}
            outcome => break outcome,
        }
    };
    outcome.call(format_args!("connect {server}"))?;
    Ok(connection)
}
// ANCHOR_END: connect

/// The server's next line.
fn answer(connection: &OwnedFd, answers: &mut LineBuffer) -> anyhow::Result<Vec<u8>> {
    loop {
        if let Some(answer) = answers.next_line() {
            return Ok(answer);
        }
        match answers.fill(connection).call("read")? {
            Received::EndOfFile => bail!("server terminated"),
            Received::Reset => Err(Errno::ECONNRESET).call("read")?,
            Received::Data(_) | Received::WouldBlock => {}
        }
    }
}
