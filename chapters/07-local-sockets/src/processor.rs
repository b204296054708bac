//! Processors, and the time they spend.

use std::time::Duration;

use common::{Call, CallError};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// What all threads of this process have cost so far, clock_gettime(2).
pub fn processor_time() -> Result<Duration, CallError> {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).call("clock_gettime")?;
    Ok(time.into())
}

/// Binds the calling thread to a processor, sched_setaffinity(2).
pub fn run_on(processor: usize) -> Result<(), CallError> {
    let mut set = CpuSet::new();
    set.set(processor).call("sched_setaffinity")?;
    sched_setaffinity(Pid::from_raw(0), &set).call("sched_setaffinity")
}

/// The first two processors that this process may use, or the only one.
pub fn allowed_processors() -> anyhow::Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0)).call("sched_getaffinity")?;
    let allowed = (0..CpuSet::count()).filter(|&number| set.is_set(number) == Ok(true));
    let allowed: Vec<usize> = allowed.take(2).collect();
    anyhow::ensure!(!allowed.is_empty(), "no processor is allowed");
    Ok(allowed)
}
