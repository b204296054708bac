//! Lesson 8: tools.

mod capture;
mod echo;
mod expression;
mod grammar;
mod headers;
mod icmp;
mod icmp_socket;
mod ifconfig;
mod interface;
mod lsof;
mod names;
mod netlink;
mod netstat;
mod owners;
mod packet;
mod ping;
mod print;
mod tables;
mod tcpdump;
mod traceroute;
mod trouble;
mod wanted;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 8. Who answers, and on which way? Who has this port open? What is really on the wire? Six small tools, and where
/// each of them gets what it shows.
#[derive(Parser)]
#[command(name = "chap-8", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    Ping(ping::Args),
    Traceroute(traceroute::Args),
    Ifconfig(ifconfig::Args),
    Netstat(netstat::Args),
    Lsof(lsof::Args),
    Tcpdump(tcpdump::Args),
}

const TRY: &str = "\
Try:
  cargo run -p chap-8 -- ping -c 3 127.0.0.1
  cargo run -p chap-8 -- ifconfig
  cargo run -p chap-8 -- netstat -alep
Start a server of another lesson (cargo run -p chap-11 -- graceserver), and ask who has its port:
  cargo run -p chap-8 -- lsof -i :43211
tcpdump wants a privilege, CAP_NET_RAW: build first, then
  sudo target/debug/chap-8 tcpdump -i lo 'tcp and port 43211'";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::Ping(args) => ping::run(&args),
        Lesson::Traceroute(args) => traceroute::run(&args),
        Lesson::Ifconfig(args) => ifconfig::run(&args),
        Lesson::Netstat(args) => netstat::run(&args),
        Lesson::Lsof(args) => lsof::run(&args),
        Lesson::Tcpdump(args) => tcpdump::run(&args),
    })
}
