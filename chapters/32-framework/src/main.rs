//! Lesson 32: the framework's design.

mod channel_map;
mod dispatchers;
mod stale_event;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 32. What a reactor is made of: event loop, channels, dispatcher, channel map, acceptor. What does each of them know of the
/// others, and what does one find a channel by?
#[derive(Parser)]
#[command(name = "chap-32", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    Dispatchers(dispatchers::Args),
    ChannelMap(channel_map::Args),
    StaleEvent(stale_event::Args),
}

const TRY: &str = "\
One server three times, on ports 43211, 43212 and 43213:
  cargo run -p chap-32 -- dispatchers -v
In others (telnet 127.0.0.1 43213 is a client too):
  cargo run -p chap-36 -- tcpcli-select 127.0.0.1 --port 43212
How the table of channels grows and shrinks:
  cargo run -p chap-32 -- channel-map --channels 5000
A server whose clients may type `kick`, which closes all others:
  cargo run -p chap-32 -- stale-event --map descriptor";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::Dispatchers(args) => dispatchers::run(&args),
        Lesson::ChannelMap(args) => channel_map::run(&args),
        Lesson::StaleEvent(args) => stale_event::run(&args),
    })
}
