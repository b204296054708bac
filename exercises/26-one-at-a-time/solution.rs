//! The solution of exercise 26/one-at-a-time.

use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Context;
use clap::Parser;
use common::address::Listen;
use common::io::{Received, receive, send_all};
use common::{Call, CallError, complain, say, tcp};

/// How many clients are served at the same time.
const THREADS: usize = 3;

/// Sends back what a client sends, from a fixed number of threads
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    listen: Listen,
}

/// The end of the channel that the threads share. A receiver may be used by one at a time.
type Clients = Mutex<Receiver<OwnedFd>>;

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let (sender, receiver) = channel();
    let clients = Arc::new(Clients::new(receiver));
    for _ in 0..THREADS {
        let clients = Arc::clone(&clients);
        let work = move || work(&clients);
        thread::Builder::new().spawn(work).context("no thread")?;
    }
    let listener = tcp::listen(&args.listen.address())?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    loop {
        let (connection, client) = tcp::accept(&listener)?;
        say!("accepted {client}")?;
        sender.send(connection).context("all threads have ended")?;
    }
}

fn serve(connection: &OwnedFd) -> Result<(), CallError> {
    let mut data = [0; 4096];
    loop {
        match receive(connection, &mut data).call("read")? {
            Received::Data(length) => send_all(connection, &data[..length]).call("send")?,
            Received::EndOfFile | Received::Reset | Received::WouldBlock => return Ok(()),
        }
    }
}

/// A thread that panicked elsewhere has left the channel as it was.
fn lock(clients: &Clients) -> MutexGuard<'_, Receiver<OwnedFd>> {
    clients.lock().unwrap_or_else(PoisonError::into_inner)
}

// ANCHOR: answer
/// What each thread does: one client after the other.
fn work(clients: &Clients) {
    loop {
        // A statement of its own: the lock is let go at its semicolon. In the head of a `while let` or a `match`, what has no
        // name lives until the end of the body, and the lock with it.
        let next = lock(clients).recv();
        let Ok(connection) = next else {
            return;
        };
        if let Err(error) = serve(&connection) {
            complain!("{:#}", anyhow::Error::from(error));
        }
    }
}
// ANCHOR_END: answer
