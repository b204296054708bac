//! Questions to the record of a run, as short as a quiz needs them.
//!
//! ```ignore
//! seen.of("graceserver").complains("Broken pipe")
//! seen.of("graceclient").sent().with(RST).count() == 1
//! ```

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::packet::Flags;
use crate::packets::{Packets, Party, Passed};
use crate::record::{Claim, Record, Verdict, What};

/// The record of a run, to be asked.
#[derive(Debug)]
pub struct Seen<'a> {
    record: &'a Record,
    /// What was asked for and is not there: a program or a claim with a name that nobody has.
    unknown: RefCell<BTreeSet<String>>,
}

/// What one program did.
#[derive(Debug)]
pub struct Part<'a> {
    record: &'a Record,
    column: Option<usize>,
}

impl<'a> Seen<'a> {
    /// Asks this record.
    pub fn new(record: &'a Record) -> Self {
        Self {
            record,
            unknown: RefCell::default(),
        }
    }

    /// The program of this column of the ladder: `graceclient`, and `graceclient 2` for the second of the name.
    pub fn of(&self, name: &str) -> Part<'a> {
        let named = |column: &crate::record::Column| column.name == name;
        let column = self.record.columns.iter().position(named);
        if column.is_none() {
            self.lacks(format!("program {name:?}"));
        }
        Part {
            record: self.record,
            column,
        }
    }

    /// The claim with this sentence.
    pub fn claim(&self, sentence: &str) -> Option<&'a Claim> {
        let same = |claim: &&Claim| claim.sentence == sentence;
        let claim = self.record.claims.iter().find(same);
        if claim.is_none() {
            self.lacks(format!("claim {sentence:?}"));
        }
        claim
    }

    /// The claim with this sentence holds.
    pub fn holds(&self, sentence: &str) -> bool {
        self.claim(sentence)
            .is_some_and(|claim| claim.verdict == Verdict::Holds)
    }

    /// Every packet of the ladder.
    pub fn packets(&self) -> Packets {
        packets(self.record)
    }

    /// How many lines with this text the programs have written, all together, on either output.
    pub fn lines(&self, text: &str) -> usize {
        let lines = self.record.events.iter().filter(|event| {
            matches!(&event.what, What::Said(_, line) | What::Complained(_, line) if line.contains(text))
        });
        lines.count()
    }

    /// What was asked for and is not in the record.
    pub fn unknown(&self) -> Vec<String> {
        self.unknown.borrow().iter().cloned().collect()
    }

    fn lacks(&self, what: String) {
        self.unknown.borrow_mut().insert(what);
    }
}

impl Part<'_> {
    /// A line on standard output has this text.
    pub fn says(&self, text: &str) -> bool {
        self.count(text) > 0
    }

    /// A line on standard output is just this.
    pub fn prints(&self, line: &str) -> bool {
        self.events(|what| matches!(what, What::Said(_, said) if said == line)) > 0
    }

    /// So many lines on standard output have this text.
    pub fn count(&self, text: &str) -> usize {
        self.events(|what| matches!(what, What::Said(_, line) if line.contains(text)))
    }

    /// A line on standard error has this text.
    pub fn complains(&self, text: &str) -> bool {
        self.events(|what| matches!(what, What::Complained(_, line) if line.contains(text))) > 0
    }

    /// One of its lines on standard error, the first with 0; nothing where there are not so many.
    pub fn complaint(&self, at: usize) -> &str {
        let own = self
            .record
            .events
            .iter()
            .filter_map(|event| match &event.what {
                What::Complained(_, line) if self.is_of(&event.what) => Some(line.as_str()),
                _ => None,
            });
        own.into_iter().nth(at).unwrap_or_default()
    }

    /// It ended in this way: `exited with code 0`, `killed by SIGPIPE`.
    pub fn ended(&self, how: &str) -> bool {
        self.events(|what| matches!(what, What::Ended(_, end) if end.contains(how))) > 0
    }

    /// So many of its system calls, as the ladder shows them, have this text. None are seen where an experiment does not
    /// trace the program.
    pub fn calls(&self, text: &str) -> usize {
        self.events(|what| matches!(what, What::Called(_, call) if call.contains(text)))
    }

    /// The number that follows this text in the first of its lines, on either output, that has one there.
    pub fn number_after(&self, text: &str) -> Option<usize> {
        self.record.events.iter().find_map(|event| {
            let (What::Said(_, line) | What::Complained(_, line)) = &event.what else {
                return None;
            };
            let digits = &line[line.find(text)? + text.len()..];
            let end = digits.find(|c: char| !c.is_ascii_digit());
            let number = digits[..end.unwrap_or(digits.len())].parse().ok();
            number.filter(|_| self.is_of(&event.what))
        })
    }

    /// The packets that it sent.
    pub fn sent(&self) -> Packets {
        packets(self.record).from(self)
    }

    /// The packets that were sent to it, arrived or not.
    pub fn received(&self) -> Packets {
        packets(self.record).to(self)
    }

    /// It sent a segment with these flags.
    pub fn sends(&self, flags: Flags) -> bool {
        self.sent().with(flags).count() > 0
    }

    /// A segment with these flags came to it.
    pub fn gets(&self, flags: Flags) -> bool {
        self.received().with(flags).arrived().count() > 0
    }

    fn events(&self, fits: impl Fn(&What) -> bool) -> usize {
        let own = |what: &What| self.is_of(what) && fits(what);
        let events = self.record.events.iter();
        events.filter(|event| own(&event.what)).count()
    }

    fn is_of(&self, what: &What) -> bool {
        let of = match what {
            What::Said(column, _)
            | What::Complained(column, _)
            | What::Typed(column, _)
            | What::Ended(column, _)
            | What::Called(column, _)
            | What::State(column, ..) => *column,
            What::Packet { .. } | What::Act(_) => return false,
        };
        Some(of) == self.column
    }
}

impl Party for Part<'_> {
    fn sent(&self, packet: &Passed) -> bool {
        self.column.is_some() && packet.from == self.column
    }

    fn was_sent(&self, packet: &Passed) -> bool {
        self.column.is_some() && packet.to == self.column
    }
}

fn packets(record: &Record) -> Packets {
    let passed = record.events.iter().filter_map(|event| match &event.what {
        What::Packet { from, to, packet } => Some(Passed {
            packet: packet.clone(),
            from: *from,
            to: *to,
        }),
        _ => None,
    });
    Packets {
        all: passed.collect(),
        refused: None,
    }
}
