//! Lesson 15: address in use.

mod addressused;
mod addressused02;
mod lines;
mod one_client;
mod reuseport;
mod udpreuse;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 15. A server ends, and cannot be started again: "Address already in use". Nobody is there who uses it. Why is
/// it so, and which option mends it?
#[derive(Parser)]
#[command(name = "chap-15", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    Addressused(addressused::Args),
    Addressused02(addressused02::Args),
    Reuseport(reuseport::Args),
    Udpreuse(udpreuse::Args),
    Lines(lines::Args),
}

const TRY: &str = "\
In one terminal:
  cargo run -p chap-15 -- addressused
In another:
  cargo run -p chap-15 -- lines 127.0.0.1
Type network and good. End the client with Ctrl-D, and start the server again. Then connect once more, end the server
with Ctrl-C, and start it again at once. Do the same with addressused02 in place of addressused.
Several servers on one port: cargo run -p chap-15 -- reuseport --servers 3";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::Addressused(args) => addressused::run(&args),
        Lesson::Addressused02(args) => addressused02::run(&args),
        Lesson::Reuseport(args) => reuseport::run(&args),
        Lesson::Udpreuse(args) => udpreuse::run(&args),
        Lesson::Lines(args) => lines::run(&args),
    })
}
