//! Waiting for a datagram and for Ctrl-C at once.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use common::signal::StopSignal;
use common::{Call, CallError};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

/// Waits until there is something to receive or the time is up; true when SIGINT or SIGTERM has come.
pub fn stopped(
    stop: &StopSignal,
    socket: Option<&OwnedFd>,
    wait: Option<Duration>,
) -> Result<bool, CallError> {
    let fds = [Some(stop.as_fd()), socket.map(AsFd::as_fd)];
    let fds = fds.into_iter().flatten();
    let mut fds: Vec<_> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    match ppoll(&mut fds, wait.map(TimeSpec::from_duration), None) {
        Ok(_) | Err(Errno::EINTR) => Ok(stop.received()?.is_some()),
        Err(error) => Err(error).call("ppoll"),
    }
}
