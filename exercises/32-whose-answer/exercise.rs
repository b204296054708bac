//! Exercise 32/whose-answer, 10 minutes: a server that gives an answer to whoever asked, or to nobody.
//!
//! A client names a file in a line, and gets what it contains. The main thread waits for all clients in poll(2); each file is read
//! in a thread of its own, because that may take long. Who has left meanwhile gets nothing.
//!
//! What goes wrong now: when a client leaves before its file is read, the next client gets it. `scripts/exercise` makes it so.
//!
//! `32/stale-event` shows the same in an event loop. Man pages: open(2) (the lowest number), dup(2), close(2).
//! Your program is checked by `scripts/exercise 32/whose-answer`, as often as you like.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::{fs, thread};

use anyhow::Context;
use clap::Parser;
use common::address::Listen;
use common::io::Received;
use common::lines::LineBuffer;
use common::{Call, complain, say, tcp};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};

/// Sends the files that its clients name
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    listen: Listen,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

/// What a file of this directory contains.
fn contents(name: &[u8]) -> Vec<u8> {
    if name.contains(&b'/') {
        return b"error: no file of this directory\n".into();
    }
    fs::read(OsStr::from_bytes(name)).unwrap_or_else(|error| format!("error: {error}\n").into())
}

fn run(args: &Args) -> anyhow::Result<()> {
    let listener = tcp::listen(&args.listen.address())?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    let mut clients: Vec<(OwnedFd, LineBuffer)> = Vec::new();
    loop {
        let mut fds = vec![PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        let sockets = clients.iter().map(|(socket, _)| socket.as_fd());
        fds.extend(sockets.map(|socket| PollFd::new(socket, PollFlags::POLLIN)));
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            outcome => outcome.call("poll")?,
        };
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any() == Some(true)).collect();
        for index in (0..clients.len()).rev().filter(|index| ready[index + 1]) {
            let (socket, typed) = &mut clients[index];
            let came = typed.fill(&*socket);
            while let Some(name) = typed.next_line() {
                asks(socket, name)?;
            }
            if !matches!(came, Ok(Received::Data(_))) {
                clients.swap_remove(index); // this closes the socket
                say!("a client has left")?;
            }
        }
        if ready[0] {
            let (socket, name) = tcp::accept(&listener)?;
            say!("client connected {name}")?;
            clients.push((socket, LineBuffer::new()));
        }
    }
}

/// A client asks for a file.
fn asks(client: &OwnedFd, name: Vec<u8>) -> anyhow::Result<()> {
    let socket = client.as_raw_fd();
    let answer = move || {
        let text = contents(&name);
        if let Err(error) = send(socket, &text, MsgFlags::MSG_NOSIGNAL) {
            complain!("send: {error}");
        }
    };
    thread::Builder::new().spawn(answer).context("no thread")?;
    Ok(())
}
