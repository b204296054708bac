//! epoll's calls with any argument, one that makes no sense too: epoll_create1(2), epoll_ctl(2), epoll_wait(2). The types
//! of `nix` rule out a wrong operation and a closed descriptor; here they are the subject.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use libc::c_int;
use nix::errno::Errno;

pub const IN: u32 = libc::EPOLLIN as u32;
pub const OUT: u32 = libc::EPOLLOUT as u32;
pub const EDGE: u32 = libc::EPOLLET as u32;

/// What one wait told of one descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// What the program has given to epoll_ctl: here always the descriptor's number.
    pub data: u64,
    pub events: u32,
}

// ANCHOR: calls
pub fn create(flags: c_int) -> nix::Result<OwnedFd> {
    // SAFETY: the call has no pointers.
    let raw = Errno::result(unsafe { libc::epoll_create1(flags) })?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

pub fn control(instance: RawFd, operation: c_int, fd: RawFd, events: u32) -> nix::Result<()> {
    let mut event = libc::epoll_event {
        events,
        u64: fd as u64,
    };
    // SAFETY: the pointer is to an event that lives as long as the call. The numbers may be anything.
    Errno::result(unsafe { libc::epoll_ctl(instance, operation, fd, &raw mut event) }).map(drop)
}

/// `room` is the third argument, for how many events there is room.
pub fn wait(instance: RawFd, room: c_int, milliseconds: c_int) -> nix::Result<Vec<Told>> {
    let nothing = libc::epoll_event { events: 0, u64: 0 };
    let mut events = vec![nothing; usize::try_from(room).unwrap_or(0)];
    // SAFETY: there is room for as many events as the call is told, and where that is none it writes nothing.
    let outcome = unsafe { libc::epoll_wait(instance, events.as_mut_ptr(), room, milliseconds) };
    events.truncate(Errno::result(outcome)? as usize);
    let told = events.iter().map(|event| Told {
        data: event.u64,
        events: event.events,
    });
    Ok(told.collect())
}
// ANCHOR_END: calls
