//! Long runs of the same thing become their first few, how many more, and the last.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::arrow::Ink;
use super::words::grouped;
use crate::packet::Kind;
use crate::record::{Event, What};

/// More than this many of a kind are a run.
const RUN: usize = 6;
/// A pause this long is something to see: runs end there.
const PAUSE: Duration = Duration::from_millis(150);

/// What stays of the events.
pub(super) enum Item<'a> {
    /// An event, with its number in the record.
    Event(usize, &'a Event),
    /// Packets left out, between two columns; how many, and how many bytes of data.
    MorePackets(Duration, (Option<usize>, Option<usize>), [String; 2]),
    /// Lines left out, of a column.
    MoreLines(Duration, usize, String),
}

/// What makes events similar.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Likeness {
    Packet(SocketAddr, SocketAddr, bool),
    /// A line, on standard error or not.
    Line(bool, usize, String),
    Call(usize, String),
}

impl Likeness {
    fn of(event: &Event) -> Option<Self> {
        match &event.what {
            What::Said(column, line) => Some(Self::Line(false, *column, template(line))),
            What::Complained(column, line) => Some(Self::Line(true, *column, template(line))),
            What::Called(column, call) => Some(Self::Call(*column, template(call))),
            What::Packet { packet, .. } => {
                let (a, b) = (packet.source, packet.destination);
                let plain = matches!(Ink::of(packet), Ink::Data | Ink::Ack | Ink::Datagram);
                let udp = packet.kind == Kind::Udp;
                (plain && packet.arrived.is_some()).then(|| Self::Packet(a.min(b), a.max(b), udp))
            }
            What::Typed(..) | What::Ended(..) | What::State(..) | What::Act(_) => None,
        }
    }

    /// What is left out together: different lines that take turns are counted as lines.
    fn family(&self) -> Self {
        match self {
            Self::Packet(..) => self.clone(),
            Self::Line(_, column, _) => Self::Line(false, *column, String::new()),
            Self::Call(column, _) => Self::Call(*column, String::new()),
        }
    }

    /// How many of a run are shown before and after the gap.
    fn shown(&self) -> (usize, usize) {
        match self {
            Self::Packet(..) => (4, 1),
            _ => (1, 1),
        }
    }
}

/// The line with `#` for every number in it.
pub(super) fn template(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            c if !c.is_ascii_digit() => out.push(c),
            _ if out.ends_with('#') => {}
            _ => out.push('#'),
        }
    }
    out
}

/// The events with their runs folded.
pub(super) fn fold(events: &[Event]) -> Vec<Item<'_>> {
    let mut items = Vec::new();
    let mut stretch: Vec<(usize, &Event, Likeness)> = Vec::new();
    for (number, event) in events.iter().enumerate() {
        let pause = stretch
            .last()
            .is_some_and(|(_, last, _)| event.at.saturating_sub(last.at) > PAUSE);
        let likeness = Likeness::of(event);
        if pause || likeness.is_none() {
            squeeze(&stretch, &mut items);
            stretch.clear();
        }
        match likeness {
            Some(likeness) => stretch.push((number, event, likeness)),
            None => items.push(Item::Event(number, event)),
        }
    }
    squeeze(&stretch, &mut items);
    items
}

/// Folds a stretch in which anything may repeat, interleaved or not. What is rare in it stays and parts it.
fn squeeze<'a>(stretch: &[(usize, &'a Event, Likeness)], items: &mut Vec<Item<'a>>) {
    let mut counts: HashMap<&Likeness, usize> = HashMap::new();
    for (_, _, likeness) in stretch {
        *counts.entry(likeness).or_default() += 1;
    }
    let rare = |likeness: &Likeness| counts[likeness] <= RUN;
    if counts.values().all(|&count| count <= RUN) {
        let all = stretch
            .iter()
            .map(|&(number, event, _)| Item::Event(number, event));
        return items.extend(all);
    }
    if counts.keys().any(|likeness| rare(likeness)) {
        for part in stretch.split_inclusive(|(_, _, likeness)| rare(likeness)) {
            let (end, before) = part
                .split_last()
                .expect("split_inclusive gives no empty part");
            if rare(&end.2) {
                squeeze(before, items);
                items.push(Item::Event(end.0, end.1));
            } else {
                squeeze(part, items);
            }
        }
        return;
    }
    let mut seen: HashMap<&Likeness, usize> = HashMap::new();
    let mut told: HashSet<Likeness> = HashSet::new();
    for (number, event, likeness) in stretch {
        let (first, last) = likeness.shown();
        let (at, count) = (seen.entry(likeness).or_default(), counts[likeness]);
        if *at < first || *at >= count - last {
            items.push(Item::Event(*number, event));
        } else if told.insert(likeness.family()) {
            items.push(more(stretch, &counts, event, likeness));
        }
        *at += 1;
    }
}

/// What stands for the left-out events of a family: all are shown or left out by their place in the run of their like.
fn more<'a>(
    stretch: &[(usize, &'a Event, Likeness)],
    counts: &HashMap<&Likeness, usize>,
    first: &Event,
    likeness: &Likeness,
) -> Item<'a> {
    let family = likeness.family();
    let mut seen: HashMap<&Likeness, usize> = HashMap::new();
    let (mut number, mut bytes, mut ends) = (0, (0, 0), (None, None));
    for (_, event, likeness) in stretch {
        let (shown, last) = likeness.shown();
        let at = seen.entry(likeness).or_default();
        let hidden = (shown..counts[likeness] - last).contains(at);
        *at += 1;
        if !hidden || likeness.family() != family {
            continue;
        }
        number += 1;
        if let (Likeness::Packet(one, ..), What::Packet { from, to, packet }) =
            (likeness, &event.what)
        {
            ends = (*from, *to);
            let there = packet.source == *one;
            *(if there { &mut bytes.0 } else { &mut bytes.1 }) += packet.length;
        }
    }
    let number = grouped(number);
    match likeness {
        Likeness::Packet(_, _, udp) => {
            let bytes = match bytes {
                (0, bytes) | (bytes, 0) => grouped(bytes),
                (there, back) => format!("{} + {}", grouped(there), grouped(back)),
            };
            let kind = if *udp { "datagrams" } else { "segments" };
            let words = [format!("⋮ {number} more {kind}"), format!("{bytes} bytes")];
            Item::MorePackets(first.at, ends, words)
        }
        Likeness::Line(_, column, _) => {
            Item::MoreLines(first.at, *column, format!("⋮ {number} more lines"))
        }
        Likeness::Call(column, _) => {
            Item::MoreLines(first.at, *column, format!("⋮ {number} more calls"))
        }
    }
}
