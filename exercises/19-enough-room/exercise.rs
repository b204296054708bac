//! Exercise 19/enough-room, 10 minutes: a server that opens only where all of its clients may wait.
//!
//! It is told how many clients will come. They all connect at once, and wait until a line is typed: then the door opens, and the
//! server takes whoever waits. Where the kernel does not let so many wait, the server is to end with an error in place of
//! listening. It leaves the kernel's settings alone.
//!
//! What goes wrong now: it listens, however many are announced, and those for whom there is no room hang.
//!
//! `19/backlog` and `19/somaxconn-caps` show it. Man pages: listen(2), proc_sys_net(5).
//! Your program is checked by `scripts/exercise 19/enough-room`, as often as you like.

use std::io::stdin;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use common::address::Listen;
use common::io::set_nonblocking;
use common::{Call, say, tcp};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{SockaddrStorage, bind, setsockopt, sockopt};

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

/// Listens, and lets so many clients wait.
fn let_wait(listener: &OwnedFd, clients: i32) -> anyhow::Result<()> {
    // The function of `nix` refuses a backlog above 4096, whatever the kernel thinks of it.
    // SAFETY: listen(2) takes two numbers and touches no memory of ours.
    let outcome = unsafe { libc::listen(listener.as_raw_fd(), clients) };
    Errno::result(outcome).call("listen")?;
    Ok(())
}
