//! What one wait costs when a few descriptors among many are ready: the course's figure, measured.

use std::fs;
use std::path::PathBuf;

use anyhow::ensure;
use common::descriptors::raise_limit;
use common::{Call, say};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::plot::{Curve, plot};
use crate::waits::{Measure, epoll_time, poll_time, select_time};

/// Descriptors for the standard streams, epoll and whatever else is open.
const OTHERS: u64 = 16;

/// Measures select, poll and epoll with one ready descriptor among many
///
/// Only the call is measured (for select with the copy of its set, which the call overwrites), not the search for the
/// ready descriptor in its result, which select and poll leave to the program.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many descriptors are watched
    #[arg(long, value_name = "COUNT", value_delimiter = ',', default_value = "10,100,1000,10000",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    descriptors: Vec<u32>,
    /// How many of them are ready, if there are so many
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    ready: u32,
    /// How many measurements the median is taken of
    #[arg(long, value_name = "COUNT", default_value_t = 31, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    samples: u32,
    /// Draw the result into a file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut counts = args.descriptors.clone();
    counts.sort_unstable();
    let most = counts.last().copied().unwrap_or_default();
    let limit = raise_limit()?;
    ensure!(
        u64::from(most) + OTHERS <= limit,
        "{most} descriptors: this process may have {limit}, see getrlimit(2)"
    );
    let title = format!(
        "one wait with {} ready among n descriptors, median of {}",
        args.ready, args.samples
    );
    let machine = machine();
    say!("{title}")?;
    say!("{machine}")?;
    let mut curves = [("select", "close"), ("poll", "open"), ("epoll", "data")].map(Curve::new);
    for count in counts {
        let mut watched = Vec::new();
        for number in 0..count {
            // The ready ones stand in the middle: poll is cheaper when the first is ready, dearer when the last is. An
            // eventfd is readable while it is not 0, the simplest thing that can be waited for.
            let before = (count - args.ready.min(count)) / 2;
            let ready = (before..before.saturating_add(args.ready)).contains(&number);
            let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
            watched.push(EventFd::from_value_and_flags(ready.into(), flags).call("eventfd")?);
        }
        let measure = Measure {
            samples: args.samples,
            ready: args.ready.min(count) as usize,
        };
        let times = [
            select_time(&watched, &measure)?,
            poll_time(&watched, &measure)?,
            epoll_time(&watched, &measure)?,
        ];
        for (curve, time) in curves.iter_mut().zip(times) {
            curve.points.push((count.into(), time));
        }
        let [select, poll, epoll] = times;
        say!("{count:>6}   select {select:.2} µs   poll {poll:.2} µs   epoll {epoll:.2} µs")?;
    }
    if let Some(file) = &args.svg {
        let drawn = plot(&title, &machine, &curves);
        fs::write(file, drawn).call(format_args!("write {}", file.display()))?;
    }
    Ok(())
}

/// The kernel and the machine: without them a figure says nothing.
fn machine() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version = release.trim().split('-').next().unwrap_or_default();
    let processors = match std::thread::available_parallelism().map_or(1, usize::from) {
        1 => "1 processor".into(),
        count => format!("{count} processors"),
    };
    format!("Linux {version}, {}, {processors}", std::env::consts::ARCH)
}
