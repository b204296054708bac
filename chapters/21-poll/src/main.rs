//! Lesson 21: poll.

mod client;
mod pollfd;
mod pollserver;
mod pollserver02;
mod probe;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 21. poll(2) takes a list of descriptors, as long as you like, and does not write over the question. What becomes of
/// the client for whom the list has no place, and of all others when one client does not read?
#[derive(Parser)]
#[command(name = "chap-21", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    Pollserver(pollserver::Args),
    Pollserver02(pollserver02::Args),
    Probe(probe::Args),
}

const TRY: &str = "\
In one terminal:
  cargo run -p chap-21 -- pollserver
In others (telnet 127.0.0.1 43211 is a client, too):
  cargo run -p chap-20 -- select01 127.0.0.1
Then a server with two places, and three clients: pollserver --places 2
What poll says unasked, case by case: cargo run -p chap-21 -- probe revents-only";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::Pollserver(args) => pollserver::run(&args),
        Lesson::Pollserver02(args) => pollserver02::run(&args),
        Lesson::Probe(args) => probe::run(&args),
    })
}
