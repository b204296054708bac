//! Lesson 37: a process per connection, and two people chatting.

mod chat;
mod echo_client;
mod echo_server;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 37. A blocking read waits for one thing. A process for each client, or for each direction, is the oldest way to
/// wait for several.
#[derive(Parser)]
#[command(name = "chap-37", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    EchoServer(echo_server::Args),
    EchoClient(echo_client::Args),
    P2pServer(chat::ServerArgs),
    P2pClient(chat::ClientArgs),
}

const TRY: &str = "\
A server, and several clients, each in a terminal of its own:
  cargo run -p chap-37 -- echo-server
  cargo run -p chap-37 -- echo-client 127.0.0.1
Two people who chat:
  cargo run -p chap-37 -- p2p-server
  cargo run -p chap-37 -- p2p-client 127.0.0.1";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::EchoServer(args) => echo_server::run(&args),
        Lesson::EchoClient(args) => echo_client::run(&args),
        Lesson::P2pServer(args) => chat::serve(&args),
        Lesson::P2pClient(args) => chat::connect(&args),
    })
}
