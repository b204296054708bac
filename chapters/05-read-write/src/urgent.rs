//! Urgent data, seen and read apart from the stream: tcp(7).

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use common::text::printable;
use common::{Call, CallError, say};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};

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

/// Waits until a whole block is there, or the end. Urgent data is an exceptional condition, POLLPRI, and read apart
/// from the stream with MSG_OOB: it overtakes all that was sent before it and not read yet.
pub fn await_block(connection: &OwnedFd) -> anyhow::Result<()> {
    loop {
        let mut wait = [PollFd::new(
            connection.as_fd(),
            PollFlags::POLLIN | PollFlags::POLLPRI,
        )];
        match poll(&mut wait, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            ready => ready.call("poll")?,
        };
        let ready = wait[0].revents().unwrap_or(PollFlags::empty());
        if !ready.contains(PollFlags::POLLPRI) {
            return Ok(());
        }
        let mut urgent = [0];
        recv(connection.as_raw_fd(), &mut urgent, MsgFlags::MSG_OOB).call("recv MSG_OOB")?;
        say!("urgent byte {}", printable(&urgent))?;
    }
}
// ANCHOR_END: urgent
