//! What was measured as Markdown tables, each between the marks of its anchor, for the page to include.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::results::{
    Counts, Kind, Machine, Method, Noise, Results, Row, Section, Spread, Topic, Workload,
};
use crate::words::{bytes, grouped, number, percent, ratio, round_bytes, time};

/// Pieces of a page, each by its anchor.
pub(super) struct Pieces(String);

impl Pieces {
    pub(super) fn new() -> Self {
        Self("<!-- made by `bench plot` of results.json, never by hand -->\n".to_owned())
    }

    /// A piece: there is always something in it, so that the page can be built from any run.
    pub(super) fn add(&mut self, anchor: &str, text: &str) {
        let text = match text.trim() {
            "" => "*Not measured in this run.*",
            text => text,
        };
        // Writing to a String cannot fail.
        let _ = write!(
            self.0,
            "<!-- ANCHOR: {anchor} -->\n{text}\n<!-- ANCHOR_END: {anchor} -->\n"
        );
    }

    pub(super) fn text(self) -> String {
        self.0
    }
}

/// What stands in a cell without a figure.
const NONE: &str = "–";

/// A table; nothing without rows, and no column without figures. Numbers stand at the right, the first column at the left.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let has_figures = |column: &usize| {
        let mut cells = rows.iter().map(|row| &row[*column]);
        *column == 0 || cells.any(|cell| cell != NONE)
    };
    let columns: Vec<usize> = (0..head.len()).filter(has_figures).collect();
    let line = |cell: &dyn Fn(usize) -> String| {
        let cells: Vec<String> = columns.iter().map(|&column| cell(column)).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let under = |column| if column == 0 { "---" } else { "--:" };
    let rows = rows.iter().map(|row| line(&|column| cell(&row[column])));
    let rows: String = rows.collect();
    let head = line(&|column| head[column].to_owned());
    let under = line(&|column| under(column).to_owned());
    format!("{head}{under}{rows}")
}

/// A number stays in one line with its unit, and what is no number must not end the cell.
fn cell(words: &str) -> String {
    let is_number = words.starts_with(|c: char| c.is_ascii_digit()) && !words.contains(',');
    match is_number {
        true => words.replace(' ', "\u{a0}"),
        false => words.replace('|', "\\|"),
    }
}

/// A contestant of a section, by its row under the first load: names are unique among a kind only.
pub(super) fn contestants(section: &Section) -> Vec<&Row> {
    let mut first: Vec<&Row> = Vec::new();
    for row in &section.rows {
        if !first.iter().any(|other| same(other, row)) {
            first.push(row);
        }
    }
    first
}

/// Whether two rows are of the same contestant.
pub(super) fn same(one: &Row, other: &Row) -> bool {
    one.contestant == other.contestant && one.kind == other.kind
}

/// A contestant's row under a load.
fn under<'a>(section: &'a Section, contestant: &Row, load: &Workload) -> Option<&'a Row> {
    section.row(contestant.kind, &contestant.contestant, &load.id)
}

/// A contestant's name. There are two floors where servers of two kinds are compared.
pub(super) fn plain_name(row: &Row, topic: Topic) -> String {
    match (topic, row.floor, row.kind) {
        (Topic::Idle, true, Kind::Http) => format!("{}, HTTP", row.contestant),
        (Topic::Idle, true, _) => format!("{}, echo", row.contestant),
        _ => row.contestant.clone(),
    }
}

/// The same for a table: ours stands out.
fn name(row: &Row, topic: Topic) -> String {
    let name = plain_name(row, topic);
    match (row.floor, row.ours) {
        (true, _) => format!("*{name}*"),
        (false, true) => format!("**{name}**"),
        (false, false) => name,
    }
}

pub(super) fn or_none(words: Option<String>) -> String {
    words.unwrap_or_else(|| NONE.to_owned())
}

/// Where and how it was measured, in sentences.
pub(super) fn machine(results: &Results) -> String {
    let Results {
        machine:
            Machine {
                kernel,
                cpu,
                cores,
                memory,
                governor,
                date,
            },
        method: Method {
            rounds, sample_ns, ..
        },
        ..
    } = results;
    let governor = governor.as_ref();
    let governor = governor.map_or(String::new(), |name| format!(", governor `{name}`"));
    let turn = time(*sample_ns as f64);
    let memory = bytes(*memory as f64);
    format!(
        "Measured on {date}: {kernel}, {cpu}, {cores} processors{governor}, {memory} of memory. \
         {rounds} rounds, in each of which every contestant had {turn} under every load."
    )
}

/// What disturbed the run, in sentences.
pub(super) fn noise(results: &Results) -> String {
    let Noise {
        steal_percent,
        others_percent,
        load_before,
        load_after,
        too_noisy,
    } = &results.noise;
    let mut words = format!(
        "Meanwhile the hypervisor gave {} of the processors' time to others, and other processes of this machine used {}. \
         The load average was {load_before:.1} before and {load_after:.1} after.",
        percent(*steal_percent),
        percent(*others_percent),
    );
    if let Some(why) = too_noisy {
        let _ = write!(
            words,
            "\n\n**This run was disturbed: {why}.** Its ratios may be off by more than its quartiles say."
        );
    }
    if results.quick {
        words += "\n\n**This was a quick run**, with few and short rounds: it shows that everything works, and its numbers are \
                  not to be quoted.";
    }
    words
}

/// Our client beside others' clients.
pub(super) fn clients(results: &Results) -> String {
    let rows = results.checks.iter().map(|check| {
        let rate = |rate: Option<f64>| or_none(rate.map(grouped));
        let both = check.ours.zip(check.theirs);
        let verdict = match (&check.missing, both) {
            (Some(why), _) => why.clone(),
            (None, Some((ours, theirs))) => ratio(ours / theirs),
            (None, None) => "–".to_owned(),
        };
        vec![
            check.tool.clone(),
            check.contestant.clone(),
            check.workload.clone(),
            rate(check.ours),
            rate(check.theirs),
            verdict,
        ]
    });
    let head = [
        "tool",
        "server",
        "load",
        "ours, per second",
        "the tool's",
        "ratio",
    ];
    table(&head, &rows.collect::<Vec<_>>())
}

/// Who takes part, who does not, and why not.
pub(super) fn who(section: &Section) -> String {
    let mut rows = Vec::new();
    for row in contestants(section) {
        let name = name(row, section.topic);
        rows.push(format!("| {name} | {} |\n", row.about));
    }
    let absent = section.absent.iter();
    rows.extend(absent.map(|absent| {
        let (name, about) = (&absent.contestant, &absent.about);
        format!(
            "| {name}, not in this run | {about} ({}) |\n",
            absent.reason
        )
    }));
    if rows.is_empty() {
        return String::new();
    }
    format!("| contestant | what it is |\n|---|---|\n{}", rows.concat())
}

/// A row for each contestant that has a figure, a column for each of these loads.
fn across(
    section: &Section,
    loads: &[&Workload],
    corner: &str,
    title: impl Fn(&Workload) -> String,
    cell: impl Fn(&Row) -> Option<String>,
) -> String {
    let titles: Vec<String> = loads.iter().map(|load| title(load)).collect();
    let titles = titles.iter().map(String::as_str);
    let head: Vec<&str> = std::iter::once(corner).chain(titles).collect();
    let rows = contestants(section).into_iter().filter_map(|contestant| {
        let of = |load: &&Workload| under(section, contestant, load).and_then(&cell);
        let cells: Vec<Option<String>> = loads.iter().map(of).collect();
        let name = name(contestant, section.topic);
        let row = std::iter::once(name).chain(cells.iter().cloned().map(or_none));
        cells.iter().any(Option::is_some).then(|| row.collect())
    });
    table(&head, &rows.collect::<Vec<_>>())
}

/// A table under the title of each load: a row for each contestant of which `cells` knows something.
fn under_each(
    section: &Section,
    head: &[&str],
    cells: impl Fn(&Row) -> Option<Vec<String>>,
) -> String {
    let head: Vec<&str> = std::iter::once("").chain(head.iter().copied()).collect();
    let mut text = String::new();
    for load in &section.workloads {
        let rows = section.rows.iter().filter(|row| row.workload == load.id);
        let rows = rows.filter_map(|row| {
            let name = name(row, section.topic);
            Some(std::iter::once(name).chain(cells(row)?).collect())
        });
        let rows: Vec<Vec<String>> = rows.collect();
        if !rows.is_empty() {
            let _ = write!(text, "**{}**\n\n{}\n", load.title, table(&head, &rows));
        }
    }
    text
}

/// Processor time and ratio: `8.55 µs · 1.04`.
fn cost(row: &Row) -> Option<String> {
    let cost = row.cost?;
    let total = time(cost.total_ns.median);
    Some(match cost.ratio {
        Some(spread) => format!("{total} · {}", ratio(spread.median)),
        None => total,
    })
}

/// Processor time and ratio under every load.
pub(super) fn costs(section: &Section) -> String {
    let loads: Vec<&Workload> = section.workloads.iter().collect();
    across(section, &loads, "", |load| load.title.clone(), cost)
}

/// The same for the echo: a table for each number of connections, a column for each size.
pub(super) fn echo(section: &Section) -> String {
    let counts: BTreeSet<usize> = section
        .workloads
        .iter()
        .map(|load| load.connections)
        .collect();
    let mut text = String::new();
    for count in counts {
        let loads = section.workloads.iter();
        let loads: Vec<&Workload> = loads.filter(|load| load.connections == count).collect();
        let title = match count {
            1 => "1 connection".to_owned(),
            _ => format!("{} connections", grouped(count as f64)),
        };
        let size = |load: &Workload| round_bytes(load.size as f64);
        let table = across(section, &loads, "", size, cost);
        let _ = write!(text, "**{title}**\n\n{table}");
        text.push('\n');
    }
    text
}

/// What `cell` says of each number of idle connections.
pub(super) fn idle(section: &Section, cell: impl Fn(&Row) -> Option<String>) -> String {
    let loads: Vec<&Workload> = section.workloads.iter().collect();
    let title = |load: &Workload| grouped(load.connections as f64);
    across(section, &loads, "idle connections", title, cell)
}

/// Time in user space and in the kernel, unless the samples are so short that few ticks tell them apart.
pub(super) fn split(row: &Row) -> Option<(Spread, Spread)> {
    const ENOUGH: u64 = 500_000_000;
    let measured: u64 = row.samples.iter().map(|sample| sample.total_ns).sum();
    let cost = row.cost.filter(|_| measured >= ENOUGH)?;
    Some((cost.user_ns, cost.system_ns))
}

fn middle(spread: Spread) -> String {
    time(spread.median)
}

/// `145 µs to 1.78 ms`.
fn quartiles(spread: Spread) -> String {
    format!("{} to {}", time(spread.lower), time(spread.upper))
}

fn rate(row: &Row) -> String {
    or_none(row.per_second.map(|spread| grouped(spread.median)))
}

/// The parts of the processor time, its spread, and requests per second with a core for each.
pub(super) fn parts(section: &Section) -> String {
    let head = ["total", "user", "kernel", "spread", "ratio", "per second"];
    under_each(section, &head, |row| {
        let (cost, split) = (row.cost?, split(row));
        Some(vec![
            middle(cost.total_ns),
            or_none(split.map(|(user, _)| middle(user))),
            or_none(split.map(|(_, kernel)| middle(kernel))),
            percent(cost.total_ns.relative() * 100.0),
            or_none(cost.ratio.map(|spread| ratio(spread.median))),
            rate(row),
        ])
    })
}

/// What does not depend on the machine, under each load for which it was counted.
pub(super) fn counts(section: &Section) -> String {
    let head = ["system calls", "which", "allocations", "instructions"];
    under_each(section, &head, |row| {
        let counts = row.counts.as_ref()?;
        Some(vec![
            or_none(counts.system_calls.map(number)),
            calls(counts),
            or_none(counts.allocations.map(number)),
            or_none(counts.instructions.map(grouped)),
        ])
    })
}

/// `recvfrom 1.00, sendto 1.00`: those of which at least one in a hundred requests makes one.
fn calls(counts: &Counts) -> String {
    let mut names: Vec<_> = counts.by_name.iter().collect();
    names.retain(|(_, count)| **count >= 0.01);
    names.sort_by(|one, other| other.1.total_cmp(one.1));
    let words = names
        .iter()
        .map(|(name, count)| format!("`{name}` {}", number(**count)));
    let words: Vec<String> = words.collect();
    or_none((!words.is_empty()).then(|| words.join(", ")))
}

/// Percentiles at a fixed rate.
pub(super) fn latency(section: &Section) -> String {
    let head = [
        "asked per second",
        "answered",
        "p50",
        "p99",
        "its quartiles",
        "p99.9",
        "slowest",
    ];
    under_each(section, &head, |row| {
        let latency = row.latency?;
        Some(vec![
            grouped(latency.rate),
            grouped(latency.achieved),
            time(latency.p50_ns as f64),
            time(latency.p99_ns as f64),
            or_none(latency.p99_spread.map(quartiles)),
            time(latency.p999_ns as f64),
            time(latency.max_ns as f64),
        ])
    })
}

/// One design against another.
pub(super) fn models(section: &Section) -> String {
    let head = [
        "served",
        "processes",
        "threads",
        "time",
        "user",
        "ratio",
        "memory",
        "per second",
    ];
    under_each(section, &head, |row| {
        let cost = row.cost?;
        let tasks = row.tasks;
        Some(vec![
            or_none(tasks.map(|tasks| tasks.served.to_string())),
            or_none(tasks.map(|tasks| tasks.processes.to_string())),
            or_none(tasks.map(|tasks| tasks.threads.to_string())),
            middle(cost.total_ns),
            or_none(split(row).map(|(user, _)| middle(user))),
            or_none(cost.ratio.map(|spread| ratio(spread.median))),
            or_none(row.memory.map(|memory| bytes(memory.with as f64))),
            rate(row),
        ])
    })
}

/// What could not be measured, and why.
pub(super) fn missing(section: &Section) -> String {
    let mut reasons: Vec<(&str, &str, Vec<&str>)> = Vec::new();
    for row in &section.rows {
        let Some(why) = &row.missing else { continue };
        let title = section
            .workloads
            .iter()
            .find(|load| load.id == row.workload);
        let title = title.map_or(row.workload.as_str(), |load| load.title.as_str());
        let known = reasons
            .iter_mut()
            .find(|(name, reason, _)| *name == row.contestant && *reason == why.as_str());
        match known {
            Some((.., titles)) => titles.push(title),
            None => reasons.push((&row.contestant, why, vec![title])),
        }
    }
    let lines = reasons
        .iter()
        .map(|(name, why, titles)| format!("- {name} ({}): {why}\n", titles.join("; ")));
    let lines: String = lines.collect();
    if lines.is_empty() {
        return "Every contestant of this run was measured under every load.".to_owned();
    }
    lines
}
