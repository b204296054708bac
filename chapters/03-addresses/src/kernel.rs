//! Asks the kernel what it makes of an address of a certain length.

use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};

use common::{Call, say};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::addresses::Address;
use crate::layout::{self, Layout};

/// Binds with the least length that the kernel takes, one byte less, and the full one, and shows the length of what
/// getsockname(2) gives back.
pub fn ask(address: &Address) -> anyhow::Result<()> {
    let full = address.bytes.len();
    // ANCHOR: least
    let mut lengths = match address.layout.name {
        name if name == layout::SOCKADDR_IN.name => vec![full - 1],
        // RFC 2133 had no scope: its sockaddr_in6 ends before that field, and the kernel still takes it.
        name if name == layout::SOCKADDR_IN6.name => vec![full - 5, full - 4],
        _ => Vec::new(), // a local address may have any length
    };
    // ANCHOR_END: least
    lengths.push(full);
    for length in lengths {
        let fresh = open(&address.layout)?;
        match bind(&fresh, &address.bytes[..length]) {
            Ok(()) => {
                say!("  bind with {length} bytes: success")?;
                say!(
                    "  getsockname: {} bytes",
                    length_of_name(&fresh).call("getsockname")?
                )?;
                if address.layout.name == layout::SOCKADDR_UN.name {
                    // This bind has made it, so it is ours to remove.
                    fs::remove_file(&address.text).call(format_args!("remove {}", address.text))?;
                }
            }
            Err(error) => say!("  bind with {length} bytes: {error:?}")?,
        }
    }
    Ok(())
}

fn open(layout: &Layout) -> anyhow::Result<OwnedFd> {
    let family = match layout.name {
        name if name == layout::SOCKADDR_IN.name => AddressFamily::Inet,
        name if name == layout::SOCKADDR_IN6.name => AddressFamily::Inet6,
        _ => AddressFamily::Unix,
    };
    Ok(socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).call("socket")?)
}

// ANCHOR: bind
/// bind(2) with any bytes at all: the generic pointer and the length are what lets one call take every format.
fn bind(socket: &OwnedFd, address: &[u8]) -> Result<(), Errno> {
    // SAFETY: the kernel reads `address.len()` bytes from the pointer, whatever they are.
    let outcome = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            address.as_ptr().cast(),
            address.len() as libc::socklen_t,
        )
    };
    Errno::result(outcome).map(drop)
}
// ANCHOR_END: bind

/// How long the kernel says the socket's own address is.
fn length_of_name(socket: &OwnedFd) -> Result<libc::socklen_t, Errno> {
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: both pointers are to values of the sizes that are given.
    let outcome =
        unsafe { libc::getsockname(socket.as_raw_fd(), storage.as_mut_ptr().cast(), &mut length) };
    Errno::result(outcome).map(|_| length)
}
