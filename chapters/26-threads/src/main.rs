//! Lesson 26: threads.

mod queue;
mod serve;
mod thread01;
mod thread02;
mod thread_helloworld;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 26. Threads share everything: the memory, and the descriptors with it. That makes them cheap, and it is their
/// danger. What goes wrong without a lock, and what does a server do when all its threads are taken?
#[derive(Parser)]
#[command(name = "chap-26", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    ThreadHelloworld(thread_helloworld::Args),
    Thread01(thread01::Args),
    Thread02(thread02::Args),
}

const TRY: &str = "\
Try several times, and with --with mutex:
  cargo run -p chap-26 -- thread-helloworld
  cargo run -p chap-26 -- thread-helloworld --count 1000000
A thread for each client (clients in other terminals; telnet 127.0.0.1 43211 is one too):
  cargo run -p chap-26 -- thread01
  cargo run -p chap-36 -- tcpcli-select 127.0.0.1
Two threads for all clients: cargo run -p chap-26 -- thread02 --threads 2 --queue 1";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::ThreadHelloworld(args) => thread_helloworld::run(&args),
        Lesson::Thread01(args) => thread01::run(&args),
        Lesson::Thread02(args) => thread02::run(&args),
    })
}
