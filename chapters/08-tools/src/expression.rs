//! A condition on packets: what the language of tcpdump(8) can say, a part of pcap-filter(7).

use std::net::IpAddr;

use crate::packet::{Packet, number};

/// A condition on a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// Every packet.
    Any,
    V4,
    V6,
    /// These protocols. `icmp` is the one of IPv4, `icmp6` that of IPv6.
    Protocol(u8),
    Port(Side, u16),
    Host(Side, IpAddr),
    /// `tcp[13] & 2 != 0`: some bytes of a header, masked and compared.
    Bytes {
        header: u8,
        at: usize,
        size: usize,
        mask: u32,
        comparison: Comparison,
        value: u32,
    },
    Not(Box<Expression>),
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
}

/// Which end of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Source,
    Destination,
    Either,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// For `ip[…]`: not a protocol within IP, but the packet from its first byte.
pub const WHOLE: u8 = 0;

impl Expression {
    // ANCHOR: accepts
    /// Whether the packet is chosen. A header that is not there, or too short, fits no condition.
    pub fn accepts(&self, packet: &Packet) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => packet.source.is_ipv4(),
            Self::V6 => packet.source.is_ipv6(),
            Self::Protocol(protocol) => packet.protocol == *protocol,
            Self::Port(side, port) => packet
                .ports()
                .is_some_and(|(from, to)| side.fits(from, to, *port)),
            Self::Host(side, host) => side.fits(packet.source, packet.destination, *host),
            Self::Bytes {
                header,
                at,
                size,
                mask,
                comparison,
                value,
            } => {
                let there = match *header {
                    WHOLE => Some(packet.bytes).filter(|_| packet.source.is_ipv4()),
                    protocol => Some(packet.payload)
                        .filter(|_| packet.protocol == protocol && !packet.later_fragment),
                };
                let found = there.and_then(|bytes| number(bytes, *at, *size));
                found.is_some_and(|found| comparison.holds(found & mask, *value))
            }
            Self::Not(inner) => !inner.accepts(packet),
            Self::And(a, b) => a.accepts(packet) && b.accepts(packet),
            Self::Or(a, b) => a.accepts(packet) || b.accepts(packet),
        }
    }
    // ANCHOR_END: accepts
}

impl Side {
    fn fits<T: PartialEq>(self, from: T, to: T, wanted: T) -> bool {
        (self != Self::Destination && from == wanted) || (self != Self::Source && to == wanted)
    }
}

impl Comparison {
    fn holds(self, found: u32, value: u32) -> bool {
        match self {
            Self::Equal => found == value,
            Self::NotEqual => found != value,
            Self::Less => found < value,
            Self::LessOrEqual => found <= value,
            Self::Greater => found > value,
            Self::GreaterOrEqual => found >= value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::parse;
    use crate::packet::TCP;

    /// From 10.0.0.1:40022 to 10.0.0.2:43211: a SYN, of 40 bytes.
    fn syn() -> Vec<u8> {
        let mut bytes = vec![
            0x45, 0, 0, 40, 0, 0, 0, 0, 64, TCP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ];
        bytes.extend(40022_u16.to_be_bytes());
        bytes.extend(43211_u16.to_be_bytes());
        bytes.extend([0, 0, 0, 7, 0, 0, 0, 0, 0x50, SYN, 2, 0, 0, 0, 0, 0]);
        bytes
    }
    const SYN: u8 = 2;

    #[test]
    fn packets_are_chosen() {
        let bytes = syn();
        let packet = Packet::parse(&bytes).unwrap();
        for (text, expected) in [
            ("", true),
            ("tcp", true),
            ("udp or icmp or icmp6 or ip6", false),
            ("tcp and port 43211 and src host 10.0.0.1", true),
            ("tcp and port 43211 and src host 10.0.0.2", false),
            ("tcp port 43211", true),
            ("udp port 43211", false),
            ("src port 43211", false),
            ("dst port 43211 and dst 10.0.0.2 and host 10.0.0.2", true),
            ("host fd00::1", false),
            ("tcp[13]&2 != 0", true),
            ("tcp[13:1] & 0x12 == 18", false),
            ("tcp and port 43211 and tcp[13:1]&2!=0", true),
            ("tcp[4:4]=7 && tcp[14:2]>511 && ip[8]<=64", true),
            ("tcp[200] = 0 or tcp[4294967295:4] = 0 or udp[0] = 0", false),
            ("!(udp or port 1)", true),
            // Both join alike, from the left.
            ("tcp or tcp and udp", false),
            ("tcp or (tcp and udp)", true),
        ] {
            let expression = parse(text).unwrap();
            assert_eq!(expression.accepts(&packet), expected, "{text}");
        }
    }
}
