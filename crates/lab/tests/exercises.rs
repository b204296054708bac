//! Every solution of an exercise as a test of its own name: `cargo test -p lab 11/half-close`.
//!
//! What stands in `exercise.rs` is the learner's and no test looks at it: it may be solved, half done or broken.
//! That it is not solved as it is delivered is for `scripts/exercise --check`.

mod support;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

use lab::exercises::{self, Exercise};
use lab::programs::Programs;
use lab::run::{Bench, Status};
use libtest_mimic::{Failed, Trial};

fn main() -> ExitCode {
    support::run(build, trials)
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
        Status::Fail(_) | Status::Discovery(_) => Err(support::in_full(&report).into()),
    }
}
