//! A table: what select(2) says of a descriptor, what poll(2) says, and what the calls do that are said to be ready.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use common::{Call, CallError, say};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::select::{FdSet, select};
use nix::sys::socket::{SockFlag, accept4};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::{read, write};

use crate::set::insert;

/// How long to wait for what the other end has done to arrive, in milliseconds.
const ARRIVES: u16 = 2000;

/// A descriptor in some situation, none of its calls blocking.
pub struct Subject {
    pub watched: OwnedFd,
    /// What has to stay open as long as it is looked at.
    pub others: Vec<OwnedFd>,
    /// What poll tells when the situation is complete. Empty: it is complete from the start.
    pub complete: PollFlags,
}

/// A call that select is asked for.
#[derive(Debug, Clone, Copy)]
pub enum Attempt {
    Read,
    Write,
    Accept,
}

pub fn header() -> anyhow::Result<()> {
    say!("situation                          select says         poll says         then")?;
    Ok(())
}

// ANCHOR: look
/// A line of the table. The situation is made anew for each attempt: one call may change what the next one finds.
pub fn row(
    situation: &str,
    attempts: &[Attempt],
    make: impl Fn() -> Result<Subject, CallError>,
) -> anyhow::Result<()> {
    let subject = make()?;
    wait(&subject)?;
    let ready = ask(&subject)?;
    let polled = polled(&subject)?;
    let mut outcomes = vec![outcome(&subject, attempts[0])];
    for attempt in &attempts[1..] {
        let subject = make()?;
        wait(&subject)?;
        outcomes.push(outcome(&subject, *attempt));
    }
    let outcomes = outcomes.join(", ");
    say!("{situation:<34} {ready:<19} {polled:<17} {outcomes}")?;
    Ok(())
}

/// Asks select about one descriptor, in all three sets, without waiting.
fn ask(subject: &Subject) -> anyhow::Result<String> {
    let fd = subject.watched.as_fd();
    let mut sets = [FdSet::new(), FdSet::new(), FdSet::new()];
    for set in &mut sets {
        insert(set, fd)?;
    }
    let [read, write, except] = &mut sets;
    let mut at_once = TimeVal::zero();
    select(fd.as_raw_fd() + 1, read, write, except, &mut at_once).call("select")?;
    let says = |set: &FdSet, word| if set.contains(fd) { word } else { "" };
    let [read, write, except] = &sets;
    let (read, write, except) = (says(read, "read"), says(write, "write"), says(except, "except"));
    Ok(format!("{read:<5}{write:<6}{except}"))
}
// ANCHOR_END: look

/// Waits until the situation is as its name says, or for two seconds.
fn wait(subject: &Subject) -> Result<(), CallError> {
    if !subject.complete.is_empty() {
        let mut fds = [PollFd::new(subject.watched.as_fd(), subject.complete)];
        poll(&mut fds, PollTimeout::from(ARRIVES)).call("poll")?;
    }
    Ok(())
}

/// The same question to poll, which has more words for the answer.
fn polled(subject: &Subject) -> Result<String, CallError> {
    const WORDS: [(PollFlags, &str); 6] = [
        (PollFlags::POLLIN, "IN"),
        (PollFlags::POLLPRI, "PRI"),
        (PollFlags::POLLOUT, "OUT"),
        (PollFlags::POLLERR, "ERR"),
        (PollFlags::POLLHUP, "HUP"),
        (RDHUP, "RDHUP"),
    ];
    let asked = PollFlags::POLLIN | PollFlags::POLLPRI | PollFlags::POLLOUT | RDHUP;
    let mut fds = [PollFd::new(subject.watched.as_fd(), asked)];
    poll(&mut fds, PollTimeout::ZERO).call("poll")?;
    let came = fds[0].revents().unwrap_or(PollFlags::empty());
    let words = WORDS.iter().filter(|(flag, _)| came.contains(*flag));
    let words: Vec<_> = words.map(|(_, word)| *word).collect();
    Ok(words.join(" "))
}

/// The peer has ended its direction; the name is Linux's own, poll(2).
pub const RDHUP: PollFlags = PollFlags::from_bits_retain(libc::POLLRDHUP);

/// Makes the call once. EAGAIN means that it would have waited.
fn outcome(subject: &Subject, attempt: Attempt) -> String {
    let fd = subject.watched.as_fd();
    let count = |count: usize| count.to_string();
    let (name, outcome) = match attempt {
        Attempt::Read => ("read", read(fd, &mut [0; 4096]).map(count)),
        Attempt::Write => ("write", write(fd, b"x").map(count)),
        Attempt::Accept => ("accept", accept(fd).map(|_| "succeeds".to_string())),
    };
    format!("{name} {}", outcome.unwrap_or_else(|error| format!("{error:?}")))
}

fn accept(listener: BorrowedFd) -> nix::Result<OwnedFd> {
    let raw = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}
