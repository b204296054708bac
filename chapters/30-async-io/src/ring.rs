//! The ring: what this kernel's io_uring can do, and a clear word where it may not be used.

use std::fs;
use std::io;

use anyhow::{Context, ensure};
use common::{Call, CallError};
use io_uring::{IoUring, Probe, opcode};
use nix::errno::Errno;

/// How many requests fit between two system calls. With more, there is one more call.
const SUBMISSIONS: u32 = 256;
/// How many completions the ring holds before the kernel has to keep them elsewhere.
const COMPLETIONS: u32 = 4096;

/// How often a request has to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shots {
    /// Once: accept and receive complete again and again, into buffers that the kernel picks.
    Multi,
    /// For each completion.
    One,
}

/// A ring with the best that this kernel has.
pub fn open() -> anyhow::Result<(IoUring, Shots)> {
    // ANCHOR: flags
    // One thread alone uses the ring, and the kernel does its part when that thread asks for completions, not by interrupting
    // it: io_uring_setup(2). A kernel that knows these flags (6.1) has multishot requests and rings of buffers, too.
    let modern = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_coop_taskrun()
        .setup_submit_all()
        .setup_cqsize(COMPLETIONS)
        .build(SUBMISSIONS);
    match modern {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
        ring => return Ok((explained(ring)?, Shots::Multi)),
    }
    // ANCHOR_END: flags
    let ring = explained(IoUring::new(SUBMISSIONS))?;
    let mut probe = Probe::new();
    let probed = ring.submitter().register_probe(&mut probe);
    let needed = [
        opcode::Accept::CODE,
        opcode::Recv::CODE,
        opcode::Send::CODE,
        opcode::AsyncCancel::CODE,
    ];
    let has_all = probed.is_ok() && needed.iter().all(|&code| probe.is_supported(code));
    // Without this every request that waits would hold a thread of the kernel's.
    ensure!(
        has_all && ring.params().is_feature_fast_poll(),
        "this kernel's io_uring cannot wait for sockets by itself; Linux 5.7 can"
    );
    Ok((ring, Shots::One))
}

/// A small ring for a few requests.
pub fn small() -> anyhow::Result<IoUring> {
    explained(IoUring::new(8))
}

// ANCHOR: forbidden
/// Adds to an error what the reader can do about it.
fn explained(ring: io::Result<IoUring>) -> anyhow::Result<IoUring> {
    let ring: Result<_, CallError> = ring.call("io_uring_setup");
    let why = match ring.as_ref().err().and_then(CallError::errno) {
        Some(Errno::ENOSYS) => "this kernel has no io_uring".into(),
        Some(Errno::EPERM) => {
            let setting =
                fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
            match setting.trim() {
                "" | "0" => "io_uring is forbidden here, as a container does by seccomp".into(),
                setting => {
                    format!("io_uring is forbidden here: kernel.io_uring_disabled is {setting}")
                }
            }
        }
        _ => return Ok(ring?),
    };
    ring.context(why)
}
// ANCHOR_END: forbidden
