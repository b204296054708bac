//! The solution of exercise 38/whole-lines.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::ExitCode;

use clap::Parser;
use common::address::Listen;
use common::io::{Received, set_nonblocking};
use common::lines::LineBuffer;
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
    /// What has come of a line that is not whole yet. Each has one: in one for all, the pieces would be mixed again.
    heard: LineBuffer,
}

impl User {
    fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            ended: false,
            heard: LineBuffer::new(),
        }
    }

    /// Sends a text. A user who does not read for so long that the kernel takes no more has to leave.
    fn tell(&mut self, text: &[u8]) {
        match send(self.socket.as_raw_fd(), text, MsgFlags::MSG_NOSIGNAL) {
            Ok(length) if length == text.len() => {}
            Ok(_) | Err(_) => self.ended = true,
        }
    }

    // ANCHOR: answer
    /// Reads what is there, and adds to `text` what the others are to hear. False when this user has ended.
    fn hear(&mut self, text: &mut Vec<u8>) -> bool {
        let came = self.heard.fill(&self.socket);
        // What one read brings ends where the network or the typist made a pause. Only whole lines are passed on: none, one, or
        // several, and the rest waits for its end. At the end of file the rest counts as a line.
        while let Some(line) = self.heard.next_line() {
            text.extend(line);
            text.push(b'\n');
        }
        match came {
            Ok(Received::Data(_) | Received::WouldBlock) => true,
            Ok(Received::EndOfFile | Received::Reset) => false,
            Err(error) => {
                complain!("read: {error}");
                false
            }
        }
    }
    // ANCHOR_END: answer
}
