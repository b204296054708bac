//! Questions about the packets of an experiment.
//!
//! ```ignore
//! lab.packets().from(&client).has(RST)          // a Check: at least one of them is a reset
//! lab.packets().to(&server).carrying_data().count()
//! ```

use std::ops::Deref;
use std::time::Duration;

use crate::check::Check;
use crate::packet::{Flags, Kind, Packet};

/// A packet, and the columns of the ladder that it goes from and to where a program or host is known there.
#[derive(Debug, Clone)]
pub struct Passed {
    /// The packet.
    pub packet: Packet,
    pub(crate) from: Option<usize>,
    pub(crate) to: Option<usize>,
}

impl Deref for Passed {
    type Target = Packet;

    fn deref(&self) -> &Packet {
        &self.packet
    }
}

/// Who sends and receives: a program, or a host with whatever runs on it.
pub trait Party {
    /// Whether the packet's sender is this party.
    fn sent(&self, packet: &Passed) -> bool;
    /// Whether the packet was meant for this party.
    fn was_sent(&self, packet: &Passed) -> bool;
}

/// The packets up to now, or those of them that were chosen. A list in the order in which they were sent.
#[derive(Debug, Clone, Default)]
pub struct Packets {
    pub(crate) all: Vec<Passed>,
    /// Why there are none to be seen, if that is so.
    pub(crate) refused: Option<String>,
}

impl Deref for Packets {
    type Target = [Passed];

    fn deref(&self) -> &[Passed] {
        &self.all
    }
}

impl Packets {
    /// Those that a condition chooses.
    pub fn that(mut self, chosen: impl Fn(&Passed) -> bool) -> Self {
        self.all.retain(chosen);
        self
    }

    /// Those that a program or host has sent.
    pub fn from(self, sender: &impl Party) -> Self {
        self.that(|packet| sender.sent(packet))
    }

    /// Those that were sent to a program or host, arrived or not.
    pub fn to(self, receiver: &impl Party) -> Self {
        self.that(|packet| receiver.was_sent(packet))
    }

    /// TCP segments with all of these flags.
    pub fn with(self, flags: Flags) -> Self {
        self.that(|packet| packet.tcp().is_some_and(|tcp| tcp.flags.has(flags)))
    }

    /// TCP segments without any of these flags.
    pub fn without(self, flag: Flags) -> Self {
        self.that(|packet| packet.tcp().is_some_and(|tcp| !tcp.flags.has(flag)))
    }

    /// Segments and datagrams with at least one byte of data.
    pub fn carrying_data(self) -> Self {
        self.that(|packet| packet.length > 0)
    }

    /// TCP segments.
    pub fn tcp(self) -> Self {
        self.that(|packet| packet.tcp().is_some())
    }

    /// UDP datagrams.
    pub fn udp(self) -> Self {
        self.that(|packet| packet.kind == Kind::Udp)
    }

    /// ICMP messages of a type and code.
    pub fn icmp(self, kind: u8, code: u8) -> Self {
        self.that(|packet| packet.kind == Kind::Icmp { kind, code })
    }

    /// Those that the wire lost.
    pub fn lost(self) -> Self {
        self.that(|packet| packet.arrived.is_none())
    }

    /// Those that arrived.
    pub fn arrived(self) -> Self {
        self.that(|packet| packet.arrived.is_some())
    }

    /// Those sent at this time of the experiment or later.
    pub fn since(self, time: Duration) -> Self {
        self.that(|packet| packet.sent >= time)
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// How many bytes of data they carry together.
    pub fn bytes(&self) -> usize {
        self.all.iter().map(|packet| packet.length).sum()
    }

    /// The times between one and the next.
    pub fn gaps(&self) -> Vec<Duration> {
        self.all
            .windows(2)
            .map(|pair| pair[1].sent.saturating_sub(pair[0].sent))
            .collect()
    }

    /// At least one has these flags.
    pub fn has(self, flags: Flags) -> Check {
        let seen = self.seen();
        let refused = self.refused.clone();
        let found = self.with(flags).count() > 0;
        refused.map_or_else(|| Check::new(found, seen), Check::unseen)
    }

    /// None has these flags.
    pub fn lacks(self, flags: Flags) -> Check {
        !self.has(flags)
    }

    /// There is at least one.
    pub fn some(&self) -> Check {
        self.check(self.count() > 0)
    }

    /// There is none.
    pub fn none(&self) -> Check {
        self.check(self.count() == 0)
    }

    /// There are exactly so many.
    pub fn exactly(&self, count: usize) -> Check {
        self.check(self.count() == count)
    }

    /// An answer about these packets that the caller has found, with what they are.
    pub fn check(&self, holds: bool) -> Check {
        match &self.refused {
            Some(refused) => Check::unseen(refused),
            None => Check::new(holds, self.seen()),
        }
    }

    /// The packets in a few words: what each is, in order.
    pub fn seen(&self) -> String {
        const SHOWN: usize = 12;
        if self.all.is_empty() {
            return "no packet".into();
        }
        let shown: Vec<_> = self
            .all
            .iter()
            .take(SHOWN)
            .map(|packet| packet.to_string().replace("  ", " "))
            .collect();
        let more = match self.all.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{}{more}", shown.join(", "))
    }
}
