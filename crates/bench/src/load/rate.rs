//! The open loop: requests come when they are due, whether the server has answered the ones before or not, as those of many
//! strangers do. A request that is due while every connection waits for an answer waits as well, and that time counts: the
//! clock starts when it is due. Else a server that stops for a second would be charged for the few requests that happened to be
//! under way, and not for all those that could not be made meanwhile ("coordinated omission").

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{LoadError, Shape, Swarm};
use crate::results::Latency;

/// How long is waited for answers when the last request was due. What has not come by then counts with the time that it has
/// waited so far.
const GRACE: Duration = Duration::from_secs(1);

/// Asks at a fixed rate for so long. With a core of its own the client spins, since sleeping and waking would add to what is measured;
/// on a core that it shares (`yields`) it lets the server run first.
pub fn at_rate(
    address: SocketAddr,
    shape: &Shape,
    rate: f64,
    time: Duration,
    yields: bool,
) -> Result<Latency, LoadError> {
    let mut swarm = Swarm::new(address, shape)?;
    swarm.grow(shape.connections)?;
    let total = (rate * time.as_secs_f64()) as usize;
    let mut latencies = Vec::with_capacity(total);
    let mut free: VecDeque<usize> = swarm.free().collect();
    let mut since = vec![Instant::now(); shape.connections];
    let began = Instant::now();
    let due = |request: usize| began + Duration::from_secs_f64(request as f64 / rate);
    let mut next = 0;
    while latencies.len() < total && began.elapsed() < time + GRACE {
        while next < total && due(next) <= Instant::now() {
            let Some(slot) = free.pop_front() else {
                break;
            };
            since[slot] = due(next);
            swarm.ask(slot, 1)?;
            next += 1;
        }
        let answered = swarm.turn(None)?;
        for &(slot, at) in answered {
            latencies.push(at - since[slot]);
            free.push_back(slot);
        }
        if yields && answered.is_empty() {
            let _ = nix::sched::sched_yield(); // it cannot fail on Linux, sched_yield(2)
        }
    }
    let (answered, end) = (latencies.len(), Instant::now());
    let elapsed = end - began;
    free.iter().for_each(|&slot| since[slot] = end);
    let unanswered = since.iter().filter(|&&since| since < end);
    latencies.extend(unanswered.map(|&since| end - since));
    latencies.extend((next..total).map(|request| end.saturating_duration_since(due(request))));
    latencies.sort_unstable();
    let at = |share: f64| {
        let place = (share * latencies.len() as f64) as usize;
        let found = latencies.get(place.min(latencies.len().saturating_sub(1)));
        found.map_or(0, |latency| latency.as_nanos() as u64)
    };
    Ok(Latency {
        rate,
        achieved: answered as f64 / elapsed.as_secs_f64(),
        p50_ns: at(0.5),
        p99_ns: at(0.99),
        p999_ns: at(0.999),
        max_ns: at(1.0),
        p99_spread: None,
    })
}
