//! What epoll refuses.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use common::{Call, say};
use libc::{EPOLL_CTL_ADD, c_int};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::calls::{IN, control, create, wait};
use crate::instance::{Instance, counter, says};

/// Adds files that are always ready
#[derive(Debug, clap::Args)]
pub struct RegularFile {
    /// What to add, opened for reading
    #[arg(value_name = "FILE", default_values = ["/proc/self/exe", "/", "/dev/null"])]
    files: Vec<PathBuf>,
}

impl RegularFile {
    // ANCHOR: regular-file
    pub fn run(&self) -> anyhow::Result<()> {
        let instance = Instance::new()?;
        for path in &self.files {
            let mut options = File::options();
            // Without O_NONBLOCK a named pipe would wait for its writer.
            let file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path);
            let file = file.call(format_args!("open {}", path.display()))?;
            let mut asked = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
            let ready = poll(&mut asked, PollTimeout::ZERO).call("poll")? == 1;
            let ready = if ready { "ready" } else { "not ready" };
            let added = instance.try_add(file.as_raw_fd(), IN);
            says(
                format_args!("{}: poll says {ready}, epoll_ctl", path.display()),
                added,
            )?;
        }
        Ok(())
    }
    // ANCHOR_END: regular-file
}

/// Takes something else for an instance
#[derive(Debug, clap::Args)]
pub struct NotAnEpoll {
    /// Take an instance
    #[arg(long)]
    instance: bool,
}

impl NotAnEpoll {
    pub fn run(&self) -> anyhow::Result<()> {
        let (instance, eventfd, watched) = (Instance::new()?, counter(0)?, counter(1)?);
        let (used, name) = match self.instance {
            true => (instance.number(), "an instance"),
            false => (eventfd.as_fd().as_raw_fd(), "an eventfd"),
        };
        let fd = watched.as_fd().as_raw_fd();
        says(
            format_args!("{fd} is added to {used}, {name}"),
            control(used, EPOLL_CTL_ADD, fd, IN),
        )?;
        says(
            format_args!("{used} is waited for"),
            wait(used, 1, 0).map(drop),
        )?;
        let own = instance.number();
        says(
            format_args!("{own}, the instance, is added to itself"),
            instance.try_add(own, IN),
        )?;
        let closed = counter(0)?.as_fd().as_raw_fd(); // dropped in this line
        says(
            format_args!("{closed}, which is closed, is added"),
            instance.try_add(closed, IN),
        )
    }
}

/// Passes arguments that make no sense
#[derive(Debug, clap::Args)]
pub struct BadArguments {
    /// Pass some that do
    #[arg(long)]
    good: bool,
}

impl BadArguments {
    // ANCHOR: bad-arguments
    pub fn run(&self) -> anyhow::Result<()> {
        const NO_FLAG: c_int = 0x4000;
        const NO_OPERATION: c_int = 4711;
        const NO_EVENT: u32 = 1 << 26;
        let or = |bad, good| if self.good { good } else { bad };

        let (flag, room) = (or(NO_FLAG, 0), or(0, 2));
        let made = create(libc::EPOLL_CLOEXEC | flag).map(drop);
        says(format_args!("an instance with the flag {flag:#x}"), made)?;
        let (instance, watched) = (Instance::new()?, counter(1)?);
        let (number, fd) = (instance.number(), watched.as_fd().as_raw_fd());
        for room in [room, or(-1, 1)] {
            let outcome = wait(number, room, 0).map(drop);
            says(format_args!("a wait with room for {room} events"), outcome)?;
        }
        let operation = or(NO_OPERATION, EPOLL_CTL_ADD);
        let outcome = control(number, operation, fd, IN);
        says(format_args!("{fd}, operation {operation}"), outcome)?;
        if self.good {
            return Ok(());
        }
        let outcome = instance.try_add(fd, IN | NO_EVENT);
        says(
            format_args!("{fd} is added for EPOLLIN and {NO_EVENT:#x}"),
            outcome,
        )?;
        instance.tells("now")?;
        Ok(say!("of what it does not know, it never tells")?)
    }
    // ANCHOR_END: bad-arguments
}
