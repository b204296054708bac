//! Every experiment as a test of its own name: `cargo test -p lab 11/close`. Each runs with its control.
//!
//! With `LAB_CHECK_BOOK=1` the run is compared with what the book shows of it, too. Only `.ci/run` asks for that: on a
//! reader's machine other tools, users or limits may make a picture differ that is no less true, and a test should not
//! fail for it. Claims hold everywhere.

mod support;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

use lab::experiment::Experiment;
use lab::experiments;
use lab::programs::{self, Programs};
use lab::quiz::Quiz;
use lab::render::{self, Compared};
use lab::report;
use lab::run::{Bench, Report, Status};
use libtest_mimic::{Failed, Trial};

fn main() -> ExitCode {
    support::run(build, trials)
}

fn build() -> anyhow::Result<Programs> {
    let packages: BTreeSet<String> = experiments::all()
        .flat_map(|experiment| experiment.packages())
        .collect();
    Programs::build(&packages.into_iter().collect::<Vec<_>>())
}

fn trials(bench: Option<&Arc<Bench>>) -> Vec<Trial> {
    let trial = |experiment: Experiment| {
        let bench = bench.cloned();
        Trial::test(experiment.id, move || {
            bench.map_or(Ok(()), |bench| run(&bench, &experiment))
        })
        .with_ignored_flag(experiment.slow)
    };
    experiments::all().map(trial).collect()
}

fn run(bench: &Bench, experiment: &Experiment) -> Result<(), Failed> {
    let report = bench.report(experiment, true);
    let strict = std::env::var_os("CI").is_some();
    // What a quiz asks must be decided by the run that was just made.
    Quiz::check(&report)?;
    match &report.status {
        Status::Pass => agrees_with_the_book(bench, &report),
        Status::Discovery(_) if !strict => Ok(()),
        Status::Skip(reason) => {
            eprintln!("{} skipped: {reason}", experiment.id);
            Ok(())
        }
        Status::Fail(_) | Status::Discovery(_) => {
            let (line, full) = (report::line(&report), support::in_full(&report));
            Err(format!("{line}\n{full}").into())
        }
    }
}

/// Whether the book still shows what this run has shown.
fn agrees_with_the_book(bench: &Bench, report: &Report) -> Result<(), Failed> {
    if std::env::var_os("LAB_CHECK_BOOK").is_none() {
        return Ok(());
    }
    let id = report.experiment.id;
    let docs = programs::workspace().join("docs");
    match render::compare_often(&docs, bench, report)? {
        None | Some(Compared::Same) => Ok(()),
        Some(Compared::OtherKernel(kernel)) => {
            eprintln!("{id} is not compared with the book, which shows what {kernel} does");
            Ok(())
        }
        Some(Compared::Missing) => {
            Err(format!("the book has no run of {id}: lab render {id}").into())
        }
        Some(Compared::Differs(lines)) => Err(format!(
            "the book shows something else of {id} (-) than the lab does (+): lab render {id}\n{}",
            lines.join("\n")
        )
        .into()),
    }
}
