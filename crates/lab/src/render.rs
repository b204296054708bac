//! Writes what the book shows of each experiment, from a run of it.
//!
//! The files are committed, and reviewed like code. A run never repeats itself to the microsecond, so a file is only
//! rewritten when something that matters has changed: its first line holds the run's signature.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::ladder;
use crate::record::{Record, What};
use crate::run::{Report, Status};

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
    let signature = signature_line(&run.record);
    let before = fs::read_to_string(&path).ok();
    let written = match &before {
        None => Written::New,
        Some(text) if !force && text.lines().next() == Some(signature.as_str()) => {
            return Ok(Some(Written::Same));
        }
        Some(_) => Written::Changed,
    };
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(&path, signature + "\n" + &page_part(report, &run.record))?;
    Ok(Some(written))
}

/// A short number for what matters in a run (FNV-1a: it need not resist anybody).
fn signature_line(record: &Record) -> String {
    let offset = 0xcbf2_9ce4_8422_2325_u64;
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = ladder::signature(record).bytes().fold(offset, step);
    format!(
        "<!-- made by `lab render {}`, signature {hash:016x} -->",
        record.id
    )
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
        "<!-- ANCHOR: claims -->\n{}\n",
        ladder::claims_markdown(record).trim()
    );
    _ = writeln!(
        text,
        "*Control:* {}. The central claims (in bold) then fail, as they must.\n",
        experiment.control
    );
    _ = writeln!(
        text,
        "Run it yourself: `scripts/experiment {}`\n<!-- ANCHOR_END: claims -->",
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
