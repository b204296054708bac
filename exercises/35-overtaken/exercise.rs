//! Exercise 35/overtaken, 10 minutes: a server whose answers leave at once, and in order.
//!
//! A client gets back what it sends, rot13. The answer is written straight from where it was made. Only what the kernel does not take is
//! copied, and waits until poll(2) says that there is room. Meanwhile the server reads on, from this client and from all others; of a
//! client that takes no answers at all it reads no more when 256 KiB wait.
//!
//! What goes wrong now: a client that reads slowly gets all its bytes back, but sometimes later ones come before earlier ones.
//! `scripts/exercise` makes sure that it happens.
//!
//! `35/write-first` and `22/partial-write` show parts of it. Man pages: send(2), poll(2).
//! Your program is checked by `scripts/exercise 35/overtaken`, as often as you like.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::ExitCode;

use clap::Parser;
use common::address::Listen;
use common::io::{Received, receive, set_nonblocking};
use common::text::rot13;
use common::{Call, CallError, complain, say, tcp};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send, setsockopt, sockopt};

/// So many bytes may wait for a client, and one read more.
const MOST: usize = 256 * 1024;
/// The most that is sent to a client when poll says that there is room for it: then it is the next one's turn.
const TURN: usize = 8 * 1024;
/// A small buffer in the kernel, as on a slow connection; the sockets of accept(2) inherit it from the listener.
const SEND_BUFFER: usize = 16 * 1024;

/// Answers what each client sends, rot13
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    listen: Listen,
}

struct Client {
    socket: OwnedFd,
    /// Answers that have not gone out.
    waiting: Vec<u8>,
    /// Bytes that were put there, to go out later.
    copied: usize,
    /// It has said all it had to say.
    ended: bool,
}

/// How much the kernel takes now.
fn write(socket: &OwnedFd, bytes: &[u8]) -> Result<usize, CallError> {
    match send(socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(0),
        taken => taken.call("send"),
    }
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let listener = tcp::listen(&args.listen.address())?;
    setsockopt(&listener, sockopt::SndBuf, &SEND_BUFFER).call("setsockopt SO_SNDBUF")?;
    set_nonblocking(&listener)?;
    say!("listening on {}", tcp::local_address(&listener)?)?;

    let mut clients: Vec<Client> = Vec::new();
    loop {
        let mut fds = vec![PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        fds.extend(clients.iter().map(Client::waits_for));
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            outcome => outcome.call("poll")?,
        };
        let happened: Vec<_> = fds.iter().filter_map(PollFd::revents).collect();

        let mut stay = Vec::new();
        for (mut client, &events) in clients.into_iter().zip(&happened[1..]) {
            match client.happened(events) {
                Ok(()) if client.ended && client.waiting.is_empty() => {
                    say!("client ended, copied {} bytes", client.copied)?;
                }
                Ok(()) => stay.push(client),
                Err(error) => complain!("client gone: {:#}", anyhow::Error::from(error)),
            }
        }
        clients = stay;

        while let Some((socket, _)) = tcp::accept_ready(&listener)? {
            set_nonblocking(&socket)?;
            clients.push(Client {
                socket,
                waiting: Vec::new(),
                copied: 0,
                ended: false,
            });
        }
    }
}

impl Client {
    /// Room for what waits; and, unless too much waits or nothing will come, something to read.
    fn waits_for(&self) -> PollFd<'_> {
        let mut events = PollFlags::empty();
        events.set(PollFlags::POLLIN, !self.ended && self.waiting.len() < MOST);
        events.set(PollFlags::POLLOUT, !self.waiting.is_empty());
        PollFd::new(self.socket.as_fd(), events)
    }

    fn happened(&mut self, events: PollFlags) -> Result<(), CallError> {
        if events.contains(PollFlags::POLLOUT) {
            let turn = self.waiting.len().min(TURN);
            let taken = write(&self.socket, &self.waiting[..turn])?;
            self.waiting.drain(..taken);
        }
        if events.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR) {
            self.reads()?;
        }
        Ok(())
    }

    fn reads(&mut self) -> Result<(), CallError> {
        let mut data = [0; 4096];
        match receive(&self.socket, &mut data).call("read")? {
            Received::Data(length) => {
                for byte in &mut data[..length] {
                    *byte = rot13(*byte);
                }
                self.answers(&data[..length])?;
            }
            Received::WouldBlock => {}
            Received::EndOfFile => self.ended = true,
            Received::Reset => Err(Errno::ECONNRESET).call("read")?,
        }
        Ok(())
    }

    /// Keeps some of an answer until there is room for it.
    fn keeps(&mut self, rest: &[u8]) {
        self.waiting.extend_from_slice(rest);
        self.copied += rest.len();
    }

    /// Sends an answer: at once, as far as the kernel takes it.
    fn answers(&mut self, answer: &[u8]) -> Result<(), CallError> {
        let taken = write(&self.socket, answer)?;
        self.keeps(&answer[taken..]);
        Ok(())
    }
}
