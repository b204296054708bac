//! Lesson 10: TIME_WAIT.

mod client;
mod server;
mod states;
mod table;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 10. A connection is over, both programs have closed it, and the kernel of one side keeps it for another
/// minute. Which side is that, what is it waiting for, and when does the waiting hurt?
#[derive(Parser)]
#[command(name = "chap-10", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    Server(server::Args),
    Client(client::Args),
    States(states::Args),
}

const TRY: &str = "\
In one terminal:
  cargo run -p chap-10 -- server
In a second, which shows the connections on the server's port as they change:
  cargo run -p chap-10 -- states
In a third:
  cargo run -p chap-10 -- client 127.0.0.1
  cargo run -p chap-10 -- client 127.0.0.1 --close-second
Which end is in TIME-WAIT afterwards? Then try --count 10, and --linger 0.";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::Server(args) => server::run(&args),
        Lesson::Client(args) => client::run(&args),
        Lesson::States(args) => states::run(&args),
    })
}
