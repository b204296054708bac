//! Lesson 6: UDP.

mod udp_reliable;
mod udpclient;
mod udpserver;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 6. UDP has no connection: each datagram is on its own, and nobody says so when one is lost. What does a
/// client see when no server is there? How large may a datagram be? What does it take to make it reliable?
#[derive(Parser)]
#[command(name = "chap-6", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    Udpserver(udpserver::Args),
    Udpclient(udpclient::Args),
    UdpReliable(udp_reliable::Args),
}

const TRY: &str = "\
First the client alone. Type g1: it waits for an answer for ever. End it with Ctrl-C.
  cargo run -p chap-6 -- udpclient 127.0.0.1
Then a server in one terminal, and a client in each of two others:
  cargo run -p chap-6 -- udpserver
  cargo run -p chap-6 -- udpclient 127.0.0.1
Type g1 and g3 in one client, g2 and g4 in the other. End the server with Ctrl-C, start it again, and type on.
Datagrams made reliable:
  cargo run -p chap-6 -- udp-reliable server
  cargo run -p chap-6 -- udp-reliable client 127.0.0.1";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::Udpserver(args) => udpserver::run(&args),
        Lesson::Udpclient(args) => udpclient::run(&args),
        Lesson::UdpReliable(args) => udp_reliable::run(&args),
    })
}
