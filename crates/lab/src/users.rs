//! Programs that run as another user.

use std::{fs, io};

use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

/// The user `nobody`.
const NOBODY: u32 = 65534;

/// To be done between fork and exec: the program will run as the user `nobody`. Its capabilities go at exec and not before,
/// so that it can be found wherever it lies.
pub fn as_nobody() -> io::Result<()> {
    const SECBIT_NO_SETUID_FIXUP: libc::c_ulong = 1 << 2;
    // SAFETY: this prctl takes a number and changes no memory of ours.
    Errno::result(unsafe {
        libc::prctl(libc::PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    })?;
    setgroups(&[])?;
    setgid(Gid::from_raw(NOBODY))?;
    setuid(Uid::from_raw(NOBODY))?;
    // The change of user has cleared it, prctl(2).
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    Ok(())
}

/// Whether programs can be run as another user: by root, where that user is known. In the namespace of an ordinary user
/// there is nobody else, user_namespaces(7).
pub fn can_be_nobody() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let mut ranges = map.lines().filter_map(|line| {
        let numbers: Option<Vec<u64>> = line
            .split_whitespace()
            .map(|number| number.parse().ok())
            .collect();
        numbers.filter(|numbers| numbers.len() == 3)
    });
    Uid::effective().is_root()
        && ranges.any(|range| (range[0]..range[0] + range[2]).contains(&NOBODY.into()))
}
