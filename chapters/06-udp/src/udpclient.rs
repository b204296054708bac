//! A client without a connection: each line goes out as one datagram, and an answer may come back, or not.

use std::io::{IoSliceMut, stdin};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use common::address::{Peer, from_kernel, seconds};
use common::io::Received;
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, complain, say};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, recvmsg, sendto, setsockopt,
    socket, sockopt,
};
use nix::sys::time::TimeVal;

/// Sends each line that is typed as a datagram, and prints the answer
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Peer,
    /// Seconds to wait for an answer (SO_RCVTIMEO); without it the wait has no end
    #[arg(long, value_name = "SECONDS", value_parser = timeout)]
    timeout: Option<Duration>,
    /// Wait for no answer
    #[arg(long, conflicts_with = "timeout")]
    no_wait: bool,
    /// Send one datagram of this size in place of the lines
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    size: Option<u32>,
    /// Room for an answer; what is longer is cut, and the rest of it lost
    #[arg(long, value_name = "BYTES", default_value_t = u16::MAX, value_parser = clap::value_parser!(u16).range(1..))]
    buffer: u16,
}

/// A timeout of nothing would mean "for ever" to the kernel, socket(7).
pub fn timeout(text: &str) -> Result<Duration, String> {
    match seconds(text)? {
        time if time < Duration::from_millis(1) => Err("less than a millisecond".into()),
        time => Ok(time),
    }
}

struct Client<'a> {
    args: &'a Args,
    server: SocketAddr,
    socket: OwnedFd,
    buffer: Vec<u8>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let server = args.server.first()?;
    let family = match server {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    // No bind: the first sendto gives the socket a port, udp(7).
    let socket = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).call("socket")?;
    let mut client = Client {
        args,
        server,
        socket,
        buffer: vec![0; args.buffer.into()],
    };
    if let Some(size) = args.size {
        return client.exchange(&vec![b'x'; size as usize], &format!("{size} bytes"));
    }
    let mut typed = LineBuffer::new();
    loop {
        let ended = typed.fill(stdin()).call("read standard input")? == Received::EndOfFile;
        while let Some(line) = typed.next_line() {
            client.exchange(&line, &printable(&line).to_string())?;
        }
        if ended {
            return Ok(());
        }
    }
}

impl Client<'_> {
    fn exchange(&mut self, data: &[u8], shown: &str) -> anyhow::Result<()> {
        // An answer that came after its timeout must not pass for the answer to the next line.
        while let Some(late) = self.answer(MsgFlags::MSG_DONTWAIT)? {
            say!("late answer: {}", printable(&self.buffer[..late]))?;
        }
        say!("now sending {shown}")?;
        // ANCHOR: send
        let to = SockaddrStorage::from(self.server);
        let sent = loop {
            match sendto(self.socket.as_raw_fd(), data, &to, MsgFlags::empty()) {
                Err(Errno::EINTR) => {}
                sent => break sent,
            }
        };
        // The kernel has taken the datagram. Whether anybody is there to receive it, this does not say.
        let sent = sent.call(format_args!("sendto {}", self.server))?;
        // ANCHOR_END: send
        say!("send bytes: {sent}")?;
        if !self.args.no_wait {
            match self.answer(MsgFlags::empty())? {
                Some(length) => say!("{}", printable(&self.buffer[..length]))?,
                None => complain!(
                    "no answer in time: recvmsg: {}",
                    std::io::Error::from(Errno::EAGAIN)
                ),
            }
        }
        Ok(())
    }

    // ANCHOR: answer
    /// The length of the server's next datagram, now in the buffer; `None` when there is none in time.
    fn answer(&mut self, flags: MsgFlags) -> anyhow::Result<Option<usize>> {
        let deadline = self.args.timeout.map(|timeout| Instant::now() + timeout);
        loop {
            // Set for each call anew: a stranger's datagram must not start the time again.
            if let Some(deadline) = deadline {
                let left = deadline.saturating_duration_since(Instant::now());
                if left < Duration::from_micros(1) {
                    return Ok(None);
                }
                let left = TimeVal::new(left.as_secs() as i64, left.subsec_micros().into());
                setsockopt(&self.socket, sockopt::ReceiveTimeout, &left)
                    .call("setsockopt SO_RCVTIMEO")?;
            }
            let flags = flags | MsgFlags::MSG_TRUNC;
            let mut slices = [IoSliceMut::new(&mut self.buffer)];
            let raw = self.socket.as_raw_fd();
            let (length, from) = match recvmsg::<SockaddrStorage>(raw, &mut slices, None, flags) {
                Ok(answer) => (answer.bytes, answer.address),
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => return Ok(None),
                Err(error) => Err(error).call("recvmsg")?,
            };
            // Anybody may send to this socket. Only the server's datagrams are answers.
            let from = from.and_then(|from| from_kernel(&from));
            let from = from.ok_or(Errno::EAFNOSUPPORT).call("recvmsg")?;
            if from != self.server {
                complain!("ignored {length} bytes from {from}, which is not the server");
                continue;
            }
            let room = self.buffer.len();
            if length > room {
                let lost = length - room;
                say!("cut: the answer had {length} bytes, {lost} are lost")?;
            }
            return Ok(Some(length.min(room)));
        }
    }
    // ANCHOR_END: answer
}
