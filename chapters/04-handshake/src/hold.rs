//! A connection that stays, so that it can be looked at.

use std::io::stdin;
use std::os::fd::{AsFd, OwnedFd};

use common::io::{Received, receive, writen};
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, say};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Sends what is typed until the input ends. Watches the server too: it may go first.
pub fn hold(connection: &OwnedFd) -> anyhow::Result<()> {
    let stdin = stdin();
    let mut typed = LineBuffer::new();
    loop {
        let mut wait =
            [connection.as_fd(), stdin.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut wait, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            ready => ready.call("poll")?,
        };
        let [server, keyboard] = wait.map(|fd| fd.any() == Some(true));
        if server {
            let mut message = [0; 4096];
            match receive(connection, &mut message).call("read")? {
                Received::Data(length) => {
                    say!("received {length} bytes: {}", printable(&message[..length]))?;
                }
                Received::EndOfFile => return Ok(say!("server terminated")?),
                Received::Reset | Received::WouldBlock => Err(Errno::ECONNRESET).call("read")?,
            }
        }
        if keyboard {
            let ended = typed.fill(&stdin).call("read standard input")? == Received::EndOfFile;
            while let Some(line) = typed.next_line() {
                say!("now sending {}", printable(&line))?;
                writen(connection, &line).call("write")?;
            }
            if ended {
                return Ok(());
            }
        }
    }
}
