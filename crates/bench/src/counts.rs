//! What a request costs in system calls, allocations and instructions. None of them depends on the machine or on what else
//! it does, so a difference of one instruction shows.
//!
//! The server runs under strace(1), and again under valgrind(1)'s callgrind or, where valgrind cannot run it, step by step. Each time
//! twice, for n requests and for 2 n. The difference is what n requests cost: what happens at the start and at the end, and what
//! a connection costs where requests share one, is in both and not in the difference.
//!
//! There is one connection, and the next request is sent when the server sleeps. So no request shares its wait with another
//! one's, and a server that reads once more to see that there is nothing finds nothing.

pub mod step;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use common::{Call, complain, say};
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::load::{CONNECTION_PER_REQUEST, Shape, Swarm, Until};
use crate::measure::{Cores, Server, sleeps};
use crate::results::{Counts, Kind, Workload};
use crate::servers::{self, Contestant, Launch, Place, find};

/// Requests of the shorter run,
const REQUESTS: u64 = 512;
/// and where each instruction is stopped at, which takes a machine that is a guest some 30 µs.
const FEW: u64 = 64;

/// How long a server may take to do what it has been asked.
const PATIENCE: Duration = Duration::from_secs(10);

/// What allocates, malloc(3) and posix_memalign(3).
const ALLOCATE: [&str; 6] = [
    "malloc",
    "calloc",
    "realloc",
    "aligned_alloc",
    "memalign",
    "posix_memalign",
];

/// Counts. What cannot be counted is told in the notes.
pub fn count(contestant: &Contestant, workload: &Workload, place: &Place) -> Counts {
    let shape = Shape {
        connections: 1,
        ..Shape::of(workload, contestant.kind)
    };
    let trial = Trial {
        contestant,
        shape,
        place,
    };
    let mut counts = Counts::default();
    match trial.difference(&Tool::Strace) {
        Ok(mut calls) => {
            // One more or less in a whole run is the end of a connection, or a clock.
            calls.retain(|_, count| *count >= 0.01);
            counts.system_calls = Some(calls.values().sum());
            counts.by_name = calls;
        }
        Err(error) => counts.notes.push(format!("system calls: {error:#}")),
    }
    if !contestant.is_for_valgrind() {
        let why = "valgrind knows nothing of io_uring";
        counts.notes.push(format!("allocations: {why}"));
        match trial.difference(&Tool::Steps) {
            Ok(mut costs) => counts.instructions = costs.remove(INSTRUCTIONS),
            Err(error) => counts.notes.push(format!("instructions: {error:#}")),
        }
        return counts;
    }
    match trial.difference(&Tool::Callgrind) {
        Ok(mut costs) => {
            counts.instructions = costs.remove(INSTRUCTIONS);
            counts.allocations = Some(costs.remove(ALLOCATIONS).unwrap_or(0.0));
        }
        Err(error) => counts
            .notes
            .push(format!("instructions and allocations: {error:#}")),
    }
    counts
}

/// Counts system calls, allocations and instructions per request: exact, and the same on every machine
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these, separated by commas; else all that do HTTP or echo
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    contestants: Vec<String>,
}

/// Under which loads they are counted: kind, name, requests sent together, bytes.
const LOADS: [(Kind, &str, usize, usize); 4] = [
    (Kind::Http, "keep-alive", 1, 26),
    (Kind::Http, "pipelined-16", 16, 26),
    (Kind::Http, CONNECTION_PER_REQUEST, 1, 26),
    (Kind::Echo, "echo-1024", 1, 1024),
];

/// Builds them, counts, and prints a line for each load and contestant.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let asked = |one: &&Contestant| {
        args.contestants.is_empty() || args.contestants.iter().any(|name| name == one.name)
    };
    let counted = |one: &&Contestant| LOADS.iter().any(|load| load.0 == one.kind);
    let wanted: Vec<_> = servers::all()
        .iter()
        .filter(counted)
        .filter(asked)
        .collect();
    let unknown = |name: &&String| wanted.iter().all(|one| one.name != *name);
    if let Some(name) = args.contestants.iter().find(unknown) {
        bail!("{name:?} is none of those that `bench list` shows as http or echo");
    }
    let failed = servers::build(&wanted, &|step| complain!("{step}"));
    let directory = tempfile::tempdir().context("a temporary directory")?;
    fs::write(directory.path().join("100k"), "ladder.\n".repeat(12_800))?;
    say!(
        "{:24}{:16}{:>8}{:>8}{:>14}",
        "",
        "",
        "calls",
        "allocs",
        "instructions"
    )?;
    for (kind, id, depth, size) in LOADS {
        let workload = Workload {
            id: id.into(),
            title: id.into(),
            connections: 1,
            depth,
            size,
        };
        for contestant in wanted.iter().filter(|one| one.kind == kind) {
            let missing = failed.get(contestant.name).map(String::as_str);
            if let Some(missing) = missing.or(contestant.leaves_out(&workload)) {
                say!("{id:24}{:16}{missing}", contestant.name)?;
                continue;
            }
            let own = tempfile::tempdir_in(directory.path())?;
            let place = Place {
                files: directory.path(),
                own: own.path(),
            };
            tell(contestant.name, id, &count(contestant, &workload, &place))?;
        }
    }
    Ok(())
}

fn tell(name: &str, load: &str, counts: &Counts) -> anyhow::Result<()> {
    let or_none = |figure: Option<f64>, digits| match figure {
        Some(figure) => format!("{figure:.digits$}"),
        None => "-".into(),
    };
    let calls = counts.by_name.iter();
    let calls: Vec<_> = calls
        .map(|(name, count)| format!("{name} {count:.2}"))
        .collect();
    say!(
        "{load:24}{name:16}{:>8}{:>8}{:>14}  {}",
        or_none(counts.system_calls, 2),
        or_none(counts.allocations, 2),
        or_none(counts.instructions, 0),
        calls.join(", ")
    )?;
    for note in &counts.notes {
        say!("{:40}{note}", "")?;
    }
    Ok(())
}

/// What callgrind's figures, and those of single steps, are called here.
const INSTRUCTIONS: &str = "instructions";
const ALLOCATIONS: &str = "allocations";

enum Tool {
    Strace,
    Callgrind,
    /// This program.
    Steps,
}

impl Tool {
    fn name(&self) -> &'static str {
        match self {
            Self::Strace => "strace",
            Self::Callgrind => "valgrind",
            Self::Steps => "bench",
        }
    }

    /// The command with the tool before it, which writes into `directory`.
    fn around(&self, command: &Command, directory: &Path) -> anyhow::Result<Command> {
        let name = self.name();
        let own = format!("/proc/{}/exe", std::process::id());
        let tool = match self {
            Self::Steps => Some(own.into()),
            _ => find(name),
        };
        let mut all = Command::new(tool.with_context(|| {
            format!("{name} is not installed: apt-get install {name}, or dnf install {name}")
        })?);
        let out = |option: &str, file: &str| {
            let mut word = OsString::from(option);
            word.push(directory.join(file));
            word
        };
        match self {
            Self::Strace => all.args(["-f", "-q", "-c"]).arg(out("--output=", "calls")),
            // A file for each process; names in full wherever they stand.
            Self::Callgrind => all
                .args(["--tool=callgrind", "--trace-children=yes", "--quiet"])
                .args(["--compress-strings=no", "--compress-pos=no"])
                .arg(out("--callgrind-out-file=", "callgrind.%p")),
            Self::Steps => all.arg("step").arg(out("--out=", "steps")).arg("--"),
        };
        all.arg(command.get_program()).args(command.get_args());
        Ok(all)
    }

    /// Processes before the server's own.
    fn processes(&self) -> usize {
        match self {
            Self::Strace | Self::Steps => 1,
            Self::Callgrind => 0,
        }
    }

    fn read(&self, directory: &Path) -> anyhow::Result<BTreeMap<String, u64>> {
        let mut sum = BTreeMap::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let text =
                fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            let part = match self {
                Self::Strace => calls(&text),
                Self::Callgrind => costs(&text),
                Self::Steps => [(INSTRUCTIONS.into(), text.parse()?)].into(),
            };
            for (name, count) in part {
                *sum.entry(name).or_default() += count;
            }
        }
        Ok(sum)
    }
}

/// A server that is looked at.
struct Trial<'a> {
    contestant: &'a Contestant,
    shape: Shape,
    place: &'a Place<'a>,
}

impl Trial<'_> {
    /// Each figure per request.
    fn difference(&self, tool: &Tool) -> anyhow::Result<BTreeMap<String, f64>> {
        let depth = self.shape.depth as u64;
        let requests = match tool {
            Tool::Steps => FEW.next_multiple_of(depth),
            _ => REQUESTS.next_multiple_of(depth),
        };
        let once = self.run(tool, requests)?;
        let twice = self.run(tool, 2 * requests)?;
        let per_request = |(name, count): (String, u64)| {
            let before = once.get(&name).copied().unwrap_or(0);
            let more = count as f64 - before as f64;
            (name, more / requests as f64)
        };
        Ok(twice.into_iter().map(per_request).collect())
    }

    /// So many requests, each (or each batch) when the server has nothing to do any more.
    fn asks(&self, server: &Server, tool: &Tool, requests: u64) -> anyhow::Result<()> {
        let mut swarm = Swarm::new(server.address(), &self.shape)?;
        swarm.grow(1)?;
        if let (Tool::Steps, Some(&pid)) = (tool, server.family().get(1)) {
            self.rests(server, tool)?;
            kill(pid, step::COUNT).call("kill")?;
        }
        let depth = self.shape.depth as u64;
        for _ in 0..requests / depth {
            self.rests(server, tool)?;
            swarm.closed(Until::Requests(depth))?;
        }
        Ok(())
    }

    /// Waits until the server has nothing to do.
    fn rests(&self, server: &Server, tool: &Tool) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        // The list of a process's children is not to be relied on while they run, proc_pid_task_children(5).
        let rest = |family: &[Pid]| !family.is_empty() && sleeps(family);
        while !rest(&server.family()[tool.processes()..]) {
            ensure!(
                Instant::now() < deadline,
                "the server does not come to rest"
            );
            thread::yield_now();
        }
        Ok(())
    }

    fn run(&self, tool: &Tool, requests: u64) -> anyhow::Result<BTreeMap<String, u64>> {
        let launch = self
            .contestant
            .launch(self.place)
            .map_err(anyhow::Error::msg)?;
        let out = tempfile::Builder::new()
            .prefix("counts-")
            .tempdir_in(self.place.own)?;
        let launch = Launch {
            command: tool.around(&launch.command, out.path())?,
            ready: launch.ready,
        };
        let (cores, _) = Cores::pick()?;
        let server = Server::start(tool.name(), launch, cores.shared)?;
        self.asks(&server, tool, requests)?;
        self.rests(&server, tool)?; // when it has seen the end of the connection
        server.end(tool.processes())?;
        tool.read(out.path())
    }
}

/// From strace's table, by name: `% time, seconds, usecs/call, calls, errors, syscall`, where there may be no errors.
fn calls(table: &str) -> BTreeMap<String, u64> {
    let rows = table.lines().filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let name = fields.last().filter(|name| **name != "total")?;
        let count = fields.get(3)?.parse().ok()?;
        Some((name.to_string(), count))
    });
    rows.collect()
}

/// From callgrind's file: <https://valgrind.org/docs/manual/cl-format.html>. A call is told by two lines, the name of what is
/// called and how often.
fn costs(file: &str) -> BTreeMap<String, u64> {
    let mut sum = BTreeMap::new();
    let mut called = "";
    for line in file.lines() {
        let first = |rest: &str| rest.split_whitespace().next()?.parse::<u64>().ok();
        if let Some(name) = line.strip_prefix("cfn=") {
            called = name;
        } else if let Some(rest) = line.strip_prefix("calls=") {
            if ALLOCATE.contains(&called) {
                *sum.entry(ALLOCATIONS.into()).or_default() += first(rest).unwrap_or(0);
            }
        } else if let Some(rest) = line.strip_prefix("totals:") {
            *sum.entry(INSTRUCTIONS.into()).or_default() += first(rest).unwrap_or(0);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_strace_with_and_without_errors() {
        let table = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 52.38    0.000011           5         2           write
 47.62    0.000010           1        10         3 read
------ ----------- ----------- --------- --------- ----------------
100.00    0.000021           1        12         3 total
";
        let expected = [("read".to_owned(), 10), ("write".to_owned(), 2)];
        assert_eq!(calls(table), expected.into());
    }

    #[test]
    fn the_file_of_callgrind() {
        let file = "\
events: Ir
fn=main
1 5
cfi=???
cfn=malloc
calls=3 0
1 60
cfn=other
calls=9 0
1 9
totals: 1234
";
        let expected = [(ALLOCATIONS.to_owned(), 3), (INSTRUCTIONS.to_owned(), 1234)];
        assert_eq!(costs(file), expected.into());
    }
}
