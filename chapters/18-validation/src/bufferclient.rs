//! A client that sends lines, or what a stranger may send in their place.

use std::io::stdin;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use anyhow::bail;
use common::address::Peer;
use common::io::{Received, receive, send_all};
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, say, tcp};
use nix::errno::Errno;
use nix::sys::select::{FdSet, select};
use nix::sys::socket::{Shutdown, shutdown};

use crate::hostile::{Hostile, Then};
use crate::samplebuffer01::ANSWER;

/// Sends each line that is typed, with its newline, until Ctrl-D, and prints the answers
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Peer,
    /// Send this in place of lines
    #[arg(long, value_name = "NAME")]
    hostile: Option<Hostile>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let connection = tcp::connect(&args.server)?;
    let answer = match args.hostile {
        None => converse(&connection)?,
        Some(hostile) => match hostile.send(&connection)? {
            Then::Leave => return Ok(()),
            Then::Stay => hear_all(&connection)?,
            Then::End => {
                end(&connection)?;
                hear_all(&connection)?
            }
        },
    };
    // ANCHOR: compare
    // All that the server said. Its end of file says that it is all.
    match answer.as_slice() {
        b"" => {}
        ANSWER => say!("the command was taken")?,
        other => bail!("this is not {}: {}", printable(ANSWER), printable(other)),
    }
    // ANCHOR_END: compare
    Ok(())
}

/// Sends lines and prints answers until the server has ended. Returns the answers.
fn converse(connection: &OwnedFd) -> anyhow::Result<Vec<u8>> {
    let stdin = stdin();
    let mut typed = LineBuffer::new();
    let mut answers = Vec::new();
    let mut may_send = true;
    loop {
        let mut ready = FdSet::new();
        ready.insert(connection.as_fd());
        if may_send {
            ready.insert(stdin.as_fd());
        }
        match select(None, &mut ready, None, None, None) {
            Err(Errno::EINTR) => continue,
            outcome => outcome.call("select")?,
        };
        if ready.contains(connection.as_fd()) && !hear(connection, &mut answers)? {
            return Ok(answers);
        }
        if may_send && ready.contains(stdin.as_fd()) {
            may_send = typed.fill(&stdin).call("read standard input")? != Received::EndOfFile;
            // Lines that one read brought are sent in one go.
            let mut lines = Vec::new();
            while let Some(line) = typed.next_line() {
                lines.extend(line);
                if may_send {
                    lines.push(b'\n'); // a last line that the end of input ended has none
                }
            }
            send_all(connection, &lines).call("send")?;
            if !may_send {
                end(connection)?;
            }
        }
    }
}

/// Prints answers until the server has ended. Returns them.
fn hear_all(connection: &OwnedFd) -> anyhow::Result<Vec<u8>> {
    let mut answers = Vec::new();
    while hear(connection, &mut answers)? {}
    Ok(answers)
}

/// Prints what the server sent and adds it to the answers. False once it has ended.
fn hear(connection: &OwnedFd, answers: &mut Vec<u8>) -> anyhow::Result<bool> {
    /// More than one answer, and less than a server could fill our memory with.
    const ENOUGH: usize = 1 << 16;
    let mut answer = [0; 4096];
    match receive(connection, &mut answer).call("read")? {
        Received::Data(length) => {
            say!("{}", printable(&answer[..length]))?;
            answers.extend(&answer[..length]);
            if answers.len() > ENOUGH {
                bail!("the server says more than {ENOUGH} bytes");
            }
            Ok(true)
        }
        Received::EndOfFile => {
            say!("server terminated")?;
            Ok(false)
        }
        Received::Reset | Received::WouldBlock => Ok(Err(Errno::ECONNRESET).call("read")?),
    }
}

/// Ends our direction.
fn end(connection: &OwnedFd) -> anyhow::Result<()> {
    match shutdown(connection.as_raw_fd(), Shutdown::Write) {
        Err(Errno::ENOTCONN) => {} // reset meanwhile: the read tells
        outcome => outcome.call("shutdown")?,
    }
    Ok(())
}
