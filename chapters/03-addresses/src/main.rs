//! Lesson 3: socket addresses.

mod addresses;
mod kernel;
mod layout;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 3. A program tells the kernel an address by handing it a piece of memory. What lies in it, and in which order?
#[derive(Parser)]
#[command(name = "chap-3", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    Addresses(addresses::Args),
}

const TRY: &str = "\
The layouts of all formats:
  cargo run -p chap-3 -- addresses
The bytes of addresses, of all three families:
  cargo run -p chap-3 -- addresses 127.0.0.1:43211 '[::1]:43211' /tmp/a-socket
What the kernel thinks of their lengths:
  cargo run -p chap-3 -- addresses 127.0.0.1:0 --ask-kernel";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::Addresses(args) => addresses::run(&args),
    })
}
