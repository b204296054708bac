//! Lesson 16: framing a stream.

mod byteorder;
mod lines;
mod lineserver;
mod message;
mod streamclient;
mod streamserver;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 16. TCP carries bytes and knows nothing of messages: two may come in one segment, and one in two. How does the
/// receiver find out where a message ends?
#[derive(Parser)]
#[command(name = "chap-16", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    Streamserver(streamserver::Args),
    Streamclient(streamclient::Args),
    Lineserver(lineserver::Args),
    Byteorder(byteorder::Args),
}

const TRY: &str = "\
In one terminal:
  cargo run -p chap-16 -- streamserver
In another:
  cargo run -p chap-16 -- streamclient 127.0.0.1
Type network and good. Then start the client with --chunk 3: each segment has three bytes, and the server prints the same.
With streamserver --read-once it does not. A lying client: streamclient 127.0.0.1 --announce 129.
Lines in place of lengths: lineserver, and streamclient 127.0.0.1 --plain.";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::Streamserver(args) => streamserver::run(&args),
        Lesson::Streamclient(args) => streamclient::run(&args),
        Lesson::Lineserver(args) => lineserver::run(&args),
        Lesson::Byteorder(args) => byteorder::run(&args),
    })
}
