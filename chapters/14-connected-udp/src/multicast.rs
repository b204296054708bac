//! Datagrams for those who have asked for them: a group has an address, and hosts join it. ip(7), ipv6(7), RFC 1112.

mod receive;
mod send;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

use common::address::PORT;
use common::{Call, CallError};
use nix::ifaddrs::getifaddrs;
use nix::libc;
use nix::net::if_::if_nametoindex;
use nix::{setsockopt_impl, sockopt_impl};

/// Sends to a multicast group, or receives as a member of it
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, clap::Subcommand)]
enum Role {
    Receive(receive::Args),
    Send(send::Args),
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.role {
        Role::Receive(args) => receive::run(args),
        Role::Send(args) => send::run(args),
    }
}

/// A group, and where it is to be found.
#[derive(Debug, clap::Args)]
struct Group {
    /// Address of the group: 224.0.0.0 to 239.255.255.255, or one that begins with ff
    #[arg(value_name = "GROUP", value_parser = group)]
    address: IpAddr,
    #[arg(long, default_value_t = PORT)]
    port: u16,
    /// Network interface, by its name; without it the routing table chooses
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
}

fn group(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text.parse().map_err(|_| "not an address".to_string())?;
    match address.is_multicast() {
        true => Ok(address),
        false => Err("not a multicast address".into()),
    }
}

// ANCHOR: interface
/// A network interface: the options of IPv6 want its number, those of IPv4 its number and an address of it.
struct Interface {
    index: u32,
    address: Ipv4Addr,
}

impl Group {
    fn interface(&self) -> Result<Interface, CallError> {
        // Number 0 leaves the choice to the routing table.
        let mut interface = Interface {
            index: 0,
            address: Ipv4Addr::UNSPECIFIED,
        };
        if let Some(name) = &self.interface {
            interface.index =
                if_nametoindex(name.as_str()).call(format_args!("if_nametoindex {name}"))?;
            let mut all = getifaddrs().call("getifaddrs")?;
            let own = all.find_map(|entry| {
                let address = entry.address.filter(|_| entry.interface_name == *name)?;
                Some(address.as_sockaddr_in()?.ip())
            });
            interface.address = own.unwrap_or(interface.address);
        }
        Ok(interface)
    }
    // ANCHOR_END: interface

    /// The group's socket address. ff02::1 is another group on each link: the number of the interface belongs to it.
    fn socket_address(&self, interface: &Interface) -> SocketAddr {
        match self.address {
            IpAddr::V4(_) => SocketAddr::new(self.address, self.port),
            IpAddr::V6(group) => SocketAddrV6::new(group, self.port, 0, interface.index).into(),
        }
    }
}

/// An IPv4 address as the kernel's structures have it: in network byte order.
fn in_addr(address: Ipv4Addr) -> libc::in_addr {
    libc::in_addr {
        s_addr: u32::from_ne_bytes(address.octets()),
    }
}

// ANCHOR: options
// What nix lacks: memberships and a sender's interface by number, for both families.
sockopt_impl!(
    JoinV4,
    SetOnly,
    libc::IPPROTO_IP,
    libc::IP_ADD_MEMBERSHIP,
    libc::ip_mreqn
);
sockopt_impl!(
    JoinV6,
    SetOnly,
    libc::IPPROTO_IPV6,
    libc::IPV6_ADD_MEMBERSHIP,
    libc::ipv6_mreq
);
sockopt_impl!(
    InterfaceV4,
    SetOnly,
    libc::IPPROTO_IP,
    libc::IP_MULTICAST_IF,
    libc::ip_mreqn
);
sockopt_impl!(
    InterfaceV6,
    SetOnly,
    libc::IPPROTO_IPV6,
    libc::IPV6_MULTICAST_IF,
    u32
);
sockopt_impl!(
    LoopV6,
    SetOnly,
    libc::IPPROTO_IPV6,
    libc::IPV6_MULTICAST_LOOP,
    bool
);
// ANCHOR_END: options
