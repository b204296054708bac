//! Lesson 39: an accept thread and worker threads.

mod acceptor;
mod connection;
mod daemon;
mod main_thread;
mod queue;
mod reactor_server;
mod shared;
mod stamp;
mod wake;
mod watch;
mod worker;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 39. One thread waits for all clients, one accepts, five work. Who tells whom, who may touch which descriptor
/// when, and how is a thread woken that sleeps?
#[derive(Parser)]
#[command(name = "chap-39", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    ReactorServer(reactor_server::Args),
    Wake(wake::Args),
}

const TRY: &str = "\
In one terminal:
  cargo run -p chap-39 -- reactor-server
In one or two others (telnet 127.0.0.1 12345 is a client too):
  cargo run -p chap-36 -- tcpcli-select 127.0.0.1 --port 12345
Type lines. Then with --pause 2, from several clients at once; and end the server in the middle of an answer, with Ctrl-C.
Without a terminal: cargo run -p chap-39 -- reactor-server -d
The ways to wake a thread: cargo run -p chap-39 -- wake";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::ReactorServer(args) => reactor_server::run(&args),
        Lesson::Wake(args) => wake::run(&args),
    })
}
