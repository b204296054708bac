//! One datagram for every host of a network, for those who may send it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use common::address::PORT;
use common::{Call, say};
use nix::sys::socket::{setsockopt, sockopt};

use crate::client::{connect, open};
use crate::talk::{send_datagram, talk};

/// Sends each line that is typed to everybody on a network, and prints every answer
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Broadcast address: 255.255.255.255, or the last address of a network (IPv6 has none)
    #[arg(value_name = "ADDR")]
    address: Ipv4Addr,
    /// Port of those who listen: for example, udpserver of lesson 6 with --bind 0.0.0.0
    #[arg(long, default_value_t = PORT)]
    port: u16,
    /// Set SO_BROADCAST, without which the kernel refuses
    #[arg(long)]
    allow: bool,
    /// Connect the socket to the broadcast address: then no answer comes through
    #[arg(long)]
    connect: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let everybody = SocketAddr::new(IpAddr::V4(args.address), args.port);
    let socket = open(&everybody)?;
    // ANCHOR: allow
    // A slip of a finger, or an address from a file, must not disturb a whole network: socket(7), SO_BROADCAST.
    if args.allow {
        setsockopt(&socket, sockopt::Broadcast, &true).call("setsockopt SO_BROADCAST")?;
    }
    // ANCHOR_END: allow
    if args.connect {
        connect(&socket, &everybody)?;
    }
    let to = Some(&everybody).filter(|_| !args.connect);
    talk(&socket, |line| {
        let sent = send_datagram(&socket, line, to)?;
        Ok(say!("send bytes: {sent}")?)
    })
}
