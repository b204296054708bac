//! Exercise 27/slow-file, 15 minutes: an event loop that waits for nobody.
//!
//! A client names files, one in each line, and gets what they contain, in this order. One loop serves all clients.
//!
//! What goes wrong now: a file may let its reader wait, on a disk that is far away for example, or because it is a pipe. Then every
//! client waits.
//!
//! `27/all-in-main-thread` and `30/glibc-threads` show parts of it. Man pages: open(2), fifo(7).
//! `cargo doc -p reactor --no-deps --open`: `Handler`, `TcpConnection`, `Workers`.
//! Your program is checked by `scripts/exercise 27/slow-file`, as often as you like.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use clap::Parser;
use common::address::Listen;
use common::say;
use reactor::{Handler, Input, ServerOptions, TcpConnection, TcpServer};

/// Sends the files that its clients name
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    listen: Listen,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

/// What a file of this directory contains.
fn contents(name: &[u8]) -> Vec<u8> {
    if name.contains(&b'/') {
        return b"error: no file of this directory\n".into();
    }
    fs::read(OsStr::from_bytes(name)).unwrap_or_else(|error| format!("error: {error}\n").into())
}

fn run(args: &Args) -> anyhow::Result<()> {
    let options = ServerOptions {
        stop_on_signals: true,
        ..Default::default()
    };
    let server = TcpServer::bind(&args.listen.address(), options, |_| Client)?;
    if let Some(address) = server.local_address() {
        say!("listening on {address}")?;
    }
    Ok(server.run()?)
}

/// Each connection has one of these. All calls come from the thread of the loop.
struct Client;

impl Handler for Client {
    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        while let Some(line) = input.line() {
            connection.send(&contents(line.trim_ascii()));
        }
    }
}
