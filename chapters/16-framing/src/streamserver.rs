//! A server that finds the messages in a stream by the length that stands before each.

use std::io::{IsTerminal, stdout};
use std::os::fd::{AsFd, OwnedFd};
use std::process::exit;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use common::address::Listen;
use common::io::{Received, receive};
use common::output::OutputError;
use common::signal::StopSignal;
use common::text::printable;
use common::{Call, complain, say, tcp};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::message::{LONGEST, TEXT, read_message};

/// Prints the messages of one client after the other; Ctrl-C says how many there were
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// The longest body that is accepted; with 4294967295 the server believes every length
    #[arg(long, value_name = "BYTES", default_value_t = LONGEST)]
    limit: u32,
    /// Take what one read brings for one message: wrong on purpose, to see what a stream is
    #[arg(long)]
    read_once: bool,
}

/// How many messages have come. It is all that the two threads share.
static COUNT: AtomicU64 = AtomicU64::new(0);

pub fn run(args: &Args) -> anyhow::Result<()> {
    let stop = StopSignal::new()?; // before there is a second thread: it blocks the signals for both
    let listener = tcp::listen(&args.listen.address())?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    thread::spawn(move || end_with_count(&stop));
    loop {
        let (connection, client) = tcp::accept(&listener)?;
        let outcome = match args.read_once {
            false => print_messages(&connection, args.limit),
            true => print_reads(&connection),
        };
        drop(connection); // close(2): the client need not wait for our words
        match outcome {
            Ok(()) => say!("client closed")?,
            Err(error) if error.is::<OutputError>() => return Err(error),
            // The end of this client, and of nobody else.
            Err(error) => complain!("client {client}: {error:#}"),
        }
    }
}

// ANCHOR: print_messages
fn print_messages(connection: &OwnedFd, limit: u32) -> anyhow::Result<()> {
    while let Some(message) = read_message(connection, limit)? {
        COUNT.fetch_add(1, Ordering::Relaxed);
        let (length, body) = (message.body.len(), printable(&message.body));
        match message.kind {
            TEXT => say!("received {length} bytes: {body}")?,
            other => say!("received {length} bytes of type {other}: {body}")?,
        }
    }
    Ok(())
}
// ANCHOR_END: print_messages

// ANCHOR: print_reads
/// As if each send of the client's were a read here.
fn print_reads(connection: &OwnedFd) -> anyhow::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match receive(connection, &mut buffer).call("read")? {
            Received::Data(length) => {
                COUNT.fetch_add(1, Ordering::Relaxed);
                say!("received {length} bytes: {}", printable(&buffer[..length]))?;
            }
            Received::EndOfFile => return Ok(()),
            Received::Reset | Received::WouldBlock => Err(Errno::ECONNRESET).call("read")?,
        }
    }
}
// ANCHOR_END: print_reads

/// Waits for SIGINT or SIGTERM. A thread of its own, because the other one may be in the middle of a message.
fn end_with_count(stop: &StopSignal) {
    let mut signal = [PollFd::new(stop.as_fd(), PollFlags::POLLIN)];
    while poll(&mut signal, PollTimeout::NONE).is_err() {} // EINTR
    let tell = || {
        if stdout().is_terminal() {
            say!("")?; // The terminal has just shown ^C.
        }
        say!("received {} messages", COUNT.load(Ordering::Relaxed))
    };
    exit(tell().is_err().into());
}
