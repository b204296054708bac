//! Exercise 21/last-words, 10 minutes: a server that hears a client out.
//!
//! It collects what clients send, and says nothing itself: so it ends its own direction as soon as a client connects. When the
//! client has ended, too, the server prints how many bytes came. One thread serves all, and sleeps in poll(2).
//!
//! What goes wrong now: what a client sends just before its end is sometimes not counted. `scripts/exercise` makes sure that it
//! happens.
//!
//! `21/revents-only` shows it. Man pages: poll(2), read(2), shutdown(2).
//! Your program is checked by `scripts/exercise 21/last-words`, as often as you like.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::ExitCode;

use clap::Parser;
use common::address::Listen;
use common::io::{Received, receive, set_nonblocking};
use common::{Call, complain, say, tcp};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{Shutdown, shutdown};

/// Counts what each client sends
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    listen: Listen,
}

/// A client, and how many bytes have come from it.
struct Client {
    socket: OwnedFd,
    count: usize,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let listener = tcp::listen(&args.listen.address())?;
    set_nonblocking(&listener)?;
    say!("listening on {}", tcp::local_address(&listener)?)?;

    let mut clients: Vec<Client> = Vec::new();
    loop {
        let mut fds = vec![PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        let sockets = clients.iter().map(|client| client.socket.as_fd());
        fds.extend(sockets.map(|socket| PollFd::new(socket, PollFlags::POLLIN)));
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            outcome => outcome.call("poll")?,
        };
        let happened: Vec<_> = fds.iter().filter_map(PollFd::revents).collect();

        let mut stay = Vec::new();
        for (mut client, &events) in clients.into_iter().zip(&happened[1..]) {
            if events.is_empty() || client.happens(events) {
                stay.push(client);
            } else {
                say!("client ended after {} bytes", client.count)?;
            }
        }
        clients = stay;

        if !happened[0].is_empty()
            && let Some((socket, name)) = tcp::accept_ready(&listener)?
        {
            set_nonblocking(&socket)?;
            match shutdown(socket.as_raw_fd(), Shutdown::Write) {
                Ok(()) => clients.push(Client { socket, count: 0 }),
                Err(error) => complain!("client {name}: shutdown: {error}"), // it has gone already
            }
            say!("client connected {name}")?;
        }
    }
}

impl Client {
    /// Does what poll says there is to do. False when the client has ended.
    fn happens(&mut self, events: PollFlags) -> bool {
        if events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR) {
            return false;
        }
        let mut data = [0; 512];
        match receive(&self.socket, &mut data) {
            Ok(Received::Data(length)) => self.count += length,
            Ok(Received::WouldBlock) => {}
            Ok(Received::EndOfFile | Received::Reset) => return false,
            Err(error) => {
                complain!("read: {error}");
                return false;
            }
        }
        true
    }
}
