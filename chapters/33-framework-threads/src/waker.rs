//! What a waker is made of: two descriptors of a pipe or a pair of sockets, or one eventfd.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use clap::ValueEnum;
use common::{Call, CallError};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{pipe2, read, write};

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Kind {
    Pipe,
    Socketpair,
    Eventfd,
}

pub const ALL: [Kind; 3] = [Kind::Pipe, Kind::Socketpair, Kind::Eventfd];

// ANCHOR: waker
/// What one thread writes to and another one waits for. Non-blocking: whoever wakes must never have to wait itself.
pub enum Waker {
    /// The end to read from, and the end to write to.
    Two(OwnedFd, OwnedFd),
    /// A number in the kernel: write(2) adds to it, read(2) takes all of it and leaves 0, eventfd(2).
    One(EventFd),
}

impl Waker {
    pub fn new(kind: Kind) -> Result<Self, CallError> {
        Ok(match kind {
            Kind::Pipe => {
                let flags = OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
                let (look, wake) = pipe2(flags).call("pipe2")?;
                Self::Two(look, wake)
            }
            Kind::Socketpair => {
                let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
                let pair = socketpair(AddressFamily::Unix, SockType::Stream, None, flags);
                let (look, wake) = pair.call("socketpair")?;
                Self::Two(look, wake)
            }
            Kind::Eventfd => {
                let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
                Self::One(EventFd::from_value_and_flags(0, flags).call("eventfd")?)
            }
        })
    }

    /// EAGAIN says that no more wake-ups fit. The one who sleeps has been woken by then, many times over.
    pub fn wake(&self) -> nix::Result<()> {
        let (fd, bytes) = match self {
            Self::Two(_, wake) => (wake.as_fd(), &[1][..]),
            Self::One(event) => (event.as_fd(), &1u64.to_ne_bytes()[..]),
        };
        write_whole(fd, bytes)
    }

    /// Takes wake-ups until there are none, and returns how many reads have brought any. An eventfd takes no read of less
    /// than 8 bytes.
    pub fn clear(&self, take: usize) -> Result<u32, CallError> {
        let (fd, size) = match self {
            Self::Two(look, _) => (look.as_fd(), take),
            Self::One(event) => (event.as_fd(), size_of::<u64>()),
        };
        let (mut buffer, mut reads) = (vec![0; size], 0);
        loop {
            match read(fd, &mut buffer) {
                Ok(_) => reads += 1,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(reads),
                Err(error) => return Err(error).call("read"),
            }
        }
    }
    // ANCHOR_END: waker

    /// What the thread that waits watches.
    pub fn look(&self) -> BorrowedFd<'_> {
        match self {
            Self::Two(look, _) => look.as_fd(),
            Self::One(event) => event.as_fd(),
        }
    }
}

/// Writes, again if a signal interrupts it. A waker takes the bytes of a wake-up whole or not at all.
pub fn write_whole(fd: BorrowedFd, bytes: &[u8]) -> nix::Result<()> {
    loop {
        match write(fd, bytes) {
            Err(Errno::EINTR) => {}
            outcome => return outcome.map(drop),
        }
    }
}
