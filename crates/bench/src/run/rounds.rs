//! The rounds: every contestant has its turn in each of them, so that whatever slows the machine down for a while slows all of them.
//!
//! The servers are up all the time, and idle when it is not their turn. Starting each anew for each turn would measure cold
//! caches and first allocations, which no server has that has run for a minute. The connections are made anew for each turn, outside
//! what is measured: none is idle for so long that a server would close it.

use std::time::Duration;

use super::Bench;
use crate::load::{LoadError, Shape, Swarm, Tally, Until};
use crate::measure::{Server, run_on};
use crate::results::{Cost, Kind, Row, Sample, Spread, Tasks, Topic, Workload};
use crate::servers::Contestant;

/// How long a server of one of the designs may leave a client without an answer before it counts as not served.
const UNSERVED: Duration = Duration::from_millis(300);

/// A contestant, and its server if it is up.
pub struct Entry {
    pub contestant: &'static Contestant,
    pub server: Result<Server, String>,
}

/// Starts them all.
pub fn enter(bench: &Bench, contestants: &[&'static Contestant]) -> Vec<Entry> {
    let start = |&contestant: &&'static Contestant| Entry {
        contestant,
        server: bench
            .start(contestant)
            .map_err(|error| format!("{error:#}")),
    };
    contestants.iter().map(start).collect()
}

/// All rows, measured on one core.
pub fn costs(bench: &Bench, topic: Topic, entries: &[Entry], workloads: &[Workload]) -> Vec<Row> {
    let mut rows: Vec<(Row, &Entry, &Workload)> = Vec::new();
    for entry in entries {
        for workload in workloads {
            let mut row = Row::of(entry.contestant, workload);
            row.missing = match (&entry.server, entry.contestant.leaves_out(workload)) {
                (_, Some(why)) => Some(why.into()),
                (Err(why), None) => Some(why.clone()),
                (Ok(_), None) => None,
            };
            rows.push((row, entry, workload));
        }
    }
    // By workload: a contestant and the floor that it is compared with have their turns close together.
    let place = |workload: &Workload| workloads.iter().position(|other| other == workload);
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&index| place(rows[index].2));
    bench.progress.expects(rows.len() * (bench.plan.rounds + 1));
    for round in 0..=bench.plan.rounds {
        bench.progress.stage(&match round {
            0 => format!("{topic}, warm-up"),
            round => format!("{topic}, round {round} of {}", bench.plan.rounds),
        });
        for &index in &order {
            let (row, entry, workload) = &mut rows[index];
            bench
                .progress
                .step(&format!("{}, {}", row.contestant, workload.title));
            let Ok(server) = &entry.server else { continue };
            if row.missing.is_some() || bench.stops() {
                continue;
            }
            match (turn(bench, topic, server, row, workload, round), round) {
                (Ok(_), 0) => {} // everybody's first time is slower
                (Ok(sample), _) => row.samples.push(sample),
                (Err(error), _) => row.fails(server, &error),
            }
        }
    }
    let rows = rows.into_iter().map(|(row, _, _)| row).collect();
    with_costs(rows)
}

/// A contestant's turn.
fn turn(
    bench: &Bench,
    topic: Topic,
    server: &Server,
    row: &mut Row,
    workload: &Workload,
    round: usize,
) -> Result<Sample, LoadError> {
    let (before, threads) = (server.memory(), server.threads());
    let mut swarm = Swarm::new(server.address(), &Shape::of(workload, row.kind))?;
    if row.kind == Kind::Model {
        let served = swarm.grow_patiently(workload.connections, UNSERVED)?;
        row.tasks = Some(Tasks {
            processes: server.family().len(),
            threads: server.threads(),
            served,
        });
        if round == 0 {
            row.memory = Some(server.memory_since(before, workload.connections));
        }
    } else {
        swarm.grow(workload.connections)?;
    }
    let until = Until::Time(bench.plan.turn(topic));
    let sample = server.sample(round.saturating_sub(1), || swarm.closed(until));
    drop(swarm);
    server.rests(threads);
    sample
}

/// Requests per second, with the client on another core than the server.
pub fn per_second(
    bench: &Bench,
    topic: Topic,
    entries: &[Entry],
    rows: &mut [Row],
    workloads: &[Workload],
) {
    let Some(other) = bench.cores.other else {
        return;
    };
    let rounds = bench.plan.rate_rounds();
    bench.progress.expects(rounds * rows.len());
    if let Err(error) = run_on(other) {
        bench.progress.stage(&format!("{topic}: {error:#}"));
        return;
    }
    let mut rates = vec![Vec::new(); rows.len()];
    for round in 1..=rounds {
        bench.progress.stage(&format!(
            "{topic}, separate cores, round {round} of {rounds}"
        ));
        for workload in workloads {
            for (row, rates) in rows.iter_mut().zip(&mut rates) {
                if row.workload != workload.id {
                    continue;
                }
                bench
                    .progress
                    .step(&format!("{}, {}", row.contestant, workload.title));
                let entry = entries
                    .iter()
                    .find(|entry| entry.contestant.name == row.contestant);
                let Some(Ok(server)) = entry.map(|entry| &entry.server) else {
                    continue;
                };
                if row.missing.is_some() || bench.stops() {
                    continue;
                }
                match rate(bench, topic, server, row.kind, workload) {
                    Ok(tally) => rates.push(tally.per_second()),
                    Err(error) => row.fails(server, &error),
                }
            }
        }
    }
    for (row, rates) in rows.iter_mut().zip(rates) {
        if row.missing.is_none() {
            row.per_second = Spread::of(rates);
        }
    }
    // The cores are those that we began with.
    let _ = run_on(bench.cores.shared);
}

fn rate(
    bench: &Bench,
    topic: Topic,
    server: &Server,
    kind: Kind,
    workload: &Workload,
) -> Result<Tally, LoadError> {
    let threads = server.threads();
    let mut swarm = Swarm::new(server.address(), &Shape::of(workload, kind))?;
    match kind {
        Kind::Model => drop(swarm.grow_patiently(workload.connections, UNSERVED)?),
        Kind::Http | Kind::Echo => drop(swarm.grow(workload.connections)?),
    }
    let tally = swarm.closed(Until::Time(bench.plan.turn(topic)));
    drop(swarm);
    server.rests(threads);
    tally
}

/// Puts the samples together, and compares them with the floor of the same kind, workload and round.
pub fn with_costs(mut rows: Vec<Row>) -> Vec<Row> {
    let floors: Vec<Row> = rows.iter().filter(|row| row.floor).cloned().collect();
    for row in &mut rows {
        let floor = floors
            .iter()
            .find(|floor| floor.kind == row.kind && floor.workload == row.workload);
        row.cost = cost(&row.samples, floor.map(|floor| &floor.samples[..]));
    }
    rows
}

fn cost(samples: &[Sample], floor: Option<&[Sample]>) -> Option<Cost> {
    let each = |sample: &Sample| sample.total_ns as f64 / sample.requests as f64;
    let samples: Vec<&Sample> = samples
        .iter()
        .filter(|sample| sample.requests > 0)
        .collect();
    let total_ns = Spread::of(samples.iter().map(|sample| each(sample)))?;
    // The ticks of one sample are too few to tell its parts apart.
    let user: u64 = samples.iter().map(|sample| sample.user_ns).sum();
    let system: u64 = samples.iter().map(|sample| sample.system_ns).sum();
    let share = user as f64 / (user + system).max(1) as f64;
    let times = |share: f64| Spread {
        median: total_ns.median * share,
        lower: total_ns.lower * share,
        upper: total_ns.upper * share,
    };
    let ratio = floor.and_then(|floor| {
        let same_round = |sample: &Sample| floor.iter().find(|other| other.round == sample.round);
        let ratios = samples
            .iter()
            .filter_map(|sample| Some(each(sample) / each(same_round(sample)?)));
        Spread::of(ratios.filter(|ratio| ratio.is_finite()))
    });
    Some(Cost {
        total_ns,
        user_ns: times(share),
        system_ns: times(1.0 - share),
        ratio,
    })
}

impl Row {
    /// Nothing measured yet.
    pub fn of(contestant: &Contestant, workload: &Workload) -> Self {
        Self {
            contestant: contestant.name.into(),
            kind: contestant.kind,
            ours: contestant.ours,
            floor: contestant.floor,
            about: contestant.about.into(),
            workload: workload.id.clone(),
            missing: None,
            samples: Vec::new(),
            cost: None,
            per_second: None,
            latency: None,
            memory: None,
            accept_ns: None,
            tasks: None,
            counts: None,
        }
    }

    /// A row says all or why not: figures of a server that fails are not shown.
    pub fn fails(&mut self, server: &Server, error: &LoadError) {
        let complaint = server.complaint();
        let complaint = complaint.map_or(String::new(), |said| format!("; it said: {said}"));
        self.missing = Some(format!("{error}{complaint}"));
        self.samples.clear();
        self.cost = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(round: usize, total_ns: u64, user_ns: u64) -> Sample {
        Sample {
            round,
            requests: 10,
            total_ns,
            user_ns,
            system_ns: total_ns - user_ns,
            elapsed_ns: total_ns,
        }
    }

    #[test]
    fn a_round_is_compared_with_the_floor_of_the_same_round() {
        // The machine is twice as slow in the second round, and three times in the third.
        let floor = [sample(0, 100, 0), sample(1, 200, 0), sample(2, 300, 0)];
        let samples = [
            sample(2, 600, 300),
            sample(0, 200, 100),
            sample(1, 400, 200),
        ];
        let cost = cost(&samples, Some(&floor)).unwrap();
        let ratio = cost.ratio.unwrap();
        assert_eq!((ratio.lower, ratio.median, ratio.upper), (2.0, 2.0, 2.0));
        assert_eq!(cost.total_ns.median, 40.0);
        assert_eq!(cost.user_ns.median, 20.0);
        assert_eq!(cost.system_ns.median, 20.0);
    }

    #[test]
    fn a_sample_with_one_tick_counts_as_one_tick() {
        let mut samples = [sample(0, 1000, 0), sample(1, 1000, 0)];
        (samples[0].user_ns, samples[0].system_ns) = (4, 0);
        (samples[1].user_ns, samples[1].system_ns) = (16, 80);
        assert_eq!(cost(&samples, None).unwrap().user_ns.median, 20.0);
    }

    #[test]
    fn without_samples_there_is_no_cost() {
        assert_eq!(cost(&[], None), None);
    }
}
