//! A UDP socket that shares its port, and is a member of a multicast group if it is told so.

use std::io::{IsTerminal, stdout};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use common::address::Listen;
use common::signal::StopSignal;
use common::text::printable;
use common::{Call, CallError, say, tcp, udp};
use nix::sys::socket::{
    AddressFamily, IpMembershipRequest, Ipv6MembershipRequest, MsgFlags, SockFlag, SockType,
    SockaddrStorage, bind, setsockopt, socket, sockopt,
};

/// Prints the datagrams that come to a UDP port which several programs may share
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// Join this multicast group; it needs --bind 0.0.0.0 or --bind ::
    #[arg(long, value_name = "ADDRESS")]
    group: Option<IpAddr>,
    /// Do without SO_REUSEADDR
    #[arg(long)]
    no_reuse: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let stop = StopSignal::new()?;
    let socket = open(args)?;
    say!("listening on {}", tcp::local_address(&socket)?)?;
    let mut buffer = vec![0; udp::LARGEST];
    let mut count = 0;
    while !stop.comes_while(Some(socket.as_fd()), None)? {
        // What woke us may be gone: a datagram with a wrong checksum, select(2).
        let received = udp::receive_from(&socket, &mut buffer, MsgFlags::MSG_DONTWAIT);
        if let Some(datagram) = received.call("recvmsg")? {
            let message = &buffer[..datagram.length];
            say!("received {} bytes: {}", message.len(), printable(message))?;
            count += 1;
        }
    }
    if stdout().is_terminal() {
        say!("")?; // The terminal has just shown ^C.
    }
    Ok(say!("received {count} datagrams")?)
}

// ANCHOR: open
fn open(args: &Args) -> Result<OwnedFd, CallError> {
    let address = args.listen.address();
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).call("socket")?;
    if !args.no_reuse {
        setsockopt(&socket, sockopt::ReuseAddr, &true).call("setsockopt SO_REUSEADDR")?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))
        .call(format_args!("bind {address}"))?;
    if let Some(group) = args.group {
        join(&socket, group).call(format_args!("join {group}"))?;
    }
    Ok(socket)
}
// ANCHOR_END: open

/// On the interface that the route to the group names, ip(7), ipv6(7).
fn join(socket: &OwnedFd, group: IpAddr) -> nix::Result<()> {
    match group {
        IpAddr::V4(group) => {
            let request = IpMembershipRequest::new(group, None);
            setsockopt(socket, sockopt::IpAddMembership, &request)
        }
        IpAddr::V6(group) => {
            let request = Ipv6MembershipRequest::new(group);
            setsockopt(socket, sockopt::Ipv6AddMembership, &request)
        }
    }
}
