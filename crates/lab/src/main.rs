//! The command line of the lab.

mod command {
    pub mod exercise;
}

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{IsTerminal, Write, stdin, stdout};
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, bail, ensure};
use clap::{Args, Parser};
use lab::experiment::Experiment;
use lab::ladder::{self, TextOptions};
use lab::programs::{Programs, workspace};
use lab::quiz;
use lab::render::{self, Compared, Written};
use lab::run::{Bench, Report, Status};
use lab::sandbox::{self, Sandbox};
use lab::{doctor, experiments, files, report, states};

/// The lab: runs the course's experiments on this kernel and shows what happened.
#[derive(Parser)]
#[command(name = "lab", arg_required_else_help = true)]
enum Command {
    /// Lists the experiments
    List {
        /// An experiment, a chapter (11, chap-11), or all
        #[arg(default_value = "all")]
        which: Vec<String>,
    },
    /// Runs experiments and shows their ladders; exit code 1 when a claim does not hold
    Run(RunArgs),
    /// Asks what will happen, then runs it and says who was right
    Quiz {
        /// Experiments (11/close) or chapters (11, chap-11); lists the quizzes if there is none
        which: Vec<String>,
        #[command(flatten)]
        look: Look,
    },
    /// Writes what the book shows of the experiments; files that still are true stay as they are
    Render {
        #[command(flatten)]
        selection: Selection,
        /// Rewrite every file
        #[arg(long)]
        force: bool,
        /// Write nothing; exit code 1 when a file shows what the lab no longer shows
        #[arg(long, conflicts_with = "force")]
        check: bool,
    },
    /// Runs your program for an exercise; exit code 1 until it is solved. Without an exercise, lists them
    Exercise(command::exercise::ExerciseArgs),
    /// Draws TCP's state diagram for the book, with the edges in its ladders; `render` does it, too
    States,
    /// Says what this machine allows, and the remedy for what it does not
    Doctor,
}

#[derive(Args)]
struct Selection {
    /// Experiments (11/close), chapters (11, chap-11), or all
    #[arg(required = true)]
    which: Vec<String>,
    /// Those that take long, too
    #[arg(long)]
    slow: bool,
}

#[derive(Args)]
struct RunArgs {
    #[command(flatten)]
    selection: Selection,
    /// How many at a time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Run each control as well: the same story with one change, in which the central claims must fail
    #[arg(long)]
    controls: bool,
    #[command(flatten)]
    look: Look,
    /// Write the packets of the one experiment to a file for Wireshark
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Write the ladder of the one experiment to a file, as a picture
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write the results to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// How a run is shown.
#[derive(Args)]
struct Look {
    /// Show the programs' system calls in the ladder
    #[arg(long)]
    syscalls: bool,
    /// Show what was seen for claims that hold, too
    #[arg(long, short)]
    verbose: bool,
    /// Wrap long lines in the ladder in place of shortening them
    #[arg(long)]
    full: bool,
    /// Width of the ladder in characters [default: the terminal's; 120 without one]
    #[arg(long)]
    width: Option<usize>,
}

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::List { which } => list(&which),
        Command::Run(args) => run(&args),
        Command::Quiz { which, .. } if which.is_empty() => {
            print(&quiz::list(list_width())).map(|()| true)
        }
        Command::Quiz { which, look } => hold_quizzes(&which, &look),
        Command::Render {
            selection,
            check: true,
            ..
        } => check(&selection),
        Command::Render {
            selection, force, ..
        } => render(&selection, force),
        Command::Exercise(args) => command::exercise::run(&args),
        Command::States => draw_states(),
        Command::Doctor => print(&doctor::report()).map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints without a panic when the reader of a pipe has gone.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("standard output")
}

fn select(which: &[String]) -> anyhow::Result<Vec<Experiment>> {
    for word in which {
        let known = experiments::all().any(|experiment| experiment.is_meant_by(word));
        ensure!(
            known,
            "there is no experiment or chapter {word:?}; they are listed by: scripts/experiment --list"
        );
    }
    let meant = |experiment: &Experiment| which.iter().any(|word| experiment.is_meant_by(word));
    Ok(experiments::all().filter(meant).collect())
}

fn list(which: &[String]) -> anyhow::Result<bool> {
    let mut text = String::new();
    for experiment in select(which)? {
        let slow = if experiment.slow { " (slow)" } else { "" };
        let title = format!("{}{slow}", experiment.title);
        text += &ladder::entry(&format!("{:<28} ", experiment.id), &title, list_width());
    }
    print(&text)?;
    Ok(true)
}

/// Builds the programs, enters the sandbox, and decides which of the experiments to run. In this order: cargo needs the
/// user's own rights, and the sandbox a process without threads.
fn prepare(selection: &Selection, trace: bool) -> anyhow::Result<(Bench, Vec<Experiment>)> {
    let mut chosen = select(&selection.which)?;
    let by_name =
        |experiment: &Experiment| selection.which.iter().any(|word| word == experiment.id);
    chosen.retain(|experiment| selection.slow || !experiment.slow || by_name(experiment));
    let packages: BTreeSet<String> = chosen.iter().flat_map(Experiment::packages).collect();
    let programs = Programs::build(&packages.into_iter().collect::<Vec<_>>())?;
    Ok((enter(programs, trace), chosen))
}

/// Enters the sandbox, and says so where there is none.
fn enter(programs: Programs, trace: bool) -> Bench {
    let sandbox = sandbox::enter();
    if let Sandbox::Loopback { why } = &sandbox {
        eprintln!(
            "No namespaces of our own here: {why}.\nWhat needs them is skipped, the rest runs on this machine's \
             loopback. What would help: cargo run -p lab -- doctor"
        );
    }
    Bench {
        sandbox,
        programs,
        trace,
    }
}

/// Runs experiments, several at a time, and hands each result to `each` as it comes.
fn run_all(
    bench: &Bench,
    chosen: &[Experiment],
    jobs: usize,
    controls: bool,
    each: impl Fn(&Report) + Sync,
) -> Vec<Report> {
    // Without namespaces all experiments share one port.
    let jobs = if bench.sandbox == Sandbox::Namespaces {
        jobs.max(1)
    } else {
        1
    };
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs.min(chosen.len()) {
            scope.spawn(|| {
                while let Some(experiment) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let report = bench.report(experiment, controls);
                    each(&report);
                    done.lock()
                        .unwrap_or_else(|poisoned| poisoned.into_inner())
                        .push(report);
                }
            });
        }
    });
    let mut reports = done
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    reports.sort_by_key(|report| {
        chosen
            .iter()
            .position(|experiment| experiment.id == report.experiment.id)
    });
    reports
}

fn run(args: &RunArgs) -> anyhow::Result<bool> {
    // A wrong name must not cost the file of an earlier run.
    select(&args.selection.which)?;
    // Before the sandbox, which has a /dev/shm of its own; and before a long run rather than after it.
    let create = |path: &Option<PathBuf>| {
        let path = path.as_deref();
        path.map(|path| File::create(path).with_context(|| format!("write {}", path.display())))
            .transpose()
    };
    let (json, pcap, svg) = (create(&args.json)?, create(&args.pcap)?, create(&args.svg)?);
    let (bench, chosen) = prepare(&args.selection, args.look.syscalls)?;
    if (args.pcap.is_some() || args.svg.is_some()) && chosen.len() != 1 {
        bail!(
            "--pcap and --svg take one experiment, and {} were chosen",
            chosen.len()
        );
    }
    let options = text_options(&args.look);
    let alone = chosen.len() == 1;
    let reports = run_all(&bench, &chosen, args.jobs, args.controls, |report| {
        let failed = matches!(report.status, Status::Fail(_) | Status::Discovery(_));
        let mut text = if alone {
            String::new()
        } else {
            report::line(report) + "\n"
        };
        if alone || failed {
            text += &report::full(report, &options);
        }
        // A reader that has gone does not need the rest.
        let _ = print(&text);
    });
    if !alone {
        print(&(report::summary(&reports) + "\n"))?;
    }
    if let Some(file) = json {
        files::write_json(&reports, strict(), file).context("write the results")?;
    }
    if let Some(run) = reports.first().and_then(|report| report.run.as_ref()) {
        if let Some(file) = pcap {
            files::write_pcap(&run.record, file).context("write the packets")?;
        }
        if let Some(mut file) = svg {
            file.write_all(ladder::svg(&run.record).as_bytes())
                .context("write the picture")?;
        }
    }
    Ok(reports.iter().all(|report| match &report.status {
        Status::Fail(_) => false,
        Status::Discovery(_) => !strict(),
        Status::Pass | Status::Skip(_) => true,
    }))
}

/// Questions first, then the run that decides them.
fn hold_quizzes(which: &[String], look: &Look) -> anyhow::Result<bool> {
    for word in which {
        let known = quiz::all().any(|quiz| quiz.is_meant_by(word));
        ensure!(
            known,
            "there is no quiz {word:?}; they are listed by: scripts/quiz"
        );
    }
    let meant = |quiz: &&quiz::Quiz| which.iter().any(|word| quiz.is_meant_by(word));
    let quizzes: Vec<_> = quiz::all().filter(meant).collect();
    let selection = Selection {
        which: quizzes.iter().map(|quiz| quiz.experiment.into()).collect(),
        slow: true,
    };
    let (bench, _) = prepare(&selection, look.syscalls)?;
    let (input, out) = (stdin(), stdout());
    let options = text_options(look);
    let mut terminal =
        quiz::ask::Terminal::new(input.lock(), out.lock(), options, input.is_terminal());
    quiz::hold(&mut terminal, &bench, &quizzes).context("the quiz's terminal")
}

/// In continuous integration every kernel should be known.
fn strict() -> bool {
    std::env::var_os("CI").is_some()
}

fn text_options(look: &Look) -> TextOptions {
    let terminal = stdout().is_terminal();
    TextOptions {
        width: look.width.or_else(terminal_width).unwrap_or(120),
        colour: terminal && wants_colour(),
        full: look.full,
        verbose: look.verbose,
    }
}

/// See https://no-color.org/; and a terminal that calls itself dumb has none.
fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|name| name != "dumb")
}

/// The width of a list. Who reads a list by program wants each entry in one line.
fn list_width() -> usize {
    match stdout().is_terminal() {
        true => terminal_width().unwrap_or(80),
        false => usize::MAX,
    }
}

/// Of the terminal that shows what we print; behind a pager that is the one of standard error.
fn terminal_width() -> Option<usize> {
    [1, 2].into_iter().find_map(columns)
}

fn columns(descriptor: RawFd) -> Option<usize> {
    let mut size = nix::libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the kernel fills in the structure that it is given, tty_ioctl(4).
    let outcome = unsafe { nix::libc::ioctl(descriptor, nix::libc::TIOCGWINSZ, &mut size) };
    (outcome == 0 && size.ws_col > 0).then(|| usize::from(size.ws_col))
}

fn render(selection: &Selection, force: bool) -> anyhow::Result<bool> {
    let docs = workspace().join("docs");
    let (bench, chosen) = prepare(selection, false)?;
    let all_passed = Mutex::new(true);
    // One at a time: on a busy machine lines are read late, and stand in the ladder below the packets they caused.
    run_all(&bench, &chosen, 1, false, |report| {
        let line = match (&report.status, render::write(&docs, report, force)) {
            (Status::Pass, Ok(Some(Written::Same))) => format!("= {}", report.experiment.id),
            (Status::Pass, Ok(_)) => format!("✓ {} written", report.experiment.id),
            (Status::Pass, Err(error)) => format!("✗ {}: {error}", report.experiment.id),
            _ => report::line(report),
        };
        if line.starts_with(['✗', '◇']) {
            *all_passed
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner()) = false;
        }
        let _ = print(&(line + "\n"));
    });
    draw_states()?;
    Ok(all_passed
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner()))
}

/// Compares what the book shows with what the lab shows now.
fn check(selection: &Selection) -> anyhow::Result<bool> {
    let docs = workspace().join("docs");
    let (bench, chosen) = prepare(selection, false)?;
    let all_agree = AtomicBool::new(true);
    run_all(&bench, &chosen, 2, false, |report| {
        let id = report.experiment.id;
        let (agrees, text) = match render::compare_often(&docs, &bench, report) {
            Ok(None) => (
                !matches!(report.status, Status::Fail(_)),
                report::line(report),
            ),
            Ok(Some(Compared::Same)) => (true, format!("= {id}")),
            Ok(Some(Compared::OtherKernel(kernel))) => {
                (true, format!("– {id}: the book shows what {kernel} does"))
            }
            Ok(Some(Compared::Missing)) => (
                false,
                format!("✗ {id}: the book has no run of it; cargo run -p lab -- render {id}"),
            ),
            Ok(Some(Compared::Differs(lines))) => (
                false,
                format!(
                    "✗ {id}: the book shows something else (-); cargo run -p lab -- render {id}\n    {}",
                    lines.join("\n    ")
                ),
            ),
            Err(error) => (false, format!("✗ {id}: {error}")),
        };
        all_agree.fetch_and(agrees, Ordering::Relaxed);
        let _ = print(&(text + "\n"));
    });
    Ok(all_agree.into_inner())
}

fn draw_states() -> anyhow::Result<bool> {
    let docs = workspace().join("docs");
    let path = states::path(&docs);
    let written =
        states::write(&docs).with_context(|| format!("{} from the ladders", path.display()))?;
    // A reader that has gone does not need to know.
    let _ = print(match written {
        Written::Same => "= the state diagram\n",
        Written::New | Written::Changed => "✓ the state diagram written\n",
    });
    Ok(true)
}
