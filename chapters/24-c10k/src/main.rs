//! Lesson 24: ten thousand connections.

mod c10k;
mod client;
mod limits;
mod report;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 24. A machine can hold ten thousand connections at once; which server can? What each of them costs, which limits
/// are in the way, and how the designs of this course compare.
#[derive(Parser)]
#[command(name = "chap-24", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    C10k(c10k::Args),
    Limits(limits::Args),
}

const TRY: &str = "\
In one terminal, any server of part 3:
  cargo run -p chap-23 -- epoll01 --quiet
In another:
  cargo run -p chap-24 -- c10k 127.0.0.1 --connections 10000 --active 100
Then against chap-26 thread01 and chap-25 fork01, with fewer connections first.
What this machine allows: cargo run -p chap-24 -- limits";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::C10k(args) => c10k::run(&args),
        Lesson::Limits(args) => limits::run(&args),
    })
}
