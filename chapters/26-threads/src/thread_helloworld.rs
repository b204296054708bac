//! Two threads that count, in one place.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::thread;

use clap::ValueEnum;
use common::{Call, say};
use nix::unistd::gettid;

/// Lets threads count together, and tells whether the sum is right
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How they keep out of each other's way
    #[arg(long, default_value = "race")]
    with: Guard,
    /// How far each of them counts
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(..=1_000_000_000_000))]
    count: u64,
    /// How many threads
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Guard {
    /// Not at all: read the number, add one, write it back. Wrong on purpose
    Race,
    /// With a lock
    Mutex,
    /// With one instruction that reads, adds and writes
    Atomic,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let expected = u64::from(args.threads) * args.count;
    let found = match args.with {
        Guard::Race => race(args)?,
        Guard::Mutex => mutex(args)?,
        Guard::Atomic => atomic(args)?,
    };
    say!("counted to {found} of {expected}")?;
    say!("lost updates: {}", expected - found)?;
    Ok(())
}

// ANCHOR: race
/// Rust refuses a plain number that two threads write. Two atomic steps in place of one are the same mistake in a form that
/// compiles: between the read and the write the other thread has been there.
fn race(args: &Args) -> anyhow::Result<u64> {
    let calculator = AtomicU64::new(0);
    together(args, || {
        let seen = calculator.load(Ordering::Relaxed);
        calculator.store(seen + 1, Ordering::Relaxed);
    })?;
    Ok(calculator.into_inner())
}
// ANCHOR_END: race

// ANCHOR: mutex
fn mutex(args: &Args) -> anyhow::Result<u64> {
    let calculator = Mutex::new(0);
    together(args, || {
        *calculator.lock().unwrap_or_else(PoisonError::into_inner) += 1; // unlocked at the end of the statement
    })?;
    Ok(calculator
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner))
}
// ANCHOR_END: mutex

// ANCHOR: atomic
fn atomic(args: &Args) -> anyhow::Result<u64> {
    let calculator = AtomicU64::new(0);
    together(args, || {
        calculator.fetch_add(1, Ordering::Relaxed);
    })?;
    Ok(calculator.into_inner())
}
// ANCHOR_END: atomic

// ANCHOR: together
/// Each thread does the step so many times. They wait for each other at a gate, or the first would have ended when the
/// second begins.
fn together(args: &Args, step: impl Fn() + Sync) -> anyhow::Result<()> {
    let gate = RwLock::new(());
    thread::scope(|scope| {
        let closed = gate.write();
        let count = || {
            let said = say!("hello, world, tid == {}", gettid());
            drop(gate.read()); // opened when all are there, or when one of them could not be had
            (0..args.count).for_each(|_| step());
            said
        };
        let threads = (0..args.threads).map(|_| thread::Builder::new().spawn_scoped(scope, count));
        let threads: Vec<_> = threads.collect::<io::Result<_>>().call("start a thread")?;
        drop(closed);
        for thread in threads {
            thread.join().unwrap_or(Ok(()))?;
        }
        Ok(())
    })
}
// ANCHOR_END: together
