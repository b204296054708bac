//! Lesson 5: reading and writing.

mod readn;
mod tcpclient;
mod tcpserver;
mod urgent;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 5. A client hands ten million bytes to one send; a server reads them a kilobyte at a time, slowly. When does
/// send return, and what does its return say about the server?
#[derive(Parser)]
#[command(name = "chap-5", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    Tcpserver(tcpserver::Args),
    Tcpclient(tcpclient::Args),
}

const TRY: &str = "\
In one terminal:
  cargo run -p chap-5 -- tcpserver
In another:
  cargo run -p chap-5 -- tcpclient 127.0.0.1
Then let the client send less, with --bytes 1024000, and the server read more slowly, with --pause 0.01.";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::Tcpserver(args) => tcpserver::run(&args),
        Lesson::Tcpclient(args) => tcpclient::run(&args),
    })
}
