//! Lesson 22: non-blocking I/O.

mod buffer;
mod client;
mod listener;
mod nonblockingclient;
mod nonblockingconnect;
mod nonblockingserver;
mod probe;
mod rival;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 22. A call on a non-blocking socket does what can be done now, and returns. What cannot be done is EAGAIN, and
/// of a write perhaps only a part is done. Four calls change: read, write, accept and connect.
#[derive(Parser)]
#[command(name = "chap-22", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    Nonblockingserver(nonblockingserver::Args),
    Nonblockingclient(nonblockingclient::Args),
    Nonblockingconnect(nonblockingconnect::Args),
    Probe(probe::Args),
}

const TRY: &str = "\
In one terminal:
  cargo run -p chap-22 -- nonblockingserver
In others:
  telnet 127.0.0.1 43211
  cargo run -p chap-22 -- nonblockingclient 127.0.0.1
The server takes each connection five seconds late. What does it find of a client that is gone by then?
Reading and writing, case by case: cargo run -p chap-22 -- probe read-write";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::Nonblockingserver(args) => nonblockingserver::run(&args),
        Lesson::Nonblockingclient(args) => nonblockingclient::run(&args),
        Lesson::Nonblockingconnect(args) => nonblockingconnect::run(&args),
        Lesson::Probe(args) => probe::run(&args),
    })
}
