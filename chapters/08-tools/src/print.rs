//! A packet as a line, in the form of tcpdump(8).

use std::collections::HashMap;
use std::fmt::Write;
use std::net::IpAddr;

use crate::headers::{icmp, icmp6, options, verbose_v4, verbose_v6};
use crate::packet::{ICMP, ICMPV6, Packet, TCP, UDP, number};

/// The flags of TCP in the order and with the letters of tcpdump.
const FLAGS: [(u8, char); 8] = [
    (1, 'F'),
    (2, 'S'),
    (4, 'R'),
    (8, 'P'),
    (16, '.'),
    (32, 'U'),
    (64, 'E'),
    (128, 'W'),
];
const SYN: u8 = 2;
const ACK: u8 = 16;
/// Flags whose sequence number is shown even if there is no data.
const SYN_FIN_RST: u8 = 7;

/// Makes lines of packets, and remembers where the numbers of each connection begin.
#[derive(Debug)]
pub struct Printer {
    verbose: bool,
    absolute: bool,
    /// For each pair of ends, the lower first: what to subtract from the lower one's numbers, and from the other's.
    starts: HashMap<[(IpAddr, u16); 2], [u32; 2]>,
}

impl Printer {
    /// `verbose` shows the IP header and the checksums; `absolute` the sequence numbers as they are in the packet, not
    /// counted from the connection's beginning.
    pub fn new(verbose: bool, absolute: bool) -> Self {
        Self {
            verbose,
            absolute,
            starts: HashMap::new(),
        }
    }

    /// `IP 10.0.0.1.40022 > 10.0.0.2.43211: Flags [S], seq 1, win 64240, length 0`.
    pub fn line(&mut self, packet: &Packet) -> String {
        let mut line = match packet.source {
            IpAddr::V4(_) if self.verbose => verbose_v4(packet),
            IpAddr::V6(_) if self.verbose => verbose_v6(packet),
            IpAddr::V4(_) => "IP ".into(),
            IpAddr::V6(_) => "IP6 ".into(),
        };
        let (from, to) = (packet.source, packet.destination);
        match packet.ports() {
            Some((source, port)) => line += &format!("{from}.{source} > {to}.{port}: "),
            None => line += &format!("{from} > {to}: "),
        }
        line + &match packet.protocol {
            protocol if packet.later_fragment => format!("ip-proto-{protocol}"),
            TCP => self.tcp(packet).unwrap_or("[|tcp]".into()),
            UDP => self.udp(packet).unwrap_or("[|udp]".into()),
            ICMP => icmp(packet).unwrap_or("[|icmp]".into()),
            ICMPV6 => icmp6(packet).unwrap_or("[|icmp6]".into()),
            protocol => format!("ip-proto-{protocol} {}", packet.payload_length),
        }
    }

    // ANCHOR: tcp
    fn tcp(&mut self, packet: &Packet) -> Option<String> {
        let segment = packet.payload;
        let header = usize::from(segment.get(12)? >> 4) * 4;
        let flags = *segment.get(13)?;
        let letters: String = FLAGS
            .into_iter()
            .filter(|(bit, _)| flags & bit != 0)
            .map(|(_, letter)| letter)
            .collect();
        let mut line = format!(
            "Flags [{}]",
            if letters.is_empty() { "none" } else { &letters }
        );
        if self.verbose
            && let Some(right) = packet.right_checksum(16)
        {
            let found = number(segment, 16, 2)?;
            line += &match found == u32::from(right) {
                true => format!(", cksum {found:#06x} (correct)"),
                false => format!(", cksum {found:#06x} (incorrect -> {right:#06x})"),
            };
        }
        let [sequence, acknowledged] = self.relative(packet, flags)?;
        let length = packet.payload_length.checked_sub(header)?;
        if length > 0 {
            line += &format!(", seq {sequence}:{}", sequence.wrapping_add(length as u32));
        } else if flags & SYN_FIN_RST != 0 {
            line += &format!(", seq {sequence}");
        }
        if flags & ACK != 0 {
            line += &format!(", ack {acknowledged}");
        }
        line += &format!(", win {}", number(segment, 14, 2)?);
        if flags & 32 != 0 {
            line += &format!(", urg {}", number(segment, 18, 2)?);
        }
        if header > 20 {
            let options = options(segment.get(20..header)?);
            line += &format!(", options [{}]", options.join(","));
        }
        Some(line + &format!(", length {length}"))
    }
    // ANCHOR_END: tcp

    /// Sequence and acknowledgement number, counted from the connection's beginning once that is known: the first packet
    /// with ACK tells both sides' numbers, and is itself shown as it is.
    fn relative(&mut self, packet: &Packet, flags: u8) -> Option<[u32; 2]> {
        let (sequence, acknowledged) =
            (number(packet.payload, 4, 4)?, number(packet.payload, 8, 4)?);
        let (source, port) = packet.ports()?;
        let (from, to) = ((packet.source, source), (packet.destination, port));
        let lower = from < to;
        if self.absolute || flags & ACK == 0 {
            return Some([sequence, acknowledged]);
        }
        let starts = self.starts.entry([from.min(to), from.max(to)]);
        if let (true, std::collections::hash_map::Entry::Occupied(starts)) =
            (flags & SYN == 0, &starts)
        {
            let [of_lower, of_higher] = *starts.get();
            let (ours, theirs) = if lower {
                (of_lower, of_higher)
            } else {
                (of_higher, of_lower)
            };
            return Some([
                sequence.wrapping_sub(ours),
                acknowledged.wrapping_sub(theirs),
            ]);
        }
        let (ours, theirs) = (sequence, acknowledged.wrapping_sub(1));
        starts.insert_entry(if lower {
            [ours, theirs]
        } else {
            [theirs, ours]
        });
        Some([sequence, acknowledged])
    }

    fn udp(&self, packet: &Packet) -> Option<String> {
        let length = number(packet.payload, 4, 2)?.checked_sub(8)?;
        let (found, right) = (number(packet.payload, 6, 2)?, packet.right_checksum(6));
        let sum = match right {
            Some(right) if self.verbose => match (found, u32::from(right)) {
                (0, _) => "[no cksum] ".into(),
                // A sum of 0 is sent as ffff, because 0 means "none": RFC 768.
                (found, right) if found == right || (found == 0xffff && right == 0) => {
                    "[udp sum ok] ".into()
                }
                (found, right) => format!("[bad udp cksum {found:#06x} -> {right:#06x}!] "),
            },
            _ => String::new(),
        };
        Some(format!("{sum}UDP, length {length}"))
    }
}

/// The bytes of a packet, sixteen to a line: where they are, in hexadecimal, and as characters.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (row, line) in bytes.chunks(16).enumerate() {
        let mut digits = String::new();
        for pair in line.chunks(2) {
            digits.push(' ');
            for byte in pair {
                let _ = write!(digits, "{byte:02x}");
            }
        }
        let readable = |byte: &u8| {
            if byte.is_ascii_graphic() {
                char::from(*byte)
            } else {
                '.'
            }
        };
        let characters: String = line.iter().map(readable).collect();
        let _ = write!(text, "\n\t0x{:04x}: {digits:<40}  {characters}", row * 16);
    }
    text
}
