//! Lesson 20: select.

mod probe;
mod select01;
mod selectserver;
mod set;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 20. A program that sleeps in read(2) hears nothing else. select(2) sleeps until one of many descriptors is
/// ready, and says which. What does "ready" mean?
#[derive(Parser)]
#[command(name = "chap-20", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    Select01(select01::Args),
    Selectserver(selectserver::Args),
    Probe(probe::Args),
}

const TRY: &str = "\
In one terminal:
  cargo run -p chap-20 -- selectserver
In two others:
  cargo run -p chap-20 -- select01 127.0.0.1
Type lines in both. Then end the server with Ctrl-C, and look at the clients without typing anything.
What \"ready\" means, case by case: cargo run -p chap-20 -- probe readiness";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::Select01(args) => select01::run(&args),
        Lesson::Selectserver(args) => selectserver::run(&args),
        Lesson::Probe(args) => probe::run(&args),
    })
}
