//! SIGCHLD, and the four ways to deal with it.

use std::os::fd::{AsFd, BorrowedFd};

use clap::ValueEnum;
use common::output::OutputError;
use common::{Call, CallError, say};
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, wait, waitpid};
use nix::unistd::Pid;

/// What the server does about children that have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reap {
    /// In a handler for SIGCHLD: waitpid(2) until there is none left
    Waitpid,
    /// In a handler for SIGCHLD: wait(2) once. Wrong on purpose: signals do not queue
    Wait,
    /// Nothing: each of them stays as a zombie
    None,
    /// No handler: SIGCHLD is read from a descriptor, signalfd(2)
    Signalfd,
}

// ANCHOR: register
/// For the two ways that need a handler. With SA_RESTART an accept(2) that the signal interrupts goes on, signal(7).
pub fn handle_sigchld(reap: Reap) -> Result<(), CallError> {
    let handler = match reap {
        Reap::Waitpid => SigHandler::Handler(wait_for_all),
        Reap::Wait => SigHandler::Handler(wait_for_one),
        Reap::None | Reap::Signalfd => return Ok(()),
    };
    let flags = SaFlags::SA_RESTART | SaFlags::SA_NOCLDSTOP;
    let action = SigAction::new(handler, flags, SigSet::empty());
    // SAFETY: the handlers call wait4(2), which signal-safety(7) allows, and put errno back.
    unsafe { sigaction(Signal::SIGCHLD, &action) }.call("sigaction SIGCHLD")?;
    Ok(())
}
// ANCHOR_END: register

// ANCHOR: handlers
extern "C" fn wait_for_all(_: i32) {
    let errno = Errno::last();
    // WNOHANG: those that are left still live, and the handler must not wait for them.
    while waitpid(None, Some(WaitPidFlag::WNOHANG))
        .is_ok_and(|status| status != WaitStatus::StillAlive)
    {}
    errno.set();
}

extern "C" fn wait_for_one(_: i32) {
    let errno = Errno::last();
    let _ = wait();
    errno.set();
}
// ANCHOR_END: handlers

// ANCHOR: signalfd
/// SIGCHLD, SIGINT and SIGTERM as something to read. A blocked signal waits, so nothing is missed between two looks; and
/// what is done about it is done in the main program, which may allocate, lock and print.
pub struct Signals(SignalFd);

impl Signals {
    /// Blocks the signals, in this thread and in every process that it makes from now on.
    pub fn new() -> Result<Self, CallError> {
        let signals = Self::set();
        signals.thread_block().call("sigprocmask")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self(
            SignalFd::with_flags(&signals, flags).call("signalfd")?,
        ))
    }

    /// The next one that has come. A second SIGCHLD before the first is read is none: it does not queue here either.
    pub fn next(&self) -> Result<Option<Signal>, CallError> {
        let info = self.0.read_signal().call("read signalfd")?;
        Ok(info.and_then(|info| Signal::try_from(info.ssi_signo as i32).ok()))
    }

    /// For a child, which inherits the mask: Ctrl-C shall end it.
    pub fn unblock() -> Result<(), CallError> {
        Self::set().thread_unblock().call("sigprocmask")
    }

    fn set() -> SigSet {
        SigSet::from_iter([Signal::SIGCHLD, Signal::SIGINT, Signal::SIGTERM])
    }
}
// ANCHOR_END: signalfd

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Asks after every child that has ended, says how it did, and returns which they were.
pub fn reap() -> Result<Vec<Pid>, OutputError> {
    let mut ended = Vec::new();
    loop {
        // Anything else is StillAlive, or ECHILD: there is no child at all.
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => {
                say!("child {pid} terminated: exit code {code}")?;
                ended.push(pid);
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) => {
                say!("child {pid} terminated: {signal}")?;
                ended.push(pid);
            }
            _ => return Ok(ended),
        }
    }
}
