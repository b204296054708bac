//! Exercise 38/whole-lines, 10 minutes: a chat room in which every line arrives whole.
//!
//! What one says, the others hear: each line once, in order, and never mixed with a line of somebody else. A last line counts
//! though no newline ends it. One thread serves all, and sleeps in poll(2).
//!
//! What goes wrong now: who types slowly is interrupted. The others hear the beginning of the line, somebody else's line behind
//! it, and then the rest.
//!
//! `38/broadcast` shows how it should be. Man pages: read(2), tcp(7).
//! Your program is checked by `scripts/exercise 38/whole-lines`, as often as you like.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::ExitCode;

use clap::Parser;
use common::address::Listen;
use common::io::{Received, set_nonblocking};
use common::{Call, complain, say, tcp};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};

/// Passes on to everybody else what each user says
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    listen: Listen,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let listener = tcp::listen(&args.listen.address())?;
    set_nonblocking(&listener)?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    let mut users: Vec<User> = Vec::new();
    loop {
        let mut fds = vec![PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        let sockets = users.iter().map(|user| user.socket.as_fd());
        fds.extend(sockets.map(|socket| PollFd::new(socket, PollFlags::POLLIN)));
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            outcome => outcome.call("poll")?,
        };
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any() == Some(true)).collect();
        for index in (0..users.len()).filter(|index| ready[index + 1]) {
            let mut text = Vec::new();
            users[index].ended |= !users[index].hear(&mut text);
            for (_, other) in users.iter_mut().enumerate().filter(|(of, _)| *of != index) {
                other.tell(&text);
            }
        }
        users.retain(|user| !user.ended); // dropping a user closes the socket
        if ready[0]
            && let Some((socket, name)) = tcp::accept_ready(&listener)?
        {
            set_nonblocking(&socket)?;
            users.push(User::new(socket));
            say!("{name} comes in")?;
        }
    }
}

/// Somebody in the room.
struct User {
    socket: OwnedFd,
    ended: bool,
}

impl User {
    fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            ended: false,
        }
    }

    /// Sends a text. A user who does not read for so long that the kernel takes no more has to leave.
    fn tell(&mut self, text: &[u8]) {
        match send(self.socket.as_raw_fd(), text, MsgFlags::MSG_NOSIGNAL) {
            Ok(length) if length == text.len() => {}
            Ok(_) | Err(_) => self.ended = true,
        }
    }

    /// Reads what is there, and adds to `text` what the others are to hear. False when this user has ended.
    fn hear(&mut self, text: &mut Vec<u8>) -> bool {
        let mut data = [0; 512];
        match common::io::receive(&self.socket, &mut data) {
            Ok(Received::Data(length)) => text.extend(&data[..length]),
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
