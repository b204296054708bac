//! What a run has measured, as it goes into the JSON file: the terminal's tables, the book's tables and the plots are made
//! of this and of nothing else.
//!
//! All times are nanoseconds, all sizes bytes. A ratio is to the floor: a loop that makes the system calls and does nothing
//! else, measured in the same run.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// One run of `bench run`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// Where it was measured, and when.
    pub machine: Machine,
    /// What else the machine was doing meanwhile.
    pub noise: Noise,
    /// Few short rounds: to see that it works, not to quote.
    pub quick: bool,
    /// How it was measured.
    pub method: Method,
    /// One for each of the questions, in the order of the command line.
    pub sections: Vec<Section>,
    /// Our client beside others' clients: whether it can be believed.
    pub checks: Vec<ClientCheck>,
}

/// The machine that was measured on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// As `uname -sr` prints it.
    pub kernel: String,
    /// The processor's name, from proc_cpuinfo(5).
    pub cpu: String,
    /// Processors that this process may run on.
    pub cores: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// How the processor's frequency is governed, where the kernel says so.
    pub governor: Option<String>,
    /// The day, in UTC: `21 Nov 2026`.
    pub date: String,
}

/// What disturbed the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Noise {
    /// Percent of the processors' time that the hypervisor gave to others, proc_stat(5).
    pub steal_percent: f64,
    /// Percent of the processors' time that processes used which were neither the server nor the client.
    pub others_percent: f64,
    /// The load average of a minute, before the run.
    pub load_before: f64,
    /// The same after it.
    pub load_after: f64,
    /// Why the run should not be believed; `None` if it was quiet.
    pub too_noisy: Option<String>,
}

/// How the samples were taken.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Method {
    /// How many rounds: in each every contestant has its turn.
    pub rounds: usize,
    /// How long a turn takes in the HTTP section; in the others it is half as long.
    pub sample_ns: u64,
    /// The core that server and client share when processor time is measured.
    pub core: usize,
    /// The core of the client when each has one of its own; `None` where there is only one core.
    pub other_core: Option<usize>,
}

/// What a server does, and so which others it can be compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `GET /` with 26 bytes, `GET /100k` with a file.
    Http,
    /// Sends back as many bytes as it gets.
    Echo,
    /// As [`Kind::Echo`], with any number of processes and threads: the designs of lesson 24.
    Model,
}

/// Which question a section answers.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// Requests and answers.
    Http,
    /// Messages that come back.
    Echo,
    /// Connections that do nothing, and one that does.
    Idle,
    /// One design against another.
    Models,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Topic::Http => "HTTP",
            Topic::Echo => "echo",
            Topic::Idle => "idle connections",
            Topic::Models => "designs",
        })
    }
}

/// The answer to one question.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Section {
    /// Which question.
    pub topic: Topic,
    /// What was asked of the contestants, in the order of the tables.
    pub workloads: Vec<Workload>,
    /// A row for each contestant and workload, contestants in the order of the registry.
    pub rows: Vec<Row>,
    /// Contestants that could not take part at all.
    pub absent: Vec<Absent>,
}

/// What the client does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Short, unique within the section, fit for a file name and an anchor: `keep-alive`, `echo-1024-100`, `idle-10000`.
    pub id: String,
    /// For people: `pipelined 16`, `1 KiB × 100 connections`.
    pub title: String,
    /// Connections that ask; in the idle section those that are idle.
    pub connections: usize,
    /// Requests that are sent together: 1 without pipelining.
    pub depth: usize,
    /// Bytes of the answer's body, or of the message.
    pub size: usize,
}

/// A contestant under a workload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The contestant's name.
    pub contestant: String,
    /// What it is.
    pub kind: Kind,
    /// Of this course.
    pub ours: bool,
    /// What the others are compared with.
    pub floor: bool,
    /// What it is made of, in a few words.
    pub about: String,
    /// The [`Workload::id`].
    pub workload: String,
    /// Why there is nothing else in this row: select(2) above 1 000 connections, pipelining that is not supported, a server
    /// that ended. `None` if it was measured.
    pub missing: Option<String>,
    /// What was measured on one core, round by round.
    pub samples: Vec<Sample>,
    /// The samples put together; `None` if there are none.
    pub cost: Option<Cost>,
    /// Requests per second with server and client on a core each; `None` with one core, and where it was not measured.
    pub per_second: Option<Spread>,
    /// At a fixed rate.
    pub latency: Option<Latency>,
    /// User space of all its processes.
    pub memory: Option<Memory>,
    /// From the first connect(2) until all of the workload's connections have been accepted and each has had one answer.
    pub accept_ns: Option<u64>,
    /// The processes and threads that served it: models only.
    pub tasks: Option<Tasks>,
    /// What does not depend on the machine.
    pub counts: Option<Counts>,
}

/// One contestant's turn in one round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Which round, from 0.
    pub round: usize,
    /// Requests or messages that were answered.
    pub requests: u64,
    /// Processor time of the server, all its threads and processes, exact.
    pub total_ns: u64,
    /// Time in user space by the ticks of a timer, a few milliseconds each: rough.
    pub user_ns: u64,
    /// Time in the kernel by the same ticks: the two come near the total only in the long run.
    pub system_ns: u64,
    /// By the clock.
    pub elapsed_ns: u64,
}

/// A median, and how far the samples lie apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The middle one.
    pub median: f64,
    /// A quarter is below.
    pub lower: f64,
    /// A quarter is above.
    pub upper: f64,
}

impl Spread {
    /// Of these values; `None` if there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        let at = |share: f64| {
            let place = share * last as f64;
            let (below, above) = (
                values[place.floor() as usize],
                values[place.ceil() as usize],
            );
            below + (above - below) * place.fract()
        };
        Some(Self {
            median: at(0.5),
            lower: at(0.25),
            upper: at(0.75),
        })
    }

    /// The distance of the quartiles as a share of the median: 0.02 is quiet, 0.2 is not.
    pub fn relative(&self) -> f64 {
        (self.upper - self.lower) / self.median
    }
}

/// What a request costs the server, on one core that it shares with the client. The total is exact. How it is divided is known by
/// ticks, those of all samples together: with a hundred of them and a tenth in user space, that tenth is known to a third.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Nanoseconds of processor time per request.
    pub total_ns: Spread,
    /// Those in user space.
    pub user_ns: Spread,
    /// Those in the kernel.
    pub system_ns: Spread,
    /// [`Cost::total_ns`] by that of the floor in the same round; `None` where the workload has no floor.
    pub ratio: Option<Spread>,
}

/// How long answers took at a fixed rate of requests. The clock starts when a request should have been sent, not when it was:
/// a server that stalls is charged for every request that had to wait. Of several rounds, each figure is the median of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Requests per second that were wanted.
    pub rate: f64,
    /// Those that were answered.
    pub achieved: f64,
    /// Half of the answers were faster.
    pub p50_ns: u64,
    /// 99 of 100.
    pub p99_ns: u64,
    /// 999 of 1 000.
    pub p999_ns: u64,
    /// The slowest.
    pub max_ns: u64,
    /// How far the rounds' 99 of 100 lie apart, in nanoseconds; `None` of a single round.
    #[serde(default)]
    pub p99_spread: Option<Spread>,
}

impl Latency {
    /// Rounds at one rate put together; `None` if there are none.
    pub fn of(rounds: &[Self]) -> Option<Self> {
        let spread = |figure: fn(&Self) -> f64| Spread::of(rounds.iter().map(figure));
        let middle = |figure: fn(&Self) -> f64| Some(spread(figure)?.median);
        let p99 = spread(|round| round.p99_ns as f64)?;
        Some(Self {
            rate: rounds.first()?.rate,
            achieved: middle(|round| round.achieved)?,
            p50_ns: middle(|round| round.p50_ns as f64)? as u64,
            p99_ns: p99.median as u64,
            p999_ns: middle(|round| round.p999_ns as f64)? as u64,
            max_ns: middle(|round| round.max_ns as f64)? as u64,
            p99_spread: Some(p99),
        })
    }
}

/// Memory that belongs to the server alone: RssAnon of proc_pid_status(5). The kernel's sockets are not in it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Bytes before these connections: in the idle section with one, which has had its answer.
    pub before: u64,
    /// Bytes with all of the workload's connections open, after each had an answer.
    pub with: u64,
    /// The difference, for each connection that has come.
    pub per_connection: f64,
}

/// Who served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tasks {
    /// Processes.
    pub processes: usize,
    /// Threads of all of them.
    pub threads: usize,
    /// Connections that had an answer, of those of the workload.
    pub served: usize,
}

/// Per request, from the difference of two runs: starting and stopping are not in it. `None` where the tool is not installed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// System calls.
    pub system_calls: Option<f64>,
    /// The same by name.
    pub by_name: BTreeMap<String, f64>,
    /// Allocations of memory.
    pub allocations: Option<f64>,
    /// Instructions in user space.
    pub instructions: Option<f64>,
    /// What is missing, and what to install.
    pub notes: Vec<String>,
}

/// A contestant that is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absent {
    /// Its name.
    pub contestant: String,
    /// What it would have been.
    pub about: String,
    /// Why, and how to get it.
    pub reason: String,
}

/// The same server under our client and under somebody else's, on separate cores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientCheck {
    /// `wrk`, `ab`.
    pub tool: String,
    /// Under which server.
    pub contestant: String,
    /// The [`Workload::id`] of the HTTP section.
    pub workload: String,
    /// Requests per second by our client.
    pub ours: Option<f64>,
    /// Requests per second by the tool.
    pub theirs: Option<f64>,
    /// Why there is no figure.
    pub missing: Option<String>,
}

impl Section {
    /// The row of a contestant under a workload.
    pub fn row(&self, kind: Kind, contestant: &str, workload: &str) -> Option<&Row> {
        self.rows.iter().find(|row| {
            row.kind == kind && row.contestant == contestant && row.workload == workload
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_the_values() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0, 5.0]).unwrap();
        assert_eq!((spread.lower, spread.median, spread.upper), (2.0, 3.0, 4.0));
        let spread = Spread::of([1.0, 2.0]).unwrap();
        assert_eq!(
            (spread.lower, spread.median, spread.upper),
            (1.25, 1.5, 1.75)
        );
        assert_eq!(spread.relative(), 0.5 / 1.5);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn one_bad_round_does_not_make_a_bad_server() {
        let round = |p99_ns: u64| Latency {
            rate: 1000.0,
            achieved: 999.0,
            p50_ns: 10,
            p99_ns,
            p999_ns: 2 * p99_ns,
            max_ns: 3 * p99_ns,
            p99_spread: None,
        };
        let together = Latency::of(&[round(100), round(9000), round(110)]).unwrap();
        assert_eq!(
            (together.p99_ns, together.p999_ns, together.max_ns),
            (110, 220, 330)
        );
        let spread = together.p99_spread.unwrap();
        assert_eq!((spread.lower, spread.upper), (105.0, 4555.0));
        assert_eq!(Latency::of(&[]), None);
    }
}
