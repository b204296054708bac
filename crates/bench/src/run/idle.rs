//! Connections that do nothing, and one that does.
//!
//! One server after the other, since the connections of all of them at once would be more than a process may have descriptors.
//! So the floor's figures are some minutes older than those that they are compared with; a server's own figures, with few idle
//! connections and with many, are seconds apart.

use nix::sys::resource::{Resource, getrlimit};

use super::Bench;
use super::rounds::with_costs;
use crate::load::{LoadError, SMALL, Shape, Swarm, Until};
use crate::measure::{Server, run_on};
use crate::results::{Row, Topic, Workload};
use crate::servers::Contestant;
use crate::words::grouped;

const IDLE: [usize; 5] = [10, 100, 1000, 10_000, 15_000];
const QUICK: [usize; 3] = [10, 1000, 10_000];

/// How many connections the time to accept is measured with.
const ACCEPTED: usize = 10_000;

/// Descriptors that a server needs for itself.
const SPARE: u64 = 64;

pub fn section(bench: &Bench, contestants: &[&'static Contestant]) -> (Vec<Workload>, Vec<Row>) {
    let steps: &[usize] = if bench.plan.quick { &QUICK } else { &IDLE };
    let workloads: Vec<Workload> = steps
        .iter()
        .map(|&connections| Workload {
            id: format!("idle-{connections}"),
            title: format!("{} idle", grouped(connections as f64)),
            connections,
            depth: 1,
            size: SMALL,
        })
        .collect();
    bench.progress.stage("idle connections");
    bench.progress.expects(contestants.len());
    let mut rows = Vec::new();
    for contestant in contestants {
        bench.progress.step(contestant.name);
        if bench.stops() {
            break;
        }
        rows.extend(contestant_rows(bench, contestant, &workloads));
    }
    (workloads, with_costs(rows))
}

fn contestant_rows(bench: &Bench, contestant: &Contestant, workloads: &[Workload]) -> Vec<Row> {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    let mut rows: Vec<Row> = workloads
        .iter()
        .map(|workload| {
            let mut row = Row::of(contestant, workload);
            row.missing = contestant.leaves_out(workload).map(Into::into);
            if row.missing.is_none() && workload.connections as u64 + SPARE > limit {
                row.missing = Some(format!(
                    "a process may have {limit} descriptors here: raise the hard limit, `ulimit -Hn`"
                ));
            }
            row
        })
        .collect();
    let Some(last) = rows.iter().rposition(|row| row.missing.is_none()) else {
        return rows;
    };
    match bench.start(contestant) {
        Ok(server) => {
            if let Err((at, error)) = grows(bench, &server, &mut rows[..=last], workloads) {
                rows[at..]
                    .iter_mut()
                    .filter(|row| row.missing.is_none())
                    .for_each(|row| row.fails(&server, &error));
            }
        }
        Err(error) => rows
            .iter_mut()
            .for_each(|row| row.missing = Some(format!("{error:#}"))),
    }
    let accepted = rows
        .iter_mut()
        .zip(workloads)
        .find(|(row, workload)| workload.connections == ACCEPTED && row.missing.is_none());
    if let Some((row, workload)) = accepted {
        accepts(bench, contestant, row, workload);
    }
    rows
}

/// More and more connections, and how one among them fares. An error with the row at which it happened.
fn grows(
    bench: &Bench,
    server: &Server,
    rows: &mut [Row],
    workloads: &[Workload],
) -> Result<(), (usize, LoadError)> {
    let Some(shape) = rows.first().map(|row| Shape::of(&workloads[0], row.kind)) else {
        return Ok(());
    };
    let mut idle = Swarm::new(server.address(), &shape).map_err(|error| (0, error))?;
    // What the first of all connections takes is not what a connection takes.
    idle.grow(1).map_err(|error| (0, error))?;
    let before = server.memory();
    for (at, (row, workload)) in rows.iter_mut().zip(workloads).enumerate() {
        if row.missing.is_some() {
            continue;
        }
        let mut step = || -> Result<(), LoadError> {
            idle.grow(workload.connections)?;
            row.memory = Some(server.memory_since(before, workload.connections - 1));
            let mut active = Swarm::new(server.address(), &shape)?;
            active.grow(1)?;
            let until = Until::Time(bench.plan.turn(Topic::Idle));
            active.closed(until)?; // its first time is slower
            for round in 0..bench.plan.rounds {
                row.samples
                    .push(server.sample(round, || active.closed(until))?);
            }
            Ok(())
        };
        step().map_err(|error| (at, error))?;
    }
    Ok(())
}

/// How long a server that has just been started takes for all of them, the client on a core of its own where there is one.
fn accepts(bench: &Bench, contestant: &Contestant, row: &mut Row, workload: &Workload) {
    let Ok(server) = bench.start(contestant) else {
        return; // it could be started a moment ago, and that is what the row tells
    };
    let _ = run_on(bench.cores.other.unwrap_or(bench.cores.shared));
    let grown = Swarm::new(server.address(), &Shape::of(workload, row.kind))
        .and_then(|mut swarm| swarm.grow(workload.connections));
    let _ = run_on(bench.cores.shared);
    row.accept_ns = grown.ok().map(|time| time.as_nanos() as u64);
}
