//! The file of a local socket: bind(2) makes it, and nobody but the program removes it.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use common::{Call, CallError};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, bind, connect, socket};
use nix::unistd::unlink;

use crate::name::Name;

/// The file that belongs to a bound socket. It is removed when this value goes; an abstract name has none.
pub struct SocketFile(Option<(PathBuf, Identity)>);

/// Device and inode: what a file is, whatever it is called.
type Identity = (u64, u64);

impl SocketFile {
    // ANCHOR: bind
    /// Binds a socket to its name. With `replace`, a socket file that nobody listens on any
    /// more is removed first.
    pub fn bind(socket: &OwnedFd, name: &Name, replace: bool) -> Result<Self, CallError> {
        let address = name.address()?;
        let mut outcome = bind(socket.as_raw_fd(), &address);
        if outcome == Err(Errno::EADDRINUSE)
            && replace
            && let Some(path) = name.path()
            && is_stale(path, name)?
        {
            unlink(path).call(format_args!("unlink {name}"))?;
            outcome = bind(socket.as_raw_fd(), &address);
        }
        outcome.call(format_args!("bind {name}"))?;
        let made = name
            .path()
            .and_then(|path| Some((path.into(), identity(path)?)));
        Ok(Self(made))
    }
    // ANCHOR_END: bind
}

// ANCHOR: stale
/// Whether this is a socket file whose server is gone. Anything else is somebody's: a file, a
/// directory, a link, a socket that is in use.
fn is_stale(path: &Path, name: &Name) -> Result<bool, CallError> {
    // Of the name itself, not of what a symbolic link leads to.
    if !fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
        return Ok(false);
    }
    // A datagram socket asks without disturbing anybody: a stream server sees no connection,
    // its kernel says EPROTOTYPE.
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let probe = socket(AddressFamily::Unix, SockType::Datagram, flags, None).call("socket")?;
    Ok(connect(probe.as_raw_fd(), &name.address()?) == Err(Errno::ECONNREFUSED))
}
// ANCHOR_END: stale

// ANCHOR: remove
impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody may have put another file there meanwhile. That one is not ours.
        if let Some((path, ours)) = &self.0
            && identity(path) == Some(*ours)
        {
            // Nothing can be done about a failure at the end of the program.
            let _ = unlink(path.as_path());
        }
    }
}
// ANCHOR_END: remove

/// The identity of a socket file; `None` for anything else.
fn identity(path: &Path) -> Option<Identity> {
    let file = fs::symlink_metadata(path).ok()?;
    file.file_type()
        .is_socket()
        .then(|| (file.dev(), file.ino()))
}
