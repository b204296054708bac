//! Every solution of an exercise as a test of its own name: `cargo test -p lab 11/half-close`.
//!
//! What stands in `exercise.rs` is the learner's and no test looks at it: it may be solved, half done or broken.
//! That it is not solved as it is delivered is for `scripts/exercise --check`.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

use lab::exercises::{self, Exercise};
use lab::ladder::TextOptions;
use lab::programs::Programs;
use lab::report;
use lab::run::{Bench, Status};
use lab::sandbox::{self, Sandbox};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(None)).exit_code();
    }
    let programs = match build() {
        Ok(programs) => programs,
        Err(error) => {
            eprintln!("Error: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let sandbox = sandbox::enter();
    if sandbox != Sandbox::Namespaces {
        // All stories then share one port.
        arguments.test_threads = Some(1);
    }
    let bench = Arc::new(Bench {
        sandbox,
        programs,
        trace: false,
    });
    libtest_mimic::run(&arguments, trials(Some(&bench))).exit_code()
}

fn build() -> anyhow::Result<Programs> {
    let packages: BTreeSet<String> = exercises::all()
        .flat_map(|exercise| exercise.experiment.packages())
        .collect();
    let solutions: Vec<String> = exercises::all()
        .map(|exercise| {
            let [_, solution] = exercises::binaries(exercise.id());
            solution
        })
        .collect();
    Programs::build(&packages.into_iter().collect::<Vec<_>>())?.with_exercises(&solutions)
}

fn trials(bench: Option<&Arc<Bench>>) -> Vec<Trial> {
    let trial = |exercise: Exercise| {
        let bench = bench.cloned();
        Trial::test(exercise.id(), move || {
            bench.map_or(Ok(()), |bench| run(&bench, &exercise))
        })
        .with_kind("solution")
    };
    exercises::all().map(trial).collect()
}

fn run(bench: &Bench, exercise: &Exercise) -> Result<(), Failed> {
    let report = bench.report(&exercise.experiment, false);
    match &report.status {
        Status::Pass => Ok(()),
        Status::Skip(reason) => {
            eprintln!("{} skipped: {reason}", exercise.id());
            Ok(())
        }
        Status::Fail(_) | Status::Discovery(_) => {
            let options = TextOptions {
                width: 120,
                colour: false,
                full: true,
                verbose: true,
            };
            Err(report::full(&report, &options).into())
        }
    }
}
