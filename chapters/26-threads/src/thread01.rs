//! A server with a thread for each client.

use std::sync::Arc;
use std::thread;

use common::address::Listen;
use common::descriptors::raise_limit;
use common::io::send_all;
use common::{complain, say, tcp};
use nix::unistd::gettid;

use crate::serve::{next_client, serve};

/// Answers what each client sends, rot13, from a thread for each client
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
}

/// What a client hears for whom there is no thread.
const BUSY: &[u8] = b"no thread to be had, try again later\n";

pub fn run(args: &Args) -> anyhow::Result<()> {
    raise_limit()?;
    let listener = tcp::listen(&args.listen.address())?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    loop {
        // ANCHOR: thread
        let (connection, client) = next_client(&listener)?;
        say!("accepted {client}")?;
        let connection = Arc::new(connection); // closed when the last of us lets go of it
        let of_thread = Arc::clone(&connection);
        let started = thread::Builder::new().spawn(move || {
            let _ = say!("thread {} serves {client}", gettid()); // if nobody reads it, the main thread notices too
            serve(&of_thread, client);
        });
        // Nobody joins the thread: it is detached, and its end leaves nothing behind.
        if let Err(error) = started {
            complain!("Error: no thread for {client}: {error}");
            let _ = send_all(&connection, BUSY); // it may have gone
        }
        // ANCHOR_END: thread
    }
}
