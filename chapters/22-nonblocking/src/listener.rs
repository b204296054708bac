//! Taking connections from a listening socket, one that waits for them or one that does not.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use common::address::Listen;
use common::io::set_nonblocking;
use common::{Call, CallError, tcp};
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::socket::{SockFlag, accept4};

#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    pub blocking: bool,
}

impl Listener {
    pub fn new(listen: &Listen, blocking: bool) -> Result<Self, CallError> {
        let socket = tcp::listen(&listen.address())?;
        match blocking {
            true => leave_on_signals()?,
            false => set_nonblocking(&socket)?,
        }
        Ok(Self { socket, blocking })
    }

    // ANCHOR: accept
    /// The next connection, made non-blocking in the same call. `None` if there is none, or if it failed before it was
    /// taken: select(2) tells of the next one.
    pub fn accept(&self) -> Result<Option<OwnedFd>, CallError> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        match accept4(self.socket.as_raw_fd(), flags) {
            // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
            Ok(raw) => Ok(Some(unsafe { OwnedFd::from_raw_fd(raw) })),
            Err(Errno::EAGAIN | Errno::ECONNABORTED | Errno::EPROTO | Errno::EINTR) => Ok(None),
            Err(error) => Err(error).call("accept"),
        }
    }
    // ANCHOR_END: accept

    /// The same where it may wait. Meanwhile nobody waits for the signals that are to end the server, so they are let
    /// through.
    pub fn accept_and_wait(&self) -> Result<Option<OwnedFd>, CallError> {
        let signals = SigSet::from_iter(STOPPING);
        signals.thread_unblock().call("sigprocmask")?;
        let accepted = self.accept();
        signals.thread_block().call("sigprocmask")?;
        accepted
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

const STOPPING: [Signal; 2] = [Signal::SIGINT, Signal::SIGTERM];

fn leave_on_signals() -> Result<(), CallError> {
    let action = SigAction::new(
        SigHandler::Handler(leave),
        SaFlags::empty(),
        SigSet::empty(),
    );
    for signal in STOPPING {
        // SAFETY: the handler makes one call, which signal-safety(7) allows.
        unsafe { sigaction(signal, &action) }.call("sigaction")?;
    }
    Ok(())
}

extern "C" fn leave(_signal: libc::c_int) {
    // SAFETY: _exit(2) may be called at any moment, and does not return.
    unsafe { libc::_exit(0) }
}
