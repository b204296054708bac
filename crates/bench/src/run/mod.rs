//! `bench run`: who takes part, what is measured, and where it goes.

mod check;
mod echo;
mod http;
mod idle;
mod models;
mod progress;
mod rounds;

use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use common::descriptors::raise_limit;
use common::say;
use common::signal::StopSignal;
use tempfile::TempDir;

use crate::machine::Before;
use crate::measure::{Cores, Server, run_on};
use crate::results::{Absent, ClientCheck, Kind, Machine, Method, Results, Section, Topic};
use crate::servers::{self, Contestant, Place};
use crate::{plot, report};
use progress::Progress;

/// Measures the contestants side by side
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A minute's worth: few and short rounds, fewer workloads
    #[arg(long)]
    quick: bool,
    /// Only these sections
    #[arg(long, value_enum, value_name = "SECTION,…", value_delimiter = ',')]
    only: Vec<Topic>,
    /// Only these contestants, by the names that `bench list` shows
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    contestants: Vec<String>,
    /// How many rounds; in each everybody has a turn
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// How long a turn takes in the HTTP section; in the others it is half as long
    #[arg(long, value_name = "SECONDS", value_parser = common::address::seconds)]
    turn: Option<Duration>,
    /// Write everything that was measured to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the tables and pictures that the book shows, into docs/src/bench
    #[arg(long)]
    book: bool,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Plan {
    quick: bool,
    rounds: usize,
    /// How long a turn takes in the HTTP section.
    sample: Duration,
}

impl Plan {
    fn of(args: &Args) -> Self {
        let (rounds, sample) = match args.quick {
            true => (3, Duration::from_millis(100)),
            false => (15, Duration::from_millis(150)),
        };
        Self {
            quick: args.quick,
            rounds: args.rounds.map_or(rounds, |rounds| rounds as usize),
            sample: args.turn.unwrap_or(sample),
        }
    }

    /// How long a turn takes.
    fn turn(&self, topic: Topic) -> Duration {
        match topic {
            Topic::Http => self.sample,
            // There are many more turns, and less to tell apart in each.
            Topic::Echo | Topic::Idle | Topic::Models => self.sample / 2,
        }
    }

    /// How often requests per second are counted: the figure jumps more from core to core than from round to round.
    fn rate_rounds(&self) -> usize {
        self.rounds.min(if self.quick { 1 } else { 3 })
    }
}

/// What all sections work with.
struct Bench {
    plan: Plan,
    cores: Cores,
    progress: Progress,
    directory: TempDir,
    /// Ctrl-C, once nothing is built any more.
    stop: OnceCell<StopSignal>,
    stopped: Cell<bool>,
}

impl Bench {
    fn new(plan: Plan, cores: Cores) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("bench-").tempdir()?;
        let files = directory.path().join("files");
        fs::create_dir(&files)?;
        fs::write(files.join("100k"), vec![b'x'; 100 * 1024])?;
        Ok(Self {
            plan,
            cores,
            progress: Progress::new(),
            directory,
            stop: OnceCell::new(),
            stopped: Cell::new(false),
        })
    }

    /// Whether somebody wants it to end before its time: then the servers are ended and the files removed, as at any end.
    fn stops(&self) -> bool {
        let received = self.stop.get().map(StopSignal::received);
        if matches!(received, Some(Ok(Some(_)))) {
            self.stopped.set(true);
        }
        self.stopped.get()
    }

    /// Lets something know where its files are.
    fn place<T>(
        &self,
        contestant: &Contestant,
        then: impl FnOnce(&Place) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let own = tempfile::Builder::new()
            .prefix("server-")
            .tempdir_in(self.directory.path())
            .with_context(|| format!("a directory for {}", contestant.name))?
            .keep();
        then(&Place {
            files: &self.directory.path().join("files"),
            own: &own,
        })
    }

    /// Starts a contestant's server on the shared core.
    fn start(&self, contestant: &Contestant) -> anyhow::Result<Server> {
        self.place(contestant, |place| {
            let launch = contestant.launch(place).map_err(anyhow::Error::msg)?;
            let server = Server::start(contestant.name, launch, self.cores.shared)?;
            if contestant.is_a_lesson()
                && let Err(error) = server.sends_at_once()
            {
                let name = contestant.name;
                self.progress
                    .stage(&format!("{name} may wait for ACKs: {error}"));
            }
            Ok(server)
        })
    }
}

/// The sections in the order of the tables, and the contestants of each.
const TOPICS: [(Topic, &[Kind]); 4] = [
    (Topic::Http, &[Kind::Http]),
    (Topic::Echo, &[Kind::Echo]),
    (Topic::Idle, &[Kind::Http, Kind::Echo]),
    (Topic::Models, &[Kind::Model]),
];

/// Measures, shows, and keeps what was measured.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let chosen = chosen(args)?;
    raise_limit()?;
    let (cores, count) = Cores::pick()?;
    let bench = Bench::new(Plan::of(args), cores)?;
    let absent = prepare(&bench, &chosen);

    // From here on, so that Ctrl-C ends a compiler as it always does.
    let _ = bench.stop.set(StopSignal::new()?); // it is the first
    let before = Before::now();
    run_on(cores.shared)?;
    let (mut sections, mut checks) = (Vec::new(), Vec::new());
    for (topic, kinds) in TOPICS {
        if wanted(args, topic) && !bench.stops() {
            sections.push(section(&bench, topic, kinds, &chosen, &absent, &mut checks));
        }
    }
    bench.progress.ends();
    if bench.stops() {
        bail!("stopped before everything was measured");
    }
    let results = Results {
        machine: Machine::here(count),
        noise: before.until_now(&sections),
        quick: args.quick,
        method: Method {
            rounds: bench.plan.rounds,
            sample_ns: bench.plan.sample.as_nanos() as u64,
            core: cores.shared,
            other_core: cores.other,
        },
        sections,
        checks,
    };
    say!("{}", report::text(&results).trim_end())?;
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&results)?;
        fs::write(path, json).with_context(|| format!("write {}", path.display()))?;
    }
    if args.book {
        for path in plot::book(&results, &book_directory())? {
            say!("wrote {}", path.display())?;
        }
    }
    Ok(())
}

/// Where the book's page looks for its tables and pictures.
pub fn book_directory() -> PathBuf {
    servers::workspace().join("docs/src/bench")
}

fn wanted(args: &Args, topic: Topic) -> bool {
    args.only.is_empty() || args.only.contains(&topic)
}

/// The contestants of the wanted sections.
fn chosen(args: &Args) -> anyhow::Result<Vec<&'static Contestant>> {
    let all = servers::all();
    for name in &args.contestants {
        if !all.iter().any(|contestant| contestant.name == name) {
            let mut names: Vec<_> = all.iter().map(|contestant| contestant.name).collect();
            names.dedup();
            bail!("nobody is called {name:?}; there are: {}", names.join(", "));
        }
    }
    let kinds: Vec<Kind> = TOPICS
        .iter()
        .filter(|(topic, _)| wanted(args, *topic))
        .flat_map(|(_, kinds)| kinds.iter().copied())
        .collect();
    let named = |contestant: &Contestant| {
        args.contestants.is_empty() || args.contestants.iter().any(|name| name == contestant.name)
    };
    Ok(all
        .iter()
        .filter(|contestant| kinds.contains(&contestant.kind) && named(contestant))
        .collect())
}

/// Builds what is not built. Who cannot take part, and why.
fn prepare(bench: &Bench, chosen: &[&'static Contestant]) -> Vec<(&'static Contestant, String)> {
    let failed: BTreeMap<&'static str, String> =
        servers::build(chosen, &|what| bench.progress.stage(what));
    let reason = |contestant: &Contestant| match failed.get(contestant.name) {
        Some(reason) => Some(reason.clone()),
        None => contestant.available().err(),
    };
    chosen
        .iter()
        .filter_map(|&contestant| Some((contestant, reason(contestant)?)))
        .collect()
}

fn section(
    bench: &Bench,
    topic: Topic,
    kinds: &[Kind],
    chosen: &[&'static Contestant],
    absent: &[(&'static Contestant, String)],
    checks: &mut Vec<ClientCheck>,
) -> Section {
    let is_absent = |contestant: &Contestant| {
        absent
            .iter()
            .any(|(other, _)| other.name == contestant.name && other.kind == contestant.kind)
    };
    let present: Vec<&'static Contestant> = chosen
        .iter()
        .copied()
        .filter(|contestant| kinds.contains(&contestant.kind) && !is_absent(contestant))
        .collect();
    let (workloads, rows) = match topic {
        Topic::Http => http::section(bench, &present, checks),
        Topic::Echo => echo::section(bench, &present),
        Topic::Idle => idle::section(bench, &present),
        Topic::Models => models::section(bench, &present),
    };
    let absent = absent
        .iter()
        .filter(|(contestant, _)| kinds.contains(&contestant.kind))
        .map(|(contestant, reason)| Absent {
            contestant: contestant.name.into(),
            about: contestant.about.into(),
            reason: reason.clone(),
        });
    Section {
        topic,
        workloads,
        rows,
        absent: absent.collect(),
    }
}
