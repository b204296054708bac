//! Signals: SIGPIPE put back to its default, and Ctrl-C as a descriptor that can be waited for.

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::call::{Call, CallError};

/// Gives SIGPIPE its default action, which ends the process, signal(7). Rust sets it to "ignored" before `main`: a
/// lesson about the signal has to say that it wants the default.
pub fn default_sigpipe() -> Result<(), CallError> {
    let action = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default action runs no code of ours.
    unsafe { sigaction(Signal::SIGPIPE, &action) }.call("sigaction SIGPIPE")?;
    Ok(())
}

/// SIGINT and SIGTERM as something to read, signalfd(2): readable once one of them has come. They are blocked for the
/// calling thread and for those that it starts afterwards, so make it first in `main`.
#[derive(Debug)]
pub struct StopSignal(SignalFd);

impl StopSignal {
    /// Blocks the two signals and opens the descriptor (non-blocking, close-on-exec).
    pub fn new() -> Result<Self, CallError> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGINT);
        signals.add(Signal::SIGTERM);
        signals.thread_block().call("sigprocmask")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self(
            SignalFd::with_flags(&signals, flags).call("signalfd")?,
        ))
    }

    /// Which signal has come, if one has.
    pub fn received(&self) -> Result<Option<Signal>, CallError> {
        let info = self.0.read_signal().call("read signalfd")?;
        Ok(info.and_then(|info| Signal::try_from(info.ssi_signo as i32).ok()))
    }
}

impl AsFd for StopSignal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
