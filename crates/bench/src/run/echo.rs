//! Messages that come back.

use super::Bench;
use super::http::count;
use super::rounds::{costs, enter, per_second};
use crate::results::{Row, Topic, Workload};
use crate::servers::Contestant;
use crate::words::grouped;

const SIZES: [usize; 4] = [64, 1024, 16 * 1024, 64 * 1024];
const CONNECTIONS: [usize; 3] = [1, 100, 1000];

/// What `--quick` has time for.
const QUICK: [(usize, usize); 4] = [(64, 1), (1024, 100), (1024, 1000), (16 * 1024, 100)];

fn workloads(quick: bool) -> Vec<Workload> {
    let all = SIZES
        .into_iter()
        .flat_map(|size| CONNECTIONS.map(|connections| (size, connections)));
    all.filter(|pair| !quick || QUICK.contains(pair))
        .map(|(size, connections)| workload(size, connections))
        .collect()
}

fn workload(size: usize, connections: usize) -> Workload {
    let bytes = match size {
        ..1024 => format!("{size} B"),
        _ => format!("{} KiB", size / 1024),
    };
    let plural = if connections == 1 { "" } else { "s" };
    Workload {
        id: format!("echo-{size}-{connections}"),
        title: format!(
            "{bytes} × {} connection{plural}",
            grouped(connections as f64)
        ),
        connections,
        depth: 1,
        size,
    }
}

pub fn section(bench: &Bench, contestants: &[&'static Contestant]) -> (Vec<Workload>, Vec<Row>) {
    let workloads = workloads(bench.plan.quick);
    let entries = enter(bench, contestants);
    let mut rows = costs(bench, Topic::Echo, &entries, &workloads);
    if !bench.plan.quick {
        per_second(bench, Topic::Echo, &entries, &mut rows, &workloads);
        drop(entries);
        count(bench, contestants, &mut rows, &workload(1024, 1));
    }
    (workloads, rows)
}
