//! Lesson 38: a chat room.

mod chat_client;
mod chat_server;
mod parting;
mod room;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 38. What one says, all others hear: once, whole, and in order. Two waits with poll, on both sides; and somebody
/// who does not listen for a while.
#[derive(Parser)]
#[command(name = "chap-38", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    ChatServer(chat_server::Args),
    ChatClient(chat_client::Args),
}

const TRY: &str = "\
In one terminal:
  cargo run -p chap-38 -- chat-server
In two or more others (telnet 127.0.0.1 43211 is a client too):
  cargo run -p chap-38 -- chat-client 127.0.0.1 43211
Type lines in all of them. Let a sixth one come. End one with Ctrl-D, kill another.";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::ChatServer(args) => chat_server::run(&args),
        Lesson::ChatClient(args) => chat_client::run(&args),
    })
}
