//! What an IPv4 address with a prefix length stands for: network, hosts, class, reserved block.

use std::net::Ipv4Addr;

use anyhow::{Context, ensure};
use common::say;

/// Takes an IPv4 address and a prefix length apart: network, netmask, hosts, class, reserved block
#[derive(Debug, clap::Args)]
pub struct Args {
    /// For example 192.168.1.5/24
    #[arg(value_name = "ADDR/PREFIX", value_parser = parse)]
    subnet: Subnet,
}

/// An address and how many of its bits name the network, RFC 4632.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Subnet {
    address: Ipv4Addr,
    prefix: u32,
}

/// The blocks that nobody on the Internet has: RFC 1918 and RFC 6890.
const RESERVED: [(Ipv4Addr, u32, &str); 14] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this network, RFC 791"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private use, RFC 1918"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private use, RFC 1918"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private use, RFC 1918"),
    (
        Ipv4Addr::new(127, 0, 0, 0),
        8,
        "this host (loopback), RFC 1122",
    ),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local, RFC 3927"),
    (
        Ipv4Addr::new(100, 64, 0, 0),
        10,
        "shared by the customers of a provider, RFC 6598",
    ),
    (
        Ipv4Addr::new(192, 0, 0, 0),
        24,
        "protocols of the IETF, RFC 6890",
    ),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation, RFC 5737"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "measurements, RFC 2544"),
    (
        Ipv4Addr::new(198, 51, 100, 0),
        24,
        "documentation, RFC 5737",
    ),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation, RFC 5737"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast, RFC 5771"),
    (
        Ipv4Addr::new(240, 0, 0, 0),
        4,
        "kept for the future, RFC 1112",
    ),
];

pub fn run(args: &Args) -> anyhow::Result<()> {
    let subnet = args.subnet;
    let (network, broadcast) = (subnet.network(), subnet.broadcast());
    say!("network    {network}/{}", subnet.prefix)?;
    say!("netmask    {}", Ipv4Addr::from_bits(subnet.mask()))?;
    match subnet.prefix {
        32 => say!("host       {network}, the only one")?,
        // RFC 3021: a link between two hosts needs neither.
        31 => say!("hosts      {network} and {broadcast}: a link between two, RFC 3021")?,
        _ => {
            say!("broadcast  {broadcast}")?;
            say!("first host {}", Ipv4Addr::from_bits(network.to_bits() + 1))?;
            say!(
                "last host  {}",
                Ipv4Addr::from_bits(broadcast.to_bits() - 1)
            )?;
        }
    }
    say!("addresses  {}", 1u64 << (32 - subnet.prefix))?;
    let (first_class, natural) = class(network);
    let (last_class, _) = class(broadcast);
    match first_class == last_class {
        true => say!("class      {first_class}")?,
        false => say!("class      {first_class} to {last_class}")?,
    }
    if let Some(natural) = natural.filter(|natural| subnet.prefix < *natural)
        && first_class == last_class
    {
        let count = 1u64 << (natural - subnet.prefix);
        let (first, last) = (
            network,
            Ipv4Addr::from_bits(broadcast.to_bits() & (u32::MAX << (32 - natural))),
        );
        say!("           {count} networks of this class: {first} to {last}")?;
    }
    let block = RESERVED.iter().find(|(block, prefix, _)| {
        let block = Subnet {
            address: *block,
            prefix: *prefix,
        };
        block.prefix <= subnet.prefix
            && block.mask() & network.to_bits() == block.network().to_bits()
    });
    match block {
        Some((block, prefix, purpose)) => say!("reserved   {block}/{prefix}: {purpose}")?,
        None => say!("reserved   no")?,
    }
    Ok(())
}

// ANCHOR: arithmetic
impl Subnet {
    /// As many ones as the prefix is long, then zeros. A shift by all 32 bits is not a number: /0 is a case of its own.
    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - self.prefix).unwrap_or(0)
    }

    fn network(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits() & self.mask())
    }

    /// The last address of the network: every bit of the host is one.
    fn broadcast(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits() | !self.mask())
    }
}

/// The class of before 1993, by the first bits, and the prefix length that a network of that class has.
fn class(network: Ipv4Addr) -> (&'static str, Option<u32>) {
    match network.octets()[0] {
        0..128 => ("A", Some(8)),
        128..192 => ("B", Some(16)),
        192..224 => ("C", Some(24)),
        224..240 => ("D (multicast)", None),
        240.. => ("E (never used)", None),
    }
}
// ANCHOR_END: arithmetic

fn parse(text: &str) -> anyhow::Result<Subnet> {
    let (address, prefix) = text
        .split_once('/')
        .context("not ADDRESS/PREFIX: there is no slash")?;
    let address = address
        .parse()
        .context("the address is not of the form 192.168.1.5")?;
    let prefix: u32 = prefix
        .parse()
        .context("the prefix length is not a number")?;
    ensure!(
        prefix <= 32,
        "a prefix of {prefix} bits; an IPv4 address has 32"
    );
    Ok(Subnet { address, prefix })
}
