//! The tree: an entry for each pair of a file and a descriptor's number.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use common::Call;
use nix::fcntl::{FcntlArg, fcntl};

use crate::calls::{IN, OUT};
use crate::instance::{Instance, counter, says};

/// Adds a descriptor that is there already
#[derive(Debug, clap::Args)]
pub struct AddTwice {
    /// Remove it in between
    #[arg(long)]
    remove: bool,
}

impl AddTwice {
    // ANCHOR: add-twice
    pub fn run(&self) -> anyhow::Result<()> {
        let (instance, watched) = (Instance::new()?, counter(0)?);
        let fd = watched.as_fd().as_raw_fd();
        says(
            format_args!("{fd} is added for EPOLLIN"),
            instance.try_add(fd, IN),
        )?;
        if self.remove {
            says(format_args!("{fd} is removed"), instance.remove(fd))?;
        }
        says(
            format_args!("{fd} is added for EPOLLOUT"),
            instance.try_add(fd, OUT),
        )?;
        instance.lists_its_tree()?;
        instance.tells("now") // it is writable
    }
    // ANCHOR_END: add-twice
}

/// Changes and removes a descriptor that is not there
#[derive(Debug, clap::Args)]
pub struct ModUnknown {
    /// Add it first
    #[arg(long)]
    add: bool,
}

impl ModUnknown {
    pub fn run(&self) -> anyhow::Result<()> {
        let (instance, watched) = (Instance::new()?, counter(0)?);
        let fd = watched.as_fd().as_raw_fd();
        if self.add {
            says(format_args!("{fd} is added"), instance.try_add(fd, IN))?;
        }
        says(format_args!("{fd} is changed"), instance.modify(fd, OUT))?;
        instance.tells("now")?;
        says(format_args!("{fd} is removed"), instance.remove(fd))?;
        instance.lists_its_tree()
    }
}

/// Adds one file under two numbers
#[derive(Debug, clap::Args)]
pub struct OneFileTwoDescriptors {
    /// Add it under the same number twice
    #[arg(long)]
    same: bool,
}

impl OneFileTwoDescriptors {
    // ANCHOR: two-descriptors
    pub fn run(&self) -> anyhow::Result<()> {
        let (instance, watched) = (Instance::new()?, counter(0)?);
        let duplicate = duplicate(&watched)?;
        let fd = watched.as_fd().as_raw_fd();
        let other = if self.same { fd } else { duplicate.as_raw_fd() };
        says(format_args!("{fd} is added"), instance.try_add(fd, IN))?;
        says(
            format_args!("{other} is added"),
            instance.try_add(other, IN),
        )?;
        instance.lists_its_tree()?;
        watched.write(1).call("write")?;
        instance.tells("after one write")?;
        says(format_args!("{fd} is removed"), instance.remove(fd))?;
        instance.tells("now")
    }
    // ANCHOR_END: two-descriptors
}

/// Another descriptor for the same open file, dup(2): what is written to one is read from the other.
pub fn duplicate(fd: impl AsFd) -> anyhow::Result<OwnedFd> {
    let raw = fcntl(&fd, FcntlArg::F_DUPFD_CLOEXEC(0)).call("fcntl F_DUPFD_CLOEXEC")?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}
