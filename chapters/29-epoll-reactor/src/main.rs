//! Lesson 29: a reactor on epoll.

mod epoll_server_multithreads;
mod sip;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use reactor::Trigger;

/// Lesson 29. The same server with another way to wait: epoll in place of poll. What changes is one line and the kernel's
/// work. What does one have to heed when an event is told only once?
#[derive(Parser)]
#[command(name = "chap-29", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    EpollServerMultithreads(epoll_server_multithreads::Args),
    Sip(sip::Args),
}

const TRY: &str = "\
In one terminal:
  cargo run -p chap-29 -- epoll-server-multithreads -v
In two others (telnet 127.0.0.1 43211 is a client too):
  cargo run -p chap-36 -- tcpcli-select 127.0.0.1
Then the same with --threads 0, with --dispatcher poll, with --trigger edge.
A server that takes too little: cargo run -p chap-29 -- sip --trigger edge";

/// When epoll tells of a descriptor.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum When {
    /// As long as it is ready
    Level,
    /// When something has come
    Edge,
}

impl From<When> for Trigger {
    fn from(when: When) -> Self {
        match when {
            When::Level => Trigger::Level,
            When::Edge => Trigger::Edge,
        }
    }
}

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::EpollServerMultithreads(args) => epoll_server_multithreads::run(&args),
        Lesson::Sip(args) => sip::run(&args),
    })
}
