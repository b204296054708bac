//! Writing to a peer that has closed the connection.

use std::os::fd::{AsRawFd, OwnedFd};

use common::{Call, say};
use nix::poll::PollFlags;
use nix::sys::socket::{Shutdown, shutdown};
use nix::unistd::{read, write};

use super::pair::{Pair, Partner, ready};

/// What does a write return when the peer has closed?
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The peer ends its own direction only, with shutdown: the same FIN
    #[arg(long)]
    half: bool,
    /// The peer closes while a blocking write waits, and has data unread
    #[arg(long, conflicts_with = "half")]
    waiting: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    match args.waiting {
        true => while_waiting(),
        false => after_the_end(args.half),
    }
}

// ANCHOR: after
fn after_the_end(half: bool) -> anyhow::Result<()> {
    let Pair { ours, peers } = Pair::new()?;
    tell(write(&ours, b"data1"))?;
    read(&peers, &mut [0; 16]).call("read")?;
    let kept = match half {
        true => {
            shutdown(peers.as_raw_fd(), Shutdown::Write).call("shutdown")?;
            Some(peers)
        }
        false => {
            drop(peers);
            None
        }
    };
    let end = read(&ours, &mut [0; 16]).call("read")?;
    say!("the peer has read it and ended: read returns {end}")?;
    tell(write(&ours, b"data2"))?;
    if kept.is_none() {
        ready(&ours, PollFlags::POLLHUP, 5000)?; // its kernel's answer has come
    }
    tell(write(&ours, b"data3"))
}
// ANCHOR_END: after

// ANCHOR: waiting
fn while_waiting() -> anyhow::Result<()> {
    let Pair { ours, peers } = Pair::new()?;
    let partner = Partner::of_this_thread(move || close(peers));
    let outcome = write(&ours, &vec![b'x'; 1_000_000]);
    if partner.was_needed() {
        say!("the peer has closed while the write waited")?;
    }
    tell(outcome)?;
    tell(write(&ours, b"data2"))?;
    tell(write(&ours, b"data3"))
}
// ANCHOR_END: waiting

/// Closes with data unread: that is a reset, as RFC 9293 section 3.6.1 and RFC 2525 section 2.17 ask for.
fn close(peer: OwnedFd) {
    // While data is still under way, close would send FIN.
    let _ = ready(&peer, PollFlags::POLLIN, 5000);
    drop(peer);
}

fn tell(outcome: nix::Result<usize>) -> anyhow::Result<()> {
    match outcome {
        Ok(count) => say!("write: {count}")?,
        Err(error) => say!("write: {error:?}")?,
    }
    Ok(())
}
