//! Lesson 25: a process per connection.

mod children;
mod fork01;
mod prefork;
mod serve;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 25. A server that blocks in a read serves one client. With a process for each client it may block as it likes.
/// What does a child inherit, who has to close what, and who buries the dead?
#[derive(Parser)]
#[command(name = "chap-25", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    Fork01(fork01::Args),
    Prefork(prefork::Args),
}

const TRY: &str = "\
In one terminal:
  cargo run -p chap-25 -- fork01
In two others (telnet 127.0.0.1 43211 is a client too):
  cargo run -p chap-36 -- tcpcli-select 127.0.0.1
Type a line in each, and look at the processes with pstree -p or ps f. End one client with Ctrl-D.
Children that are there before their clients: cargo run -p chap-25 -- prefork --children 2";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::Fork01(args) => fork01::run(&args),
        Lesson::Prefork(args) => prefork::run(&args),
    })
}
