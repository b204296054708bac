//! The echo client that waits for one thing at a time: now the keyboard, now the server.

use std::os::fd::OwnedFd;
use std::thread::sleep;
use std::time::Duration;

use clap::ValueEnum;
use common::address::{Peer, seconds};
use common::signal::default_sigpipe;
use common::{say, tcp};

use crate::echo::{send_whole, str_cli};

/// Sends each line that is typed, waits for its echo and prints it
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Peer,
    /// What SIGPIPE does: it comes when this program writes to a connection that was reset
    #[arg(long, default_value = "ignore")]
    sigpipe: SigPipe,
    /// Write each line in two: the first byte, then, so many seconds later, the rest
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    in_two: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SigPipe {
    /// No signal; write fails with EPIPE
    Ignore,
    /// The signal kills the process without a word
    Default,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.sigpipe == SigPipe::Default {
        default_sigpipe()?;
    }
    let connection = tcp::connect(&args.server)?;
    announce(&connection)?;
    match args.in_two {
        Some(pause) => str_cli(&connection, |connection, line| {
            in_two(connection, line, pause)
        }),
        None => str_cli(&connection, send_whole),
    }
    // Returning from main closes every descriptor of the process. That is what sends our FIN.
}

/// Both names of the connection. We chose neither our port nor, most likely, our address: connect(2) did.
pub fn announce(connection: &OwnedFd) -> anyhow::Result<()> {
    let ours = tcp::local_address(connection)?;
    say!("connected: {ours} to {}", tcp::peer_address(connection)?)?;
    Ok(())
}

// ANCHOR: in_two
/// Two writes. The first may be answered with RST, and only the second can notice that.
fn in_two(connection: &OwnedFd, line: &[u8], pause: Duration) -> anyhow::Result<()> {
    let (first, rest) = line.split_at(1); // a line has a newline at least
    send_whole(connection, first)?;
    sleep(pause);
    send_whole(connection, rest)
}
// ANCHOR_END: in_two
