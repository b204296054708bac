//! Exercise 2/apart, 10 minutes: a server that keeps its conversations apart.
//!
//! A client may send as often as it likes, and is told each time how many bytes have come from it up to now. What the server knows
//! of each conversation stands in a table, under a name. As long as a conversation lasts no other may have the same name.
//!
//! What goes wrong now: a client is told of bytes that others have sent.
//!
//! `2/four-tuple` shows what there is to tell them apart by. Man pages: getsockname(2), getpeername(2).
//! Your program is checked by `scripts/exercise 2/apart`, as often as you like.

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

/// The name of the conversation that goes over this connection.
fn name(connection: &OwnedFd) -> Result<String, CallError> {
    let client = tcp::peer_address(connection)?;
    Ok(client.ip().to_string())
}
