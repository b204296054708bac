//! The headers of an IP packet: RFC 791, RFC 8200, RFC 9293, RFC 768. What comes from a wire may be cut or wrong: every field is
//! read with a check.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::icmp::checksum;

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMPV6: u8 = 58;

/// An IP packet, from its first byte to its last.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    pub bytes: &'a [u8],
    pub source: IpAddr,
    pub destination: IpAddr,
    /// What is in it, by its number in the IP header, extension headers of IPv6 skipped.
    pub protocol: u8,
    /// Time to live, hop limit.
    pub ttl: u8,
    /// How long the IP header says that the packet is.
    pub length: usize,
    /// The packet behind the IP headers, as far as it was captured.
    pub payload: &'a [u8],
    /// How long it was on the wire.
    pub payload_length: usize,
    /// Whether it is a piece of a larger one, and not the first: there are no ports in it.
    pub later_fragment: bool,
    pub fragment: bool,
}

/// A number of one, two or four bytes, the highest first.
pub fn number(bytes: &[u8], at: usize, size: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    Some(
        bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u32::from(*byte)),
    )
}

impl<'a> Packet<'a> {
    /// `None` when it is not IP or ends within the header.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => Self::parse_v4(bytes),
            6 => Self::parse_v6(bytes),
            _ => None,
        }
    }

    fn parse_v4(bytes: &'a [u8]) -> Option<Self> {
        let header = usize::from(bytes.first()? & 15) * 4;
        let address = |at| Some(IpAddr::V4(Ipv4Addr::from(number(bytes, at, 4)?)));
        // Behind the packet there may be bytes that only fill the frame.
        let length = (number(bytes, 2, 2)? as usize).max(header);
        let bytes = &bytes[..length.min(bytes.len())];
        let fragment = number(bytes, 6, 2)?;
        Some(Self {
            bytes,
            source: address(12)?,
            destination: address(16)?,
            protocol: *bytes.get(9)?,
            ttl: *bytes.get(8)?,
            length,
            payload: bytes.get(header..).filter(|_| header >= 20)?,
            payload_length: length - header,
            later_fragment: fragment & 0x1fff != 0,
            fragment: fragment & 0x3fff != 0,
        })
    }

    fn parse_v6(bytes: &'a [u8]) -> Option<Self> {
        let address = |at: usize| {
            let octets: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
            Some(IpAddr::V6(Ipv6Addr::from(octets)))
        };
        let length = 40 + number(bytes, 4, 2)? as usize;
        let mut packet = Self {
            bytes: &bytes[..length.min(bytes.len())],
            source: address(8)?,
            destination: address(24)?,
            protocol: *bytes.get(6)?,
            ttl: *bytes.get(7)?,
            length,
            payload: bytes.get(40..length.min(bytes.len()))?,
            payload_length: length - 40,
            later_fragment: false,
            fragment: false,
        };
        // Extension headers, RFC 8200 section 4: each names the next, and how long it is itself.
        while let 0 | 43 | 44 | 60 = packet.protocol {
            let rest = packet.payload;
            let size = match packet.protocol {
                44 => 8,
                _ => (usize::from(*rest.get(1)?) + 1) * 8,
            };
            if packet.protocol == 44 {
                packet.fragment = true;
                packet.later_fragment |= number(rest, 2, 2)? & 0xfff8 != 0;
            }
            packet.protocol = *rest.first()?;
            packet.payload = rest.get(size..)?;
            packet.payload_length = packet.payload_length.checked_sub(size)?;
            if packet.later_fragment {
                break;
            }
        }
        Some(packet)
    }

    /// The ports, of TCP and UDP.
    pub fn ports(&self) -> Option<(u16, u16)> {
        if self.later_fragment || !matches!(self.protocol, TCP | UDP) {
            return None;
        }
        let port = |at| number(self.payload, at, 2).map(|port| port as u16);
        Some((port(0)?, port(2)?))
    }

    /// What the checksum of a TCP segment or UDP datagram should be, with the field at `at`; `None` when the packet was not
    /// captured whole. The sum begins with a pseudo-header of addresses, length and protocol: RFC 9293 section 3.1.
    pub fn right_checksum(&self, at: usize) -> Option<u16> {
        let whole = self.payload.len() == self.payload_length && !self.fragment;
        let mut summed = match (self.source, self.destination) {
            (IpAddr::V4(from), IpAddr::V4(to)) => [from.octets(), to.octets()].concat(),
            (IpAddr::V6(from), IpAddr::V6(to)) => [from.octets(), to.octets()].concat(),
            _ => return None,
        };
        summed.extend((self.payload_length as u32).to_be_bytes());
        summed.extend(u32::from(self.protocol).to_be_bytes());
        let start = summed.len();
        summed.extend(self.payload);
        summed.get_mut(start + at..start + at + 2)?.fill(0);
        whole.then(|| checksum(&summed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the bytes are, they are read or refused.
    #[test]
    fn garbage_is_refused() {
        assert!(Packet::parse(&[]).is_none());
        for first in 0..=255 {
            for length in 0..120 {
                for filling in [0, 1, 44, 60, 255] {
                    let mut bytes = vec![filling; length];
                    bytes[..length.min(1)].fill(first);
                    if let Some(packet) = Packet::parse(&bytes) {
                        packet.ports();
                        packet.right_checksum(16);
                        packet.right_checksum(usize::MAX / 2);
                    }
                }
            }
        }
    }
}
