//! Every experiment as a test of its own name: `cargo test -p lab 11/close`. Each runs with its control.
//!
//! With `LAB_CHECK_BOOK=1` the run is compared with what the book shows of it, too. Only `.ci/run` asks for that: on a
//! reader's machine other tools, users or limits may make a picture differ that is no less true, and a test should not
//! fail for it. Claims hold everywhere.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

use lab::experiment::Experiment;
use lab::experiments;
use lab::ladder::TextOptions;
use lab::programs::{self, Programs};
use lab::quiz::Quiz;
use lab::render::{self, Compared};
use lab::report;
use lab::run::{Bench, Report, Status};
use lab::sandbox::{self, Sandbox};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(None)).exit_code();
    }
    let packages: BTreeSet<String> = experiments::all()
        .flat_map(|experiment| experiment.packages())
        .collect();
    let programs = match Programs::build(&packages.into_iter().collect::<Vec<_>>()) {
        Ok(programs) => programs,
        Err(error) => {
            eprintln!("Error: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let sandbox = sandbox::enter();
    if sandbox != Sandbox::Namespaces {
        // All experiments then share one port.
        arguments.test_threads = Some(1);
    }
    let bench = Arc::new(Bench {
        sandbox,
        programs,
        trace: false,
    });
    libtest_mimic::run(&arguments, trials(Some(&bench))).exit_code()
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
            let options = TextOptions {
                width: 120,
                colour: false,
                full: true,
                verbose: true,
            };
            Err(format!(
                "{}\n{}",
                report::line(&report),
                report::full(&report, &options)
            )
            .into())
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
