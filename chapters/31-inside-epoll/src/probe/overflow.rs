//! The overflow list: where events go that come while epoll_wait hands out others.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{hint, thread};

use anyhow::ensure;
use common::descriptors::raise_limit;
use common::{Call, say};
use nix::sys::eventfd::EventFd;
use std::os::fd::{AsFd, AsRawFd};

use crate::instance::{EDGE, IN, Instance, Told, counter};

/// An event that is not told by then will not be.
const PATIENCE: Duration = Duration::from_secs(10);

/// Events come while epoll_wait hands out thousands of others
#[derive(Debug, clap::Args)]
pub struct OverflowList {
    /// Let them come between two waits
    #[arg(long)]
    between: bool,
    /// How many events come
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    events: u32,
    /// How many other descriptors are always ready
    #[arg(long, value_name = "N", default_value_t = 4000, value_parser = clap::value_parser!(i32).range(1..=1_000_000))]
    others: i32,
}

impl OverflowList {
    // ANCHOR: overflow
    pub fn run(&self) -> anyhow::Result<()> {
        raise_limit()?;
        let (instance, late) = (Instance::new()?, counter(0)?);
        instance.add(&late, IN | EDGE)?;
        let others = (0..self.others).map(|_| counter(1));
        let others = others.collect::<Result<Vec<_>, _>>()?;
        for other in &others {
            instance.add(other, IN)?;
        }
        let (told, over) = (AtomicU32::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            if !self.between {
                scope.spawn(|| self.write(&late, &told, &over));
            }
            let outcome = self.wait(&instance, &late, &told);
            over.store(true, Ordering::Relaxed);
            outcome
        })
    }

    /// The other thread: writes, waits until that is told, and writes again.
    fn write(&self, late: &EventFd, told: &AtomicU32, over: &AtomicBool) {
        for number in 0..self.events {
            while told.load(Ordering::Relaxed) < number {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                hint::spin_loop();
            }
            let pause = Instant::now();
            while pause.elapsed() < Duration::from_micros(100) {} // until the next wait has begun
            if late.write(1).is_err() {
                return; // the one who waits will notice
            }
        }
    }
    // ANCHOR_END: overflow

    // ANCHOR: places
    /// Counts at which place of an answer the event stands.
    fn wait(&self, instance: &Instance, late: &EventFd, told: &AtomicU32) -> anyhow::Result<()> {
        let (mut first, mut last, mut elsewhere) = (0, 0, 0);
        let mut heard = Instant::now();
        while first + last + elsewhere < self.events {
            if self.between {
                late.write(1).call("write")?;
            }
            let answer = instance.wait(self.others + 1, -1)?;
            let of_late = |told: &Told| told.data == late.as_fd().as_raw_fd() as u64;
            match answer.iter().position(of_late) {
                Some(0) => first += 1,
                Some(place) if place + 1 == answer.len() => last += 1,
                Some(_) => elsewhere += 1,
                None => {
                    ensure!(heard.elapsed() < PATIENCE, "an event is lost");
                    continue;
                }
            }
            heard = Instant::now();
            told.fetch_add(1, Ordering::Relaxed);
        }
        say!(
            "of {} events {first} are told first, {last} last, {elsewhere} elsewhere",
            self.events
        )?;
        Ok(())
    }
    // ANCHOR_END: places
}
