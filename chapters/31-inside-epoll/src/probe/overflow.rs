//! The overflow list: where an event goes that comes while epoll_wait hands out others.

use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use anyhow::ensure;
use common::descriptors::raise_limit;
use common::{Call, say};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::calls::{EDGE, IN, Told};
use crate::instance::{Instance, counter};

/// An event that is not told by then will not be.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lets a clock ring while epoll_wait hands out events
#[derive(Debug, clap::Args)]
pub struct OverflowList {
    /// Let it ring between two waits
    #[arg(long)]
    between: bool,
    /// How often it rings
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    rings: u32,
    /// How many other descriptors are ready all the time
    #[arg(long, value_name = "COUNT", default_value_t = 4000, value_parser = clap::value_parser!(i32).range(1..=1_000_000))]
    others: i32,
}

impl OverflowList {
    // ANCHOR: overflow
    pub fn run(&self) -> anyhow::Result<()> {
        raise_limit()?;
        let instance = Instance::new()?;
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let clock = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).call("timerfd_create")?;
        instance.add(&clock, IN | EDGE)?;
        let others = (0..self.others).map(|_| counter(1));
        let others = others.collect::<Result<Vec<_>, _>>()?;
        for other in &others {
            instance.add(other, IN)?;
        }
        let (mut first, mut last, mut elsewhere) = (0, 0, 0);
        for ring in 0..self.rings {
            self.wind(&clock, ring)?;
            match self.place(&instance, &clock)? {
                (0, _) => first += 1,
                (place, length) if place + 1 == length => last += 1,
                _ => elsewhere += 1,
            }
        }
        say!("it rings {} times, and that is told", self.rings)?;
        let percent = |times: u32| f64::from(times) * 100.0 / f64::from(self.rings);
        let [first, last, elsewhere] = [first, last, elsewhere].map(percent);
        say!("first {first:.1} %, last {last:.1} %, elsewhere {elsewhere:.1} %")?;
        Ok(())
    }

    /// The clock is to ring in a moment, each time in another one: some are in the middle of a wait.
    fn wind(&self, clock: &TimerFd, ring: u32) -> anyhow::Result<()> {
        let moment = match self.between {
            true => Duration::from_nanos(1),
            false => Duration::from_micros(u64::from(1 + ring % 100) * 20),
        };
        let once = Expiration::OneShot(TimeSpec::from_duration(moment));
        clock
            .set(once, TimerSetTimeFlags::empty())
            .call("timerfd_settime")?;
        if self.between {
            let mut rung = [PollFd::new(clock.as_fd(), PollFlags::POLLIN)];
            while let Err(Errno::EINTR) = poll(&mut rung, PollTimeout::NONE) {}
        }
        Ok(())
    }

    /// Waits until it has been told that the clock rang: at which place of how many.
    fn place(&self, instance: &Instance, clock: &TimerFd) -> anyhow::Result<(usize, usize)> {
        let start = Instant::now();
        loop {
            let answer = instance.wait(self.others + 1, -1)?;
            let of_clock = |told: &Told| told.data == clock.as_fd().as_raw_fd() as u64;
            if let Some(place) = answer.iter().position(of_clock) {
                return Ok((place, answer.len()));
            }
            ensure!(start.elapsed() < PATIENCE, "an event is lost");
        }
    }
    // ANCHOR_END: overflow
}
