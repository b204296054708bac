//! The solution of exercise 27/slow-file.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use common::address::Listen;
use common::say;
use reactor::{Handler, Input, ServerOptions, TcpConnection, TcpServer, Workers};

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

// ANCHOR: answer
fn run(args: &Args) -> anyhow::Result<()> {
    // Threads that may wait, so that the loop need not. Four files may let their readers wait at the same time.
    let workers = Arc::new(Workers::new(4)?);
    let make = move |_| Client {
        workers: Arc::clone(&workers),
    };
    let options = ServerOptions {
        stop_on_signals: true,
        ..Default::default()
    };
    let server = TcpServer::bind(&args.listen.address(), options, make)?;
    if let Some(address) = server.local_address() {
        say!("listening on {address}")?;
    }
    Ok(server.run()?)
}

/// Each connection has one of these. All calls come from the thread of the loop.
struct Client {
    workers: Arc<Workers>,
}

impl Handler for Client {
    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        while let Some(line) = input.line() {
            // The worker gets what it needs and nothing of the connection: that belongs to the loop, where the answer is sent.
            // With a thread of our own for each file, the second answer could overtake the first; `compute` keeps the order.
            let name = line.trim_ascii().to_vec();
            let read = move || contents(&name);
            connection.compute(&self.workers, read, |_, connection, text| {
                connection.send(&text);
            });
        }
    }
}
// ANCHOR_END: answer
