//! Urgent data, seen and read apart from the stream: tcp(7).

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use common::text::printable;
use common::{Call, CallError, say};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::select::{FdSet, select};
use nix::sys::socket::{MsgFlags, recv};

/// The call that waits.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Watch {
    /// poll(2)
    Poll,
    /// select(2)
    Select,
}

// ANCHOR: urgent
/// Readable shall mean that a whole block is there, SO_RCVLOWAT in socket(7): a readn that had to wait for the rest of a
/// block would be deaf to POLLPRI.
pub fn readable_by_block(connection: &OwnedFd, block: usize) -> Result<(), CallError> {
    let low_water = block as libc::c_int;
    // SAFETY: the kernel reads one integer, and is told its size.
    let outcome = unsafe {
        libc::setsockopt(
            connection.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            (&raw const low_water).cast(),
            size_of_val(&low_water) as libc::socklen_t,
        )
    };
    Errno::result(outcome).call("setsockopt SO_RCVLOWAT")?;
    Ok(())
}

/// Waits until a whole block is there, or the end. Urgent data is read apart from the stream with MSG_OOB: it overtakes
/// all that was sent before it and not read yet.
pub fn await_block(connection: &OwnedFd, watch: Watch) -> anyhow::Result<()> {
    loop {
        let outcome = match watch {
            Watch::Poll => exceptional_by_poll(connection).call("poll"),
            Watch::Select => exceptional_by_select(connection).call("select"),
        };
        if !outcome? {
            return Ok(());
        }
        let mut urgent = [0];
        recv(connection.as_raw_fd(), &mut urgent, MsgFlags::MSG_OOB).call("recv MSG_OOB")?;
        say!("urgent byte {}", printable(&urgent))?;
    }
}

/// Waits. True for urgent data, an exceptional condition that poll(2) calls POLLPRI.
fn exceptional_by_poll(connection: &OwnedFd) -> nix::Result<bool> {
    let mut wait = [PollFd::new(
        connection.as_fd(),
        PollFlags::POLLIN | PollFlags::POLLPRI,
    )];
    loop {
        match poll(&mut wait, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            ready => ready?,
        };
        let ready = wait[0].revents().unwrap_or(PollFlags::empty());
        return Ok(ready.contains(PollFlags::POLLPRI));
    }
}

/// The same with select(2), whose third set is that of exceptional conditions.
fn exceptional_by_select(connection: &OwnedFd) -> nix::Result<bool> {
    loop {
        let (mut readable, mut exceptional) = (FdSet::new(), FdSet::new());
        readable.insert(connection.as_fd());
        exceptional.insert(connection.as_fd());
        match select(None, &mut readable, None, &mut exceptional, None) {
            Err(Errno::EINTR) => continue,
            ready => ready?,
        };
        return Ok(exceptional.contains(connection.as_fd()));
    }
}
// ANCHOR_END: urgent
