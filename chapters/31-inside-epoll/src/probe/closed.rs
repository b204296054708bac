//! What becomes of an entry when its descriptor is closed.

use std::os::fd::{AsFd, AsRawFd};

use common::{Call, say};
use nix::unistd::write;

use super::tree::duplicate;
use crate::calls::IN;
use crate::instance::{Instance, counter, says};

/// Closes a descriptor that has a duplicate
#[derive(Debug, clap::Args)]
pub struct ClosedButDuplicated {
    /// Remove it from the instance before it is closed
    #[arg(long)]
    remove: bool,
}

impl ClosedButDuplicated {
    // ANCHOR: closed
    pub fn run(&self) -> anyhow::Result<()> {
        let (instance, watched) = (Instance::new()?, counter(0)?);
        let duplicate = duplicate(&watched)?;
        let (fd, other) = (watched.as_fd().as_raw_fd(), duplicate.as_raw_fd());
        says(format_args!("{fd} is added"), instance.try_add(fd, IN))?;
        if self.remove {
            says(format_args!("{fd} is removed"), instance.remove(fd))?;
        }
        drop(watched);
        say!("{fd} is closed, {other} is the same file")?;
        instance.lists_its_tree()?;
        write(&duplicate, &1_u64.to_ne_bytes()).call("write")?;
        instance.tells("after a write")?;
        says(format_args!("{fd} is removed"), instance.remove(fd))?;
        says(format_args!("{other} is removed"), instance.remove(other))?;

        // The kernel gives the lowest free number.
        let another = counter(0)?;
        let fd = another.as_fd().as_raw_fd();
        says(
            format_args!("another file, {fd}, is added"),
            instance.try_add(fd, IN),
        )?;
        instance.lists_its_tree()?;
        instance.tells("though it was not written to,")?;
        drop(duplicate);
        say!("{other} is closed, too")?;
        instance.lists_its_tree()?;
        instance.tells("now")
    }
    // ANCHOR_END: closed
}
