//! Lesson 18: validating data.

mod bufferclient;
mod hostile;
mod line_reader;
mod readtimeout;
mod room;
mod samplebuffer01;
mod samplebuffer02;
mod samplebuffer03;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 18. Whatever comes from the network was chosen by somebody else: how long it is, what it says about its own
/// length, and whether it comes at all. What does a program do that believes none of it?
#[derive(Parser)]
#[command(name = "chap-18", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    Samplebuffer01(samplebuffer01::Args),
    Samplebuffer02(samplebuffer02::Args),
    Samplebuffer03(samplebuffer03::Args),
    Bufferclient(bufferclient::Args),
    Readtimeout(readtimeout::Args),
}

const TRY: &str = "\
In one terminal:
  cargo run -p chap-18 -- samplebuffer01
In another, and type a line, then quit:
  cargo run -p chap-18 -- bufferclient 127.0.0.1
Then send it something worse: bufferclient 127.0.0.1 --hostile full, and the other names that --help lists.
The lines that just fit: samplebuffer03 --version 2, and bufferclient 127.0.0.1 --hostile fits; with --guard, as in C.
The lie: streamserver of chap-16, and samplebuffer02 127.0.0.1. Silence: readtimeout --timeout 2.";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::Samplebuffer01(args) => samplebuffer01::run(&args),
        Lesson::Samplebuffer02(args) => samplebuffer02::run(&args),
        Lesson::Samplebuffer03(args) => samplebuffer03::run(&args),
        Lesson::Bufferclient(args) => bufferclient::run(&args),
        Lesson::Readtimeout(args) => readtimeout::run(&args),
    })
}
