//! A table: what select(2) says of a descriptor, what poll(2) says, and what the calls do that are said to be ready.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use common::{Call, CallError, say};
use nix::errno::Errno;
use nix::sys::select::{FdSet, select};
use nix::sys::socket::{SockFlag, accept4};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::{read, write};

use crate::set::insert;

/// A descriptor in some situation. None of its calls block.
pub struct Subject {
    pub watched: OwnedFd,
    /// What has to stay open as long as it is looked at.
    pub others: Vec<OwnedFd>,
    pub complete: Complete,
}

/// Makes a situation.
pub type Make = fn() -> Result<Subject, CallError>;

/// Whereby one knows that the situation is complete. On its way from one end to the other a segment takes a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Complete {
    AtOnce,
    In,
    Out,
    Pri,
    Hup,
    RdHup,
}

/// A call that select is asked for.
#[derive(Debug, Clone, Copy)]
pub enum Attempt {
    Read,
    Write,
    Accept,
}

pub fn header() -> anyhow::Result<()> {
    let (situation, select, poll) = ("situation", "select says", "poll says");
    say!("{situation:<33} {select:<17} {poll:<21} then")?;
    Ok(())
}

// ANCHOR: row
/// A line of the table. The situation is made anew for each attempt: one call may change what the next one finds.
pub fn row(
    situation: &str,
    attempts: &[Attempt],
    make: impl Fn() -> Result<Subject, CallError>,
) -> anyhow::Result<()> {
    let mut told = None;
    let mut outcomes = Vec::new();
    for attempt in attempts {
        let subject = make()?;
        let fd = subject.watched.as_fd();
        poll_for(fd, subject.complete)?;
        if told.is_none() {
            told = Some((ask_select(fd)?, ask_poll(fd)?));
        }
        let (name, result) = outcome(fd, *attempt);
        match outcomes.last_mut() {
            // Both failed in the same way: said in one.
            Some((names, same)) if *same == result => *names = format!("{names} and {name}"),
            _ => outcomes.push((name.to_string(), result)),
        }
    }
    let (select, poll) = told.unwrap_or_default();
    let outcomes: Vec<_> = outcomes
        .iter()
        .map(|(names, result)| format!("{names} {result}"))
        .collect();
    let outcomes = outcomes.join(", ");
    say!("{situation:<33} {select:<17} {poll:<21} {outcomes}")?;
    Ok(())
}

/// Asks select about one descriptor, in all three sets, without waiting.
fn ask_select(fd: BorrowedFd) -> anyhow::Result<String> {
    let mut sets = [FdSet::new(), FdSet::new(), FdSet::new()];
    for set in &mut sets {
        insert(set, fd)?;
    }
    let [read, write, except] = &mut sets;
    let mut at_once = TimeVal::zero();
    select(fd.as_raw_fd() + 1, read, write, except, &mut at_once).call("select")?;
    let says = |set: usize, word| if sets[set].contains(fd) { word } else { "" };
    Ok(format!(
        "{:<5}{:<6}{}",
        says(0, "read"),
        says(1, "write"),
        says(2, "except")
    ))
}
// ANCHOR_END: row

/// Words of poll(2), in the order of the table.
const WORDS: [(i16, &str); 6] = [
    (libc::POLLIN, "IN"),
    (libc::POLLPRI, "PRI"),
    (libc::POLLOUT, "OUT"),
    (libc::POLLERR, "ERR"),
    (libc::POLLHUP, "HUP"),
    (libc::POLLRDHUP, "RDHUP"),
];

/// The same question to poll, which has more words for the answer.
fn ask_poll(fd: BorrowedFd) -> Result<String, CallError> {
    let everything = WORDS.iter().fold(0, |all, (flag, _)| all | flag);
    let came = poll(fd, everything, 0)?;
    let words = WORDS.iter().filter(|(flag, _)| came & flag != 0);
    let words: Vec<_> = words.map(|(_, word)| *word).collect();
    Ok(words.join(" "))
}

/// Waits until the situation is complete, but not for ever. Whether it is.
pub fn poll_for(fd: BorrowedFd, complete: Complete) -> Result<bool, CallError> {
    let (events, milliseconds) = match complete {
        Complete::AtOnce => return Ok(true),
        Complete::Out => (libc::POLLOUT, 200), // it is expected not to come
        Complete::In => (libc::POLLIN, 5000),
        Complete::Pri => (libc::POLLPRI, 5000),
        Complete::Hup => (libc::POLLHUP, 5000),
        Complete::RdHup => (libc::POLLRDHUP, 5000),
    };
    Ok(poll(fd, events, milliseconds)? != 0)
}

/// poll(2) with one descriptor. The type of `nix` has no name for POLLRDHUP, and drops what it cannot name.
fn poll(fd: BorrowedFd, events: i16, milliseconds: i32) -> Result<i16, CallError> {
    let mut entry = libc::pollfd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    };
    loop {
        // SAFETY: the pointer is to one entry that lives as long as the call.
        match Errno::result(unsafe { libc::poll(&raw mut entry, 1, milliseconds) }) {
            Err(Errno::EINTR) => {}
            outcome => return outcome.map(|_| entry.revents).call("poll"),
        }
    }
}

/// Makes the call once. EAGAIN means that it would have waited.
fn outcome(fd: BorrowedFd, attempt: Attempt) -> (&'static str, String) {
    let count = |count: usize| count.to_string();
    let (name, outcome) = match attempt {
        Attempt::Read => ("read", read(fd, &mut [0; 4096]).map(count)),
        Attempt::Write => ("write", write(fd, b"x").map(count)),
        Attempt::Accept => ("accept", accept(fd).map(|_| "succeeds".to_string())),
    };
    (name, outcome.unwrap_or_else(|error| format!("{error:?}")))
}

fn accept(listener: BorrowedFd) -> nix::Result<OwnedFd> {
    let raw = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}
