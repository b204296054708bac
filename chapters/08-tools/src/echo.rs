//! The socket of ping: echo requests go out, answers and errors come in. icmp(7), raw(7), RFC 792, RFC 4443.

use std::collections::HashMap;
use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use common::Call;
use common::address::from_kernel;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendto};

use crate::icmp_socket::{open, prepare};
use crate::{icmp, trouble};

/// What came back.
pub enum Answer {
    /// The destination is there.
    Reply {
        from: IpAddr,
        /// Of the ICMP message, in bytes.
        length: usize,
        sequence: u16,
        ttl: i32,
        time: Duration,
        /// This request had been answered before.
        again: bool,
        /// The data that came back are not those that were sent.
        altered: bool,
    },
    /// Somebody on the way, or the destination, or our own kernel says that it did not arrive.
    Trouble {
        from: IpAddr,
        sequence: u16,
        words: &'static str,
    },
    /// Something that is none of our business: a raw socket hears every ICMP message of the host.
    OfOthers,
}

/// The socket, and when each request went out.
pub struct Echo {
    socket: OwnedFd,
    raw: bool,
    to: SocketAddr,
    identifier: u16,
    data: Vec<u8>,
    /// The times of the requests, and whether they were answered. Sequence numbers begin again after 65535, so this has
    /// a bound. ping(8) writes the time into the data instead, and believes whatever comes back.
    sent: HashMap<u16, (Instant, bool)>,
}

impl AsFd for Echo {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Echo {
    /// A socket for echo requests to this address, with this data in each.
    pub fn open(to: SocketAddr, ttl: Option<u8>, data: Vec<u8>) -> anyhow::Result<Self> {
        let (socket, raw) = open(&to)?;
        prepare(&socket, &to, ttl).call("setsockopt")?;
        let identifier = std::process::id() as u16;
        let sent = HashMap::new();
        Ok(Self {
            socket,
            raw,
            to,
            identifier,
            data,
            sent,
        })
    }

    /// Sends one request.
    pub fn send(&mut self, sequence: u16) -> anyhow::Result<()> {
        let message = icmp::echo_request(self.to.is_ipv6(), self.identifier, sequence, &self.data);
        let to = SockaddrStorage::from(self.to);
        self.sent.insert(sequence, (Instant::now(), false));
        // An error of an earlier request stands in the way of one call, and has no other meaning for this one: it is in
        // the queue too.
        let mut earlier = 3;
        loop {
            match sendto(self.socket.as_raw_fd(), &message, &to, MsgFlags::empty()) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(Errno::EHOSTUNREACH | Errno::ECONNREFUSED | Errno::ENETUNREACH)
                    if earlier > 0 =>
                {
                    earlier -= 1
                }
                // The interface's queue is full: a lost request, no more.
                Err(Errno::EAGAIN | Errno::ENOBUFS) => return Ok(()),
                Err(error) => return Ok(Err(error).call(format_args!("sendto {}", self.to.ip()))?),
            }
        }
    }

    /// The next answer, if there is one.
    pub fn hear(&mut self) -> anyhow::Result<Option<Answer>> {
        if let Some(trouble) = trouble::next(&self.socket)? {
            return Ok(Some(self.trouble(&trouble)));
        }
        let mut buffer = [0; 65_536];
        let mut control = nix::cmsg_space!(libc::c_int);
        let mut pieces = [IoSliceMut::new(&mut buffer)];
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::empty());
        let received = match recvmsg::<SockaddrStorage>(fd, &mut pieces, Some(&mut control), flags)
        {
            Err(Errno::EAGAIN) => return Ok(None),
            // Interrupted, or an error that came this moment and is in the queue by now.
            Err(Errno::EINTR | Errno::EHOSTUNREACH | Errno::ECONNREFUSED | Errno::ENETUNREACH) => {
                return Ok(Some(Answer::OfOthers));
            }
            outcome => outcome.call("recvmsg")?,
        };
        let now = Instant::now();
        let mut controls = received.cmsgs().call("recvmsg")?;
        let ttl = controls.find_map(|control| match control {
            ControlMessageOwned::Ipv4Ttl(ttl) | ControlMessageOwned::Ipv6HopLimit(ttl) => Some(ttl),
            _ => None,
        });
        let from = received.address.as_ref().and_then(from_kernel);
        let length = received.bytes;
        let mut message = &buffer[..length];
        if self.raw && self.to.is_ipv4() {
            // A raw IPv4 socket gets the IP header too, whose length is in its first byte, in words of four.
            let header = usize::from(message.first().unwrap_or(&0) & 15) * 4;
            message = message.get(header..).unwrap_or_default();
        }
        let (Some(from), Some((sequence, identifier, data))) =
            (from, icmp::echo_reply(self.to.is_ipv6(), message))
        else {
            return Ok(Some(Answer::OfOthers));
        };
        // A datagram socket has an identifier that the kernel chose, and hears nothing else.
        let ours = !self.raw || identifier == self.identifier;
        let Some((at, answered)) = self.sent.get_mut(&sequence).filter(|_| ours) else {
            return Ok(Some(Answer::OfOthers));
        };
        Ok(Some(Answer::Reply {
            from: from.ip(),
            length: message.len(),
            sequence,
            ttl: ttl.unwrap_or(0),
            time: now.saturating_duration_since(*at),
            again: std::mem::replace(answered, true),
            altered: data != self.data,
        }))
    }

    /// Which request an error is about: it quotes its beginning.
    fn trouble(&self, trouble: &trouble::Trouble) -> Answer {
        let &[_, _, _, _, i, j, s, t, ..] = trouble.quoted.as_slice() else {
            return Answer::OfOthers;
        };
        if self.raw && u16::from_be_bytes([i, j]) != self.identifier {
            return Answer::OfOthers;
        }
        Answer::Trouble {
            from: trouble.from.unwrap_or(self.to.ip()),
            sequence: u16::from_be_bytes([s, t]),
            words: trouble.words().0,
        }
    }
}
