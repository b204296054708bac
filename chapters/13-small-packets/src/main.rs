//! Lesson 13: small packets.

mod batchwrite;
mod congestion;
mod ends;
mod info;
mod nagle;
mod window;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 13. What a program has written leaves when the kernel sends it, and the kernel has reasons to wait: the peer's
/// window, the network's congestion, and the hope for more to send. Why does a small request take 40 milliseconds?
#[derive(Parser)]
#[command(name = "chap-13", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    Batchwrite(batchwrite::Args),
    Nagle(nagle::Args),
    Window(window::Args),
    Congestion(congestion::Args),
}

const TRY: &str = "\
Two buffers and one call. In one terminal:
  cargo run -p chap-13 -- batchwrite --serve
In another, and then type world and network:
  cargo run -p chap-13 -- batchwrite 127.0.0.1
The time that a request takes, sent in five ways:
  cargo run -p chap-13 -- nagle --serve
  cargo run -p chap-13 -- nagle 127.0.0.1
A receiver that reads only when it is told to (type read 1, or read 1 500, or all):
  cargo run -p chap-13 -- window --serve
  cargo run -p chap-13 -- window 127.0.0.1
What the sender allows itself:
  cargo run -p chap-13 -- congestion --serve
  cargo run -p chap-13 -- congestion 127.0.0.1 --set reno";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::Batchwrite(args) => batchwrite::run(&args),
        Lesson::Nagle(args) => nagle::run(&args),
        Lesson::Window(args) => window::run(&args),
        Lesson::Congestion(args) => congestion::run(&args),
    })
}
