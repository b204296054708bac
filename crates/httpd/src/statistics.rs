//! Counters. Each loop has its own, and only its own thread writes them: counting is a load and a store, never a locked
//! instruction. Who reads them may see one a moment before another.

use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many of a loop's connections are shown one by one.
const SEATS: usize = 64;

/// A counter with one writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, count: u64) {
        let sum = self.0.load(Ordering::Relaxed).wrapping_add(count);
        self.0.store(sum, Ordering::Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a loop has done.
#[derive(Debug, Default)]
pub struct LoopCounters {
    name: String,
    /// Connections that it was given.
    pub accepted: Counter,
    /// Of these, those that have ended.
    pub ended: Counter,
    /// Answers, those to refused requests included.
    pub requests: Counter,
    /// Refused requests.
    pub refused: Counter,
    /// Bytes of answers, heads included.
    pub sent: Counter,
    seats: Mutex<Vec<Option<SocketAddr>>>,
}

impl LoopCounters {
    /// The loop's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its connections now.
    pub fn open(&self) -> u64 {
        // In this order: a connection that ends in between must not make it negative.
        let ended = self.ended.get();
        self.accepted.get().saturating_sub(ended)
    }

    fn seats(&self) -> MutexGuard<'_, Vec<Option<SocketAddr>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a connection's address where the status page finds it. `None` without a free seat: it is counted all the same.
    pub(crate) fn take_seat(&self, peer: Option<SocketAddr>) -> Option<u8> {
        let peer = peer?;
        let mut seats = self.seats();
        let free = seats.iter().position(Option::is_none);
        let seat = free.or_else(|| (seats.len() < SEATS).then_some(seats.len()))?;
        match seats.get_mut(seat) {
            Some(free) => *free = Some(peer),
            None => seats.push(Some(peer)),
        }
        Some(seat as u8)
    }

    pub(crate) fn leave_seat(&self, seat: u8) {
        if let Some(seat) = self.seats().get_mut(usize::from(seat)) {
            *seat = None;
        }
    }
}

/// The counters of a server. Given to it in its options, and to whoever wants to look.
#[derive(Debug, Default)]
pub struct Statistics {
    loops: Mutex<Vec<Arc<LoopCounters>>>,
    /// Connections of all loops, for the limit on them.
    pub(crate) open: AtomicUsize,
}

impl Statistics {
    pub(crate) fn add_loop(&self, name: &str) -> Arc<LoopCounters> {
        let counters = Arc::new(LoopCounters {
            name: name.into(),
            ..Default::default()
        });
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        loops.push(Arc::clone(&counters));
        loops.sort_by(|one, other| one.name.cmp(&other.name));
        counters
    }

    /// Those of each loop that has had a connection.
    pub fn loops(&self) -> Vec<Arc<LoopCounters>> {
        let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        loops.clone()
    }
}

/// As JSON, for the status page. Loops' names contain nothing that has to be escaped.
impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_char('[')?;
        for (index, one) in self.loops().iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(
                f,
                r#"{comma}{{"name":"{}","open":{},"accepted":{},"requests":{},"refused":{},"sent":{},"peers":["#,
                one.name,
                one.open(),
                one.accepted.get(),
                one.requests.get(),
                one.refused.get(),
                one.sent.get()
            )?;
            for (index, peer) in one.seats().iter().flatten().enumerate() {
                let comma = if index > 0 { "," } else { "" };
                write!(f, r#"{comma}"{peer}""#)?;
            }
            f.write_str("]}")?;
        }
        f.write_char(']')
    }
}
