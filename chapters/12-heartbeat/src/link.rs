//! What the client's messages go over: a connection, or datagrams to one address.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::bail;
use common::address::Peer;
use common::io::{Received, receive};
use common::udp::{self, receive_from, send_to};
use common::{Call, CallError, complain, tcp};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};

use crate::message::{Kind, LENGTH};

pub enum Link {
    Tcp {
        connection: OwnedFd,
        /// A message that has arrived in part: so many bytes of it.
        message: Box<[u8; LENGTH]>,
        filled: usize,
    },
    Udp {
        socket: OwnedFd,
        server: SocketAddr,
    },
}

impl Link {
    pub fn open(server: &Peer, udp: bool) -> Result<Self, CallError> {
        if udp {
            let server = server.first()?;
            // Not connected: the kernel would tell of a port that nobody listens on (chapter 14), and we would not see
            // what the heartbeat alone can find out.
            let socket = udp::bind(&udp::any_for(&server))?;
            return Ok(Link::Udp { socket, server });
        }
        Ok(Link::Tcp {
            connection: tcp::connect(server)?,
            message: Box::new([0; LENGTH]),
            filled: 0,
        })
    }

    // ANCHOR: send
    /// Sends one message. This never waits: a server that has stopped reading must not stop our clock as well.
    pub fn send(&self, message: &[u8; LENGTH]) -> anyhow::Result<()> {
        let connection = match self {
            Link::Tcp { connection, .. } => connection,
            Link::Udp { socket, server } => {
                // A datagram that cannot be sent now is as good as lost; the next one is sent in its time.
                if let Err(error) = send_to(socket, message, server).call("sendto") {
                    complain!("{:#}", anyhow::Error::from(error));
                }
                return Ok(());
            }
        };
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        loop {
            match send(connection.as_raw_fd(), message, flags) {
                Ok(LENGTH) => return Ok(()),
                Ok(_) | Err(Errno::EAGAIN) => bail!("the server does not read"),
                Err(Errno::EINTR) => {}
                Err(error) => Err(error).call("send")?,
            }
        }
    }
    // ANCHOR_END: send

    // ANCHOR: receive
    /// One read, when there is something to read: the type of the message that it completes, if it does.
    pub fn receive(&mut self) -> anyhow::Result<Option<Kind>> {
        match self {
            Link::Tcp {
                connection,
                message,
                filled,
            } => {
                // No more than what is missing: what follows belongs to the next message.
                match receive(connection, &mut message[*filled..]).call("read")? {
                    Received::Data(length) => *filled += length,
                    Received::EndOfFile if *filled == 0 => bail!("server terminated"),
                    Received::EndOfFile => {
                        bail!("server terminated after {filled} bytes of a message")
                    }
                    Received::Reset => Err(Errno::ECONNRESET).call("read")?,
                    Received::WouldBlock => {}
                }
                if *filled < LENGTH {
                    return Ok(None);
                }
                *filled = 0;
                Ok(Some(Kind::of(message)?))
            }
            Link::Udp { socket, server } => {
                let mut message = [0; LENGTH];
                let flags = MsgFlags::MSG_DONTWAIT;
                let arrived = receive_from(&socket, &mut message, flags).call("recvmsg")?;
                let Some(datagram) = arrived else {
                    return Ok(None);
                };
                match Kind::of(&message) {
                    Ok(kind) if datagram.from == *server && datagram.sent == LENGTH => {
                        return Ok(Some(kind));
                    }
                    // Anybody may send to this port. What is no message of the server's is nothing to us.
                    _ => complain!("ignored {} bytes from {}", datagram.sent, datagram.from),
                }
                Ok(None)
            }
        }
    }
    // ANCHOR_END: receive
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Link::Tcp { connection, .. } => connection.as_fd(),
            Link::Udp { socket, .. } => socket.as_fd(),
        }
    }
}
