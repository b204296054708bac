//! What the course's servers aim at, beside what a run has shown; and where others are ahead of them.

use crate::load::CONNECTION_PER_REQUEST;
use crate::results::{Kind, Results, Row, Section, Topic, Workload};
use crate::words::{grouped, number, ratio, time, whole_bytes};

use super::tables::{or_none, split, table};

/// Which of ours are compared with others' servers: what a reader would use.
const HTTP: &str = "httpd";
const ECHO: &str = "reactor";
const EDGE: &str = "reactor-edge";
const PROACTOR: &str = "uring-echo";

/// Whether this is one of those.
pub(super) fn is_champion(row: &Row) -> bool {
    [HTTP, ECHO].contains(&row.contestant.as_str())
}

/// Sizes of messages that the aims are about.
const SIZES: [usize; 2] = [1024, 16 * 1024];

/// Idle connections that are many.
pub(super) const MANY: usize = 10_000;

/// A figure that is to be no more than a limit.
struct Aim {
    what: &'static str,
    most: f64,
    /// Nothing if this run has not measured it.
    seen: Option<f64>,
    words: fn(f64) -> String,
}

/// The aims, and whether this run reached them.
pub(super) fn reached(results: &Results) -> String {
    let rows = aims(results).into_iter().map(|aim| {
        let verdict = match aim.seen {
            Some(seen) if seen <= aim.most => "✓",
            Some(_) => "✗",
            None => "",
        };
        vec![
            aim.what.to_owned(),
            (aim.words)(aim.most),
            or_none(aim.seen.map(aim.words)),
            verdict.to_owned(),
        ]
    });
    let head = ["aim", "at most", "this run", ""];
    table(&head, &rows.collect::<Vec<_>>())
}

fn aims(results: &Results) -> Vec<Aim> {
    let aim = |what, most, seen, words| Aim {
        what,
        most,
        seen,
        words,
    };
    let http = |load: &str| section(results, Topic::Http)?.row(Kind::Http, HTTP, load);
    let multiple = |load| Some(http(load)?.cost?.ratio?.median);
    let user = http("keep-alive").and_then(|row| Some(split(row)?.0.median));
    let allocations = http("keep-alive").and_then(|row| row.counts.as_ref()?.allocations);
    let instructions = |row: &Row| row.counts.as_ref()?.instructions;
    let instructions = http("keep-alive")
        .and_then(|row| Some(instructions(row)? / best_peer(results, row, instructions)?.1));
    let many = section(results, Topic::Idle).and_then(|idle| {
        let mut rows = idle.rows.iter().filter(|row| row.contestant == HTTP);
        rows.find(|row| connections(idle, row) == MANY)
    });
    let memory = many.and_then(|row| Some(row.memory?.per_connection));
    let accept = many.and_then(|row| Some(row.accept_ns? as f64 / MANY as f64));
    let worst = |values: Vec<f64>| values.into_iter().reduce(f64::max);
    let over_floor = |name| {
        let rows = aimed_at(results, name);
        worst(
            rows.filter_map(|row| Some(row.cost?.ratio?.median))
                .collect(),
        )
    };
    let against_best = |row: &Row| {
        let ours = total(row)?;
        Some(ours / best_peer(results, row, total)?.1)
    };
    let over_peers = |name| worst(aimed_at(results, name).filter_map(against_best).collect());
    vec![
        aim(
            "httpd, keep-alive, as a multiple of the floor",
            1.04,
            multiple("keep-alive"),
            ratio,
        ),
        aim(
            "httpd, 16 pipelined, as a multiple of the floor",
            1.12,
            multiple("pipelined-16"),
            ratio,
        ),
        aim(
            "httpd, a connection per request, as a multiple of the floor",
            1.06,
            multiple(CONNECTION_PER_REQUEST),
            ratio,
        ),
        aim("httpd, keep-alive, time in user space", 600.0, user, time),
        aim(
            "httpd, keep-alive, instructions in user space, as a multiple of the best peer's",
            1.0,
            instructions,
            ratio,
        ),
        aim("httpd, keep-alive, allocations", 0.0, allocations, number),
        aim(
            "httpd, memory of its own for an idle connection",
            512.0,
            memory,
            whole_bytes,
        ),
        aim(
            "httpd, time to accept a connection and answer it once",
            100_000.0,
            accept,
            time,
        ),
        aim(
            "reactor, echo of 1 and 16 KiB, worst case, as a multiple of the floor",
            1.05,
            over_floor(ECHO),
            ratio,
        ),
        aim(
            "reactor, the same, as a multiple of the best peer",
            1.0,
            over_peers(ECHO),
            ratio,
        ),
        aim(
            "reactor, edge-triggered, the same, as a multiple of the best peer",
            1.0,
            over_peers(EDGE),
            ratio,
        ),
        aim(
            "io_uring, echo of 1 and 16 KiB, worst case, as a multiple of the epoll floor",
            1.0,
            over_floor(PROACTOR),
            ratio,
        ),
        aim(
            "epoll, one active among 10 000, as a multiple of one among 10",
            1.1,
            growth(results),
            ratio,
        ),
    ]
}

fn section(results: &Results, topic: Topic) -> Option<&Section> {
    results
        .sections
        .iter()
        .find(|section| section.topic == topic)
}

fn connections(section: &Section, row: &Row) -> usize {
    let load = section
        .workloads
        .iter()
        .find(|load| load.id == row.workload);
    load.map_or(0, |load| load.connections)
}

fn total(row: &Row) -> Option<f64> {
    Some(row.cost?.total_ns.median)
}

/// An echo server's rows of the sizes that the aims are about.
fn aimed_at<'a>(results: &'a Results, contestant: &'a str) -> impl Iterator<Item = &'a Row> {
    let echo = section(results, Topic::Echo).into_iter();
    echo.flat_map(move |section| {
        let aimed = move |row: &&Row| {
            let mut loads = section.workloads.iter();
            let load = loads.find(|load| load.id == row.workload);
            load.is_some_and(|load| SIZES.contains(&load.size)) && row.contestant == contestant
        };
        section.rows.iter().filter(aimed)
    })
}

/// The peer with the least of something under the same load as this row of ours, and how much that is.
fn best_peer<'a>(
    results: &'a Results,
    ours: &Row,
    value: impl Fn(&Row) -> Option<f64>,
) -> Option<(&'a Row, f64)> {
    let sections = results.sections.iter();
    let rows = sections.flat_map(|section| section.rows.iter());
    let peers = rows.filter(|row| {
        !row.ours && !row.floor && row.kind == ours.kind && row.workload == ours.workload
    });
    peers
        .filter_map(|row| Some((row, value(row)?)))
        .min_by(|(_, one), (_, other)| one.total_cmp(other))
}

/// How much more a message costs among the most idle connections, up to 10 000, than among the fewest, from 10.
fn growth(results: &Results) -> Option<f64> {
    let idle = section(results, Topic::Idle)?;
    let rows = idle.rows.iter().filter(|row| row.contestant == ECHO);
    let costs = rows.filter_map(|row| Some((connections(idle, row), total(row)?)));
    let costs = costs.filter(|(count, _)| (10..=MANY).contains(count));
    let costs: Vec<_> = costs.collect();
    let few = costs.iter().min_by_key(|(count, _)| *count)?;
    let many = costs.iter().max_by_key(|(count, _)| *count)?;
    (few.0 < many.0).then(|| many.1 / few.1)
}

/// A request and a message, layer by layer: what stands between two rows is what a layer costs.
pub(super) fn layers(results: &Results) -> String {
    let named = |row: &&Row| is_champion(row) || row.floor;
    let mut rows = Vec::new();
    for topic in [Topic::Echo, Topic::Http] {
        let Some((section, load)) = section(results, topic).and_then(counted) else {
            continue;
        };
        let of_load = section.rows.iter().filter(|row| row.workload == load.id);
        rows.extend(of_load.filter(named).map(|row| {
            let (split, counts) = (split(row), row.counts.as_ref());
            vec![
                format!("{}, {}", row.contestant, load.title),
                or_none(counts.and_then(|counts| counts.system_calls).map(number)),
                or_none(counts.and_then(|counts| counts.allocations).map(number)),
                or_none(counts.and_then(|counts| counts.instructions).map(grouped)),
                or_none(split.map(|(user, _)| time(user.median))),
                or_none(split.map(|(_, kernel)| time(kernel.median))),
                or_none(total(row).map(time)),
            ]
        }));
    }
    let head = [
        "",
        "system calls",
        "allocations",
        "instructions",
        "user",
        "kernel",
        "both",
    ];
    table(&head, &rows)
}

/// The first load of a section for which system calls and instructions were counted; if none was, the first of all.
fn counted(section: &Section) -> Option<(&Section, &Workload)> {
    let has_counts = |load: &&Workload| {
        let mut rows = section.rows.iter();
        rows.any(|row| row.workload == load.id && row.counts.is_some())
    };
    let mut loads = section.workloads.iter();
    let load = loads.find(has_counts).or(section.workloads.first())?;
    Some((section, load))
}

/// What is compared: a name, the figure, and its words.
type Measure = (&'static str, fn(&Row) -> Option<f64>, fn(f64) -> String);

const TIME: &str = "processor time";
const P99: &str = "p99 at a fixed rate";

const MEASURES: &[Measure] = &[
    (TIME, total, time),
    (
        "instructions in user space",
        |row| row.counts.as_ref()?.instructions,
        number,
    ),
    (
        "system calls",
        |row| row.counts.as_ref()?.system_calls,
        number,
    ),
    (
        "allocations",
        |row| row.counts.as_ref()?.allocations,
        number,
    ),
    (
        "memory for an idle connection",
        |row| Some(row.memory?.per_connection),
        whole_bytes,
    ),
    (P99, |row| Some(row.latency?.p99_ns as f64), time),
];

/// Every load and measure in which a peer is ahead of ours by more than can be read off, the largest lead first.
pub(super) fn behind(results: &Results) -> String {
    let mut found = Vec::new();
    for section in &results.sections {
        for row in section.rows.iter().filter(|row| is_champion(row)) {
            let mut loads = section.workloads.iter();
            let Some(load) = loads.find(|load| load.id == row.workload) else {
                continue;
            };
            // Each number of idle connections is a load, and all but one of them only show that nothing changes.
            if section.topic == Topic::Idle && load.connections != MANY {
                continue;
            }
            let leads = MEASURES
                .iter()
                .filter_map(|measure| lead(results, row, measure));
            found.extend(leads.map(|(by, mut cells)| {
                cells.insert(0, load.title.clone());
                (by, cells)
            }));
        }
    }
    if found.is_empty() {
        return "In this run no peer was ahead under any load, in any of these measures."
            .to_owned();
    }
    found.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let rows: Vec<Vec<String>> = found.into_iter().map(|(_, cells)| cells).collect();
    table(&["load", "measure", "ours", "ahead", "by"], &rows)
}

/// By how much the best peer is ahead of this row of ours, and its line of the table.
fn lead(results: &Results, row: &Row, measure: &Measure) -> Option<(f64, Vec<String>)> {
    let (measure, value, words) = *measure;
    let ours = value(row)?;
    let (peer, theirs) = best_peer(results, row, value)?;
    // What both round to is the same.
    if ours <= theirs || words(ours) == words(theirs) {
        return None;
    }
    let by = ours / theirs.max(f64::MIN_POSITIVE);
    let cells = vec![
        measure.to_owned(),
        format!("{} {}", row.contestant, words(ours)),
        format!("{} {}", peer.contestant, words(theirs)),
        match theirs > 0.0 {
            true if within_the_spread(measure, row, peer) => {
                format!("{}, within the spread", ratio(by))
            }
            true => ratio(by),
            false => or_none(None),
        },
    ];
    Some((by, cells))
}

/// Whether the quartiles of a peer's figure and of ours, which is larger, overlap. Processor times are compared by their ratios to
/// the floor; what is counted has no spread.
fn within_the_spread(measure: &str, ours: &Row, peer: &Row) -> bool {
    let of = |row: &Row| match measure {
        TIME => row.cost?.ratio,
        P99 => row.latency?.p99_spread,
        _ => None,
    };
    let both = of(ours).zip(of(peer));
    both.is_some_and(|(ours, theirs)| ours.lower <= theirs.upper)
}
