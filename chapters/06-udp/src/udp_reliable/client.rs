//! The sending side: keeps each line until it is acknowledged, and sends it again when that takes too long.

use std::fs::File;
use std::io::{self, Read, stdin};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::bail;
use common::address::Peer;
use common::io::Received;
use common::lines::LineBuffer;
use common::text::printable;
use common::udp::{self, receive_from, send_to};
use common::{Call, complain, say};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::MsgFlags;
use nix::sys::time::TimeSpec;

use super::window::{GiveUp, Window};
use super::{Message, WINDOW};
use crate::udpclient::timeout;

/// Sends each line that is typed until the server has acknowledged it
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Peer,
    /// Seconds to wait for an acknowledgement before a line is sent again; doubled each time
    #[arg(long, value_name = "SECONDS", default_value = "0.2", value_parser = timeout)]
    timeout: Duration,
    /// How often a line is sent before the client gives up
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=20))]
    tries: u32,
    /// How many lines may be on their way at once
    #[arg(long, value_name = "LINES", default_value_t = WINDOW, value_parser = clap::value_parser!(u64).range(1..=WINDOW))]
    window: u64,
}

struct Client {
    server: SocketAddr,
    socket: OwnedFd,
    session: u32,
    tries: u32,
    window: Window,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let server = args.server.first()?;
    let mut session = [0; 4];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut session))
        .call("read /dev/urandom")?;
    let mut client = Client {
        server,
        socket: udp::bind(&udp::any_for(&server))?,
        session: u32::from_ne_bytes(session),
        tries: args.tries,
        window: Window::new(args.window, args.timeout, args.tries),
    };
    let stdin = stdin();
    let mut typed = LineBuffer::new();
    let mut ended = false;
    loop {
        // ANCHOR: round
        while client.window.has_room()
            && let Some(line) = typed.next_line()
        {
            say!("now sending {}: {}", client.window.next(), printable(&line))?;
            let datagram = client.datagram(&line);
            client.window.push(datagram, Instant::now());
            client.send_due()?;
        }
        if ended && client.window.is_empty() {
            say!("everything acknowledged: {} lines", client.window.next())?;
            return Ok(());
        }
        // With a full window nothing is read: whoever types has to wait for the server, too.
        let may_read = !ended && client.window.has_room();
        if client.wait(may_read.then(|| stdin.as_fd()))? {
            ended = typed.fill(&stdin).call("read standard input")? == Received::EndOfFile;
        }
        client.take_acknowledgement()?;
        client.send_due()?;
        // ANCHOR_END: round
    }
}

impl Client {
    fn datagram(&self, line: &[u8]) -> Vec<u8> {
        let (session, number) = (self.session, self.window.next());
        Message::Data {
            session,
            number,
            line,
        }
        .encode()
    }

    fn send_due(&mut self) -> anyhow::Result<()> {
        let most = self.tries;
        loop {
            let due = match self.window.take_due(Instant::now()) {
                Ok(Some(due)) => due,
                Ok(None) => return Ok(()),
                Err(GiveUp(number)) => bail!("no acknowledgement of {number} after {most} tries"),
            };
            if due.attempt > 1 {
                let (number, attempt) = (due.number, due.attempt);
                say!("sending {number} again, try {attempt} of {most}")?;
            }
            match send_to(&self.socket, due.datagram, &self.server) {
                Ok(_) => {}
                // A line that is too long stays so. Any other failure is one more datagram lost: the next may arrive.
                Err(Errno::EMSGSIZE) => Err(Errno::EMSGSIZE).call("sendto")?,
                Err(error) => complain!("sendto: {}", io::Error::from(error)),
            }
        }
    }

    /// Waits for an acknowledgement, for the next datagram that is due, or for typing; true if it is the last.
    fn wait(&self, stdin: Option<BorrowedFd>) -> anyhow::Result<bool> {
        let left = self.window.due().map(|due| due - Instant::now()); // zero if it is over, not less
        let mut fds = vec![PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        fds.extend(stdin.map(|stdin| PollFd::new(stdin, PollFlags::POLLIN)));
        match ppoll(&mut fds, left.map(TimeSpec::from_duration), None) {
            Ok(_) | Err(Errno::EINTR) => Ok(fds[1..].iter().any(|fd| fd.any() == Some(true))),
            Err(error) => Err(error).call("ppoll")?,
        }
    }

    fn take_acknowledgement(&mut self) -> anyhow::Result<()> {
        let mut buffer = [0; 64];
        let arrived = receive_from(&self.socket, &mut buffer, MsgFlags::MSG_DONTWAIT);
        let Some(datagram) = arrived.call("recvmsg")? else {
            return Ok(());
        };
        match Message::decode(&buffer[..datagram.length]) {
            Some(Message::Ack {
                session,
                number,
                next,
            }) if datagram.from == self.server && session == self.session => {
                for delivered in self.window.acknowledge(number, next) {
                    say!("acknowledged {delivered}")?;
                }
            }
            // From a stranger, or meant for an earlier client on this port.
            _ => complain!("ignored {} bytes from {}", datagram.sent, datagram.from),
        }
        Ok(())
    }
}
