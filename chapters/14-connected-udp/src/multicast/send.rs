//! A sender to a group. It need not be a member.

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use common::{Call, CallError, say};
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};

use super::{Group, Interface, InterfaceV4, InterfaceV6, LoopV6, in_addr};
use crate::client::{connect, open};
use crate::talk::{send_datagram, talk};

/// Sends each line that is typed to a group, and prints every answer
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    group: Group,
    /// How many routers it may pass, and one more (IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS); 0 stays on this host
    #[arg(long, value_name = "HOPS")]
    ttl: Option<u8>,
    /// Nothing for members on this host (IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP)
    #[arg(long)]
    no_loop: bool,
    /// Connect the socket to the group: then no answer comes through
    #[arg(long)]
    connect: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let interface = args.group.interface()?;
    let group = args.group.socket_address(&interface);
    let socket = open(&group)?;
    set_options(&socket, args, &interface)?;
    if args.connect {
        connect(&socket, &group)?;
    }
    let to = Some(&group).filter(|_| !args.connect);
    talk(&socket, |line| {
        let sent = send_datagram(&socket, line, to)?;
        Ok(say!("send bytes: {sent}")?)
    })
}

// ANCHOR: options
fn set_options(socket: &OwnedFd, args: &Args, interface: &Interface) -> Result<(), CallError> {
    match args.group.address {
        IpAddr::V4(group) => {
            let out = libc::ip_mreqn {
                imr_multiaddr: in_addr(group),
                imr_address: in_addr(interface.address),
                imr_ifindex: interface.index as i32,
            };
            setsockopt(socket, InterfaceV4, &out).call("setsockopt IP_MULTICAST_IF")?;
            if let Some(ttl) = args.ttl {
                setsockopt(socket, sockopt::IpMulticastTtl, &ttl)
                    .call("setsockopt IP_MULTICAST_TTL")?;
            }
            if args.no_loop {
                setsockopt(socket, sockopt::IpMulticastLoop, &false)
                    .call("setsockopt IP_MULTICAST_LOOP")?;
            }
        }
        IpAddr::V6(_) => {
            setsockopt(socket, InterfaceV6, &interface.index)
                .call("setsockopt IPV6_MULTICAST_IF")?;
            if let Some(hops) = args.ttl {
                setsockopt(socket, sockopt::Ipv6MulticastHops, &hops.into())
                    .call("setsockopt IPV6_MULTICAST_HOPS")?;
            }
            if args.no_loop {
                setsockopt(socket, LoopV6, &false).call("setsockopt IPV6_MULTICAST_LOOP")?;
            }
        }
    }
    Ok(())
}
// ANCHOR_END: options
