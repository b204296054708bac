//! Exercise 22/short-write, 10 minutes: a server whose answer is larger than the kernel's buffer.
//!
//! Each client that connects gets the same long text and then the end of the connection. One thread serves all of them: a
//! client that reads slowly must hold up nobody, and while there is nothing to do the server sleeps in poll(2).
//!
//! What goes wrong now: a client gets a part of the text, and then the end of the connection.
//!
//! `22/partial-write` shows it. Man pages: send(2), poll(2), fcntl(2).
//! Your program is checked by `scripts/exercise 22/short-write`, as often as you like.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::ExitCode;

use clap::Parser;
use common::address::Listen;
use common::io::set_nonblocking;
use common::{Call, complain, say, tcp};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send, setsockopt, sockopt};

/// The size of the text, in bytes.
const TEXT: usize = 512 * 1024;
/// A small buffer in the kernel, as on a slow connection; the sockets of accept(2) inherit it from the listener.
const SEND_BUFFER: usize = 16 * 1024;

/// Sends a long text to every client
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    listen: Listen,
}

/// A client, and what it is still to get.
struct Client<'a> {
    socket: OwnedFd,
    rest: &'a [u8],
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let text: Vec<u8> = (b'a'..=b'z').cycle().take(TEXT).collect();
    let listener = tcp::listen(&args.listen.address())?;
    setsockopt(&listener, sockopt::SndBuf, &SEND_BUFFER).call("setsockopt SO_SNDBUF")?;
    set_nonblocking(&listener)?;
    say!("listening on {}", tcp::local_address(&listener)?)?;

    let mut clients: Vec<Client> = Vec::new();
    loop {
        let mut fds = vec![PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        fds.extend(
            clients
                .iter()
                .map(|client| PollFd::new(client.socket.as_fd(), PollFlags::POLLOUT)),
        );
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            outcome => outcome.call("poll")?,
        };
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any() == Some(true)).collect();
        let mut ready = ready.into_iter();
        let somebody_waits = ready.next() == Some(true);
        // Dropping a client closes its socket.
        clients.retain_mut(|client| ready.next() != Some(true) || client.send_some());

        while somebody_waits && let Some((socket, name)) = tcp::accept_ready(&listener)? {
            set_nonblocking(&socket)?;
            say!("client connected {name}")?;
            clients.push(Client {
                socket,
                rest: &text,
            });
        }
    }
}

impl Client<'_> {
    /// Sends some of the rest, when poll says that there is room. False when this client is done with.
    fn send_some(&mut self) -> bool {
        let socket = self.socket.as_raw_fd();
        if let Err(error) = send(socket, self.rest, MsgFlags::MSG_NOSIGNAL) {
            complain!("send: {error}");
        }
        false
    }
}
