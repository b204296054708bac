//! Lesson 23: epoll.

mod connection;
mod epoll01;
mod inherit;
mod listener;
mod never_reads;
mod plot;
mod scaling;
mod trigger;
mod waiters;
mod waits;

use std::process::ExitCode;

use clap::Parser;
use trigger::Trigger;

/// Lesson 23. With select and poll the program hands over its whole list for each wait. epoll(7) keeps the list in the
/// kernel. What does that buy, and what does "edge-triggered" mean?
#[derive(Parser)]
#[command(name = "chap-23", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    Epoll01(epoll01::Args),
    /// Is told of data and never reads it, edge-triggered
    ///
    /// Lines to type: "read BYTES", once, from the client that came last; "rearm", EPOLL_CTL_MOD; "shutdown", which ends
    /// our direction.
    Epoll02(never_reads::Args),
    /// Is told of data and never reads it, level-triggered
    ///
    /// The same lines may be typed as into epoll02.
    Epoll03(never_reads::Args),
    Scaling(scaling::Args),
    Waiters(waiters::Args),
    Inherit(inherit::Args),
}

const TRY: &str = "\
In one terminal:
  cargo run -p chap-23 -- epoll02
In another:
  telnet 127.0.0.1 43211
Type a line, and count how often the server wakes up. Then do it again with epoll03 in place of epoll02.";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::Epoll01(args) => epoll01::run(&args),
        Lesson::Epoll02(args) => never_reads::run(&args, Trigger::Edge),
        Lesson::Epoll03(args) => never_reads::run(&args, Trigger::Level),
        Lesson::Scaling(args) => scaling::run(&args),
        Lesson::Waiters(args) => waiters::run(&args),
        Lesson::Inherit(args) => inherit::run(&args),
    })
}
