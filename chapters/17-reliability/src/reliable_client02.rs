//! A client that never reads: only send(2) can tell it that its server is gone.

use std::io::stdin;
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread::sleep;
use std::time::Duration;

use clap::ValueEnum;
use common::address::{Peer, seconds};
use common::io::Received;
use common::lines::LineBuffer;
use common::signal::default_sigpipe;
use common::{Call, CallError, say, tcp};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};

use crate::errors::Errors;

/// Sends without end, and never reads
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Peer,
    /// How often to send
    #[arg(long, default_value_t = 10_000_000)]
    count: u64,
    /// Seconds to wait after each send
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    pause: Duration,
    /// Send once for each line that is typed, whatever it says
    #[arg(long)]
    typed: bool,
    /// What SIGPIPE does: it comes when this program sends on a connection that is gone
    #[arg(long, default_value = "ignore")]
    sigpipe: SigPipe,
    /// How many errors to report before giving up: to see what the call after a failed one says
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    errors: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SigPipe {
    /// No signal; send fails with EPIPE
    Ignore,
    /// The signal kills the process without a word
    Default,
}

const MESSAGE: &[u8] = b"network programming";

pub fn run(args: &Args) -> anyhow::Result<()> {
    // Rust ignores the signal before main; a program in C has to ask for that.
    if args.sigpipe == SigPipe::Default {
        default_sigpipe()?;
    }
    let connection = tcp::connect(&args.server)?;
    let mut errors = Errors::new(args.errors);
    let mut typed = LineBuffer::new();
    for _ in 0..args.count {
        if args.typed && !line_typed(&mut typed)? {
            break;
        }
        // ANCHOR: send
        match send_message(&connection) {
            Ok(count) => say!("send into buffer {count}")?,
            Err(error) => errors.happened(error.into())?,
        }
        // ANCHOR_END: send
        sleep(args.pause);
    }
    Ok(())
}

// ANCHOR: send_message
/// One send(2), without MSG_NOSIGNAL: the signal is a part of the lesson. A count that is too short is no error here,
/// there is always more to send.
fn send_message(connection: &OwnedFd) -> Result<usize, CallError> {
    loop {
        match send(connection.as_raw_fd(), MESSAGE, MsgFlags::empty()) {
            Err(Errno::EINTR) => {}
            outcome => return outcome.call("send"),
        }
    }
}
// ANCHOR_END: send_message

/// Waits for a line. False at the end of the input.
fn line_typed(typed: &mut LineBuffer) -> Result<bool, CallError> {
    loop {
        if typed.next_line().is_some() {
            return Ok(true);
        }
        if typed.fill(stdin()).call("read standard input")? == Received::EndOfFile {
            return Ok(typed.next_line().is_some());
        }
    }
}
