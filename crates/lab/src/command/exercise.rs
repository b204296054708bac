//! `lab exercise`: runs what a learner has made of a program, and says whether it is right.

use std::collections::BTreeSet;

use anyhow::{bail, ensure};
use clap::Args;
use lab::exercises::{self, Exercise};
use lab::experiment::Experiment;
use lab::programs::Programs;
use lab::record::{Claim, Verdict};
use lab::report;
use lab::run::{Bench, Report, Status};

use crate::{Look, enter, list_width, print, run_all, text_options};

#[derive(Args)]
pub struct ExerciseArgs {
    /// An exercise (11/half-close) or a chapter (11)
    which: Vec<String>,
    /// Show where to look, and run nothing
    #[arg(long)]
    hint: bool,
    /// Run the solution in place of your program
    #[arg(long, conflicts_with = "hint")]
    solution: bool,
    /// For who writes exercises: run the solution and the program as it stands; the first must hold, the second must not
    #[arg(long, conflicts_with_all = ["hint", "solution"])]
    check: bool,
    #[command(flatten)]
    look: Look,
}

pub fn run(args: &ExerciseArgs) -> anyhow::Result<bool> {
    let chosen = select(&args.which)?;
    if args.check {
        return check(&chosen, args);
    }
    match chosen.as_slice() {
        [exercise] if args.hint => {
            print(&format!("{}\n", exercise.hint))?;
            Ok(true)
        }
        [exercise] if args.solution => show_solution(exercise, args),
        [exercise] if !args.which.is_empty() => attempt(exercise, args),
        _ if args.hint || args.solution => {
            bail!("name one exercise; they are listed by: scripts/exercise")
        }
        several => {
            print(&exercises::list(several, list_width()))?;
            Ok(true)
        }
    }
}

fn select(which: &[String]) -> anyhow::Result<Vec<Exercise>> {
    for word in which {
        let known = exercises::all().any(|exercise| exercise.experiment.is_meant_by(word));
        ensure!(
            known,
            "there is no exercise {word:?}; they are listed by: scripts/exercise"
        );
    }
    let meant = |exercise: &Exercise| {
        which.is_empty()
            || which
                .iter()
                .any(|word| exercise.experiment.is_meant_by(word))
    };
    Ok(exercises::all().filter(meant).collect())
}

/// Builds the lessons that the stories need and, of each exercise, what `binaries` names; then enters the sandbox.
fn prepare(
    chosen: &[Exercise],
    binaries: impl Fn([String; 2]) -> Vec<String>,
    args: &ExerciseArgs,
) -> anyhow::Result<Bench> {
    let packages: BTreeSet<String> = chosen
        .iter()
        .flat_map(|exercise| exercise.experiment.packages())
        .collect();
    let binaries: Vec<String> = chosen
        .iter()
        .flat_map(|exercise| binaries(exercises::binaries(exercise.id())))
        .collect();
    let programs = Programs::build(&packages.into_iter().collect::<Vec<_>>())?;
    Ok(enter(
        programs.with_exercises(&binaries)?,
        args.look.syscalls,
    ))
}

fn attempt(exercise: &Exercise, args: &ExerciseArgs) -> anyhow::Result<bool> {
    let bench = prepare(&[*exercise], |[program, _]| vec![program], args)?;
    let report = bench.attempt(exercise);
    print(&report::full(&report, &text_options(&args.look)))?;
    let solved = report.status == Status::Pass;
    if solved && let Err(error) = exercise.keep() {
        eprintln!("The list of exercises will not know of it: {error}");
    }
    print(&verdict(exercise, &report))?;
    Ok(solved)
}

/// What the run says about the learner's program, and where to go from here.
fn verdict(exercise: &Exercise, report: &Report) -> String {
    let (program, solution) = (exercise.program(), exercise.solution());
    let (program, solution) = (program.display(), solution.display());
    match (&report.status, &report.run) {
        (Status::Pass, Some(run)) => {
            let unseen = |claim: &&Claim| claim.verdict == Verdict::Unseen;
            let but = match run.record.claims.iter().filter(unseen).count() {
                0 => String::new(),
                1 => ", as far as this machine shows: one claim could not be looked at".into(),
                some => {
                    format!(", as far as this machine shows: {some} claims could not be looked at")
                }
            };
            format!("\n✓ Solved{but}.\n  Yours:    {program}\n  Compare:  {solution}\n")
        }
        (Status::Pass | Status::Skip(_), _) => {
            "\nSo it cannot be said here whether your program is right.\n".into()
        }
        (Status::Fail(_) | Status::Discovery(_), _) => {
            let hint = format!("scripts/exercise {} --hint", exercise.id());
            format!("\n✗ Not solved yet.\n  Yours:    {program}\n  A hint:   {hint}\n")
        }
    }
}

fn show_solution(exercise: &Exercise, args: &ExerciseArgs) -> anyhow::Result<bool> {
    let bench = prepare(&[*exercise], |[_, solution]| vec![solution], args)?;
    let report = bench.report(&exercise.experiment, false);
    print(&report::full(&report, &text_options(&args.look)))?;
    print(&format!("\nThis was {}\n", exercise.solution().display()))?;
    Ok(matches!(report.status, Status::Pass | Status::Skip(_)))
}

/// What continuous integration does: each solution solves, and no exercise is solved as it stands.
fn check(chosen: &[Exercise], args: &ExerciseArgs) -> anyhow::Result<bool> {
    let bench = prepare(chosen, Vec::from, args)?;
    let stories: Vec<Experiment> = chosen.iter().map(|exercise| exercise.experiment).collect();
    let options = text_options(&args.look);
    let reports = run_all(&bench, &stories, 2, true, |report| {
        let mut text = report::line(report) + "\n";
        if matches!(report.status, Status::Fail(_) | Status::Discovery(_)) {
            text += &report::full(report, &options);
        }
        // A reader that has gone does not need the rest.
        let _ = print(&text);
    });
    print(&(report::summary(&reports) + "\n"))?;
    Ok(reports
        .iter()
        .all(|report| matches!(report.status, Status::Pass | Status::Skip(_))))
}
