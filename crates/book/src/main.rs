//! Builds the book in `docs/`, or says what is wrong with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Parser;

/// Checks the pages in docs/ and builds them into a book
///
/// Broken links, anchors and includes, code that is typed in place of included, unanswered questions: each is listed
/// with its page and line, and nothing is built.
#[derive(Parser)]
struct Args {
    /// Check only: leave no book behind
    #[arg(long, conflicts_with = "out")]
    check: bool,
    /// Where the book goes [default: target/book in the workspace]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The book's sources [default: docs in the workspace]
    #[arg(long, value_name = "DIR")]
    docs: Option<PathBuf>,
}

/// A file that mdBook writes into every book.
const SIGN: &str = "toc.html";

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<bool> {
    let workspace = workspace();
    let docs = args.docs.clone().unwrap_or(workspace.join("docs"));
    let checked = book::check(&docs)?;
    if !checked.problems.is_empty() {
        for problem in &checked.problems {
            eprintln!("{problem}");
        }
        eprintln!(
            "Error: the book has {}; nothing was built",
            count(checked.problems.len(), "problem")
        );
        return Ok(false);
    }

    let scratch = tempfile::tempdir().context("make a temporary directory")?;
    let out = match &args.out {
        _ if args.check => scratch.path().to_owned(),
        Some(out) => {
            may_be_replaced(out, &checked.docs)?;
            out.clone()
        }
        None => {
            let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
            target.unwrap_or(workspace.join("target")).join("book")
        }
    };
    let warnings = book::render(&checked, &out)?;
    if !warnings.is_empty() {
        for warning in &warnings {
            eprintln!("{warning}");
        }
        eprintln!("Error: mdBook warns of {}", count(warnings.len(), "thing"));
        return Ok(false);
    }

    println!(
        "{}, {} still to be written; {} of {} answered",
        count(checked.text.len(), "page"),
        checked.planned.len(),
        checked.answered,
        count(checked.questions, "question")
    );
    if !checked.planned.is_empty() {
        let name = |page: &PathBuf| page.with_extension("").display().to_string();
        let names: Vec<_> = checked.planned.iter().map(name).collect();
        println!("planned: {}", names.join(", "));
    }
    if !args.check {
        println!("{}", std::path::absolute(out)?.join("index.html").display());
    }
    Ok(true)
}

/// Where cargo runs us, for it does not build anew what has been moved with all it has built; else where we were built.
fn workspace() -> PathBuf {
    let running = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let ours = running.filter(|path| path.ends_with("crates/book"));
    let package = ours.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    book::include::normal(&package.join("../.."))
}

/// mdBook empties the directory first. Refuses one that holds anything but an earlier book.
fn may_be_replaced(out: &Path, docs: &Path) -> anyhow::Result<()> {
    let Ok(mut entries) = fs::read_dir(out) else {
        return Ok(());
    };
    let inside = fs::canonicalize(out)?;
    if docs.starts_with(&inside) || inside.starts_with(docs.join("src")) {
        bail!("{} holds the book's own sources", out.display());
    }
    if entries.next().is_some() && !out.join(SIGN).is_file() {
        bail!(
            "{} is not empty and holds no book: it would be emptied",
            out.display()
        );
    }
    Ok(())
}

fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}
