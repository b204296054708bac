//! POLLERR, POLLHUP and POLLNVAL: nobody can ask for them, and they come all the same.

use std::os::fd::RawFd;
use std::time::Duration;

use common::{CallError, say};
use libc::{POLLHUP, POLLIN, POLLOUT, POLLPRI, POLLRDHUP, pollfd};
use nix::errno::Errno;

use super::situations::{
    Subject, both_ended, data, idle, never_connected, not_open, peer_ended, pipe_without_reader,
    pipe_without_writer, reset,
};
use crate::pollfd::poll;
use crate::probe::words;

/// What does poll say to who asks for nothing?
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Make each situation, but ask about another connection, on which nothing happens
    #[arg(long)]
    elsewhere: bool,
}

/// What stands first in a line, whereby one knows that the situation is complete, and how it is made.
type Situation = (&'static str, i16, fn() -> Result<Subject, CallError>);

// ANCHOR: situations
const SITUATIONS: &[Situation] = &[
    ("nothing has happened", POLLOUT, idle),
    ("data has come", POLLIN, data),
    ("the peer has ended (FIN)", POLLRDHUP, peer_ended),
    ("both have ended", POLLHUP, || both_ended(false)),
    ("both, with data unread", POLLHUP, || both_ended(true)),
    ("the peer has reset (RST)", POLLHUP, reset),
    ("never connected", POLLHUP, never_connected),
    ("a pipe, and no writer", POLLHUP, pipe_without_writer),
    ("a pipe, and no reader", POLLHUP, pipe_without_reader),
    ("not open", POLLHUP, not_open),
];
// ANCHOR_END: situations

/// All that can be asked for.
const EVERYTHING: i16 = POLLIN | POLLPRI | POLLOUT | POLLRDHUP;

pub fn run(args: &Args) -> anyhow::Result<()> {
    let (situation, nothing, everything) = ("situation", "asked for nothing", "asked for all");
    say!("{situation:<26} {nothing:<18} {everything:<26} then")?;
    for &(situation, complete, make) in SITUATIONS {
        let happens = make()?;
        ask(happens.number, complete, Duration::from_secs(5))?; // a segment is on its way for a moment
        let elsewhere = args.elsewhere.then(idle).transpose()?;
        let asked = elsewhere.as_ref().unwrap_or(&happens);
        // ANCHOR: ask
        let nothing = ask(asked.number, 0, Duration::ZERO)?;
        let everything = ask(asked.number, EVERYTHING, Duration::ZERO)?;
        // ANCHOR_END: ask
        let (nothing, everything) = (words(nothing), words(everything));
        let outcome = outcome(asked);
        say!("{situation:<26} {nothing:<18} {everything:<26} {outcome}")?;
        drop(happens.kept);
    }
    say!("EAGAIN: the call would have waited")?;
    Ok(())
}

/// What poll says of one number.
fn ask(number: RawFd, events: i16, wait: Duration) -> Result<i16, CallError> {
    let mut entries = [pollfd {
        fd: number,
        events,
        revents: 0,
    }];
    poll(&mut entries, Some(wait))?;
    Ok(entries[0].revents)
}

/// Makes the call that tells what it was. The descriptors do not block.
fn outcome(subject: &Subject) -> String {
    let mut buffer = *b"x1234567";
    let (fd, data) = (subject.number, buffer.as_mut_ptr().cast());
    // SAFETY: the buffer is ours and has eight bytes. Where the number is no descriptor's, the kernel says so.
    let (call, result) = unsafe {
        match subject.writes {
            true => ("write", libc::write(fd, data, 1)),
            false => ("read", libc::read(fd, data, 8)),
        }
    };
    match Errno::result(result) {
        Ok(count) => format!("{call} {count}"),
        Err(error) => format!("{call} {error:?}"),
    }
}
