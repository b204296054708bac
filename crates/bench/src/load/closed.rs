//! The closed loop: everybody asks again as soon as they have their answer. The load is as much as the server can take.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{LoadError, PATIENCE, Shape, Swarm};

/// When it is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Nobody asks after so long; what has been asked by then is still awaited.
    Time(Duration),
    /// Exactly so many requests.
    Requests(u64),
}

/// What a load has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Requests that have been answered: all that were made.
    pub requests: u64,
    /// From the first of them to the last answer.
    pub elapsed: Duration,
}

impl Tally {
    /// Requests per second.
    pub fn per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }
}

/// Opens the connections as they are needed, and lets everybody ask.
pub fn closed(address: SocketAddr, shape: &Shape, until: Until) -> Result<Tally, LoadError> {
    let mut swarm = Swarm::new(address, shape)?;
    swarm.places(shape.connections);
    swarm.closed(until)
}

impl Swarm {
    /// Lets all those ask that are not waiting already, and returns when all of them have their answers.
    pub fn closed(&mut self, until: Until) -> Result<Tally, LoadError> {
        let (began, mut last) = (Instant::now(), Instant::now());
        let (answered, waiting) = (self.answered(), self.waiting());
        let (mut left, deadline) = match until {
            Until::Time(time) => (u64::MAX, Some(began + time)),
            Until::Requests(count) => (count, None),
        };
        let mut free: Vec<usize> = self.free().collect();
        loop {
            let now = Instant::now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                left = 0;
            }
            for slot in free.drain(..) {
                let batch = left.min(self.depth() as u64);
                if batch == 0 {
                    break;
                }
                self.ask(slot, batch as usize)?;
                left -= batch;
            }
            if self.waiting() <= waiting {
                break;
            }
            let before = self.answered();
            free.extend(self.turn(Some(PATIENCE))?.iter().map(|&(slot, _)| slot));
            if self.answered() > before || !free.is_empty() {
                last = now;
            } else if last.elapsed() > PATIENCE {
                return Err(self.stalled());
            }
        }
        Ok(Tally {
            requests: self.answered() - answered,
            elapsed: began.elapsed(),
        })
    }
}
