//! Timers: a wheel of wheels, as Linux has had it since 4.8 (kernel/time/timer.c).
//!
//! Setting, cancelling and firing a timer takes the same time however many there are. The first level has a slot for
//! each of the next 256 milliseconds, each further level slots eight times as long. A timer goes into the slot where
//! its time falls and stays there: nothing is moved down from level to level as in the classic wheel. The price is
//! precision: a timer never fires early, and late by at most one slot of its level, a thirtieth of its time. Timeouts do not
//! care, and many of them share one wake-up.

use std::mem;

/// Bits by which a level's slots are longer than the level's before.
const SHIFT: u32 = 3;
/// Slots of a level.
const SIZE: usize = 256;
/// Levels. The last one's slots are 36 minutes long and reach 6 days ahead.
const LEVELS: usize = 8;
/// The end of a list.
const NIL: u32 = u32::MAX;

/// Milliseconds since the loop began.
pub type Tick = u64;

/// Names a timer until it has fired or was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerId {
    index: u32,
    serial: u32,
}

#[derive(Debug)]
struct Entry<T> {
    /// `None`: free.
    value: Option<T>,
    /// Another one each time the entry is used.
    serial: u32,
    slot: u32,
    previous: u32,
    next: u32,
}

/// Values, each with the tick at which it falls due.
#[derive(Debug)]
pub struct Wheel<T> {
    /// Every tick up to and with this one has fired.
    now: Tick,
    /// The first entry of each slot's list.
    heads: Box<[u32; SIZE * LEVELS]>,
    /// A bit for each slot that has entries.
    occupied: [[u64; SIZE / 64]; LEVELS],
    entries: Vec<Entry<T>>,
    first_free: u32,
    next_serial: u32,
    /// Entries that are due and not yet taken.
    due: u32,
    /// A tick at or before the next slot that falls due; `None`: to be looked for.
    next: Option<Tick>,
    len: usize,
}

impl<T> Default for Wheel<T> {
    fn default() -> Self {
        Self {
            now: 0,
            heads: Box::new([NIL; SIZE * LEVELS]),
            occupied: [[0; SIZE / 64]; LEVELS],
            entries: Vec::new(),
            first_free: NIL,
            next_serial: 0,
            due: NIL,
            next: Some(Tick::MAX),
            len: 0,
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
    /// Sets a timer for tick `at`. One that is further away than the wheel reaches fires when it comes to an end.
    pub fn insert(&mut self, at: Tick, value: T) -> TimerId {
        let (slot, due) = place(self.now, at);
        let head = self.heads[slot];
        let serial = self.next_serial;
        self.next_serial = serial.wrapping_add(1);
        let entry = Entry {
            value: Some(value),
            serial,
            slot: slot as u32,
            previous: NIL,
            next: head,
        };
        let index = match self.entries.get_mut(self.first_free as usize) {
            Some(free) => {
                let next_free = free.next;
                *free = entry;
                mem::replace(&mut self.first_free, next_free)
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        if head != NIL {
            self.entries[head as usize].previous = index;
        }
        self.heads[slot] = index;
        self.occupied[slot / SIZE][slot % SIZE / 64] |= 1 << (slot % 64);
        self.next = self.next.map(|next| next.min(due));
        self.len += 1;
        TimerId { index, serial }
    }

    /// Ends a timer that has not fired, and returns its value.
    pub fn cancel(&mut self, id: TimerId) -> Option<T> {
        let entry = self.entries.get_mut(id.index as usize)?;
        if entry.serial != id.serial || entry.value.is_none() {
            return None;
        }
        self.unlink(id.index);
        self.free(id.index)
    }

    fn unlink(&mut self, index: u32) {
        let entry = &self.entries[index as usize];
        let (previous, next, slot) = (entry.previous, entry.next, entry.slot as usize);
        if next != NIL {
            self.entries[next as usize].previous = previous;
        }
        if previous != NIL {
            self.entries[previous as usize].next = next;
        } else if self.due == index {
            self.due = next;
        } else {
            self.heads[slot] = next;
            if next == NIL {
                self.occupied[slot / SIZE][slot % SIZE / 64] &= !(1 << (slot % 64));
            }
        }
    }

    fn free(&mut self, index: u32) -> Option<T> {
        let entry = &mut self.entries[index as usize];
        entry.next = mem::replace(&mut self.first_free, index);
        let value = entry.value.take();
        self.len -= 1;
        if self.len == 0 {
            self.entries = Vec::new();
            self.first_free = NIL;
            self.next = Some(Tick::MAX);
        }
        value
    }

    /// A value that is due at `now`, each one once; `None` when there is no further one.
    pub fn pop_due(&mut self, now: Tick) -> Option<T> {
        while self.due == NIL {
            let next = self.next_due();
            if next > now {
                self.now = self.now.max(now);
                return None;
            }
            self.now = next;
            self.next = None;
            self.collect();
        }
        let index = self.due;
        self.unlink(index);
        self.free(index)
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
            while self.heads[slot] != NIL {
                let index = self.heads[slot];
                self.unlink(index);
                let due = mem::replace(&mut self.due, index);
                let entry = &mut self.entries[index as usize];
                (entry.previous, entry.next) = (NIL, due);
                if due != NIL {
                    self.entries[due as usize].previous = index;
                }
            }
        }
    }

    /// A tick at or before the next timer's; `Tick::MAX` without any. It is remembered: the wheel is looked through
    /// after a slot has fallen due, not at every turn of the loop.
    pub fn next_due(&mut self) -> Tick {
        if self.due != NIL {
            return self.now;
        }
        if let Some(next) = self.next {
            return next;
        }
        let mut first = Tick::MAX;
        for level in 0..LEVELS {
            let shift = SHIFT * level as u32;
            let current = self.now >> shift;
            if let Some(ahead) = ahead(&self.occupied[level], current as usize % SIZE) {
                first = first.min((current + ahead as u64) << shift);
            }
        }
        self.next = Some(first);
        first
    }

    /// How many timers are set.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// How far ahead of `from` the next bit is, going round, at least 1. The bit at `from` itself never is set: its slot has
/// fallen due.
fn ahead(bits: &[u64; SIZE / 64], from: usize) -> Option<usize> {
    let start = (from + 1) % SIZE;
    for step in 0..=bits.len() {
        let word = (start / 64 + step) % bits.len();
        let mut found = bits[word];
        if step == 0 {
            found &= u64::MAX << (start % 64);
        } else if step == bits.len() {
            found &= !(u64::MAX << (start % 64));
        }
        if found != 0 {
            let bit = word * 64 + found.trailing_zeros() as usize;
            return Some((bit + SIZE - start) % SIZE + 1);
        }
    }
    None
}
