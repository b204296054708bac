//! The midterm: a remote shell.

mod telnet_client;
mod telnet_server;

use std::process::ExitCode;

use clap::Parser;

/// The midterm. A client types commands, a server on another machine carries them out: pwd, cd, ls, quit. What has to be
/// agreed on so that no answer is cut, mixed up with the next, or taken for another?
#[derive(Parser)]
#[command(name = "midterm", arg_required_else_help = true, after_help = TRY)]
enum Midterm {
    TelnetServer(telnet_server::Args),
    TelnetClient(telnet_client::Args),
}

const TRY: &str = "\
In one terminal:
  cargo run -p midterm -- telnet-server
In another:
  cargo run -p midterm -- telnet-client 127.0.0.1 43211
Type pwd, cd .., pwd, ls, cd -, pwd and quit. Then start the client again. telnet 127.0.0.1 43211 is a client too.";

fn main() -> ExitCode {
    common::program::run(|| match Midterm::parse() {
        Midterm::TelnetServer(args) => telnet_server::run(&args),
        Midterm::TelnetClient(args) => telnet_client::run(&args),
    })
}
