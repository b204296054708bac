//! Lesson 33: the threads of the framework.

mod placement;
mod tasks;
mod waker;
mod wakers;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 33. Loops in several threads have to be started, fed and woken. How does the main thread know that they run? How does
/// one reach a loop that sleeps in epoll_wait? And which loop gets the next connection?
#[derive(Parser)]
#[command(name = "chap-33", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    Wakers(wakers::Args),
    Tasks(tasks::Args),
    Placement(placement::Args),
}

const TRY: &str = "\
Three things to wake a thread with:
  cargo run -p chap-33 -- wakers
A thousand tasks for a loop, and how often it wakes up for them:
  cargo run -p chap-33 -- tasks --loop busy
  cargo run -p chap-33 -- tasks --loop idle
  cargo run -p chap-33 -- tasks --one-by-one
Which loop gets the next connection? In one terminal (press Enter to see who has how many):
  cargo run -p chap-33 -- placement --placement least-connections
In others (telnet 127.0.0.1 43211 is a client too):
  cargo run -p chap-36 -- tcpcli-select 127.0.0.1";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::Wakers(args) => wakers::run(&args),
        Lesson::Tasks(args) => tasks::run(&args),
        Lesson::Placement(args) => placement::run(&args),
    })
}
