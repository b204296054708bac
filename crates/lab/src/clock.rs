//! One time for everything: packets carry the kernel's wall clock, the rest is measured by the monotonic one.

use std::time::{Duration, Instant, SystemTime};

/// The start of an experiment, by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    monotonic: Instant,
    wall: SystemTime,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            monotonic: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    /// The time since the start.
    pub fn now(&self) -> Duration {
        self.monotonic.elapsed()
    }

    /// The time between the start and a moment.
    pub fn at(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.monotonic)
    }

    /// The time between the start and a packet's stamp.
    pub(crate) fn since_start(&self, stamp: SystemTime) -> Duration {
        stamp.duration_since(self.wall).unwrap_or_default()
    }
}
