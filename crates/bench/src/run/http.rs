//! Requests and answers.

use super::rounds::{Entry, costs, enter, per_second};
use super::{Bench, check};
use crate::counts;
use crate::load::{CONNECTION_PER_REQUEST, LoadError, SMALL, Shape, at_rate};
use crate::measure::run_on;
use crate::results::{ClientCheck, Latency, Row, Topic, Workload};
use crate::servers::Contestant;

/// Connections at the same time: enough that the server always has something to do.
const CONNECTIONS: usize = 64;

/// The share of what the slowest contestant can do at which everybody's latency is measured: far from saturation, where a queue
/// would be measured and not a server.
const EASY: f64 = 0.4;

/// How many turns for latency there are in place of one for cost.
const LATENCY_ROUNDS: usize = 3;

const KEEP_ALIVE: &str = "keep-alive";
const PIPELINED: &str = "pipelined-16";

fn workloads() -> Vec<Workload> {
    let workload = |id: &str, title: &str, depth, size| Workload {
        id: id.into(),
        title: title.into(),
        connections: CONNECTIONS,
        depth,
        size,
    };
    vec![
        workload(KEEP_ALIVE, "keep-alive", 1, SMALL),
        workload(PIPELINED, "pipelined 16", 16, SMALL),
        workload(CONNECTION_PER_REQUEST, "connection per request", 1, SMALL),
        workload("file-100k", "file 100 KiB", 1, 100 * 1024),
    ]
}

pub fn section(
    bench: &Bench,
    contestants: &[&'static Contestant],
    checks: &mut Vec<ClientCheck>,
) -> (Vec<Workload>, Vec<Row>) {
    let workloads = workloads();
    let entries = enter(bench, contestants);
    let mut rows = costs(bench, Topic::Http, &entries, &workloads);
    per_second(bench, Topic::Http, &entries, &mut rows, &workloads);
    latencies(bench, &entries, &mut rows, &workloads[0]);
    if let Some(other) = bench.cores.other {
        checks.extend(check::clients(bench, &entries, &workloads[0], other));
    }
    drop(entries);
    if !bench.plan.quick {
        for workload in &workloads[..3] {
            count(bench, contestants, &mut rows, workload);
        }
    }
    (workloads, rows)
}

/// At one rate for everybody, in many short rounds: where the machine stops everything for some milliseconds each second, most
/// rounds are without that, and so is their median; a stop in a round of half a second is one answer in a hundred, whoever serves.
fn latencies(bench: &Bench, entries: &[Entry], rows: &mut [Row], workload: &Workload) {
    let of_workload = |row: &&mut Row| row.workload == workload.id && row.missing.is_none();
    let rates = rows.iter_mut().filter(of_workload).filter_map(|row| {
        let alone = row.per_second.map(|spread| spread.median);
        // With one core the client has its share of it: about half.
        alone.or(row.cost.map(|cost| 0.5e9 / cost.total_ns.median))
    });
    let Some(slowest) = rates.min_by(f64::total_cmp) else {
        return;
    };
    let rate = ((slowest * EASY / 1000.0).floor() * 1000.0).max(100.0);
    let rounds = bench.plan.rounds * LATENCY_ROUNDS;
    bench.progress.expects(entries.len() * rounds);
    let _ = run_on(bench.cores.other.unwrap_or(bench.cores.shared));
    let mut found = vec![Vec::new(); rows.len()];
    for round in 1..=rounds {
        bench.progress.stage(&format!(
            "HTTP, latency at {rate:.0} requests per second, round {round} of {rounds}"
        ));
        for (row, found) in rows.iter_mut().zip(&mut found) {
            if !of_workload(&row) || bench.stops() {
                continue;
            }
            bench.progress.step(&row.contestant);
            let entry = entries
                .iter()
                .find(|entry| entry.contestant.name == row.contestant);
            let Some(Ok(server)) = entry.map(|entry| &entry.server) else {
                continue;
            };
            match latency(bench, server.address(), row, workload, rate) {
                Ok(latency) => found.push(latency),
                Err(error) => row.fails(server, &error),
            }
        }
    }
    for (row, found) in rows.iter_mut().zip(&found) {
        if row.missing.is_none() {
            row.latency = Latency::of(found);
        }
    }
    let _ = run_on(bench.cores.shared);
}

fn latency(
    bench: &Bench,
    address: std::net::SocketAddr,
    row: &Row,
    workload: &Workload,
    rate: f64,
) -> Result<Latency, LoadError> {
    let shape = Shape::of(workload, row.kind);
    let yields = bench.cores.other.is_none();
    at_rate(address, &shape, rate, bench.plan.sample, yields)
}

/// What does not depend on the machine: system calls, allocations, instructions.
pub fn count(
    bench: &Bench,
    contestants: &[&'static Contestant],
    rows: &mut [Row],
    workload: &Workload,
) {
    bench
        .progress
        .stage(&format!("counting per request, {}", workload.title));
    bench.progress.expects(contestants.len());
    for &contestant in contestants {
        bench.progress.step(contestant.name);
        if bench.stops() {
            return;
        }
        let row = rows.iter_mut().find(|row| {
            row.contestant == contestant.name
                && row.kind == contestant.kind
                && row.workload == workload.id
                && row.missing.is_none()
        });
        if let Some(row) = row {
            let counted = bench.place(contestant, |place| {
                Ok(counts::count(contestant, workload, place))
            });
            row.counts = counted.ok();
        }
    }
}
