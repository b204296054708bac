//! The receiving side: holds what is early, drops what is double, acknowledges both.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stdout};
use std::net::SocketAddr;
use std::os::fd::AsFd;

use common::address::Listen;
use common::output::OutputError;
use common::signal::StopSignal;
use common::tcp::local_address;
use common::text::printable;
use common::udp::{self, receive_from, send_to};
use common::{Call, complain, say};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::MsgFlags;

use super::{Message, WINDOW};

/// How many clients are remembered. The one that has been silent the longest is forgotten for a new one; should it
/// speak again, its lines go without acknowledgement and it gives up. (Except within its first window: those lines would
/// begin a new session, and be delivered once more.)
const SESSIONS: usize = 64;

/// Prints each line of each client once, in the client's order
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
}

/// What is known of one client.
struct Session {
    client: SocketAddr,
    id: u32,
    /// The number of the line that is to be delivered next.
    next: u64,
    /// Lines after that one, which came too early. Fewer than WINDOW.
    early: BTreeMap<u64, Vec<u8>>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let stop = StopSignal::new()?;
    let socket = udp::bind(&args.listen.address())?;
    say!("listening on {}", local_address(&socket)?)?;
    let mut sessions = Vec::new();
    let mut buffer = vec![0; udp::LARGEST];
    let (mut datagrams, mut delivered) = (0, 0);
    loop {
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = [readable(stop.as_fd()), readable(socket.as_fd())];
        match ppoll(&mut fds, None, None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => Err(error).call("ppoll")?,
        }
        if stop.received()?.is_some() {
            break;
        }
        let arrived = receive_from(&socket, &mut buffer, MsgFlags::MSG_DONTWAIT).call("recvmsg")?;
        let Some(datagram) = arrived else { continue };
        datagrams += 1;
        let client = datagram.from;
        let Some(Message::Data {
            session: id,
            number,
            line,
        }) = Message::decode(&buffer[..datagram.length])
        else {
            complain!("ignored {} bytes from {client}", datagram.length);
            continue;
        };
        let Some(session) = session_of(&mut sessions, client, id, number) else {
            complain!("ignored line {number} of a session that began without us, from {client}");
            continue;
        };
        delivered += session.take(number, line)?;
        let next = session.next;
        // ANCHOR: acknowledge
        // A line that was delivered long ago is acknowledged again: it comes once more because the first
        // acknowledgement was lost. What is beyond the window is not held, so it is not acknowledged either.
        if number < next + WINDOW {
            let ack = Message::Ack {
                session: id,
                number,
                next,
            };
            if let Err(error) = send_to(&socket, &ack.encode(), &client).call("sendto") {
                // As good as lost on the wire. The client will ask again.
                complain!("{:#}", anyhow::Error::from(error));
            }
        }
        // ANCHOR_END: acknowledge
    }
    if stdout().is_terminal() {
        say!("")?; // The terminal has just shown ^C.
    }
    say!("received {datagrams} datagrams, delivered {delivered} lines")?;
    Ok(())
}

/// The session of a datagram, moved to the end of the list. Only the first window of numbers begins a new one.
fn session_of(
    sessions: &mut Vec<Session>,
    client: SocketAddr,
    id: u32,
    number: u64,
) -> Option<&mut Session> {
    let known = sessions
        .iter()
        .position(|session| session.client == client && session.id == id);
    let session = match known {
        Some(index) => sessions.remove(index),
        None if number >= WINDOW => return None,
        None => Session {
            client,
            id,
            next: 0,
            early: BTreeMap::new(),
        },
    };
    if sessions.len() == SESSIONS {
        sessions.remove(0);
    }
    sessions.push(session);
    sessions.last_mut()
}

impl Session {
    // ANCHOR: deliver
    /// Takes a line that has arrived and delivers what is now in order. Returns the number of lines delivered.
    fn take(&mut self, number: u64, line: &[u8]) -> Result<u64, OutputError> {
        let (client, first) = (self.client, self.next);
        if number < self.next || self.early.contains_key(&number) {
            complain!("line {number} from {client} came again");
        } else if number - self.next >= WINDOW {
            complain!("line {number} from {client} is beyond the window");
        } else {
            if number > self.next {
                complain!("line {number} from {client} waits for {first}");
            }
            self.early.insert(number, line.to_vec());
        }
        while let Some(line) = self.early.remove(&self.next) {
            say!("received {} bytes: {}", line.len(), printable(&line))?;
            self.next += 1;
        }
        Ok(self.next - first)
    }
    // ANCHOR_END: deliver
}
