//! Lesson 2: client and server.

mod four_tuple;
mod resolve;
mod subnet;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 2. A client finds a server by address and port. Where do the two come from, and what tells one connection from
/// another?
#[derive(Parser)]
#[command(name = "chap-2", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    Subnet(subnet::Args),
    Resolve(resolve::Args),
    FourTuple(four_tuple::Args),
}

const TRY: &str = "\
What an address and a prefix stand for:
  cargo run -p chap-2 -- subnet 172.16.5.4/12
What a name and a service stand for:
  cargo run -p chap-2 -- resolve localhost http
Three connections to one server, in two terminals:
  cargo run -p chap-2 -- four-tuple --serve
  cargo run -p chap-2 -- four-tuple 127.0.0.1 --connections 3";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::Subnet(args) => subnet::run(&args),
        Lesson::Resolve(args) => resolve::run(&args),
        Lesson::FourTuple(args) => four_tuple::run(&args),
    })
}
