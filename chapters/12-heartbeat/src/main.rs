//! Lesson 12: keep-alive and heartbeat.

mod keepalive;
mod link;
mod message;
mod pingclient;
mod pingserver;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 12. A connection on which nothing is said looks the same whether the other end is silent or gone. How does a
/// program find out: by the kernel's keep-alive, or by a heartbeat of its own?
#[derive(Parser)]
#[command(name = "chap-12", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    Pingserver(pingserver::Args),
    Pingclient(pingclient::Args),
    Keepalive(keepalive::Args),
}

const TRY: &str = "\
A server that answers after 60 seconds, which is too late, and then one that answers after 5:
  cargo run -p chap-12 -- pingserver 60
  cargo run -p chap-12 -- pingserver 5
In another terminal, each time:
  cargo run -p chap-12 -- pingclient 127.0.0.1
What the kernel does by itself, and when it would notice a dead peer:
  cargo run -p chap-12 -- keepalive server
  cargo run -p chap-12 -- keepalive client 127.0.0.1";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::Pingserver(args) => pingserver::run(&args),
        Lesson::Pingclient(args) => pingclient::run(&args),
        Lesson::Keepalive(args) => keepalive::run(&args),
    })
}
