//! A channel's name, and the table that finds the channel by it (the course's channel map).
//!
//! The course finds a channel by its descriptor. A descriptor that is closed in one callback can be a new connection's
//! in the next: the event that was meant for the old one then reaches the new one. A token has a generation besides
//! its slot, and no two channels ever share both.

use std::fmt;

/// Names a channel of one event loop, for as long as the channel lives and never again afterwards.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    slot: u32,
    generation: u32,
}

impl Token {
    /// The token as the 64 bits that a kernel carries for us, `epoll_data` in epoll_ctl(2).
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    /// The token that [`Token::to_bits`] made these bits of.
    pub fn from_bits(bits: u64) -> Self {
        Self {
            slot: bits as u32,
            generation: (bits >> 32) as u32,
        }
    }

    /// Does it name this slot? A free one has no name.
    fn names<T>(self, slot: &Slot<T>) -> bool {
        slot.generation == self.generation && self.generation != FREE
    }

    /// The place in the table: small numbers, used again after the channel is gone. For a dispatcher's own tables.
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}#{}", self.slot, self.generation)
    }
}

/// With fewer slots than this the table does not care to shrink.
const SMALL: usize = 32;

/// The generation of a slot that no channel has. No token has it.
const FREE: u32 = u32::MAX;

// ANCHOR: slot
#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    /// `None` while the channel is out of the table: its callback runs, or it is being built.
    channel: Option<T>,
}

/// Channels by token: every operation takes the same time however many there are, apart from the rare one that moves the
/// table to a larger or smaller place.
///
/// A channel is taken *out* while its callback runs, so that the callback may use everything else in the loop, and put
/// back afterwards. A token of an absent, removed or taken-out channel finds nothing.
#[derive(Debug)]
pub struct Table<T> {
    slots: Vec<Slot<T>>,
    /// Free slots. Some may be in use again, or given up: who takes one looks.
    free: Vec<u32>,
    /// Slots in use.
    used: usize,
    /// For the table, not for each slot: so slots can be given up without forgetting how often they were used.
    next_generation: u32,
}
// ANCHOR_END: slot

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            used: 0,
            next_generation: 0,
        }
    }
}

impl<T> Table<T> {
    // ANCHOR: reserve
    /// A token for a channel that will be [`put`](Table::put) under it.
    pub fn reserve(&mut self) -> Token {
        let generation = self.next_generation;
        self.next_generation = (generation + 1) % FREE;
        self.used += 1;
        while let Some(slot) = self.free.pop() {
            if let Some(free) = self.slots.get_mut(slot as usize)
                && free.generation == FREE
            {
                free.generation = generation;
                return Token { slot, generation };
            }
        }
        let slot = self.slots.len() as u32;
        self.slots.push(Slot {
            generation,
            channel: None,
        });
        Token { slot, generation }
    }
    // ANCHOR_END: reserve

    // ANCHOR: find
    #[inline]
    fn slot(&mut self, token: Token) -> Option<&mut Slot<T>> {
        let slot = self.slots.get_mut(token.slot())?;
        token.names(slot).then_some(slot)
    }
    // ANCHOR_END: find

    /// Takes the channel out for the time of its callback.
    #[inline]
    pub fn take(&mut self, token: Token) -> Option<T> {
        self.slot(token)?.channel.take()
    }

    /// Puts a channel in, or back in. Gives it back if its token was removed meanwhile.
    #[inline]
    pub fn put(&mut self, token: Token, channel: T) -> Result<(), T> {
        match self.slot(token) {
            Some(slot) => {
                slot.channel = Some(channel);
                Ok(())
            }
            None => Err(channel),
        }
    }

    /// Does it name a channel, in or taken out?
    pub fn is_used(&self, token: Token) -> bool {
        let slot = self.slots.get(token.slot());
        slot.is_some_and(|slot| token.names(slot))
    }

    /// Looks at a channel that is in.
    pub fn get(&self, token: Token) -> Option<&T> {
        let slot = self.slots.get(token.slot())?;
        token.names(slot).then_some(slot.channel.as_ref()?)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        self.slot(token)?.channel.as_mut()
    }

    /// Ends the token. Returns the channel if it was in.
    pub fn remove(&mut self, token: Token) -> Option<T> {
        let slot = self.slot(token)?;
        slot.generation = FREE;
        let channel = slot.channel.take();
        self.used -= 1;
        self.free.push(token.slot);
        self.shrink();
        channel
    }

    // ANCHOR: shrink
    /// Gives up the free slots at the end, and the memory when three quarters of it are not needed.
    fn shrink(&mut self) {
        while self
            .slots
            .last()
            .is_some_and(|last| last.generation == FREE)
        {
            self.slots.pop();
        }
        let length = self.slots.len();
        let enough = 2 * length.max(SMALL);
        if self.slots.capacity() > 2 * enough {
            self.slots.shrink_to(enough);
            self.free.retain(|slot| (*slot as usize) < length);
            self.free.shrink_to(enough);
        }
    }
    // ANCHOR_END: shrink

    /// The tokens in use.
    pub fn tokens(&self) -> Vec<Token> {
        let slots = (0..).zip(&self.slots);
        let used = slots.filter(|(_, content)| content.generation != FREE);
        let token = |(slot, content): (u32, &Slot<T>)| Token {
            slot,
            generation: content.generation,
        };
        used.map(token).collect()
    }

    /// How many channels there are, those taken out included.
    pub fn len(&self) -> usize {
        self.used
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// How many slots there is room for.
    pub fn capacity(&self) -> usize {
        self.slots.capacity()
    }
}
