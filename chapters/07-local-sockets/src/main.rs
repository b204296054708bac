//! Lesson 7: local sockets.

mod fd_pass;
mod name;
mod peercred;
mod processor;
mod round_trips;
mod socket_file;
mod unixdataclient;
mod unixdataserver;
mod unixstreamclient;
mod unixstreamserver;
mod wait;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 7. Processes on one machine need no address and no port: a file name is enough. Who makes the file, who may
/// use it, who removes it? And what can go through a local socket that can go through no other?
#[derive(Parser)]
#[command(name = "chap-7", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    Unixstreamserver(unixstreamserver::Args),
    Unixstreamclient(unixstreamclient::Args),
    Unixdataserver(unixdataserver::Args),
    Unixdataclient(unixdataclient::Args),
    FdPass(fd_pass::Args),
    Peercred(peercred::Args),
    RoundTrips(round_trips::Args),
}

const TRY: &str = "\
First the client alone: there is no such file.
  cargo run -p chap-7 -- unixstreamclient /tmp/unixstream.sock
Then a server in one terminal, and the client in another. Type g1, g2 and g3, then Ctrl-C.
  cargo run -p chap-7 -- unixstreamserver /tmp/unixstream.sock
  cargo run -p chap-7 -- unixstreamclient /tmp/unixstream.sock
The same with datagrams:
  cargo run -p chap-7 -- unixdataserver /tmp/unixdata.sock
  cargo run -p chap-7 -- unixdataclient /tmp/unixdata.sock
An open file handed from one process to another:
  cargo run -p chap-7 -- fd-pass receiver /tmp/pass.sock
  cargo run -p chap-7 -- fd-pass sender /tmp/pass.sock /etc/hostname
A name that begins with @ is abstract: it is no file.";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::Unixstreamserver(args) => unixstreamserver::run(&args),
        Lesson::Unixstreamclient(args) => unixstreamclient::run(&args),
        Lesson::Unixdataserver(args) => unixdataserver::run(&args),
        Lesson::Unixdataclient(args) => unixdataclient::run(&args),
        Lesson::FdPass(args) => fd_pass::run(&args),
        Lesson::Peercred(args) => peercred::run(&args),
        Lesson::RoundTrips(args) => round_trips::run(&args),
    })
}
