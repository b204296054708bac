//! The book's tables and pictures of a run: files for `docs/src/bench`, which the page "How fast is it, and why" includes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::results::{Kind, Results, Row, Section, Topic, Workload};
use crate::words::{decimal_bytes, grouped, ratio, round_time, time, whole_bytes};

mod bars;
mod canvas;
mod goals;
mod lines;
mod tables;
#[cfg(test)]
mod tests;

use bars::{Bar, Panel};
use canvas::Tone;
use lines::Curve;
use tables::Pieces;

/// Writes what the book shows of a run into this directory: the results themselves, tables and pictures. Returns the files.
///
/// # Errors
///
/// The page shows all four sections of one run, so a run with fewer is refused. Else errors of writing.
pub fn book(results: &Results, directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut missing = Vec::new();
    for topic in [Topic::Http, Topic::Echo, Topic::Idle, Topic::Models] {
        if !results
            .sections
            .iter()
            .any(|section| section.topic == topic)
        {
            missing.push(format!("{topic:?}").to_lowercase());
        }
    }
    if !missing.is_empty() {
        bail!(
            "the book shows all sections of one run, and this one has no {}: run without --only",
            missing.join(", ")
        );
    }
    let mut json = serde_json::to_string(results).context("write the results as JSON")?;
    json.push('\n');
    let mut files = vec![
        ("results.json", json),
        ("run.md", run(results)),
        ("goals.md", goals(results)),
    ];
    for section in &results.sections {
        match section.topic {
            Topic::Http => files.extend([
                ("http.md", http(section)),
                ("http.svg", http_costs(section)?),
                ("latency.svg", latencies(section)?),
            ]),
            Topic::Echo => files.extend([
                ("echo.md", echo(section)),
                ("echo.svg", echo_costs(section)?),
            ]),
            Topic::Idle => files.extend([
                ("idle.md", idle(section)),
                ("idle.svg", idle_memory(section)?),
                ("active.svg", active(section)?),
            ]),
            Topic::Models => files.extend([
                ("models.md", models(section)),
                ("models.svg", model_costs(section)?),
            ]),
        }
    }
    fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
    let write = |(name, text): (&str, String)| {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    };
    files.into_iter().map(write).collect()
}

fn run(results: &Results) -> String {
    let mut pieces = Pieces::new();
    pieces.add("machine", &tables::machine(results));
    pieces.add("noise", &tables::noise(results));
    pieces.add("clients", &tables::clients(results));
    pieces.add("layers", &goals::layers(results));
    pieces.text()
}

fn goals(results: &Results) -> String {
    let mut pieces = Pieces::new();
    pieces.add("reached", &goals::reached(results));
    pieces.add("behind", &goals::behind(results));
    pieces.text()
}

fn http(section: &Section) -> String {
    let mut pieces = Pieces::new();
    pieces.add("who", &tables::who(section));
    pieces.add("cost", &tables::costs(section));
    pieces.add("parts", &tables::parts(section));
    pieces.add("counts", &tables::counts(section));
    pieces.add("latency", &tables::latency(section));
    pieces.add("missing", &tables::missing(section));
    pieces.text()
}

fn echo(section: &Section) -> String {
    let mut pieces = Pieces::new();
    pieces.add("who", &tables::who(section));
    pieces.add("cost", &tables::echo(section));
    pieces.add("parts", &tables::parts(section));
    pieces.add("counts", &tables::counts(section));
    pieces.add("missing", &tables::missing(section));
    pieces.text()
}

fn idle(section: &Section) -> String {
    let memory = |row: &Row| {
        row.memory
            .map(|memory| whole_bytes(memory.per_connection.max(0.0)))
    };
    let accept = |row: &Row| row.accept_ns.map(|took| time(took as f64));
    let active = |row: &Row| row.cost.map(|cost| time(cost.total_ns.median));
    let mut pieces = Pieces::new();
    pieces.add("memory", &tables::idle(section, memory));
    pieces.add("accept", &tables::idle(section, accept));
    pieces.add("active", &tables::idle(section, active));
    pieces.add("missing", &tables::missing(section));
    pieces.text()
}

fn models(section: &Section) -> String {
    let mut pieces = Pieces::new();
    pieces.add("models", &tables::models(section));
    pieces.add("missing", &tables::missing(section));
    pieces.text()
}

fn tone(row: &Row) -> Tone {
    match (row.floor, row.ours) {
        (true, _) => Tone::Floor,
        (false, true) => Tone::Ours,
        (false, false) => Tone::Peer,
    }
}

/// Processor time under a load, the cheapest first: user space in the strong tone, the kernel in the pale one.
fn costs(section: &Section, load: &Workload, title: String) -> Panel {
    let rows = section.rows.iter().filter(|row| row.workload == load.id);
    let mut measured: Vec<_> = rows.filter_map(|row| Some((row, row.cost?))).collect();
    measured.sort_by(|(_, one), (_, other)| one.total_ns.median.total_cmp(&other.total_ns.median));
    let rule = measured.iter().find(|(row, _)| row.floor);
    let rule = rule.map(|(_, cost)| cost.total_ns.median);
    let bars = measured.iter().map(|(row, cost)| {
        let total = cost.total_ns;
        let multiple = cost.ratio.map(|spread| ratio(spread.median));
        let multiple = multiple.map_or(String::new(), |words| format!(" · {words}"));
        let user = tables::split(row).map_or(0.0, |(user, _)| user.median.min(total.median));
        Bar {
            name: tables::plain_name(row, section.topic),
            tone: tone(row),
            bold: goals::is_champion(row),
            strong: user,
            pale: total.median - user,
            whisker: Some((total.lower, total.upper)),
            marks: Vec::new(),
            words: format!("{}{multiple}", time(total.median)),
        }
    });
    Panel {
        title,
        bars: bars.collect(),
        rule,
        points: false,
        axis: round_time,
    }
}

/// How to read [`costs`].
const COSTS: &str = "strong: user space · pale: kernel · whiskers: quartiles · dashed: the floor";

fn http_costs(section: &Section) -> anyhow::Result<String> {
    let loads = section.workloads.iter();
    let panels = loads.map(|load| costs(section, load, load.title.clone()));
    let panels: Vec<Panel> = panels.filter(|panel| !panel.bars.is_empty()).collect();
    let title = "Processor time of the server for each request";
    bars::bars("bench-http", title, &panels, COSTS)
}

/// One size under each number of connections: all of them are in the table.
fn echo_costs(section: &Section) -> anyhow::Result<String> {
    const SIZE: usize = 1024;
    let size = section.workloads.iter().map(|load| load.size);
    let size = size.min_by_key(|size| size.abs_diff(SIZE));
    let loads = section.workloads.iter();
    let loads = loads.filter(|load| Some(load.size) == size);
    let panels = loads.map(|load| costs(section, load, load.title.clone()));
    let panels: Vec<Panel> = panels.collect();
    let title = "Processor time of the server for each message";
    bars::bars("bench-echo", title, &panels, COSTS)
}

fn model_costs(section: &Section) -> anyhow::Result<String> {
    let loads = section.workloads.iter();
    let panels = loads.map(|load| costs(section, load, load.title.clone()));
    let panels: Vec<Panel> = panels.collect();
    let title = "Processor time of each design for each message";
    bars::bars("bench-models", title, &panels, COSTS)
}

/// Half of the answers, 99 of 100 and 999 of 1 000, at a fixed rate.
fn latencies(section: &Section) -> anyhow::Result<String> {
    let panel = |load: &Workload| {
        let rows = section.rows.iter().filter(|row| row.workload == load.id);
        let mut rows: Vec<_> = rows.filter_map(|row| Some((row, row.latency?))).collect();
        rows.sort_by_key(|(_, latency)| latency.p99_ns);
        let rate = rows.iter().map(|(_, latency)| latency.rate);
        let rate = rate.fold(0.0, f64::max);
        let bars = rows.iter().map(|(row, latency)| Bar {
            name: tables::plain_name(row, section.topic),
            tone: tone(row),
            bold: goals::is_champion(row),
            strong: latency.p50_ns as f64,
            pale: 0.0,
            whisker: latency
                .p99_spread
                .map(|spread| (spread.lower, spread.upper)),
            marks: vec![latency.p99_ns as f64, latency.p999_ns as f64],
            words: format!("p99 {}", time(latency.p99_ns as f64)),
        });
        Panel {
            title: format!("{}, {} per second", load.title, grouped(rate)),
            bars: bars.collect(),
            rule: None,
            points: true,
            axis: round_time,
        }
    };
    let panels = section.workloads.iter().map(panel);
    let measured: Vec<Panel> = panels.filter(|panel| !panel.bars.is_empty()).collect();
    let title = "Time to the answer at a fixed rate: p50, p99 and p99.9";
    bars::bars(
        "bench-latency",
        title,
        &measured,
        "filled: p50 · rings: p99 and p99.9 · whiskers: quartiles of p99 · a logarithmic axis",
    )
}

/// What many idle connections take: memory, and time to accept.
fn idle_memory(section: &Section) -> anyhow::Result<String> {
    type Words = fn(f64) -> String;
    let mut loads = section.workloads.iter();
    let load = loads.find(|load| load.connections == goals::MANY);
    let panel = |title: &str, value: fn(&Row) -> Option<f64>, words: Words, axis: Words, points| {
        let rows = section.rows.iter();
        let rows = rows.filter(|row| load.is_some_and(|load| load.id == row.workload));
        let mut rows: Vec<_> = rows.filter_map(|row| Some((row, value(row)?))).collect();
        rows.sort_by(|(_, one), (_, other)| one.total_cmp(other));
        let bars = rows.iter().map(|(row, value)| Bar {
            name: tables::plain_name(row, section.topic),
            tone: tone(row),
            bold: goals::is_champion(row),
            strong: 0.0,
            pale: *value,
            whisker: None,
            marks: Vec::new(),
            words: words(*value),
        });
        Panel {
            title: format!("{title}, {} connections", grouped(goals::MANY as f64)),
            bars: bars.collect(),
            rule: None,
            points,
            axis,
        }
    };
    // An axis of powers begins with one byte, though some take less.
    let memory = |row: &Row| row.memory.map(|memory| memory.per_connection.max(1.0));
    let accept = |row: &Row| row.accept_ns.map(|took| took as f64);
    let panels = [
        panel(
            "Memory of the server's own for each",
            memory,
            whole_bytes,
            decimal_bytes,
            true,
        ),
        panel(
            "Time to accept all and answer each once",
            accept,
            time,
            round_time,
            false,
        ),
    ];
    bars::bars(
        "bench-idle",
        "Idle connections",
        &panels,
        "the axis of memory is logarithmic",
    )
}

/// One connection talks, and more and more others are idle.
fn active(section: &Section) -> anyhow::Result<String> {
    let mut others = 0;
    let mut curves = Vec::new();
    let echo = tables::contestants(section).into_iter();
    for contestant in echo.filter(|row| row.kind == Kind::Echo) {
        let rows = section.rows.iter();
        let mut points = Vec::new();
        for row in rows.filter(|row| tables::same(row, contestant)) {
            let mut loads = section.workloads.iter();
            let load = loads.find(|load| load.id == row.workload);
            if let Some((load, cost)) = load.zip(row.cost) {
                points.push((load.connections as f64, cost.total_ns.median));
            }
        }
        if points.len() < 2 {
            continue;
        }
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        // The first of ours is the default; every other curve has a tone of its own.
        let mut shown = tone(contestant);
        let taken = curves.iter().any(|curve: &Curve| curve.tone == shown);
        if shown == Tone::Peer || taken {
            shown = Tone::Other(others);
            others += 1;
        }
        curves.push(Curve {
            name: contestant.contestant.clone(),
            tone: shown,
            points,
        });
    }
    let title = "Processor time for a message among idle connections";
    lines::lines(
        "bench-active",
        title,
        "idle connections",
        &curves,
        grouped,
        round_time,
    )
}
