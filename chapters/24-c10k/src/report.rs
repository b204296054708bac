//! Percentiles, and rates.

use std::time::Duration;

use common::output::OutputError;
use common::say;

/// What a phase has brought: how many in how long.
pub fn rate(what: &str, count: usize, took: Duration) -> Result<(), OutputError> {
    let seconds = took.as_secs_f64().max(1e-9);
    say!(
        "{what}: {count} in {seconds:.2} s, {:.0} per second",
        count as f64 / seconds
    )
}

// ANCHOR: percentiles
/// A mean hides the slow ones, and they are what users remember. The p-th percentile is the time within which p of a hundred
/// are done.
pub fn percentiles(mut times: Vec<Duration>) -> Result<(), OutputError> {
    times.sort_unstable();
    let Some(most) = times.last() else {
        return Ok(());
    };
    let at = |share: f64| milliseconds(times[((times.len() - 1) as f64 * share) as usize]);
    say!(
        "answered within: 50 % {}, 90 % {}, 99 % {}, 99.9 % {}, all {}",
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        milliseconds(*most)
    )
}
// ANCHOR_END: percentiles

fn milliseconds(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}
