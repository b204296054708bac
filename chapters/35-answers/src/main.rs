//! Lesson 35: answers on practice.

mod write_first;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 35. Readers' questions about the framework. One of them can be counted: why is an answer written to the socket at
/// once, and not handed to the loop to be written?
#[derive(Parser)]
#[command(name = "chap-35", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    WriteFirst(write_first::Args),
}

const TRY: &str = "\
In one terminal:
  cargo run -p chap-35 -- write-first
In another (telnet 127.0.0.1 43211 is a client too):
  cargo run -p chap-36 -- tcpcli-select 127.0.0.1
Type some lines, and end with Ctrl-D. Then the same with write-first --through-buffer, and count the system calls:
  strace -f -c target/debug/chap-35 write-first --through-buffer";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::WriteFirst(args) => write_first::run(&args),
    })
}
