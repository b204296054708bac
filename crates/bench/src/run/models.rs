//! The designs of lesson 24: every one of them has the same clients, and some do not serve them all.

use super::Bench;
use super::rounds::{costs, enter, per_second};
use crate::results::{Row, Topic, Workload};
use crate::servers::Contestant;

/// Clients at the same time.
const CLIENTS: [usize; 2] = [10, 100];

pub fn section(bench: &Bench, contestants: &[&'static Contestant]) -> (Vec<Workload>, Vec<Row>) {
    let workload = |clients| Workload {
        id: format!("models-{clients}"),
        title: format!("64 B × {clients} clients"),
        connections: clients,
        depth: 1,
        size: 64,
    };
    let workloads: Vec<Workload> = CLIENTS.into_iter().map(workload).collect();
    let entries = enter(bench, contestants);
    let mut rows = costs(bench, Topic::Models, &entries, &workloads);
    if !bench.plan.quick {
        per_second(bench, Topic::Models, &entries, &mut rows, &workloads);
    }
    (workloads, rows)
}
