//! Wakes a loop out of its wait: an eventfd(2), one descriptor and eight bytes where the course has a pair of sockets
//! and a byte for each wake-up. Its loop watches it like other channels.

use std::os::fd::{AsFd, BorrowedFd};

use common::{Call, CallError};
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd;

#[derive(Debug)]
pub(crate) struct Waker(EventFd);

impl Waker {
    pub(crate) fn new() -> Result<Self, CallError> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let event = EventFd::from_value_and_flags(0, flags);
        Ok(Self(event.call("eventfd")?))
    }

    // ANCHOR: waker
    /// The only error is EAGAIN, when 2⁶⁴ − 2 wake-ups are waiting already.
    pub(crate) fn wake(&self) {
        while unistd::write(&self.0, &1u64.to_ne_bytes()) == Err(Errno::EINTR) {}
    }

    /// Takes all wake-ups at once, eventfd(2).
    pub(crate) fn clear(&self) {
        let mut count = [0; 8];
        while unistd::read(&self.0, &mut count) == Err(Errno::EINTR) {}
    }
    // ANCHOR_END: waker
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
