//! Lesson 14: connected UDP.

mod broadcast;
mod client;
mod multicast;
mod talk;
mod udpconnectclient;
mod udpconnectclient2;
mod udpconnectserver;
mod udpreconnect;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 14. connect on a UDP socket sends nothing and asks nobody. What is it for, then? Who hears of an error, who
/// may still send to the socket, and where does a datagram go that names another address?
#[derive(Parser)]
#[command(name = "chap-14", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    Udpconnectclient(udpconnectclient::Args),
    Udpconnectclient2(udpconnectclient2::Args),
    Udpconnectserver(udpconnectserver::Args),
    Udpreconnect(udpreconnect::Args),
    Multicast(multicast::Args),
    Broadcast(broadcast::Args),
}

const TRY: &str = "\
First the client alone. Type g1: it does not wait, it fails.
  cargo run -p chap-14 -- udpconnectclient 127.0.0.1
Then a server in one terminal, and a client in each of two others. Type g1 in the first one, then g2 in the second:
  cargo run -p chap-14 -- udpconnectserver
  cargo run -p chap-14 -- udpconnectclient2 127.0.0.1
One socket and several peers; then a group, and everybody:
  cargo run -p chap-14 -- udpreconnect
  cargo run -p chap-14 -- multicast receive 239.1.2.3 --interface lo --answer
  cargo run -p chap-14 -- multicast send 239.1.2.3 --interface lo
  cargo run -p chap-14 -- broadcast 127.255.255.255";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::Udpconnectclient(args) => udpconnectclient::run(&args),
        Lesson::Udpconnectclient2(args) => udpconnectclient2::run(&args),
        Lesson::Udpconnectserver(args) => udpconnectserver::run(&args),
        Lesson::Udpreconnect(args) => udpreconnect::run(&args),
        Lesson::Multicast(args) => multicast::run(&args),
        Lesson::Broadcast(args) => broadcast::run(&args),
    })
}
