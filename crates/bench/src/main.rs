//! The benchmark's command line.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use bench::counts::{self, step};
use bench::load::{Protocol, Shape, Until, at_rate, closed};
use bench::measure::run_on;
use bench::{plot, report, run, serve, servers};
use clap::Parser;
use common::descriptors::raise_limit;
use common::say;

/// Measures the course's servers against those that people would otherwise use, side by side
#[derive(Debug, Parser)]
#[command(name = "bench", arg_required_else_help = true, after_help = TRY)]
enum Bench {
    Run(run::Args),
    /// Shows who can take part, and how to get those who cannot
    List,
    Count(counts::Args),
    Load(Load),
    Serve(serve::Args),
    Plot(Plot),
    #[command(hide = true)]
    Step(step::Args),
}

const TRY: &str = "\
A minute's worth: scripts/bench --quick
One section, some contestants: scripts/bench --only http --contestants floor,httpd,nginx
The client alone, against any server: target/release/bench load 127.0.0.1:43200 --seconds 2";

/// Puts a load on a server, and says what came of it
#[derive(Debug, clap::Args)]
struct Load {
    /// The server
    #[arg(value_name = "ADDRESS:PORT")]
    address: SocketAddr,
    /// Send messages of so many bytes and expect them back, in place of HTTP
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    echo: Option<u32>,
    /// What to GET
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/",
        conflicts_with = "echo"
    )]
    path: String,
    /// A connection for each request
    #[arg(long, conflicts_with = "echo")]
    close: bool,
    /// How many connections at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// How many requests are sent together on each
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000), conflicts_with_all = ["close", "rate"])]
    depth: u32,
    /// For how long
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = common::address::seconds)]
    seconds: Duration,
    /// Exactly so many requests, however long it takes
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["seconds", "rate"])]
    requests: Option<u64>,
    /// So many requests per second whatever the server does, and how long the answers took
    #[arg(long, value_name = "PER SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Run on this core
    #[arg(long, value_name = "NUMBER")]
    core: Option<usize>,
}

/// Makes the tables and pictures of the book, and the terminal's, of a run that was kept with --json
#[derive(Debug, clap::Args)]
struct Plot {
    /// The file
    results: PathBuf,
    /// The directory for what is made; else it is docs/src/bench
    #[arg(long, value_name = "DIRECTORY")]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    common::program::run(|| match Bench::parse() {
        Bench::Run(args) => run::run(&args),
        Bench::List => list(),
        Bench::Count(args) => counts::run(&args),
        Bench::Load(args) => load(&args),
        Bench::Serve(args) => serve::run(&args),
        Bench::Plot(args) => draw(&args),
        Bench::Step(args) => step::run(&args),
    })
}

fn list() -> anyhow::Result<()> {
    for contestant in servers::all() {
        let kind = format!("{:?}", contestant.kind).to_lowercase();
        let about = contestant.about;
        say!("{kind:6} {:24} {about}", contestant.name)?;
        if let Err(reason) = contestant.available() {
            say!("{:31} {reason}", "")?;
        }
    }
    Ok(())
}

fn load(args: &Load) -> anyhow::Result<()> {
    raise_limit()?;
    if let Some(core) = args.core {
        run_on(core)?;
    }
    let protocol = match args.echo {
        Some(size) => Protocol::Echo {
            size: size as usize,
        },
        None => Protocol::Http {
            path: args.path.clone(),
            close: args.close,
        },
    };
    let shape = Shape {
        protocol,
        connections: args.connections as usize,
        depth: args.depth as usize,
    };
    if let Some(rate) = args.rate {
        // With other programs on the machine, who may need the core: it lets them run.
        let latency = at_rate(args.address, &shape, f64::from(rate), args.seconds, true)?;
        say!("{:.0} requests per second of {rate}", latency.achieved)?;
        let percentiles = [
            ("50 %", latency.p50_ns),
            ("99 %", latency.p99_ns),
            ("99.9 %", latency.p999_ns),
            ("all", latency.max_ns),
        ];
        for (share, ns) in percentiles {
            say!("{share} within {}", bench::words::time(ns as f64))?;
        }
        return Ok(());
    }
    let until = match args.requests {
        Some(requests) => Until::Requests(requests),
        None => Until::Time(args.seconds),
    };
    let tally = closed(args.address, &shape, until)?;
    say!(
        "{} requests in {:.3} s, {:.0} per second",
        tally.requests,
        tally.elapsed.as_secs_f64(),
        tally.per_second()
    )?;
    Ok(())
}

fn draw(args: &Plot) -> anyhow::Result<()> {
    let name = args.results.display();
    let text = fs::read_to_string(&args.results).with_context(|| format!("read {name}"))?;
    let results = serde_json::from_str(&text)
        .with_context(|| format!("{name} is not a run of this benchmark"))?;
    say!("{}", report::text(&results).trim_end())?;
    let directory = args.out.clone().unwrap_or_else(run::book_directory);
    for path in plot::book(&results, &directory)? {
        say!("wrote {}", path.display())?;
    }
    Ok(())
}
