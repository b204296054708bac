//! Lesson 11: close and shutdown.

mod graceclient;
mod graceserver;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 11. A connection has two directions. close(2) ends both, shutdown(2) one of them. What happens to an answer
/// that is on its way when the client closes?
#[derive(Parser)]
#[command(name = "chap-11", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    Graceserver(graceserver::Args),
    Graceclient(graceclient::Args),
}

const TRY: &str = "\
In one terminal:
  cargo run -p chap-11 -- graceserver
In another:
  cargo run -p chap-11 -- graceclient 127.0.0.1
Type data1, data2 and close, all within five seconds. Then do it again with shutdown in place of close.";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::Graceserver(args) => graceserver::run(&args),
        Lesson::Graceclient(args) => graceclient::run(&args),
    })
}
