//! Descriptors that fit into a set of select(2).

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use common::{Call, CallError};
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::select::{FD_SETSIZE, FdSet};

/// A descriptor whose number has no place in a set.
#[derive(Debug)]
pub struct TooHigh(i32);

impl std::error::Error for TooHigh {}

impl std::fmt::Display for TooHigh {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let number = self.0;
        write!(
            f,
            "descriptor {number}: select takes only numbers below {FD_SETSIZE} (FD_SETSIZE)"
        )
    }
}

// ANCHOR: insert
/// Puts a descriptor into a set. A set is an array of FD_SETSIZE bits, and the number is the place in it. FD_SET of C
/// does not look, and writes behind the end of the array; the function of `nix` panics.
pub fn insert<'fd>(set: &mut FdSet<'fd>, fd: BorrowedFd<'fd>) -> Result<(), TooHigh> {
    check(fd)?;
    set.insert(fd);
    Ok(())
}

/// Whether a descriptor may be put into a set: to be asked before there is one.
pub fn check(fd: BorrowedFd) -> Result<(), TooHigh> {
    match usize::try_from(fd.as_raw_fd()) {
        Ok(number) if number < FD_SETSIZE => Ok(()),
        _ => Err(TooHigh(fd.as_raw_fd())),
    }
}
// ANCHOR_END: insert

/// A duplicate with this number, or the next one that is free.
pub fn with_number(fd: &OwnedFd, number: i32) -> Result<OwnedFd, CallError> {
    let duplicate = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(number))
        .call(format_args!("fcntl F_DUPFD_CLOEXEC {number}"))?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(duplicate) })
}

/// The numbers in a set.
pub fn numbers(set: &FdSet) -> Vec<i32> {
    set.fds(None).map(|fd| fd.as_raw_fd()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn the_last_number_fits_and_the_next_does_not() {
        common::descriptors::raise_limit().unwrap();
        let (pipe, _writer) = nix::unistd::pipe().unwrap();
        for (number, fits) in [(1023, true), (1024, false)] {
            let fd = with_number(&pipe, number).unwrap();
            assert_eq!(fd.as_raw_fd(), number);
            let mut set = FdSet::new();
            assert_eq!(insert(&mut set, fd.as_fd()).is_ok(), fits);
            assert_eq!(numbers(&set), if fits { vec![number] } else { vec![] });
        }
    }
}
