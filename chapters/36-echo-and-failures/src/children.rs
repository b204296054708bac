//! SIGCHLD: a child has ended, and waits to be asked how, wait(2).

use std::io::Write;

use clap::ValueEnum;
use common::{Call, CallError};
use nix::errno::Errno;
use nix::libc::STDOUT_FILENO;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::wait::{WaitPidFlag, WaitStatus, wait, waitpid};

/// What the server does about children that have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reap {
    /// Nothing: each of them stays as a zombie
    None,
    /// One wait(2) for each SIGCHLD. Wrong on purpose: signals do not queue
    Wait,
    /// waitpid(2) until there is none left
    Waitpid,
}

/// Registers the handler. Without `restart` the system call that the signal interrupts fails with EINTR, signal(7).
pub fn handle_sigchld(reap: Reap, restart: bool) -> Result<(), CallError> {
    // ANCHOR: register
    let handler = match reap {
        Reap::None => return Ok(()), // the default action of SIGCHLD: nothing
        Reap::Wait => SigHandler::Handler(reap_one),
        Reap::Waitpid => SigHandler::Handler(reap_all),
    };
    // A child that is only stopped is no reason to wait for it.
    let mut flags = SaFlags::SA_NOCLDSTOP;
    flags.set(SaFlags::SA_RESTART, restart);
    let action = SigAction::new(handler, flags, SigSet::empty());
    // SAFETY: the handlers call wait4(2) and write(2), which signal-safety(7) allows, and put errno back.
    unsafe { sigaction(Signal::SIGCHLD, &action) }.call("sigaction SIGCHLD")?;
    // ANCHOR_END: register
    Ok(())
}

// ANCHOR: handlers
extern "C" fn reap_one(_: i32) {
    let errno = Errno::last();
    if let Ok(status) = wait() {
        report(status);
    }
    errno.set();
}

extern "C" fn reap_all(_: i32) {
    let errno = Errno::last();
    // WNOHANG: return once the children that are left still run. Without it the handler would wait for them.
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            break;
        }
        report(status);
    }
    errno.set();
}
// ANCHOR_END: handlers

// ANCHOR: report
/// A line of output from within a handler: no allocation and no lock, so not `say!`. The main program may be in the
/// middle of either.
fn report(status: WaitStatus) {
    const ROOM: usize = 80;
    let mut line = [0; ROOM];
    let mut rest = &mut line[..];
    // Numbers and names are formatted on the stack. A line that did not fit would be cut.
    let _ = match status {
        WaitStatus::Exited(pid, code) => writeln!(rest, "child {pid} terminated: exit code {code}"),
        WaitStatus::Signaled(pid, signal, _) => writeln!(rest, "child {pid} terminated: {signal}"),
        _ => return,
    };
    let length = ROOM - rest.len();
    // SAFETY: the buffer is ours and `length` is within it. There is nobody to tell of an error.
    unsafe { nix::libc::write(STDOUT_FILENO, line.as_ptr().cast(), length) };
}
// ANCHOR_END: report

/// The set of SIGCHLD alone, for [`SigSet::thread_block`].
pub fn sigchld() -> SigSet {
    let mut set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    set
}
