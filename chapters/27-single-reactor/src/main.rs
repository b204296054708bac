//! Lesson 27: one reactor.

mod command_server;
mod poll_server_onethread;
mod steps;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 27. One loop waits for everything that can happen, and calls whoever it concerns: a reactor. How does a server
/// look whose program never waits, and where has its work gone?
#[derive(Parser)]
#[command(name = "chap-27", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    PollServerOnethread(poll_server_onethread::Args),
    CommandServer(command_server::Args),
}

const TRY: &str = "\
In one terminal:
  cargo run -p chap-27 -- poll-server-onethread
In two others (telnet 127.0.0.1 43211 is a client, too):
  cargo run -p chap-36 -- tcpcli-select 127.0.0.1
The midterm again, for many clients at once:
  cargo run -p chap-27 -- command-server
  cargo run -p midterm -- telnet-client 127.0.0.1 43211";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::PollServerOnethread(args) => poll_server_onethread::run(&args),
        Lesson::CommandServer(args) => command_server::run(&args),
    })
}
