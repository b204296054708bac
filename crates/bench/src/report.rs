//! What the terminal shows of a run.

use std::fmt::Write;

use crate::results::{Results, Row, Section, Topic, Workload};
use crate::words::{bytes, grouped, number, percent, ratio, time};

/// The whole report: the machine, a table for each workload, what is missing and why.
pub fn text(results: &Results) -> String {
    let mut out = String::new();
    let machine = &results.machine;
    let governor = match &machine.governor {
        Some(governor) => format!(", governor {governor}"),
        None => String::new(),
    };
    line(
        &mut out,
        &format!(
            "{}, {} × {}{governor}, {}, {}",
            machine.kernel,
            machine.cores,
            machine.cpu,
            bytes(machine.memory as f64),
            machine.date
        ),
    );
    let method = &results.method;
    let elsewhere = match method.other_core {
        Some(core) => format!("; separate cores: the client on core {core}"),
        None => "; there is no other core".into(),
    };
    line(
        &mut out,
        &format!(
            "{} rounds of {}, server and client on core {}{elsewhere}",
            method.rounds,
            time(method.sample_ns as f64),
            method.core
        ),
    );
    let noise = &results.noise;
    line(
        &mut out,
        &format!(
            "steal {}, other processes {}, load average {:.2} before, {:.2} after",
            percent(noise.steal_percent),
            percent(noise.others_percent),
            noise.load_before,
            noise.load_after
        ),
    );
    if let Some(why) = &noise.too_noisy {
        line(
            &mut out,
            &format!("TOO NOISY: {why}. Do not quote this run."),
        );
    }
    if results.quick {
        line(
            &mut out,
            "A quick run: it shows that everything works. Do not quote it either.",
        );
    }
    for section in &results.sections {
        of_section(&mut out, section, results.quick);
    }
    if !results.checks.is_empty() {
        line(
            &mut out,
            "\nOur client and others', requests per second on separate cores",
        );
        let mut table = Table::new(&["under", "other client", "ours", "theirs"]);
        for check in &results.checks {
            let figure = |value: Option<f64>| match (value, &check.missing) {
                (_, Some(why)) => why.clone(),
                (Some(value), None) => grouped(value),
                (None, None) => String::new(),
            };
            table.row([
                check.contestant.clone(),
                check.tool.clone(),
                check.ours.map_or(String::new(), grouped),
                figure(check.theirs),
            ]);
        }
        out += &table.text();
    }
    out
}

fn of_section(out: &mut String, section: &Section, quick: bool) {
    for workload in &section.workloads {
        let rows = section
            .rows
            .iter()
            .filter(|row| row.workload == workload.id);
        let rows: Vec<&Row> = rows.collect();
        line(out, &format!("\n{}", heading(section.topic, workload)));
        let columns = columns(section.topic, &rows, quick);
        let names: Vec<&str> = std::iter::once("")
            .chain(columns.iter().map(|column| column.name))
            .collect();
        let mut table = Table::new(&names);
        for row in rows {
            let name = match (row.ours, row.kind, section.topic) {
                // The idle section has floors of two kinds.
                (_, kind, Topic::Idle) => format!("{} ({kind:?})", row.contestant).to_lowercase(),
                _ => row.contestant.clone(),
            };
            let name = if row.ours { format!("{name} *") } else { name };
            match &row.missing {
                Some(why) => table.note(&name, why),
                None => {
                    let cells = columns.iter().map(|column| (column.value)(row));
                    table.row(std::iter::once(name).chain(cells));
                }
            }
        }
        *out += &table.text();
    }
    for absent in &section.absent {
        line(
            out,
            &format!("without {}: {}", absent.contestant, absent.reason),
        );
    }
}

fn heading(topic: Topic, workload: &Workload) -> String {
    match topic {
        Topic::Http => format!(
            "HTTP, {}, {} connections (* ours)",
            workload.title, workload.connections
        ),
        Topic::Echo => format!("Echo, {} (* ours)", workload.title),
        Topic::Idle => format!("{}, and one that is active (* ours)", workload.title),
        Topic::Models => format!("Designs, {} (* ours)", workload.title),
    }
}

/// A column, if any row has something in it.
struct Column {
    name: &'static str,
    value: fn(&Row) -> String,
}

fn columns(topic: Topic, rows: &[&Row], quick: bool) -> Vec<Column> {
    let column = |name, value| Column { name, value };
    let mut all = vec![
        column("per request", |row| {
            row.cost
                .map_or(String::new(), |cost| time(cost.total_ns.median))
        }),
        column("± quartiles", |row| {
            row.cost.map_or(String::new(), |cost| {
                percent(cost.total_ns.relative() * 50.0)
            })
        }),
        column("user", |row| {
            row.cost
                .map_or(String::new(), |cost| time(cost.user_ns.median))
        }),
        column("to floor", |row| {
            let spread = row.cost.and_then(|cost| cost.ratio);
            spread.map_or(String::new(), |spread| ratio(spread.median))
        }),
        column("requests/s", |row| {
            row.per_second
                .map_or(String::new(), |spread| grouped(spread.median))
        }),
        column("p50", |row| {
            row.latency
                .map_or(String::new(), |latency| time(latency.p50_ns as f64))
        }),
        column("p99", |row| {
            row.latency
                .map_or(String::new(), |latency| time(latency.p99_ns as f64))
        }),
        column("p99.9", |row| {
            row.latency
                .map_or(String::new(), |latency| time(latency.p999_ns as f64))
        }),
        column("calls", |row| count(row, |counts| counts.system_calls)),
        column("allocations", |row| count(row, |counts| counts.allocations)),
        column("instructions", |row| {
            count(row, |counts| counts.instructions)
        }),
        column("memory each", |row| {
            row.memory
                .map_or(String::new(), |memory| bytes(memory.per_connection))
        }),
        column("to accept", |row| {
            row.accept_ns.map_or(String::new(), |ns| time(ns as f64))
        }),
        column("processes", |row| {
            row.tasks
                .map_or(String::new(), |tasks| tasks.processes.to_string())
        }),
        column("threads", |row| {
            row.tasks
                .map_or(String::new(), |tasks| tasks.threads.to_string())
        }),
        column("served", |row| {
            row.tasks
                .map_or(String::new(), |tasks| tasks.served.to_string())
        }),
    ];
    if topic != Topic::Http {
        all[0].name = "per message";
        all[4].name = "messages/s";
    }
    // The ticks of so short a run would not tell user space from the kernel.
    all.retain(|column| !quick || column.name != "user");
    all.retain(|column| rows.iter().any(|row| !(column.value)(row).is_empty()));
    all
}

fn count(row: &Row, which: fn(&crate::results::Counts) -> Option<f64>) -> String {
    let value = row.counts.as_ref().and_then(which);
    // Differences of two runs: what is not a whole number comes from warming up.
    value.map_or(String::new(), number)
}

/// Columns as wide as they have to be: the first to the left, the others to the right.
struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(names: &[&str]) -> Self {
        Self {
            rows: vec![names.iter().map(|&name| name.into()).collect()],
        }
    }

    fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// A row with words in place of figures.
    fn note(&mut self, name: &str, why: &str) {
        self.rows.push(vec![name.into(), why.into()]);
    }

    fn text(&self) -> String {
        let columns = self.rows[0].len();
        let full = self.rows.iter().filter(|row| row.len() == columns);
        let width = |column: usize| {
            let cells = full.clone().map(|row| row[column].chars().count());
            cells.max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let notes = self.rows.iter().filter(|row| row.len() != columns);
        let names = notes.map(|row| row[0].chars().count());
        let first = names.max().unwrap_or_default().max(widths[0]);
        let mut out = String::new();
        for row in &self.rows {
            let mut text = format!("  {:first$}", row[0]);
            if row.len() == columns {
                for (cell, width) in row.iter().zip(&widths).skip(1) {
                    let _ = write!(text, "  {cell:>width$}"); // into a String: it cannot fail
                }
            } else {
                text = format!("{text}  {}", row[1]);
            }
            line(&mut out, text.trim_end());
        }
        out
    }
}

fn line(out: &mut String, text: &str) {
    *out += text;
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_have_to_be() {
        let mut table = Table::new(&["", "µs", "to floor"]);
        table.row(["floor", "1", "1.00"].map(String::from));
        table.note("a long name", "it is not installed");
        table.row(["httpd *", "12.5", "1.04"].map(String::from));
        assert_eq!(
            table.text(),
            "                 µs  to floor\n\
             \x20 floor           1      1.00\n\
             \x20 a long name  it is not installed\n\
             \x20 httpd *      12.5      1.04\n"
        );
    }
}
