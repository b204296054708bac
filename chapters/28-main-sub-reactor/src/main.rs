//! Lesson 28: main and sub reactors.

mod poll_server_multithreads;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 28. One loop accepts, others read and write, and slow work is done by neither. How does a connection come into
/// another thread's loop, and who answers a client whose question takes a second?
#[derive(Parser)]
#[command(name = "chap-28", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    PollServerMultithreads(poll_server_multithreads::Args),
}

const TRY: &str = "\
In one terminal:
  cargo run -p chap-28 -- poll-server-multithreads
In five others (telnet 127.0.0.1 43211 is a client, too):
  cargo run -p chap-36 -- tcpcli-select 127.0.0.1
One loop, and every byte takes a tenth of a second to compute; then the same with workers:
  cargo run -p chap-28 -- poll-server-multithreads --threads 1 --compute 0.1
  cargo run -p chap-28 -- poll-server-multithreads --threads 1 --compute 0.1 --workers 4";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::PollServerMultithreads(args) => poll_server_multithreads::run(&args),
    })
}
