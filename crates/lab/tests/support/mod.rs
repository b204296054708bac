//! What the tests of experiments and of solutions share: each story is a test of its own name.

use std::process::ExitCode;
use std::sync::Arc;

use lab::ladder::TextOptions;
use lab::programs::Programs;
use lab::report;
use lab::run::{Bench, Report};
use lab::sandbox::{self, Sandbox};
use libtest_mimic::{Arguments, Trial};

/// Builds the programs and runs the trials that were asked for. To list them needs neither.
pub fn run(
    build: impl FnOnce() -> anyhow::Result<Programs>,
    trials: impl FnOnce(Option<&Arc<Bench>>) -> Vec<Trial>,
) -> ExitCode {
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

/// All that is known of a run that failed.
pub fn in_full(report: &Report) -> String {
    let options = TextOptions {
        width: 120,
        colour: false,
        full: true,
        verbose: true,
    };
    report::full(report, &options)
}
