//! The course's table: what read and write do on a blocking socket and on a non-blocking one.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use common::io::set_nonblocking;
use common::{Call, CallError, say};
use nix::poll::PollFlags;
use nix::sys::socket::{MsgFlags, Shutdown, send, shutdown};
use nix::unistd::{read, write};

use super::pair::{Pair, Partner, read_all, ready};

/// What do read and write return, and when?
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The columns of the table
    #[arg(value_enum, value_name = "MODE", default_values = ["blocking", "non-blocking"])]
    columns: Vec<Mode>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    Blocking,
    NonBlocking,
}

/// A call that is looked at.
#[derive(Debug, Clone, Copy)]
enum Attempt {
    Read,
    /// Of so many bytes.
    Write(usize),
}

/// What is there before the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    DataHasCome,
    BufferFull,
}

/// More than both buffers hold.
const LARGE: usize = 1_000_000;

// ANCHOR: situations
const SITUATIONS: [(&str, Before, Attempt); 5] = [
    (
        "read: 5 bytes have come",
        Before::DataHasCome,
        Attempt::Read,
    ),
    ("read: nothing has come", Before::Nothing, Attempt::Read),
    (
        "write 5 bytes: there is room",
        Before::Nothing,
        Attempt::Write(5),
    ),
    (
        "write 1000000: room for a part",
        Before::Nothing,
        Attempt::Write(LARGE),
    ),
    (
        "write 5 bytes: there is no room",
        Before::BufferFull,
        Attempt::Write(5),
    ),
];
// ANCHOR_END: situations

pub fn run(args: &Args) -> anyhow::Result<()> {
    let titles = args.columns.iter().map(|mode| match mode {
        Mode::Blocking => "blocking".to_string(),
        Mode::NonBlocking => "non-blocking".to_string(),
    });
    line("situation", titles)?;
    for (situation, before, attempt) in SITUATIONS {
        let mut cells = Vec::new();
        for mode in &args.columns {
            cells.push(cell(before, attempt, *mode)?);
        }
        line(situation, cells)?;
    }
    Ok(())
}

fn line(first: &str, rest: impl IntoIterator<Item = String>) -> anyhow::Result<()> {
    let rest: String = rest
        .into_iter()
        .map(|cell| format!(" {cell:<20}"))
        .collect();
    say!("{}", format!("{first:<32}{rest}").trim_end())?;
    Ok(())
}

// ANCHOR: cell
/// Makes the situation, then the call. If the call sleeps, the other end sends, or reads.
fn cell(before: Before, attempt: Attempt, mode: Mode) -> Result<String, CallError> {
    let pair = Pair::new()?;
    match before {
        Before::Nothing => {}
        Before::DataHasCome => {
            peer_sends(&pair.peers)?;
            ready(&pair.ours, PollFlags::POLLIN, 5000)?;
        }
        Before::BufferFull => pair.fill()?,
    }
    if mode == Mode::NonBlocking {
        set_nonblocking(&pair.ours)?;
    }
    let Pair { ours, peers } = pair;
    let data = match attempt {
        Attempt::Read => Vec::new(),
        Attempt::Write(length) => vec![b'x'; length],
    };
    let mut room = [0; 4096];
    let partner = Partner::of_this_thread(move || match attempt {
        // An error of it would show as a call that never returns.
        Attempt::Read => drop(peer_sends(&peers)),
        Attempt::Write(_) => read_all(peers.as_fd()),
    });
    let outcome = match attempt {
        Attempt::Read => read(&ours, &mut room),
        Attempt::Write(_) => write(&ours, &data),
    };
    // The peer's reading ends with this; an error means that there is nobody any more.
    let _ = shutdown(ours.as_raw_fd(), Shutdown::Write);
    let outcome = outcome.map_or_else(|error| format!("{error:?}"), |count| count.to_string());
    Ok(match partner.was_needed() {
        true => format!("waits, then {outcome}"),
        false => format!("{outcome} at once"),
    })
}
// ANCHOR_END: cell

fn peer_sends(peer: &OwnedFd) -> Result<(), CallError> {
    send(peer.as_raw_fd(), b"data1", MsgFlags::empty()).call("send")?;
    Ok(())
}
