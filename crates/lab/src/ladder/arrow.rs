//! What stands on an arrow: a packet in a few words.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::words::counted;
use crate::packet::{ACK, FIN, Kind, Packet, RST, SYN, Tcp};

/// What a packet does; each has its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Data,
    Syn,
    Fin,
    Rst,
    /// A bare acknowledgement.
    Ack,
    Datagram,
    /// ICMP, and whatever else is not the program's own.
    Control,
}

impl Ink {
    pub(super) fn of(packet: &Packet) -> Self {
        match &packet.kind {
            Kind::Tcp(tcp) if tcp.flags.has(RST) => Ink::Rst,
            Kind::Tcp(tcp) if tcp.flags.has(SYN) => Ink::Syn,
            Kind::Tcp(tcp) if tcp.flags.has(FIN) => Ink::Fin,
            Kind::Tcp(_) if packet.length > 0 => Ink::Data,
            Kind::Tcp(_) => Ink::Ack,
            Kind::Udp | Kind::Fragment(_) => Ink::Datagram,
            Kind::Icmp { .. } | Kind::Other(_) => Ink::Control,
        }
    }
}

/// Which part of a packet's way a row shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leg {
    /// All of it.
    Whole,
    /// It is sent; other things happen before it arrives.
    Leaves,
    /// It arrives.
    Arrives,
    /// It is sent and never arrives.
    Lost,
}

/// A packet on its way from lane to lane.
#[derive(Debug, Clone)]
pub(super) struct Arrow {
    /// The packet's number in the record: joins the two rows of a packet that takes its time.
    pub(super) number: usize,
    pub(super) from: usize,
    pub(super) to: usize,
    /// The same thing in ever fewer words: `PSH ACK  5 bytes`, `PSH ACK 5 B`, `PA 5`.
    pub(super) labels: [String; 3],
    pub(super) ink: Ink,
    pub(super) leg: Leg,
    pub(super) delay: Duration,
}

impl Arrow {
    /// The lanes at its ends, the left one first.
    pub(super) fn span(&self) -> (usize, usize) {
        (self.from.min(self.to), self.from.max(self.to))
    }

    /// The fullest label that fits, the shortest where none does.
    pub(super) fn label(&self, room: usize) -> &str {
        let fits = |label: &&String| super::words::width(label) <= room;
        self.labels.iter().find(fits).unwrap_or(&self.labels[2])
    }

    pub(super) fn add_delay(&mut self) {
        let delay = super::words::milliseconds(self.delay);
        self.labels[0].push_str(&format!("  +{delay} ms"));
        self.labels[1].push_str(&format!(" +{delay} ms"));
    }
}

/// Names packets, in the order in which they were sent: it remembers how far each direction of a connection has come.
#[derive(Debug, Default)]
pub(super) struct Namer {
    /// The next sequence number of each direction.
    next: HashMap<(SocketAddr, SocketAddr), u32>,
    /// The directions in which a SYN ACK was sent.
    answered: HashSet<(SocketAddr, SocketAddr)>,
}

impl Namer {
    /// The packet's labels, from the fullest to the shortest.
    pub(super) fn labels(&mut self, packet: &Packet) -> [String; 3] {
        // The packet's own words up to its length: `PSH ACK`, `UDP`, `ICMP port unreachable`.
        let words = packet.to_string();
        let name = words.split("  ").next().unwrap_or_default().to_owned();
        let mut notes = Vec::new();
        let mut initials = name.clone();
        if let Kind::Tcp(tcp) = &packet.kind {
            if tcp.flags.has(ACK) && !tcp.flags.has(RST) && tcp.window == 0 {
                notes.push("window 0");
            }
            notes.extend(self.repeats(packet, tcp));
            if name.contains(' ') {
                initials = name
                    .split(' ')
                    .filter_map(|flag| flag.chars().next())
                    .collect();
            }
        }
        let has_data = match packet.kind {
            Kind::Tcp(_) => packet.length > 0,
            Kind::Udp | Kind::Fragment(_) => true,
            _ => false,
        };
        let mut labels = [name.clone(), name, initials];
        if has_data {
            labels[0].push_str(&format!("  {}", counted(packet.length, "byte")));
            labels[1].push_str(&format!(" {} B", packet.length));
            labels[2].push_str(&format!(" {}", packet.length));
        }
        for note in notes {
            labels[0].push_str(&format!("  {note}"));
            labels[1].push_str(&format!(" {note}"));
        }
        labels
    }

    /// `again` for what was sent before (RFC 9293 section 3.8.1), `probe` for an empty segment behind the next sequence
    /// number: it asks whether the peer, or its window, is there (sections 3.8.4 and 3.8.6.1).
    fn repeats(&mut self, packet: &Packet, tcp: &Tcp) -> Option<&'static str> {
        let length = packet.length as u32;
        let counts = length + u32::from(tcp.flags.has(SYN)) + u32::from(tcp.flags.has(FIN));
        let end = tcp.sequence.wrapping_add(counts);
        let direction = (packet.source, packet.destination);
        let next = *self
            .next
            .entry(direction)
            .or_insert(end.wrapping_sub(counts));
        // Sequence numbers are compared on a circle, RFC 9293 section 3.4.
        let ahead = end.wrapping_sub(next) as i32;
        let new_connection = tcp.flags.has(SYN) && ahead != 0;
        // Who has sent a SYN itself answers one with the same number: both open at a time, RFC 9293 section 3.5.
        let first_answer = tcp.flags.has(SYN | ACK) && self.answered.insert(direction);
        if tcp.flags.has(RST) {
            return None;
        }
        if ahead > 0 || new_connection {
            self.next.insert(direction, end);
            return None;
        }
        match (counts, ahead) {
            (0, -1) => Some("probe"),
            (0, _) => None,
            _ if first_answer => None,
            _ => Some("again"),
        }
    }
}
