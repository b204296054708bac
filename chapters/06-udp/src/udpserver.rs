//! A server without connections: each datagram names its sender, and the answer goes there.

use std::fs;
use std::io::{IoSliceMut, IsTerminal, stdout};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use common::address::{Listen, from_kernel, seconds};
use common::signal::StopSignal;
use common::tcp::local_address;
use common::text::printable;
use common::{Call, CallError, complain, say};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, bind, getsockopt, recvmsg,
    sendto, setsockopt, socket, sockopt,
};
use nix::sys::stat::fstat;

/// Answers each datagram with "Hi, …"; Ctrl-C says how many there were
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// Room for a datagram; what is longer is cut, and the rest of it lost
    #[arg(long, value_name = "BYTES", default_value_t = u16::MAX, value_parser = clap::value_parser!(u16).range(1..))]
    buffer: u16,
    /// Size of the kernel's receive buffer (SO_RCVBUF), which holds the datagrams that wait
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(..=i64::from(i32::MAX)))]
    rcvbuf: Option<u32>,
    /// Seconds to wait before each answer, as if it took that long to find
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    pause: Duration,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let stop = StopSignal::new()?;
    let socket = open(args)?;
    say!("listening on {}", local_address(&socket)?)?;
    if args.rcvbuf.is_some() {
        let bytes = getsockopt(&socket, sockopt::RcvBuf).call("getsockopt SO_RCVBUF")?;
        say!("receive buffer: {bytes} bytes")?;
    }

    let mut buffer = vec![0; args.buffer.into()];
    let mut count = 0;
    while !stop.comes_while(Some(socket.as_fd()), None)? {
        // ANCHOR: receive
        // recvfrom(2) with one more answer: the flags, in which MSG_TRUNC says that the datagram was cut. MSG_TRUNC as
        // an argument makes the result the length that was sent, and not what fitted into the buffer.
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let received = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, None, flags);
        let (sent, cut, client) = match received {
            Ok(datagram) => {
                let cut = datagram.flags.contains(MsgFlags::MSG_TRUNC);
                (datagram.bytes, cut, datagram.address)
            }
            // select(2), BUGS: what woke us may be gone, for example for a wrong checksum.
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            Err(error) => Err(error).call("recvmsg")?,
        };
        // ANCHOR_END: receive
        let client = client.and_then(|client| from_kernel(&client));
        let client = client.ok_or(Errno::EAFNOSUPPORT).call("recvmsg")?;
        let message = &buffer[..sent.min(buffer.len())];
        say!("received {} bytes: {}", message.len(), printable(message))?;
        if cut {
            let lost = sent - message.len();
            say!("cut: the datagram had {sent} bytes, {lost} are lost")?;
        }
        count += 1;

        if !args.pause.is_zero() && stop.comes_while(None, Some(args.pause))? {
            break;
        }

        // ANCHOR: answer
        let answer = [b"Hi, ", message].concat();
        let to = SockaddrStorage::from(client);
        let outcome = loop {
            match sendto(socket.as_raw_fd(), &answer, &to, MsgFlags::empty()) {
                Err(Errno::EINTR) => {}
                outcome => break outcome,
            }
        };
        // One answer that cannot be sent (too long, no route) is that client's loss, and no end of the service.
        if let Err(error) = outcome.call(format_args!("sendto {client}")) {
            complain!("{:#}", anyhow::Error::from(error));
        }
        // ANCHOR_END: answer
    }
    if stdout().is_terminal() {
        say!("")?; // The terminal has just shown ^C.
    }
    say!("received {count} datagrams")?;
    match dropped(&socket)? {
        0 => {}
        dropped => say!("dropped by the kernel: {dropped} datagrams")?,
    }
    Ok(())
}

// ANCHOR: open
fn open(args: &Args) -> Result<OwnedFd, CallError> {
    let address = args.listen.address();
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).call("socket")?;
    if let Some(bytes) = args.rcvbuf {
        setsockopt(&socket, sockopt::RcvBuf, &(bytes as usize)).call("setsockopt SO_RCVBUF")?;
    }
    // No listen and no accept: from here on the kernel takes datagrams for this address.
    let to = SockaddrStorage::from(address);
    bind(socket.as_raw_fd(), &to).call(format_args!("bind {address}"))?;
    Ok(socket)
}
// ANCHOR_END: open

// ANCHOR: dropped
/// What the kernel threw away because the receive buffer was full: the last column of /proc/net/udp, proc_net(5).
fn dropped(socket: &OwnedFd) -> Result<u64, CallError> {
    let inode = fstat(socket).call("fstat")?.st_ino.to_string();
    for table in ["/proc/self/net/udp", "/proc/self/net/udp6"] {
        let Ok(text) = fs::read_to_string(table) else {
            continue; // a kernel without IPv6
        };
        let mut rows = text.lines().map(|row| row.split_ascii_whitespace());
        if let Some(mut row) = rows.find(|row| row.clone().nth(9) == Some(&inode)) {
            return Ok(row
                .next_back()
                .and_then(|last| last.parse().ok())
                .unwrap_or(0));
        }
    }
    Ok(0)
}
// ANCHOR_END: dropped
