//! A client with two sources of input, the keyboard and the server, that waits for both at once.

use std::io::stdin;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use common::address::Peer;
use common::io::{Received, receive};
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, CallError, say, tcp};
use nix::errno::Errno;
use nix::sys::select::{FdSet, select};
use nix::sys::socket::{MsgFlags, Shutdown, send, shutdown};

use crate::set::insert;

/// Sends each line that is typed, without its newline, and prints whatever the server sends, whichever comes first
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Peer,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let connection = tcp::connect(&args.server)?;
    let stdin = stdin();
    let mut typed = LineBuffer::new();
    let (mut unsent, mut input_ended, mut shut): (Option<Unsent>, _, _) = (None, false, false);
    loop {
        // ANCHOR: wait
        // The kernel overwrites the sets with what is ready, so each round begins with new ones.
        let (mut readable, mut writable) = (FdSet::new(), FdSet::new());
        insert(&mut readable, connection.as_fd())?;
        if unsent.is_some() {
            // A line that did not fit: go on when there is room, and type no further one before.
            insert(&mut writable, connection.as_fd())?;
        } else if !input_ended {
            // At end of file standard input is readable for ever: a set with it in would make this loop spin.
            insert(&mut readable, stdin.as_fd())?;
        }
        let highest = connection.as_raw_fd().max(stdin.as_raw_fd());
        match select(highest + 1, &mut readable, &mut writable, None, None) {
            Err(Errno::EINTR) => continue,
            outcome => outcome.call("select")?,
        };
        // ANCHOR_END: wait

        // ANCHOR: serve
        if readable.contains(connection.as_fd()) && !print_answer(&connection)? {
            return Ok(());
        }
        if readable.contains(stdin.as_fd()) {
            input_ended = typed.fill(&stdin).call("read standard input")? == Received::EndOfFile;
        }
        // Every line that the read brought: select does not see what is already in our buffer.
        while unsent.is_some() || start_line(&mut unsent, &mut typed)? {
            if !send_some(&connection, &mut unsent)? {
                break;
            }
        }
        // ANCHOR_END: serve
        if input_ended && unsent.is_none() && !shut {
            // We have nothing more to say; the answers to what we said may still come.
            shutdown(connection.as_raw_fd(), Shutdown::Write).call("shutdown")?;
            shut = true;
        }
    }
}

/// A line, and how much of it has been sent.
struct Unsent {
    line: Vec<u8>,
    sent: usize,
}

/// Prints what the server sent. False once it has ended.
fn print_answer(connection: &OwnedFd) -> anyhow::Result<bool> {
    let mut answer = [0; 4096];
    match receive(connection, &mut answer).call("read")? {
        Received::Data(length) => say!("{}", printable(&answer[..length]))?,
        Received::EndOfFile => {
            say!("server terminated")?;
            return Ok(false);
        }
        Received::Reset | Received::WouldBlock => Err(Errno::ECONNRESET).call("read")?,
    }
    Ok(true)
}

/// Takes the next line that was typed. False when there is none yet.
fn start_line(unsent: &mut Option<Unsent>, typed: &mut LineBuffer) -> anyhow::Result<bool> {
    let Some(line) = typed.next_line() else {
        return Ok(false);
    };
    say!("now sending {}", printable(&line))?;
    *unsent = Some(Unsent { line, sent: 0 });
    Ok(true)
}

/// Sends as much as the kernel takes now, and says so when the line is complete. False if something is left. Waiting here
/// would mean not to read, while the server may wait for us to read.
fn send_some(connection: &OwnedFd, unsent: &mut Option<Unsent>) -> anyhow::Result<bool> {
    let Some(Unsent { line, sent }) = unsent else {
        return Ok(true);
    };
    match send_now(connection, &line[*sent..])? {
        Some(count) => *sent += count,
        None => {
            *unsent = None; // the connection is gone; reading tells why
            return Ok(true);
        }
    }
    if *sent < line.len() {
        return Ok(false);
    }
    say!("send bytes: {}", line.len())?;
    *unsent = None;
    Ok(true)
}

/// How many bytes the kernel took. `None`: the connection has ended for our direction.
fn send_now(connection: &OwnedFd, data: &[u8]) -> Result<Option<usize>, CallError> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    match send(connection.as_raw_fd(), data, flags) {
        Ok(count) => Ok(Some(count)),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(Some(0)),
        Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(None),
        Err(error) => Err(error).call("send"),
    }
}
