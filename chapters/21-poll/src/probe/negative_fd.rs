//! Entries whose descriptor is a negative number.

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use common::say;
use libc::{POLLIN, pollfd};
use nix::unistd::{pipe, write};

use crate::pollfd::poll;
use crate::probe::words;

/// What does poll say of an entry with a negative number?
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Put the descriptor itself into every entry
    #[arg(long)]
    positive: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let (readable, writer) = pipe()?;
    write(&writer, b"data1")?;
    let number = readable.as_raw_fd();
    say!("descriptor {number} is a pipe with 5 bytes to read")?;

    // ANCHOR: entries
    // -1 is how a program says "nobody"; the complement keeps the number for later. Any negative one will do.
    let numbers = [number, -1, !number, i32::MIN];
    let mut entries = numbers.map(|fd| pollfd {
        fd: if args.positive { number } else { fd },
        events: POLLIN,
        revents: POLLIN, // left over from an earlier call
    });
    let ready = poll(&mut entries, Some(Duration::ZERO))?;
    // ANCHOR_END: entries
    say!("poll returns {ready} and says:")?;
    for entry in &entries {
        let (fd, events) = (entry.fd, words(entry.events));
        say!(
            "  fd {fd:<12} events {events:<3} revents {}",
            words(entry.revents)
        )?;
    }

    let start = Instant::now();
    let ready = poll(&mut entries[1..], Some(Duration::from_millis(200)))?;
    let seconds = start.elapsed().as_secs_f32();
    say!("without the first entry it returns {ready} after {seconds:.1} s")?;
    Ok(())
}
