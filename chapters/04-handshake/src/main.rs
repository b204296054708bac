//! Lesson 4: the three-way handshake.

mod connect;
mod hold;
mod make_socket;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 4. A server makes a socket, binds it and listens; a client connects. Three segments make the connection.
/// Which of the two programs has to do anything for that, and what does the client learn when it fails?
#[derive(Parser)]
#[command(name = "chap-4", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    MakeSocket(make_socket::Args),
    Connect(connect::Args),
}

const TRY: &str = "\
In one terminal:
  cargo run -p chap-4 -- make-socket 43211
In another:
  cargo run -p chap-4 -- connect localhost 43211 --hold
Type data1, then Ctrl-D. Stop the server and connect again. Then start it with --no-accept: does connect succeed?
An address that nobody answers for: cargo run -p chap-4 -- connect 198.51.100.1 43211 --deadline 5";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::MakeSocket(args) => make_socket::run(&args),
        Lesson::Connect(args) => connect::run(&args),
    })
}
