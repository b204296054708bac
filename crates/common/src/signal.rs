//! Signals: SIGPIPE put back to its default, and Ctrl-C as a descriptor that can be waited for.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use nix::unistd::{Pid, getppid};

use crate::call::{Call, CallError};

/// Gives SIGPIPE its default action, which ends the process, signal(7). Rust sets it to "ignored" before `main`: a
/// lesson about the signal has to say that it wants the default.
pub fn default_sigpipe() -> Result<(), CallError> {
    let action = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default action runs no code of ours.
    unsafe { sigaction(Signal::SIGPIPE, &action) }.call("sigaction SIGPIPE")?;
    Ok(())
}

/// In a child: the kernel sends `signal` when `parent` ends, even if it is killed and cannot say so, prctl(2). False when
/// it has ended already: then nothing will come.
pub fn ends_with(parent: Pid, signal: Signal) -> Result<bool, CallError> {
    set_pdeathsig(signal).call("prctl PR_SET_PDEATHSIG")?;
    Ok(getppid() == parent)
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

    /// Waits until there is something to read, or to accept, or the time is up; true when SIGINT or SIGTERM has come.
    /// Without a source it waits for the signal, without a time for as long as it takes. It may also return early: look
    /// whether there is anything.
    pub fn comes_while(
        &self,
        source: Option<BorrowedFd>,
        wait: Option<Duration>,
    ) -> Result<bool, CallError> {
        let fds = [Some(self.as_fd()), source].into_iter().flatten();
        let mut fds: Vec<_> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match ppoll(&mut fds, wait.map(TimeSpec::from_duration), None) {
            Ok(_) | Err(Errno::EINTR) => Ok(self.received()?.is_some()),
            Err(error) => Err(error).call("ppoll"),
        }
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
