//! Lesson 17: TCP is not always reliable.

mod errors;
mod reliable_client01;
mod reliable_client02;
mod reliable_server01;
mod reliable_server02;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 17. send(2) returns when the data lies in the kernel's buffer, and not when somebody has read it. How does a
/// program come to know that the peer, its host or the network is gone?
#[derive(Parser)]
#[command(name = "chap-17", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    #[command(name = "reliable-server01")]
    ReliableServer01(reliable_server01::Args),
    #[command(name = "reliable-client01")]
    ReliableClient01(reliable_client01::Args),
    #[command(name = "reliable-server02")]
    ReliableServer02(reliable_server02::Args),
    #[command(name = "reliable-client02")]
    ReliableClient02(reliable_client02::Args),
}

const TRY: &str = "\
In one terminal:
  cargo run -p chap-17 -- reliable-server01
In another:
  cargo run -p chap-17 -- reliable-client01 127.0.0.1
Type good, and end the server with Ctrl-C within five seconds. Then start both again,
type bad, wait for the answer, end the server, and type bad2.
With reliable-server02 and reliable-client02 end the server while the client sends.";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::ReliableServer01(args) => reliable_server01::run(&args),
        Lesson::ReliableClient01(args) => reliable_client01::run(&args),
        Lesson::ReliableServer02(args) => reliable_server02::run(&args),
        Lesson::ReliableClient02(args) => reliable_client02::run(&args),
    })
}
