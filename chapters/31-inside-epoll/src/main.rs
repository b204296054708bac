//! Lesson 31: inside epoll.

mod calls;
mod instance;
mod probe;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 31. An epoll instance is a tree, two lists and two queues in the kernel. Nobody sees them, but each answer of
/// epoll_ctl(2) and epoll_wait(2) tells something about them.
#[derive(Parser)]
#[command(name = "chap-31", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    Probe(probe::Args),
}

const TRY: &str = "\
What there is to observe:
  cargo run -p chap-31 -- probe --list
One observation, and the same with one thing changed:
  cargo run -p chap-31 -- probe closed-but-duplicated
  cargo run -p chap-31 -- probe closed-but-duplicated --remove";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::Probe(args) => probe::run(&args),
    })
}
