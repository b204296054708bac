//! A server with a fixed number of threads.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use anyhow::Context;
use common::address::Listen;
use common::descriptors::raise_limit;
use common::{say, tcp};
use nix::unistd::gettid;

use crate::queue::Queue;
use crate::serve::{next_client, serve};

/// Answers what each client sends, rot13, from a fixed number of threads that take clients from a queue
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// How many threads
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    threads: u16,
    /// How many clients may wait for a thread; the next ones wait to be accepted
    #[arg(long, value_name = "COUNT", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    queue: u16,
}

type Client = (OwnedFd, SocketAddr);

pub fn run(args: &Args) -> anyhow::Result<()> {
    raise_limit()?;
    let listener = tcp::listen(&args.listen.address())?;
    // ANCHOR: pool
    let queue: Arc<Queue<Client>> = Arc::new(Queue::new(args.queue.into()));
    for _ in 0..args.threads {
        let queue = Arc::clone(&queue);
        let work = move || work(&queue);
        thread::Builder::new()
            .spawn(work)
            .context("no thread to be had")?;
    }
    say!("listening on {}", tcp::local_address(&listener)?)?;
    loop {
        let (connection, client) = next_client(&listener)?;
        say!("accepted {client}")?;
        queue.push((connection, client)); // while there is no room nobody is accepted
    }
    // ANCHOR_END: pool
}

// ANCHOR: work
/// One client after the other. A client that stays for hours has its thread for hours.
fn work(queue: &Queue<Client>) {
    loop {
        let (connection, client) = queue.pop();
        let _ = say!("thread {} serves {client}", gettid()); // if nobody reads it, the main thread notices too
        serve(&connection, client);
    }
}
// ANCHOR_END: work
