//! The parts of a printed line that are about IP, ICMP and the options of TCP, in the form of tcpdump(8).

use crate::packet::{ICMP, ICMPV6, Packet, TCP, UDP, number};

/// RFC 792: an echo has an identifier and a sequence number, an error quotes the packet that it is about.
pub fn icmp(packet: &Packet) -> Option<String> {
    let (kind, code, length) = (
        packet.payload.first()?,
        packet.payload.get(1)?,
        packet.payload_length,
    );
    let field = |at| number(packet.payload, at, 2);
    let what = match (kind, code) {
        (8, _) => format!("echo request, id {}, seq {}", field(4)?, field(6)?),
        (0, _) => format!("echo reply, id {}, seq {}", field(4)?, field(6)?),
        (11, 0) => "time exceeded in-transit".into(),
        (3, _) => unreachable(packet.payload.get(8..)?, *code)?,
        _ => format!("type {kind} code {code}"),
    };
    Some(format!("ICMP {what}, length {length}"))
}

fn unreachable(quoted: &[u8], code: u8) -> Option<String> {
    let cause = Packet::parse(quoted)?;
    let to = cause.destination;
    Some(match (code, cause.ports()) {
        (0, _) => format!("net {to} unreachable"),
        (1, _) => format!("host {to} unreachable"),
        (3, Some((_, port))) => {
            let name = if cause.protocol == UDP { "udp" } else { "tcp" };
            format!("{to} {name} port {port} unreachable")
        }
        _ => format!("{to} unreachable, code {code}"),
    })
}

/// RFC 4443.
pub fn icmp6(packet: &Packet) -> Option<String> {
    let (kind, code, length) = (
        packet.payload.first()?,
        packet.payload.get(1)?,
        packet.payload_length,
    );
    let field = |at| number(packet.payload, at, 2);
    let quoted = || Packet::parse(packet.payload.get(8..)?);
    let what = match (kind, code) {
        (128, _) => format!("echo request, id {}, seq {}", field(4)?, field(6)?),
        (129, _) => format!("echo reply, id {}, seq {}", field(4)?, field(6)?),
        (3, 0) => format!("time exceeded in-transit for {}", quoted()?.destination),
        (1, 4) => {
            let cause = quoted()?;
            let name = if cause.protocol == UDP { "udp" } else { "tcp" };
            let port = cause.ports()?.1;
            format!(
                "destination unreachable, unreachable port, {} {name} port {port}",
                cause.destination
            )
        }
        _ => format!("type {kind} code {code}"),
    };
    Some(format!("ICMP6, {what}, length {length}"))
}

fn protocol_name(protocol: u8) -> &'static str {
    match protocol {
        ICMP => "ICMP",
        TCP => "TCP",
        UDP => "UDP",
        ICMPV6 => "ICMPv6",
        0 => "Options",
        44 => "Fragment",
        _ => "unknown",
    }
}

/// The IPv4 header, and a new line for the rest.
pub fn verbose_v4(packet: &Packet) -> String {
    let field = |at, size| number(packet.bytes, at, size).unwrap_or(0);
    let pieces = field(6, 2);
    let flags = [(0x2000, "+"), (0x4000, "DF"), (0x8000, "rsvd")];
    let set: Vec<_> = flags
        .iter()
        .filter(|(bit, _)| pieces & bit != 0)
        .map(|(_, name)| *name)
        .collect();
    format!(
        "IP (tos {:#x}, ttl {}, id {}, offset {}, flags [{}], proto {} ({}), length {})\n    ",
        field(1, 1),
        packet.ttl,
        field(4, 2),
        (pieces & 0x1fff) * 8,
        if set.is_empty() {
            "none".into()
        } else {
            set.join(", ")
        },
        protocol_name(packet.protocol),
        packet.protocol,
        packet.length,
    )
}

pub fn verbose_v6(packet: &Packet) -> String {
    let first = number(packet.bytes, 0, 4).unwrap_or(0);
    let next = number(packet.bytes, 6, 1).unwrap_or(0) as u8;
    let class = match first >> 20 & 0xff {
        0 => String::new(),
        class => format!("class {class:#04x}, "),
    };
    let flow = match first & 0xf_ffff {
        0 => String::new(),
        flow => format!("flowlabel {flow:#07x}, "),
    };
    let (name, ttl, length) = (protocol_name(next), packet.ttl, packet.length - 40);
    format!("IP6 ({class}{flow}hlim {ttl}, next-header {name} ({next}) payload length: {length}) ")
}

/// The options of a segment, RFC 9293 section 3.2. What follows a wrong length is not shown.
pub fn options(mut rest: &[u8]) -> Vec<String> {
    let mut shown = Vec::new();
    while let Some(&kind) = rest.first() {
        let size = match kind {
            0 | 1 => 1,
            _ => usize::from(*rest.get(1).unwrap_or(&0)),
        };
        let Some(option) = rest
            .get(..size)
            .filter(|option| !option.is_empty() && (kind < 2 || size >= 2))
        else {
            break;
        };
        let word = |at| number(option, at, 4).unwrap_or(0);
        shown.push(match (kind, size) {
            (0, _) => "eol".into(),
            (1, _) => "nop".into(),
            (2, 4) => format!("mss {}", number(option, 2, 2).unwrap_or(0)),
            (3, 3) => format!("wscale {}", option[2]),
            (4, _) => "sackOK".into(),
            (5, _) => format!("sack {}", (size - 2) / 8),
            (8, 10) => format!("TS val {} ecr {}", word(2), word(6)),
            _ => format!("unknown-{kind}"),
        });
        if kind == 0 {
            break;
        }
        rest = &rest[size..];
    }
    shown
}
