//! The solution of exercise 19/enough-room.

use std::fs;
use std::io::stdin;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Parser;
use common::address::Listen;
use common::io::set_nonblocking;
use common::{Call, say, tcp};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{SockaddrStorage, bind, setsockopt, sockopt};

/// The longest queue that the kernel gives to any listener.
const LIMIT: &str = "/proc/sys/net/core/somaxconn";

/// Lets clients wait, and takes all of them when a line is typed
#[derive(Parser)]
struct Args {
    /// How many clients will come
    #[arg(value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    clients: i32,
    #[command(flatten)]
    listen: Listen,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let address = args.listen.address();
    let listener = tcp::stream_socket(&address)?;
    setsockopt(&listener, sockopt::ReuseAddr, &true).call("setsockopt SO_REUSEADDR")?;
    bind(listener.as_raw_fd(), &SockaddrStorage::from(address))
        .call(format_args!("bind {address}"))?;
    let_wait(&listener, args.clients)?;
    say!("listening on {}", tcp::local_address(&listener)?)?;

    stdin()
        .read_line(&mut String::new())
        .context("read standard input")?;
    set_nonblocking(&listener)?;
    while let Some((_, client)) = tcp::accept_ready(&listener)? {
        say!("client {client} comes in")?;
    }
    Ok(())
}

// ANCHOR: answer
/// Listens, and lets so many clients wait.
fn let_wait(listener: &OwnedFd, clients: i32) -> anyhow::Result<()> {
    // listen(2) cuts a larger number to this one, and succeeds. The C library's SOMAXCONN is a constant: the limit of most
    // machines, and perhaps not of this one. We ask before we listen, so that nobody connects to a server that is about to end.
    let limit = fs::read_to_string(LIMIT).call(format_args!("read {LIMIT}"))?;
    let limit: i32 = limit.trim().parse().context(LIMIT)?;
    ensure!(
        clients <= limit,
        "{clients} clients come, and net.core.somaxconn lets {limit} wait"
    );
    // The function of `nix` refuses a backlog above 4096, whatever the kernel thinks of it.
    // SAFETY: listen(2) takes two numbers and touches no memory of ours.
    let outcome = unsafe { libc::listen(listener.as_raw_fd(), clients) };
    Errno::result(outcome).call("listen")?;
    Ok(())
}
// ANCHOR_END: answer
