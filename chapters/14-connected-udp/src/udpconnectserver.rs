//! A server that connects its socket to its first client, and has no other from then on.

use std::io::{IsTerminal, stdout};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use common::address::{Listen, seconds};
use common::signal::StopSignal;
use common::tcp::local_address;
use common::text::printable;
use common::{Call, complain, say, udp};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};

use crate::client::connect;

/// Answers its first client with "Hi, …", and nobody else, until that client says goodbye
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// Room for a datagram; what is longer is cut, and the rest of it lost
    #[arg(long, value_name = "BYTES", default_value_t = u16::MAX, value_parser = clap::value_parser!(u16).range(1..))]
    buffer: u16,
    /// Seconds to wait before each answer (and before the connect), as if it took that long to find
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    pause: Duration,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let stop = StopSignal::new()?;
    let socket = udp::bind(&args.listen.address())?;
    say!("listening on {}", local_address(&socket)?)?;

    let mut buffer = vec![0; args.buffer.into()];
    let mut client: Option<SocketAddr> = None;
    let mut count = 0;
    while !stop.comes_while(Some(socket.as_fd()), None)? {
        // ANCHOR: receive
        let datagram = match udp::receive_from(&socket, &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(Some(datagram)) => datagram,
            // select(2), BUGS: what woke us may be gone, for example for a wrong checksum.
            Ok(None) => continue,
            // ICMP about an answer that was sent before. Anybody can forge it (RFC 8085 section 5.2), so it ends nothing.
            Err(error) if is_report(error) => {
                complain!("recvmsg: {}", std::io::Error::from(error));
                continue;
            }
            Err(error) => return Err(error).call("recvmsg")?,
        };
        // A connected socket takes nothing from strangers. What was in its buffer before the connect stays there.
        if client.is_some_and(|client| client != datagram.from) {
            let (sent, from) = (datagram.sent, datagram.from);
            complain!("ignored {sent} bytes from {from}, which came before the connect");
            continue;
        }
        // ANCHOR_END: receive
        let message = &buffer[..datagram.length];
        say!("received {} bytes: {}", message.len(), printable(message))?;
        if datagram.sent > datagram.length {
            let (sent, lost) = (datagram.sent, datagram.sent - datagram.length);
            say!("cut: the datagram had {sent} bytes, {lost} are lost")?;
        }
        count += 1;
        if !args.pause.is_zero() && stop.comes_while(None, Some(args.pause))? {
            break;
        }
        // ANCHOR: connect
        if client.is_none() {
            if let Err(error) = connect(&socket, &datagram.from) {
                complain!("{:#}", anyhow::Error::from(error));
                continue;
            }
            client = Some(datagram.from);
            say!("connected to {}", datagram.from)?;
        }
        if message.starts_with(b"goodbye") {
            break;
        }
        // ANCHOR_END: connect
        answer(&socket, message)?;
    }
    if stdout().is_terminal() {
        say!("")?; // The terminal has just shown ^C.
    }
    Ok(say!("received {count} datagrams")?)
}

// ANCHOR: answer
fn answer(socket: &OwnedFd, message: &[u8]) -> anyhow::Result<()> {
    let answer = [b"Hi, ", message].concat();
    let mut earlier = 3;
    let outcome = loop {
        match send(socket.as_raw_fd(), &answer, MsgFlags::empty()) {
            Err(Errno::EINTR) => {}
            // This is about a datagram sent before, and with it the error is gone; but this one was not sent. So again.
            // Not for ever: our own kernel says the same when there is no way to the client, and says it each time.
            Err(error) if earlier > 0 && is_report(error) && error != Errno::EMSGSIZE => {
                complain!("send: {}", std::io::Error::from(error));
                earlier -= 1;
            }
            outcome => break outcome,
        }
    };
    match outcome.call("send") {
        Ok(sent) => say!("send bytes: {sent}")?,
        // One answer that cannot be sent (too long) is no end of the service.
        Err(error) => complain!("{:#}", anyhow::Error::from(error)),
    }
    Ok(())
}
// ANCHOR_END: answer

/// What ICMP can make of a connected socket's next call: ip(7), `icmp_err_convert` in the kernel's net/ipv4/icmp.c and
/// `icmpv6_err_convert` in net/ipv6/icmp.c.
fn is_report(error: Errno) -> bool {
    matches!(
        error,
        Errno::ECONNREFUSED
            | Errno::EACCES
            | Errno::EHOSTDOWN
            | Errno::EHOSTUNREACH
            | Errno::ENETUNREACH
            | Errno::ENONET
            | Errno::ENOPROTOOPT
            | Errno::EOPNOTSUPP
            | Errno::EPROTO
            | Errno::EMSGSIZE
    )
}
