//! The solution of exercise 2/apart.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Context;
use clap::Parser;
use common::address::Listen;
use common::io::{Received, receive, send_all};
use common::{Call, CallError, complain, say, tcp};

/// Tells each client how many bytes it has sent
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    listen: Listen,
}

/// How many bytes have come in each conversation, by its name.
type Table = Mutex<HashMap<String, usize>>;

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let listener = tcp::listen(&args.listen.address())?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    let table: Arc<Table> = Arc::default();
    loop {
        let (connection, client) = tcp::accept(&listener)?;
        let table = Arc::clone(&table);
        let serve = move || {
            // The end of this client, and of nobody else.
            if let Err(error) = serve(&connection, &table) {
                complain!("client {client}: {error:#}");
            }
        };
        thread::Builder::new().spawn(serve).context("no thread")?;
    }
}

/// One conversation. When it is over its name is free again.
fn serve(connection: &OwnedFd, table: &Table) -> anyhow::Result<()> {
    let name = name(connection)?;
    let outcome = count(connection, &name, table);
    lock(table).remove(&name);
    outcome
}

fn count(connection: &OwnedFd, name: &str, table: &Table) -> anyhow::Result<()> {
    let mut data = [0; 4096];
    loop {
        let length = match receive(connection, &mut data).call("read")? {
            Received::Data(length) => length,
            Received::EndOfFile | Received::Reset | Received::WouldBlock => return Ok(()),
        };
        let bytes = {
            let mut table = lock(table);
            let bytes = table.entry(name.into()).or_default();
            *bytes += length;
            *bytes
        };
        say!("{name}: {bytes} bytes")?;
        send_all(connection, format!("{bytes}\n").as_bytes()).call("send")?;
    }
}

/// A thread that panicked elsewhere has left the table as it was.
fn lock(table: &Table) -> MutexGuard<'_, HashMap<String, usize>> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

// ANCHOR: answer
/// The name of the conversation that goes over this connection.
fn name(connection: &OwnedFd) -> Result<String, CallError> {
    // The address is that of a host, and a host may have many clients. The port alone does not do either: each host gives out its
    // ports without asking the others. And both of them may be in use a second time, towards another address of this server.
    let (own, client) = (
        tcp::local_address(connection)?,
        tcp::peer_address(connection)?,
    );
    Ok(format!("{client} to {own}"))
}
// ANCHOR_END: answer
