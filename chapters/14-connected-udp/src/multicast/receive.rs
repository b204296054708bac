//! A member of a group.

use std::io::{IsTerminal, stdout};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use common::signal::StopSignal;
use common::tcp::local_address;
use common::text::printable;
use common::{Call, CallError, complain, say, udp};
use nix::libc;
use nix::sys::socket::{MsgFlags, SockaddrStorage, bind, setsockopt, sockopt};

use super::{Group, JoinV4, JoinV6, in_addr};
use crate::client::open;

/// Joins a group and prints what is sent to it
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    group: Group,
    /// Do everything but join
    #[arg(long)]
    stay_out: bool,
    /// Answer the sender with "Hi, …"
    #[arg(long)]
    answer: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let stop = StopSignal::new()?;
    let socket = join(args)?;
    say!("listening on {}", local_address(&socket)?)?;
    let mut buffer = vec![0; udp::LARGEST];
    let mut count = 0;
    while !stop.comes_while(Some(socket.as_fd()), None)? {
        let received = udp::receive_from(&socket, &mut buffer, MsgFlags::MSG_DONTWAIT);
        let Some(datagram) = received.call("recvmsg")? else {
            continue;
        };
        let message = &buffer[..datagram.length];
        say!("received {} bytes: {}", message.len(), printable(message))?;
        count += 1;
        if args.answer {
            // From one of this host's own addresses: a group cannot be a sender, RFC 1112 section 4.
            let (answer, to) = ([b"Hi, ", message].concat(), &datagram.from);
            if let Err(error) = udp::send_to(&socket, &answer, to).call(format_args!("sendto {to}"))
            {
                complain!("{:#}", anyhow::Error::from(error));
            }
        }
    }
    if stdout().is_terminal() {
        say!("")?; // The terminal has just shown ^C.
    }
    Ok(say!("received {count} datagrams")?)
}

// ANCHOR: join
fn join(args: &Args) -> Result<OwnedFd, CallError> {
    let interface = args.group.interface()?;
    let address = args.group.socket_address(&interface);
    let socket = open(&address)?;
    // Several members on one host may share the port, and each gets a copy: ip(7).
    setsockopt(&socket, sockopt::ReuseAddr, &true).call("setsockopt SO_REUSEADDR")?;
    // Bound to the group's address, the socket takes what was sent to that address and nothing else. This is not
    // membership: without that the host lets the group's packets pass by.
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))
        .call(format_args!("bind {address}"))?;
    if args.stay_out {
        return Ok(socket);
    }
    let joined = match address.ip() {
        IpAddr::V4(group) => {
            let membership = libc::ip_mreqn {
                imr_multiaddr: in_addr(group),
                imr_address: in_addr(interface.address),
                imr_ifindex: interface.index as i32,
            };
            setsockopt(&socket, JoinV4, &membership)
        }
        IpAddr::V6(group) => {
            let membership = libc::ipv6_mreq {
                ipv6mr_multiaddr: libc::in6_addr {
                    s6_addr: group.octets(),
                },
                ipv6mr_interface: interface.index,
            };
            setsockopt(&socket, JoinV6, &membership)
        }
    };
    joined.call(format_args!("join {}", SocketAddr::ip(&address)))?;
    Ok(socket)
}
// ANCHOR_END: join
