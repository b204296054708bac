//! Lesson 19: answers to part two.

mod backlog;
mod close_dance;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 19. Readers asked how a connection closes, segment by segment, and what the backlog of listen(2) counts. Two
/// programs to see it with.
#[derive(Parser)]
#[command(name = "chap-19", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    Backlog(backlog::Args),
    CloseDance(close_dance::Args),
}

const TRY: &str = "\
In one terminal:
  cargo run -p chap-19 -- close-dance
In another:
  cargo run -p chap-19 -- close-dance 127.0.0.1
Type close in one of them, look at the states with ss -tan, then type close in the other.
The queue: cargo run -p chap-19 -- backlog 2, and in other terminals four times
  cargo run -p chap-4 -- connect 127.0.0.1 --hold";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::Backlog(args) => backlog::run(&args),
        Lesson::CloseDance(args) => close_dance::run(&args),
    })
}
