//! What the two clients have in common: a line in, a datagram out, and its answer. They differ in their system calls.

use std::io::stdin;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use common::address::{Peer, seconds};
use common::io::Received;
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, CallError, complain, say};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, connect as nix_connect,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use nix::time::{ClockId, clock_gettime};

/// What both clients can be told.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    pub server: Peer,
    /// Seconds to wait for an answer (SO_RCVTIMEO); without it the wait has no end
    #[arg(long, value_name = "SECONDS", value_parser = timeout)]
    timeout: Option<Duration>,
    /// Wait for no answer
    #[arg(long, conflicts_with = "timeout")]
    no_wait: bool,
    /// Room for an answer; what is longer is cut, and the rest of it lost
    #[arg(long, value_name = "BYTES", default_value_t = u16::MAX, value_parser = clap::value_parser!(u16).range(1..))]
    buffer: u16,
    /// In place of the lines, send so many datagrams of one byte and say what each of them cost
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    flood: Option<u32>,
}

/// A timeout of nothing would mean "for ever" to the kernel, socket(7).
fn timeout(text: &str) -> Result<Duration, String> {
    match seconds(text)? {
        time if time < Duration::from_millis(1) => Err("less than a millisecond".into()),
        time => Ok(time),
    }
}

/// The system calls of a client.
pub trait Calls {
    /// Sends one datagram.
    fn send(&self, data: &[u8]) -> Result<usize, CallError>;
    /// The next datagram: how long it was when it was sent, and who sent it where the call tells. `None` is EAGAIN.
    fn receive(
        &self,
        buffer: &mut [u8],
        flags: MsgFlags,
    ) -> Result<Option<(usize, Option<SocketAddr>)>, CallError>;
}

// ANCHOR: connect
/// A datagram socket of the same family as `peer`. No bind: the kernel picks a port with the first connect or sendto.
pub fn open(peer: &SocketAddr) -> Result<OwnedFd, CallError> {
    let family = match peer {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).call("socket")
}

/// No handshake, and nothing to wait for: the kernel looks up the route, writes the peer's address into the socket, and
/// from now on gives it only what comes from there, udp(7).
pub fn connect(socket: &OwnedFd, peer: &SocketAddr) -> Result<(), CallError> {
    nix_connect(socket.as_raw_fd(), &SockaddrStorage::from(*peer))
        .call(format_args!("connect {peer}"))
}
// ANCHOR_END: connect

/// Sends each line and prints what comes back, until the input ends or a call fails.
pub fn run(args: &Options, socket: &OwnedFd, calls: &impl Calls) -> anyhow::Result<()> {
    if let Some(count) = args.flood {
        return flood(count, calls);
    }
    let mut buffer = vec![0; args.buffer.into()];
    let mut typed = LineBuffer::new();
    loop {
        let ended = typed.fill(stdin()).call("read standard input")? == Received::EndOfFile;
        while let Some(line) = typed.next_line() {
            exchange(&line, args, socket, calls, &mut buffer)?;
        }
        if ended {
            return Ok(());
        }
    }
}

fn exchange(
    line: &[u8],
    args: &Options,
    socket: &OwnedFd,
    calls: &impl Calls,
    buffer: &mut [u8],
) -> anyhow::Result<()> {
    // An answer that came after its timeout must not pass for the answer to the next line.
    while args.timeout.is_some()
        && let Some(late) = answer(MsgFlags::MSG_DONTWAIT, args, socket, calls, buffer)?
    {
        say!("late answer: {}", printable(&buffer[..late]))?;
    }
    say!("now sending {}", printable(line))?;
    say!("send bytes: {}", calls.send(line)?)?;
    if !args.no_wait {
        match answer(MsgFlags::empty(), args, socket, calls, buffer)? {
            Some(length) => say!("{}", printable(&buffer[..length]))?,
            None => complain!("no answer in time: {}", std::io::Error::from(Errno::EAGAIN)),
        }
    }
    Ok(())
}

/// The length of the server's next datagram, now in the buffer; `None` when there is none in time.
fn answer(
    flags: MsgFlags,
    args: &Options,
    socket: &OwnedFd,
    calls: &impl Calls,
    buffer: &mut [u8],
) -> anyhow::Result<Option<usize>> {
    let deadline = args.timeout.map(|timeout| Instant::now() + timeout);
    loop {
        if let Some(deadline) = deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            if left < Duration::from_micros(1) {
                return Ok(None);
            }
            let left = TimeVal::new(left.as_secs() as i64, left.subsec_micros().into());
            setsockopt(socket, sockopt::ReceiveTimeout, &left).call("setsockopt SO_RCVTIMEO")?;
        }
        let Some((sent, from)) = calls.receive(buffer, flags)? else {
            return Ok(None);
        };
        if let Some(stranger) = from {
            complain!("ignored {sent} bytes from {stranger}, which is not the server");
            continue;
        }
        if sent > buffer.len() {
            let lost = sent - buffer.len();
            say!("cut: the answer had {sent} bytes, {lost} are lost")?;
        }
        return Ok(Some(sent.min(buffer.len())));
    }
}

fn flood(count: u32, calls: &impl Calls) -> anyhow::Result<()> {
    let spent = || clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).call("clock_gettime");
    let before = Duration::from(spent()?);
    for _ in 0..count {
        calls.send(b"x")?;
    }
    let each = (Duration::from(spent()?) - before) / count;
    let each = each.as_nanos();
    Ok(say!("{count} sends, {each} ns of processor time each")?)
}
