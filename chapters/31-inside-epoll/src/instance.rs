//! An epoll instance, and what it answers in words.

use std::fmt;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use common::{Call, CallError, say};
use libc::c_int;
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::calls::{IN, OUT, Told, control, create, wait};

/// An instance.
#[derive(Debug)]
pub struct Instance(OwnedFd);

impl Instance {
    pub fn new() -> Result<Self, CallError> {
        create(libc::EPOLL_CLOEXEC).map(Self).call("epoll_create1")
    }

    pub fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    pub fn add(&self, fd: impl AsFd, events: u32) -> Result<(), CallError> {
        let fd = fd.as_fd().as_raw_fd();
        self.try_add(fd, events).call("epoll_ctl EPOLL_CTL_ADD")
    }

    pub fn try_add(&self, fd: RawFd, events: u32) -> nix::Result<()> {
        control(self.number(), libc::EPOLL_CTL_ADD, fd, events)
    }

    pub fn modify(&self, fd: RawFd, events: u32) -> nix::Result<()> {
        control(self.number(), libc::EPOLL_CTL_MOD, fd, events)
    }

    pub fn remove(&self, fd: RawFd) -> nix::Result<()> {
        control(self.number(), libc::EPOLL_CTL_DEL, fd, 0)
    }

    /// Waits, and again when a signal has interrupted it. At most `room` events; −1 milliseconds wait for ever.
    pub fn wait(&self, room: c_int, milliseconds: c_int) -> Result<Vec<Told>, CallError> {
        loop {
            match wait(self.number(), room, milliseconds) {
                Err(Errno::EINTR) => {}
                outcome => return outcome.call("epoll_wait"),
            }
        }
    }

    /// Looks without waiting, and says what epoll_wait tells.
    pub fn tells(&self, when: &str) -> anyhow::Result<()> {
        let told = self.wait(16, 0)?;
        Ok(say!("{when} it tells of {}", Words(&told))?)
    }

    // ANCHOR: tree
    /// Says what stands in its tree, as the kernel lists it: proc_pid_fdinfo(5).
    pub fn lists_its_tree(&self) -> anyhow::Result<()> {
        let path = format!("/proc/self/fdinfo/{}", self.number());
        let info = fs::read_to_string(&path).call(format_args!("read {path}"))?;
        let number = |line: &str| {
            Some(
                line.strip_prefix("tfd:")?
                    .split_whitespace()
                    .next()?
                    .to_string(),
            )
        };
        let mut entries: Vec<_> = info.lines().filter_map(number).collect();
        entries.sort_unstable();
        match entries.is_empty() {
            true => say!("its tree is empty")?,
            false => say!("in its tree: {}", entries.join(" and "))?,
        }
        Ok(())
    }
    // ANCHOR_END: tree
}

impl AsFd for Instance {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The simplest thing that can be watched, eventfd(2): a number, readable while it is not 0, writable always.
pub fn counter(value: u32) -> Result<EventFd, CallError> {
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    EventFd::from_value_and_flags(value, flags).call("eventfd")
}

/// Says how a call ended: done, or the name of its error.
pub fn says(what: fmt::Arguments, outcome: nix::Result<()>) -> anyhow::Result<()> {
    match outcome {
        Ok(()) => say!("{what}: done")?,
        Err(error) => say!("{what}: {error:?}")?,
    }
    Ok(())
}

/// What a wait told, in words: `4 EPOLLIN, 5 EPOLLIN|EPOLLOUT`.
pub struct Words<'a>(pub &'a [Told]);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        const NAMES: [(u32, &str); 5] = [
            (IN, "EPOLLIN"),
            (OUT, "EPOLLOUT"),
            (libc::EPOLLERR as u32, "EPOLLERR"),
            (libc::EPOLLHUP as u32, "EPOLLHUP"),
            (libc::EPOLLRDHUP as u32, "EPOLLRDHUP"),
        ];
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        for (number, Told { data, events }) in self.0.iter().enumerate() {
            let names = NAMES.iter().filter(|(flag, _)| events & flag != 0);
            let names: Vec<_> = names.map(|(_, name)| *name).collect();
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}{data} {}", names.join("|"))?;
        }
        Ok(())
    }
}
