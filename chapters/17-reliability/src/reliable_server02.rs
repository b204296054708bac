//! A server that reads more slowly than its client writes, and never answers.

use std::thread::sleep;
use std::time::Duration;

use common::address::{Listen, seconds};
use common::io::{Received, receive};
use common::{Call, say, tcp};
use nix::errno::Errno;

/// Reads what one client sends, a KiB at a time, and pauses after each
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// Seconds to wait after each read, as if it took that long to process the data
    #[arg(long, value_name = "SECONDS", default_value = "0.001", value_parser = seconds)]
    pause: Duration,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let listener = tcp::listen(&args.listen.address())?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    let (connection, _) = tcp::accept(&listener)?;

    let mut data = [0; 1024];
    for number in 1_u64.. {
        match receive(&connection, &mut data).call("read")? {
            Received::Data(length) => say!("read {number}: {length} bytes")?,
            Received::EndOfFile => break,
            Received::Reset | Received::WouldBlock => {
                return Err(Errno::ECONNRESET).call("read")?;
            }
        }
        sleep(args.pause);
    }
    say!("client closed")?;
    Ok(())
}
