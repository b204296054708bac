//! The routers on the way to a host: packets that may pass one, two, three of them, and the complaints about each.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use common::address::{Peer, seconds};
use common::udp::{LARGEST, any_for};
use common::{Call, CallError, say, udp};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{MsgFlags, SockaddrStorage, sendto, setsockopt, sockopt};

use crate::trouble;

/// Names each router on the way to a host by the message it sends when a packet's time to live is used up
///
/// A * is a request that nobody answered. After a time, !H !N !P !X !F say that the host, the network, the protocol cannot be
/// reached, that it is forbidden, or that the packet is too large. No privilege is needed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address or name of the host
    #[arg(value_name = "ADDR")]
    host: String,
    /// Give up after so many hops
    #[arg(short, long, default_value = "30", value_parser = clap::value_parser!(u8).range(1..))]
    max_hops: u8,
    /// Requests for each hop
    #[arg(short, long, default_value = "3", value_parser = clap::value_parser!(u8).range(1..=10))]
    queries: u8,
    /// Seconds to wait for an answer to each
    #[arg(short, long, value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    wait: Duration,
    /// UDP port of the first request, one higher for each that follows: a port where nobody listens
    #[arg(short, long, default_value = "33434", value_parser = clap::value_parser!(u16).range(1..=65_000))]
    port: u16,
}

/// What became of one request.
struct Outcome {
    from: IpAddr,
    /// The remark behind the time.
    remark: &'static str,
    /// No use in asking further.
    last: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut to = Peer {
        host: args.host.clone(),
        port: args.port,
    }
    .first()?;
    let socket = udp::bind(&any_for(&to))?;
    if to.is_ipv4() {
        setsockopt(&socket, sockopt::Ipv4RecvErr, &true).call("setsockopt IP_RECVERR")?;
    } else {
        setsockopt(&socket, sockopt::Ipv6RecvErr, &true).call("setsockopt IPV6_RECVERR")?;
    }
    say!(
        "traceroute to {} ({}), {} hops max",
        args.host,
        to.ip(),
        args.max_hops
    )?;
    for hop in 1..=args.max_hops {
        // ANCHOR: hop
        if to.is_ipv4() {
            setsockopt(&socket, sockopt::Ipv4Ttl, &hop.into()).call("setsockopt IP_TTL")?;
        } else {
            setsockopt(&socket, sockopt::Ipv6Ttl, &hop.into())
                .call("setsockopt IPV6_UNICAST_HOPS")?;
        }
        let mut line = format!("{hop:2} ");
        let (mut shown, mut last) = (None, false);
        for _ in 0..args.queries {
            let start = Instant::now();
            send(&socket, &SockaddrStorage::from(to))?;
            match outcome(&socket, to.port(), start + args.wait)? {
                None => line += " *",
                Some(answer) => {
                    // Requests may take different ways: the router is named again when it is another one.
                    if shown != Some(answer.from) {
                        line += &format!(" {} ", answer.from);
                        shown = Some(answer.from);
                    }
                    let time = start.elapsed().as_secs_f64() * 1000.0;
                    line += format!(" {time:.3} ms {}", answer.remark).trim_end();
                    last |= answer.last;
                }
            }
            // The port is the request's number: a complaint quotes it, so a late one is not taken for the next.
            to.set_port(to.port().checked_add(1).unwrap_or(args.port));
        }
        say!("{line}")?;
        // ANCHOR_END: hop
        if last {
            break;
        }
    }
    Ok(())
}

/// Sends one request. An error of an earlier one stands in the way of one call; it is in the queue too.
fn send(socket: &OwnedFd, to: &SockaddrStorage) -> Result<(), CallError> {
    const DATA: &[u8] = b"Who passes this on?";
    let mut earlier = 3;
    loop {
        match sendto(socket.as_raw_fd(), DATA, to, MsgFlags::empty()) {
            Err(Errno::EINTR) => {}
            Err(Errno::EHOSTUNREACH | Errno::ECONNREFUSED) if earlier > 0 => earlier -= 1,
            outcome => return outcome.map(drop).call(format_args!("sendto {to}")),
        }
    }
}

/// Waits for word about the request to this port.
fn outcome(socket: &OwnedFd, port: u16, until: Instant) -> anyhow::Result<Option<Outcome>> {
    loop {
        while let Some(trouble) = trouble::next(socket)? {
            let about = trouble.destination.filter(|to| to.port() == port);
            if let (Some(_), Some(from)) = (about, trouble.from) {
                let last = !trouble.time_exceeded();
                return Ok(Some(Outcome {
                    from,
                    remark: trouble.words().1,
                    last,
                }));
            }
        }
        let mut data = [0; LARGEST];
        match udp::receive_from(socket, &mut data, MsgFlags::MSG_DONTWAIT) {
            // Somebody does listen there, and has answered: it is the destination.
            Ok(Some(answer)) if answer.from.port() == port => {
                return Ok(Some(Outcome {
                    from: answer.from.ip(),
                    remark: "",
                    last: true,
                }));
            }
            // Errors are read from the queue, with their details.
            Ok(Some(_)) | Err(Errno::EHOSTUNREACH | Errno::ECONNREFUSED | Errno::ENETUNREACH) => {
                continue;
            }
            Ok(None) => {}
            Err(error) => return Ok(Err(error).call("recvmsg")?),
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        // POLLERR, a word about a request, is waited for without asking.
        let mut ready = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut ready, Some(left.into()), None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Ok(Err(error).call("poll")?),
        }
    }
}
