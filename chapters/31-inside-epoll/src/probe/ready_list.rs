//! The ready list: who comes on it, in which order, and who stays.

use std::os::fd::{AsFd, AsRawFd};

use common::{Call, CallError, say};
use nix::errno::Errno;
use nix::sys::eventfd::EventFd;

use crate::calls::{EDGE, IN};
use crate::instance::{Instance, counter, says};

fn write(counter: &EventFd) -> Result<(), CallError> {
    counter.write(1).map(drop).call("write")
}

/// Takes what there is to read. Nothing is no error.
fn read(counter: &EventFd) -> Result<(), CallError> {
    match counter.read() {
        Err(Errno::EAGAIN) => Ok(()),
        outcome => outcome.map(drop).call("read"),
    }
}

/// Reads what has come before it waits
#[derive(Debug, clap::Args)]
pub struct Revalidated {
    /// Leave it unread
    #[arg(long)]
    leave: bool,
}

impl Revalidated {
    // ANCHOR: revalidated
    pub fn run(&self) -> anyhow::Result<()> {
        let instance = Instance::new()?;
        let [level, edge, other] = [counter(0)?, counter(0)?, counter(0)?];
        instance.add(&level, IN)?;
        instance.add(&edge, IN | EDGE)?;
        instance.add(&other, IN)?;
        for watched in [&level, &edge, &other] {
            write(watched)?;
        }
        say!("all three are written to")?;
        if !self.leave {
            read(&level)?;
            read(&edge)?;
            say!("two of them are read")?;
        }
        instance.tells("then")
    }
    // ANCHOR_END: revalidated
}

/// Leaves two unread, level- and edge-triggered
#[derive(Debug, clap::Args)]
pub struct LevelRequeues {
    /// Make both edge-triggered
    #[arg(long)]
    edge: bool,
}

impl LevelRequeues {
    // ANCHOR: level-requeues
    pub fn run(&self) -> anyhow::Result<()> {
        let instance = Instance::new()?;
        let [level, edge] = [counter(0)?, counter(0)?];
        instance.add(&level, if self.edge { IN | EDGE } else { IN })?;
        instance.add(&edge, IN | EDGE)?;
        write(&level)?;
        write(&edge)?;
        instance.tells("first")?;
        instance.tells("then")?;
        instance.tells("and then")?;
        let fd = edge.as_fd().as_raw_fd();
        let changed = instance.modify(fd, IN | EDGE);
        says(format_args!("{fd} is changed to what it was"), changed)?;
        instance.tells("now")?;
        read(&level)?;
        read(&edge)?;
        instance.tells("when both are read,")
    }
    // ANCHOR_END: level-requeues
}

/// Makes four descriptors ready, one after the other
#[derive(Debug, clap::Args)]
pub struct ReadyListOrder {
    /// Make them ready before they are added
    #[arg(long)]
    before: bool,
}

impl ReadyListOrder {
    // ANCHOR: ready-list-order
    pub fn run(&self) -> anyhow::Result<()> {
        const ORDER: [usize; 4] = [2, 0, 3, 1];
        let instance = Instance::new()?;
        let watched = [counter(0)?, counter(0)?, counter(0)?, counter(0)?];
        let get_ready = || ORDER.iter().try_for_each(|&which| write(&watched[which]));
        if self.before {
            get_ready()?;
        }
        for counter in &watched {
            instance.add(counter, IN)?;
        }
        if !self.before {
            get_ready()?;
        }
        let numbers = ORDER.map(|which| watched[which].as_fd().as_raw_fd().to_string());
        say!("written to: {}", numbers.join(", "))?;
        instance.tells("first")?;
        let mut turns = Vec::new();
        for _ in 0..8 {
            let told = instance.wait(1, 0)?;
            turns.extend(told.iter().map(|told| told.data.to_string()));
        }
        Ok(say!("one at a time: {}", turns.join(", "))?)
    }
    // ANCHOR_END: ready-list-order
}
