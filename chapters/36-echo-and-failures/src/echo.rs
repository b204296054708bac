//! What the clients that wait for the keyboard have in common.

use std::io::stdin;
use std::os::fd::OwnedFd;

use common::io::{Filled, Received, readn, writen};
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, say};

/// The most that is sent before its echo is awaited: two programs that both only write would wait for ever.
const MAXLINE: usize = 4096;

// ANCHOR: str_cli
/// A line from the keyboard, to the server; a line from the server, to the screen. Until the input ends.
pub fn str_cli(
    connection: &OwnedFd,
    send: impl Fn(&OwnedFd, &[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut typed = LineBuffer::new();
    while typed.fill(stdin()).call("read standard input")? != Received::EndOfFile {
        while let Some(line) = typed.next_line() {
            exchange(connection, line, &send)?;
        }
    }
    match typed.next_line() {
        Some(last) => exchange(connection, last, &send), // the last line needs no newline
        None => Ok(()),
    }
}
// ANCHOR_END: str_cli

fn exchange(
    connection: &OwnedFd,
    mut line: Vec<u8>,
    send: impl Fn(&OwnedFd, &[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    line.push(b'\n');
    let mut answer = vec![0; line.len()];
    // ANCHOR: exchange
    for (piece, echo) in line.chunks(MAXLINE).zip(answer.chunks_mut(MAXLINE)) {
        send(connection, piece)?;
        match readn(connection, echo).call("read")? {
            Filled::Full => {}
            Filled::EndOfFile | Filled::CutOff(_) => anyhow::bail!("server terminated prematurely"),
        }
    }
    // ANCHOR_END: exchange
    say!("{}", printable(&answer[..answer.len() - 1]))?;
    Ok(())
}

/// One write(2), or as many as it takes.
pub fn send_whole(connection: &OwnedFd, piece: &[u8]) -> anyhow::Result<()> {
    Ok(writen(connection, piece).call("write")?)
}
