//! Packets as they passed on a wire, decoded.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::{BitOr, Range};
use std::sync::Arc;
use std::time::Duration;

use etherparse::{
    IpPayloadSlice, Ipv6ExtensionSlice, NetSlice, SlicedPacket, TcpOptionElement, TcpSlice,
    TransportSlice,
};

/// The flags of a TCP segment, RFC 9293 section 3.1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(u8);

/// The sender has no more data.
pub const FIN: Flags = Flags(1);
/// The beginning of a connection.
pub const SYN: Flags = Flags(2);
/// The connection is aborted, or there was none.
pub const RST: Flags = Flags(4);
/// The receiver should hand over what it has.
pub const PSH: Flags = Flags(8);
/// The acknowledgement number counts.
pub const ACK: Flags = Flags(16);
/// The urgent pointer counts.
pub const URG: Flags = Flags(32);

impl Flags {
    /// True when every flag of `other` is set.
    pub fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Flags {
    type Output = Flags;

    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let names = [
            (SYN, "SYN"),
            (FIN, "FIN"),
            (RST, "RST"),
            (PSH, "PSH"),
            (URG, "URG"),
            (ACK, "ACK"),
        ];
        let set: Vec<_> = names
            .into_iter()
            .filter(|(flag, _)| self.has(*flag))
            .map(|(_, name)| name)
            .collect();
        f.write_str(&set.join(" "))
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

/// What a packet is, above IP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A TCP segment.
    Tcp(Tcp),
    /// A UDP datagram.
    Udp,
    /// An ICMP message, with its type and code (of ICMPv6 where the addresses are IPv6).
    Icmp {
        /// The type: 3 is "destination unreachable" in ICMP.
        kind: u8,
        /// What exactly: of type 3, 3 is "port unreachable".
        code: u8,
    },
    /// A piece of a datagram that was too large for one packet, by its IP protocol number.
    Fragment(u8),
    /// Something else, by its IP protocol number; 0 where it is not even IP.
    Other(u8),
}

/// The header of a TCP segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tcp {
    /// The flags.
    pub flags: Flags,
    /// Sequence number of the first byte.
    pub sequence: u32,
    /// The next sequence number expected from the other side, where ACK is set.
    pub acknowledgement: u32,
    /// The window field as it stands in the header: not yet shifted by the window scale.
    pub window: u16,
    /// The window scale announced in this segment (only SYN segments announce one).
    pub window_scale: Option<u8>,
    /// The maximum segment size announced in this segment, in bytes.
    pub maximum_segment_size: Option<u16>,
    /// The timestamp option: own value and echo.
    pub timestamps: Option<(u32, u32)>,
}

/// One packet, from the moment it was sent.
#[derive(Debug, Clone)]
pub struct Packet {
    /// When it left, counted from the start of the experiment.
    pub sent: Duration,
    /// When it arrived; `None` when the wire lost it.
    pub arrived: Option<Duration>,
    /// The name of the host that sent it, and of the one it was sent to where there is such a host.
    pub hosts: (Arc<str>, Option<Arc<str>>),
    /// Source address; port 0 where there are no ports.
    pub source: SocketAddr,
    /// Destination address; port 0 where there are no ports.
    pub destination: SocketAddr,
    /// What it is.
    pub kind: Kind,
    /// How many bytes of data it carries: behind the TCP or UDP header, or the whole ICMP body.
    pub length: usize,
    /// The whole frame from the Ethernet header on.
    pub frame: Arc<[u8]>,
}

impl Packet {
    /// Decodes a frame. What cannot be decoded is [`Kind::Other`], never an error: the wire carries what it likes.
    pub fn decode(frame: &[u8], sent: Duration, host: &Arc<str>) -> Self {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut packet = Self {
            sent,
            arrived: None,
            hosts: (Arc::clone(host), None),
            source: nowhere,
            destination: nowhere,
            kind: Kind::Other(0),
            length: 0,
            frame: frame.into(),
        };
        let Ok(sliced) = SlicedPacket::from_ethernet(frame) else {
            return packet;
        };
        let (source, destination, protocol): (IpAddr, IpAddr, u8) = match &sliced.net {
            Some(NetSlice::Ipv4(ip)) => {
                let header = ip.header();
                (
                    header.source_addr().into(),
                    header.destination_addr().into(),
                    ip.payload_ip_number().0,
                )
            }
            Some(NetSlice::Ipv6(ip)) => {
                let header = ip.header();
                (
                    header.source_addr().into(),
                    header.destination_addr().into(),
                    ip.payload().ip_number.0,
                )
            }
            _ => return packet,
        };
        let (kind, ports, length) = match &sliced.transport {
            Some(TransportSlice::Tcp(tcp)) => {
                let ports = (tcp.source_port(), tcp.destination_port());
                (Kind::Tcp(Tcp::of(tcp)), ports, tcp.payload().len())
            }
            Some(TransportSlice::Udp(udp)) => (
                Kind::Udp,
                (udp.source_port(), udp.destination_port()),
                udp.payload().len(),
            ),
            Some(TransportSlice::Icmpv4(icmp)) => (
                Kind::Icmp {
                    kind: icmp.type_u8(),
                    code: icmp.code_u8(),
                },
                (0, 0),
                icmp.payload().len(),
            ),
            Some(TransportSlice::Icmpv6(icmp)) => (
                Kind::Icmp {
                    kind: icmp.type_u8(),
                    code: icmp.code_u8(),
                },
                (0, 0),
                icmp.payload().len(),
            ),
            _ => match fragment(&sliced) {
                Some((piece, ports)) => (Kind::Fragment(protocol), ports, piece.len()),
                None => (Kind::Other(protocol), (0, 0), 0),
            },
        };
        packet.source = SocketAddr::new(source, ports.0);
        packet.destination = SocketAddr::new(destination, ports.1);
        packet.kind = kind;
        packet.length = length;
        packet
    }

    /// The TCP header, of a TCP segment.
    pub fn tcp(&self) -> Option<&Tcp> {
        match &self.kind {
            Kind::Tcp(tcp) => Some(tcp),
            _ => None,
        }
    }

    /// Of an ICMP error: the ends of the segment or datagram that it is about, which it quotes (RFC 792, RFC 4443).
    /// First who had sent that, then for whom it was.
    pub fn quotes(&self) -> Option<(SocketAddr, SocketAddr)> {
        const TCP_OR_UDP: [u8; 2] = [6, 17];
        let v6 = self.source.is_ipv6();
        let errors: &[u8] = if v6 {
            &[1, 2, 3, 4]
        } else {
            &[3, 4, 5, 11, 12]
        };
        if !matches!(self.kind, Kind::Icmp { kind, .. } if errors.contains(&kind)) {
            return None;
        }
        let sliced = SlicedPacket::from_ethernet(&self.frame).ok()?;
        let quoted = match &sliced.transport {
            Some(TransportSlice::Icmpv4(icmp)) => icmp.payload(),
            Some(TransportSlice::Icmpv6(icmp)) => icmp.payload(),
            _ => return None,
        };
        // The places of the addresses in the IP header, of the protocol's number, and the header's length.
        let (source, destination, protocol, length) = match v6 {
            true => (8..24, 24..40, 6, 40),
            false => (12..16, 16..20, 9, usize::from(quoted.first()? & 15) * 4),
        };
        if !TCP_OR_UDP.contains(quoted.get(protocol)?) {
            return None;
        }
        let ports = quoted.get(length..length + 4)?;
        let end = |place: Range<usize>, port: usize| {
            let address = quoted.get(place)?;
            let address: IpAddr = match <[u8; 4]>::try_from(address) {
                Ok(v4) => v4.into(),
                Err(_) => <[u8; 16]>::try_from(address).ok()?.into(),
            };
            Some(SocketAddr::new(
                address,
                u16::from_be_bytes([ports[port], ports[port + 1]]),
            ))
        };
        Some((end(source, 0)?, end(destination, 2)?))
    }

    /// The data that it carries.
    pub fn data(&self) -> &[u8] {
        let end = SlicedPacket::from_ethernet(&self.frame)
            .ok()
            .map_or(0, |sliced| match sliced.transport {
                Some(TransportSlice::Tcp(tcp)) => tcp.payload().as_ptr_range().end as usize,
                Some(TransportSlice::Udp(udp)) => udp.payload().as_ptr_range().end as usize,
                _ => 0,
            });
        let end = end
            .saturating_sub(self.frame.as_ptr() as usize)
            .min(self.frame.len());
        &self.frame[end.saturating_sub(self.length)..end]
    }

    /// The same segment with other numbers: the sequence number of its first byte, and what it acknowledges. Its checksum
    /// is right, everything else is as it was. `None` of what is no whole TCP segment.
    pub fn renumbered(&self, sequence: u32, acknowledgement: u32) -> Option<Self> {
        let sliced = SlicedPacket::from_ethernet(&self.frame).ok()?;
        let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else {
            return None;
        };
        let mut header = tcp.to_header();
        header.sequence_number = sequence;
        header.acknowledgment_number = acknowledgement;
        let checksum = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                header.calc_checksum_ipv4_raw(source.octets(), destination.octets(), tcp.payload())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                header.calc_checksum_ipv6_raw(source.octets(), destination.octets(), tcp.payload())
            }
            _ => return None,
        };
        header.checksum = checksum.ok()?;
        let header = header.to_bytes();
        let start = tcp.slice().as_ptr() as usize - self.frame.as_ptr() as usize;
        let mut frame = self.frame.to_vec();
        frame[start..start + header.len()].copy_from_slice(&header);
        let mut packet = Self::decode(&frame, self.sent, &self.hosts.0);
        packet.hosts.1 = self.hosts.1.clone();
        Some(packet)
    }
}

/// What a fragment carries, and the ports, which stand in the first fragment only: RFC 791 section 3.2, RFC 8200
/// section 4.5.
fn fragment<'a>(sliced: &'a SlicedPacket) -> Option<(&'a [u8], (u16, u16))> {
    let (payload, first): (&IpPayloadSlice, bool) = match sliced.net.as_ref()? {
        NetSlice::Ipv4(ip) => (ip.payload(), ip.header().fragments_offset().value() == 0),
        NetSlice::Ipv6(ip) => {
            let mut extensions = ip.extensions().clone().into_iter();
            let first = extensions.any(|extension| {
                matches!(extension, Ipv6ExtensionSlice::Fragment(piece) if piece.fragment_offset().value() == 0)
            });
            (ip.payload(), first)
        }
        NetSlice::Arp(_) => return None,
    };
    let ports = match payload.payload {
        [a, b, c, d, ..] if first => (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])),
        _ => (0, 0),
    };
    payload.fragmented.then_some((payload.payload, ports))
}

impl Tcp {
    fn of(slice: &TcpSlice) -> Self {
        let flags = [
            (slice.fin(), FIN),
            (slice.syn(), SYN),
            (slice.rst(), RST),
            (slice.psh(), PSH),
            (slice.ack(), ACK),
            (slice.urg(), URG),
        ];
        let mut tcp = Self {
            flags: flags
                .into_iter()
                .filter(|(set, _)| *set)
                .fold(Flags::default(), |all, (_, flag)| all | flag),
            sequence: slice.sequence_number(),
            acknowledgement: slice.acknowledgment_number(),
            window: slice.window_size(),
            ..Self::default()
        };
        for option in slice.options_iterator().flatten() {
            match option {
                TcpOptionElement::WindowScale(shift) => tcp.window_scale = Some(shift),
                TcpOptionElement::MaximumSegmentSize(size) => tcp.maximum_segment_size = Some(size),
                TcpOptionElement::Timestamp(value, echo) => tcp.timestamps = Some((value, echo)),
                _ => {}
            }
        }
        tcp
    }
}

impl fmt::Display for Packet {
    /// What a ladder writes on the arrow: `SYN`, `PSH ACK 5 bytes`, `UDP 9 bytes`, `ICMP port unreachable`.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let v6 = self.source.is_ipv6();
        match &self.kind {
            Kind::Tcp(tcp) => write!(f, "{}", tcp.flags)?,
            Kind::Udp => f.write_str("UDP")?,
            Kind::Icmp { kind, code } => return write!(f, "ICMP {}", icmp_name(*kind, *code, v6)),
            Kind::Fragment(17) => f.write_str("UDP fragment")?,
            Kind::Fragment(_) => f.write_str("fragment")?,
            Kind::Other(2) => return f.write_str("IGMP"),
            Kind::Other(protocol) => return write!(f, "IP protocol {protocol}"),
        }
        match (&self.kind, self.length) {
            (Kind::Tcp(_), 0) => Ok(()),
            (_, 1) => f.write_str("  1 byte"),
            (_, length) => write!(f, "  {length} bytes"),
        }
    }
}

/// The names of RFC 792 and RFC 4443, for those that the course meets.
fn icmp_name(kind: u8, code: u8, v6: bool) -> String {
    let name = match (v6, kind, code) {
        (false, 0, _) | (true, 129, _) => "echo reply",
        (false, 8, _) | (true, 128, _) => "echo request",
        (false, 3, 0) | (true, 1, 0) => "network unreachable",
        (false, 3, 1) | (true, 1, 3) => "host unreachable",
        (false, 3, 3) | (true, 1, 4) => "port unreachable",
        (false, 3, 4) | (true, 2, _) => "packet too big",
        (false, 3, 9 | 10 | 13) | (true, 1, 1) => "prohibited",
        (false, 11, _) | (true, 3, _) => "time exceeded",
        _ => return format!("type {kind} code {code}"),
    };
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::icmpv4::DestUnreachableHeader;
    use etherparse::{Icmpv4Type, PacketBuilder};

    #[test]
    fn a_segment_is_decoded_whole() {
        let builder =
            PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
        let mut frame = Vec::new();
        builder
            .tcp(40022, 43211, 7, 512)
            .psh()
            .ack(9)
            .write(&mut frame, b"data1")
            .unwrap();
        let packet = Packet::decode(&frame, Duration::ZERO, &"a".into());
        assert_eq!(packet.to_string(), "PSH ACK  5 bytes");
        assert_eq!(packet.data(), b"data1");
        assert_eq!(packet.source, "10.0.0.1:40022".parse().unwrap());
        let tcp = packet.tcp().unwrap();
        assert_eq!((tcp.sequence, tcp.acknowledgement, tcp.window), (7, 9, 512));
        assert!(tcp.flags.has(PSH | ACK) && !tcp.flags.has(PSH | FIN));
    }

    #[test]
    fn a_renumbered_segment_has_a_right_checksum() {
        let options = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]; // timestamps
        let frames =
            [(7, 9, true), (u32::MAX, 0, true), (1, 2, false)].map(|(sequence, ack, v4)| {
                let ethernet = PacketBuilder::ethernet2([2; 6], [4; 6]);
                let ip = match v4 {
                    true => ethernet.ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64),
                    false => ethernet.ipv6([1; 16], [2; 16], 64),
                };
                let tcp = ip.tcp(40022, 43211, sequence, 512).ack(ack);
                let mut frame = Vec::new();
                tcp.options_raw(&options)
                    .unwrap()
                    .write(&mut frame, b"data1")
                    .unwrap();
                frame
            });
        for frame in &frames {
            let packet = Packet::decode(frame, Duration::ZERO, &"a".into());
            let tcp = packet.tcp().unwrap();
            let other = packet.renumbered(12345, 678).unwrap();
            assert_ne!(other.frame, packet.frame);
            assert_eq!(other.data(), b"data1");
            let again = other.renumbered(tcp.sequence, tcp.acknowledgement).unwrap();
            assert_eq!(*again.frame, **frame);
            let sent = Packet::decode(&other.frame, Duration::ZERO, &"a".into());
            assert_eq!(
                (
                    sent.tcp().unwrap().sequence,
                    sent.tcp().unwrap().acknowledgement
                ),
                (12345, 678)
            );
        }
    }

    #[test]
    fn an_icmp_error_quotes_its_cause() {
        let mut cause = Vec::new();
        let builder = PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
        builder
            .udp(40022, 43211)
            .write(&mut cause, b"data1")
            .unwrap();
        let error = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port);
        let builder =
            PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 0, 0, 2], [10, 0, 0, 1], 64);
        let mut frame = Vec::new();
        builder.icmpv4(error).write(&mut frame, &cause).unwrap();
        let packet = Packet::decode(&frame, Duration::ZERO, &"a".into());
        assert_eq!(packet.to_string(), "ICMP port unreachable");
        let (from, to) = packet.quotes().unwrap();
        assert_eq!(
            (from.to_string(), to.to_string()),
            ("10.0.0.1:40022".into(), "10.0.0.2:43211".into())
        );

        let builder =
            PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 0, 0, 2], [10, 0, 0, 1], 64);
        let mut frame = Vec::new();
        builder
            .icmpv4_echo_request(1, 1)
            .write(&mut frame, &cause)
            .unwrap();
        assert_eq!(
            Packet::decode(&frame, Duration::ZERO, &"a".into()).quotes(),
            None
        );
    }

    #[test]
    fn the_first_fragment_has_the_ports() {
        let builder =
            PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
        let mut frame = Vec::new();
        builder
            .udp(40022, 43211)
            .write(&mut frame, b"data1")
            .unwrap();
        // Flags and offset of the IPv4 header: "more fragments", and then a piece from the 8th byte on.
        for (field, shown, ports) in [
            (0x2000_u16, "UDP fragment  13 bytes", (40022, 43211)),
            (0x0001, "UDP fragment  13 bytes", (0, 0)),
        ] {
            frame[20..22].copy_from_slice(&field.to_be_bytes());
            let packet = Packet::decode(&frame, Duration::ZERO, &"a".into());
            assert_eq!(packet.to_string(), shown);
            assert_eq!((packet.source.port(), packet.destination.port()), ports);
        }
    }

    #[test]
    fn garbage_is_no_error() {
        for frame in [&b""[..], b"\xff", &[0; 60]] {
            assert!(matches!(
                Packet::decode(frame, Duration::ZERO, &"a".into()).kind,
                Kind::Other(_)
            ));
        }
    }
}
