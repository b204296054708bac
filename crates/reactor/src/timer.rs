//! Timers: a wheel of wheels, as Linux has had it since 4.8 (kernel/time/timer.c).
//!
//! Setting, cancelling and firing a timer takes the same time however many there are. The first level has a slot for
//! each of the next 256 milliseconds, each further level slots eight times as long. A timer goes into the slot where
//! its time falls and stays there: nothing is moved down from level to level as in the classic wheel. (One that is further
//! away than the wheel reaches goes round again.) The price is precision: a timer never fires early, and late by at most one
//! slot of its level, a thirtieth of its time. Timeouts do not care, and many of them share one wake-up.

use std::mem;
use std::time::Duration;

use crate::token::{Table, Token};

/// Bits by which a level's slots are longer than the level's before.
const SHIFT: u32 = 3;
/// Slots of a level.
const SIZE: usize = 256;
/// Levels. The last one's slots are 36 minutes long and reach 6 days ahead.
const LEVELS: usize = 8;
/// Behind the slots of the levels: the timers that are due and not yet taken.
const DUE: usize = SIZE * LEVELS;
/// Bits of a word.
const WORD: usize = u64::BITS as usize;

/// Milliseconds since the loop began.
pub type Tick = u64;

/// In milliseconds, at most years of them, and rounded up: rounded down, the last fraction of a wait would be spent spinning.
#[inline]
pub(crate) fn milliseconds(time: Duration) -> Tick {
    time.as_secs().min(1 << 32) * 1000 + Tick::from(time.subsec_nanos().div_ceil(1_000_000))
}

/// Names a timer until it has fired or was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerId(Token);

#[derive(Debug)]
struct Entry<T> {
    value: T,
    /// When it is to fire; its slot may fall due earlier where that is further away than the wheel reaches.
    at: Tick,
    /// Where it is listed, and at which place there.
    slot: usize,
    place: usize,
}

/// Values, each with the tick at which it falls due.
#[derive(Debug)]
pub struct Wheel<T> {
    /// Every tick up to and with this one has fired.
    now: Tick,
    entries: Table<Entry<T>>,
    /// The timers of each slot, level by level, and at the end of those that are due.
    slots: Vec<Vec<Token>>,
    /// A bit for each slot that has timers.
    occupied: [u64; DUE / WORD],
    /// A tick at or before the next slot that falls due; `None`: to be looked for.
    next: Option<Tick>,
}

impl<T> Default for Wheel<T> {
    fn default() -> Self {
        Self {
            now: 0,
            entries: Table::default(),
            slots: vec![Vec::new(); DUE + 1],
            occupied: [0; DUE / WORD],
            next: Some(Tick::MAX),
        }
    }
}

/// The slot where a timer for `at` belongs, and the tick at which it falls due.
fn place(now: Tick, at: Tick) -> (usize, Tick) {
    let at = at.max(now + 1);
    for level in 0..LEVELS {
        let shift = SHIFT * level as u32;
        // Rounded up, never early; and less than one turn ahead, or it would fall into a slot of an earlier turn.
        let turn = at.div_ceil(1 << shift);
        if turn - (now >> shift) < SIZE as u64 {
            return (level * SIZE + turn as usize % SIZE, turn << shift);
        }
    }
    let shift = SHIFT * (LEVELS as u32 - 1);
    let turn = (now >> shift) + SIZE as u64 - 1;
    let slot = (LEVELS - 1) * SIZE + turn as usize % SIZE;
    (slot, turn << shift)
}

impl<T> Wheel<T> {
    /// Sets a timer for tick `at`.
    pub fn insert(&mut self, at: Tick, value: T) -> TimerId {
        let (slot, due) = place(self.now, at);
        let token = self.entries.reserve();
        let place = self.enlist(slot, token);
        let entry = Entry {
            value,
            at,
            slot,
            place,
        };
        let _ = self.entries.put(token, entry);
        self.next = self.next.map(|next| next.min(due));
        TimerId(token)
    }

    /// Puts a timer on a slot's list. Its place there.
    fn enlist(&mut self, slot: usize, token: Token) -> usize {
        let list = &mut self.slots[slot];
        list.push(token);
        if slot != DUE {
            self.occupied[slot / WORD] |= 1 << (slot % WORD);
        }
        list.len() - 1
    }

    /// Ends a timer that has not fired, and returns its value.
    pub fn cancel(&mut self, TimerId(token): TimerId) -> Option<T> {
        let Entry {
            value, slot, place, ..
        } = self.entries.remove(token)?;
        let list = &mut self.slots[slot];
        list.swap_remove(place);
        if let Some(moved) = list
            .get(place)
            .and_then(|token| self.entries.get_mut(*token))
        {
            moved.place = place;
        }
        if list.is_empty() && slot != DUE {
            *list = Vec::new();
            self.occupied[slot / WORD] &= !(1 << (slot % WORD));
        }
        if self.entries.is_empty() {
            self.next = Some(Tick::MAX);
        }
        Some(value)
    }

    /// It is `now`. What is set from here on is placed by its distance from now: seen from the last timer, hours ago perhaps,
    /// it would lie far away, in a slot that is long.
    pub fn advance(&mut self, now: Tick) {
        let before_next = self.next_due().saturating_sub(1);
        self.now = self.now.max(now.min(before_next));
    }

    /// A value that is due at `now`, each one once; `None` when there is no further one.
    pub fn pop_due(&mut self, now: Tick) -> Option<T> {
        loop {
            if let Some(token) = self.slots[DUE].last() {
                return self.cancel(TimerId(*token));
            }
            let next = self.next_due();
            if next > now {
                self.now = self.now.max(now);
                return None;
            }
            self.now = next;
            self.next = None;
            self.collect();
        }
    }

    /// Moves the slots that end at `self.now` to the list of what is due. `next_due` never goes past a slot that has
    /// entries, so one level at least has one, and the others only if their slot ends at the same tick.
    fn collect(&mut self) {
        for level in 0..LEVELS {
            let shift = SHIFT * level as u32;
            if self.now & ((1 << shift) - 1) != 0 {
                break;
            }
            let slot = level * SIZE + (self.now >> shift) as usize % SIZE;
            self.occupied[slot / WORD] &= !(1 << (slot % WORD));
            for token in mem::take(&mut self.slots[slot]) {
                let Some(at) = self.entries.get(token).map(|entry| entry.at) else {
                    continue;
                };
                // One that is further away than the wheel reached goes round again.
                let slot = match at > self.now {
                    true => place(self.now, at).0,
                    false => DUE,
                };
                let place = self.enlist(slot, token);
                if let Some(entry) = self.entries.get_mut(token) {
                    (entry.slot, entry.place) = (slot, place);
                }
            }
        }
    }

    /// A tick at or before the next timer's; `Tick::MAX` without any. It is remembered: the wheel is looked through
    /// after a slot has fallen due, not at every turn of the loop.
    pub fn next_due(&mut self) -> Tick {
        if !self.slots[DUE].is_empty() {
            return self.now;
        }
        if let Some(next) = self.next {
            return next;
        }
        let mut first = Tick::MAX;
        for (level, occupied) in self.occupied.chunks(SIZE / WORD).enumerate() {
            let shift = SHIFT * level as u32;
            let current = self.now >> shift;
            if let Some(ahead) = ahead(occupied, current as usize % SIZE) {
                first = first.min((current + ahead as u64) << shift);
            }
        }
        self.next = Some(first);
        first
    }

    /// How many timers are set.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// How far ahead of `from` the next bit is, going round, at least 1. The bit at `from` itself never is set: its slot has
/// fallen due.
fn ahead(bits: &[u64], from: usize) -> Option<usize> {
    let start = (from + 1) % SIZE;
    for step in 0..=bits.len() {
        let word = (start / WORD + step) % bits.len();
        let mut found = bits[word];
        if step == 0 {
            found &= u64::MAX << (start % WORD);
        } else if step == bits.len() {
            found &= !(u64::MAX << (start % WORD));
        }
        if found != 0 {
            let bit = word * WORD + found.trailing_zeros() as usize;
            return Some((bit + SIZE - start) % SIZE + 1);
        }
    }
    None
}
