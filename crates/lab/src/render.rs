//! Writes what the book shows of each experiment, from a run of it, and tells whether the lab still shows the same.
//!
//! The files are committed, and reviewed like code. A run never repeats itself to the microsecond, so a file also holds
//! its run's signature: what matters of it. A file is only rewritten when that has changed.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::ladder;
use crate::record::{Record, What};
use crate::run::{Bench, Report, Status};

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// There was none.
    New,
    /// Something that matters has changed.
    Changed,
    /// The file shows what this run shows.
    Same,
}

/// How a file compares with a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// The file shows what the lab shows.
    Same,
    /// It does not: these lines are in the file's signature only (`-`), or in the run's (`+`).
    Differs(Vec<String>),
    /// The file is of another kernel, this one. There some things are different, and that is no mistake.
    OtherKernel(String),
    /// There is no file.
    Missing,
}

/// As often is an experiment run before a file is said to show what the lab no longer shows.
const RUNS: usize = 3;

/// The signature stands at the end of the file, where no page includes it from.
const SIGNATURE: &str = "\n<!-- ANCHOR: signature -->\n";
const SIGNATURE_END: &str = "<!-- ANCHOR_END: signature -->\n";

/// Where the book has what an experiment showed.
pub fn path(docs: &Path, id: &str) -> PathBuf {
    docs.join("src/lab").join(id.replace('/', "-") + ".md")
}

/// Writes the page part of an experiment that has passed. The book includes its pieces by anchor: `ladder`, `claims`,
/// and each program's terminal by its name with blanks turned to hyphens.
pub fn write(docs: &Path, report: &Report, force: bool) -> io::Result<Option<Written>> {
    let (Some(run), Status::Pass) = (&report.run, &report.status) else {
        return Ok(None);
    };
    let path = path(docs, report.experiment.id);
    let signature = signature(report, &run.record);
    let before = read(&path)?;
    let written = match &before {
        None => Written::New,
        Some(text) if !force && signature_in(text) == signature => {
            return Ok(Some(Written::Same));
        }
        Some(_) => Written::Changed,
    };
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let first = first_line(&run.record);
    let part = page_part(report, &run.record);
    fs::write(
        &path,
        format!("{first}\n{part}{SIGNATURE}{signature}{SIGNATURE_END}"),
    )?;
    Ok(Some(written))
}

/// Compares the file of an experiment that has passed with this run of it.
pub fn compare(docs: &Path, report: &Report) -> io::Result<Option<Compared>> {
    let (Some(run), Status::Pass) = (&report.run, &report.status) else {
        return Ok(None);
    };
    let Some(text) = read(&path(docs, report.experiment.id))? else {
        return Ok(Some(Compared::Missing));
    };
    let first = text.lines().next().unwrap_or_default();
    let kernel = kernel_in(first);
    if kernel != kernel_in(&first_line(&run.record)) {
        return Ok(Some(Compared::OtherKernel(kernel.to_owned())));
    }
    let differences = differences(&signature_in(&text), &signature(report, &run.record));
    Ok(Some(match differences.is_empty() {
        true => Compared::Same,
        false => Compared::Differs(differences),
    }))
}

/// The same, but a run that differs is not the last word: on a busy machine an experiment may go another way for once.
/// What the lab no longer shows, it does not show in any of several runs.
pub fn compare_often(docs: &Path, bench: &Bench, report: &Report) -> io::Result<Option<Compared>> {
    let mut compared = compare(docs, report)?;
    for _ in 1..RUNS {
        let Some(Compared::Differs(_)) = compared else {
            break;
        };
        let again = bench.report(&report.experiment, false);
        // A run that fails says nothing about the file.
        compared = compare(docs, &again)?.or(compared);
    }
    Ok(compared)
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn first_line(record: &Record) -> String {
    let kernel: Vec<&str> = record.kernel.split('.').take(2).collect();
    format!(
        "<!-- made by `lab render {}` on Linux {} -->",
        record.id,
        kernel.join(".")
    )
}

/// The kernel that a file's first line names.
fn kernel_in(first: &str) -> &str {
    let named = first.split_once("` on ").map(|(_, rest)| rest);
    named.unwrap_or_default().trim_end_matches(" -->")
}

/// What matters of a run and of what the page says beside it; each line ends with a line feed.
fn signature(report: &Report, record: &Record) -> String {
    let control = report.experiment.control;
    format!("{}\ncontrol: {control}\n", ladder::signature(record))
}

fn signature_in(file: &str) -> String {
    let after = file.split_once(SIGNATURE).map(|(_, after)| after);
    let inner = after.and_then(|after| after.split_once(SIGNATURE_END));
    inner.map_or(String::new(), |(inner, _)| inner.to_owned())
}

/// The lines that one text has more often than the other.
fn differences(file: &str, run: &str) -> Vec<String> {
    let mut counts: BTreeMap<&str, i32> = BTreeMap::new();
    for line in file.lines() {
        *counts.entry(line).or_default() -= 1;
    }
    for line in run.lines() {
        *counts.entry(line).or_default() += 1;
    }
    let marked = |(line, count): (&str, i32)| {
        let mark = if count < 0 { '-' } else { '+' };
        let times = count.unsigned_abs() as usize;
        std::iter::repeat_n(format!("{mark} {line}"), times)
    };
    counts.into_iter().flat_map(marked).collect()
}

fn page_part(report: &Report, record: &Record) -> String {
    let experiment = &report.experiment;
    let mut text = String::new();
    _ = writeln!(
        text,
        "<!-- ANCHOR: ladder -->\n<div class=\"ladder\">\n{}\n</div>\n<!-- ANCHOR_END: ladder -->\n",
        ladder::svg(record).trim()
    );
    _ = writeln!(
        text,
        "<!-- ANCHOR: claims -->\n<div class=\"claims\">\n\n{}\n",
        ladder::claims_markdown(record).trim()
    );
    _ = writeln!(
        text,
        "*Control:* {}. The central claims (in bold) then fail, as they must.\n",
        experiment.control
    );
    _ = writeln!(
        text,
        "Run it yourself: `scripts/experiment {}`\n\n</div>\n<!-- ANCHOR_END: claims -->",
        record.id
    );
    for (number, column) in record.columns.iter().enumerate() {
        let terminal = terminal(record, number);
        if !terminal.is_empty() {
            let anchor = column.name.replace(' ', "-");
            _ = writeln!(
                text,
                "\n<!-- ANCHOR: {anchor} -->\n```console\n{terminal}```\n<!-- ANCHOR_END: {anchor} -->"
            );
        }
    }
    text
}

/// What the terminal of one program looks like: what was typed and what it said.
fn terminal(record: &Record, number: usize) -> String {
    const SHOWN: usize = 24;
    let lines: Vec<&str> = record
        .events
        .iter()
        .filter_map(|event| match &event.what {
            What::Said(column, text)
            | What::Complained(column, text)
            | What::Typed(column, text)
                if *column == number =>
            {
                Some(text.as_str())
            }
            _ => None,
        })
        .collect();
    let mut text = String::new();
    let (head, tail) = if lines.len() > SHOWN {
        (&lines[..SHOWN / 2], &lines[lines.len() - SHOWN / 2..])
    } else {
        (&lines[..], &[][..])
    };
    for line in head {
        _ = writeln!(text, "{line}");
    }
    if !tail.is_empty() {
        _ = writeln!(text, "⋮ {} more lines", lines.len() - SHOWN);
    }
    for line in tail {
        _ = writeln!(text, "{line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::experiment::Experiment;
    use crate::record::{Claim, Column, Event, Verdict};
    use crate::run::Run;

    fn report(control: &'static str, said: &str, kernel: &str) -> Report {
        let record = Record {
            id: "11/close".into(),
            title: "it closes".into(),
            columns: vec![Column {
                name: "server".into(),
                host: None,
                address: None,
            }],
            events: vec![Event {
                at: Duration::from_millis(1),
                what: What::Said(0, said.into()),
            }],
            claims: vec![Claim {
                sentence: "it is closed".into(),
                seen: String::new(),
                central: true,
                verdict: Verdict::Holds,
            }],
            gauges: Vec::new(),
            figures: Vec::new(),
            tables: Vec::new(),
            took: Duration::ZERO,
            kernel: kernel.into(),
        };
        Report {
            experiment: Experiment::new("11/close", "it closes", |lab| lab.done(), control),
            run: Some(Run {
                record,
                broke_off: None,
                blind: None,
            }),
            control: None,
            status: Status::Pass,
        }
    }

    #[test]
    fn a_file_is_written_once_and_again_when_something_has_changed() {
        let docs = tempfile::tempdir().unwrap();
        let write = |report: &Report| write(docs.path(), report, false).unwrap();
        let one = report("none", "bye", "6.18.1");
        assert_eq!(write(&one), Some(Written::New));
        assert_eq!(write(&one), Some(Written::Same));
        assert_eq!(write(&report("none", "bye", "6.18.2")), Some(Written::Same));
        assert_eq!(
            write(&report("none", "so", "6.18.2")),
            Some(Written::Changed)
        );
        let text = fs::read_to_string(path(docs.path(), "11/close")).unwrap();
        assert!(text.starts_with("<!-- made by `lab render 11/close` on Linux 6.18 -->\n"));
        assert!(text.contains("\n<!-- ANCHOR: server -->\n```console\nso\n```\n"));
    }

    #[test]
    fn a_file_that_shows_what_the_lab_no_longer_shows_is_found_out() {
        let docs = tempfile::tempdir().unwrap();
        let compare = |report: &Report| compare(docs.path(), report).unwrap();
        let one = report("none", "bye", "6.18.1");
        assert_eq!(compare(&one), Some(Compared::Missing));
        write(docs.path(), &one, false).unwrap();
        assert_eq!(compare(&one), Some(Compared::Same));

        let lines = |lines: [&str; 2]| Some(Compared::Differs(lines.map(str::to_owned).into()));
        let said = report("none", "so long", "6.18.2");
        assert_eq!(compare(&said), lines(["-   bye", "+   so long"]));
        let control = report("another", "bye", "6.18.2");
        assert_eq!(
            compare(&control),
            lines(["+ control: another", "- control: none"])
        );

        let kernel = report("none", "so long", "7.0.1");
        let other = Compared::OtherKernel("Linux 6.18".into());
        assert_eq!(compare(&kernel), Some(other));
        let skipped = Report {
            status: Status::Skip("no namespaces".into()),
            ..report("none", "so long", "6.18.2")
        };
        assert_eq!(compare(&skipped), None);
    }
}
