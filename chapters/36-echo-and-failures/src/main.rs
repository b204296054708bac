//! Lesson 36: echo, and everything that goes wrong.

mod children;
mod echo;
mod sum;
mod tcpcli;
mod tcpcli_five;
mod tcpcli_select;
mod tcpserv;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 36. A client sends lines and a server sends them back, from a child process for each client. That works at
/// once. What do the two see when a process is killed, a signal comes at the wrong moment, or a host falls silent?
#[derive(Parser)]
#[command(name = "chap-36", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    Tcpserv(tcpserv::Args),
    Tcpcli(tcpcli::Args),
    TcpcliFive(tcpcli_five::Args),
    TcpcliSelect(tcpcli_select::Args),
    Sum(sum::Args),
}

const TRY: &str = "\
In one terminal:
  cargo run -p chap-36 -- tcpserv
In another:
  cargo run -p chap-36 -- tcpcli 127.0.0.1
Type a line. Then kill the server's child, whose number the server prints, and type another line. Do the same with
tcpcli-select in place of tcpcli.";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::Tcpserv(args) => tcpserv::run(&args),
        Lesson::Tcpcli(args) => tcpcli::run(&args),
        Lesson::TcpcliFive(args) => tcpcli_five::run(&args),
        Lesson::TcpcliSelect(args) => tcpcli_select::run(&args),
        Lesson::Sum(args) => sum::run(&args),
    })
}
