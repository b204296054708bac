//! The same, and a signal says that it is done.

use std::mem;

use clap::ValueEnum;
use common::{Call, CallError, say};
use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::aio::{Operation, silently, write_and_read_back};
use crate::target::Target;

/// Writes and reads with aio_write and aio_read, and is told by a signal that it is done
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// How the signal is received
    #[arg(long, value_name = "WAY", default_value = "signalfd")]
    by: By,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    /// A descriptor, which poll or epoll can watch together with others
    Signalfd,
    /// A call that waits for signals alone
    Sigwaitinfo,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    // ANCHOR: signal
    // A real-time signal: of those each one is delivered, even when several wait, signal(7).
    let signal = libc::SIGRTMIN();
    let signals = set_of(signal)?;
    // Blocked, so that it waits until it is fetched. The C library's threads, which come later, inherit that.
    signals.thread_block().call("sigprocmask")?;
    let mut notice = silently();
    notice.sigev_notify = libc::SIGEV_SIGNAL;
    notice.sigev_signo = signal;
    // ANCHOR_END: signal

    let target = args.target.open()?;
    let descriptor = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC).call("signalfd")?;
    // ANCHOR: fetch
    let mut wait = |operation: &mut Operation| {
        loop {
            let code = match args.by {
                By::Signalfd => read_signal(&descriptor)?,
                By::Sigwaitinfo => wait_for_signal(&signals)?,
            };
            // Anybody may send us this signal, but only the end of an operation has this code.
            if code == libc::SI_ASYNCIO && operation.is_over() {
                break;
            }
        }
        say!("a signal says that it is done")?;
        Ok(())
    };
    // ANCHOR_END: fetch
    write_and_read_back(&target, notice, &mut wait)
}

fn set_of(signal: i32) -> Result<SigSet, CallError> {
    let mut set = mem::MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set before anything else sees it.
    let added = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal)
    };
    Errno::result(added).call("sigaddset")?;
    // SAFETY: initialised above. nix has no name for real-time signals, but only carries the set to the kernel.
    Ok(unsafe { SigSet::from_sigset_t_unchecked(set.assume_init()) })
}

/// The next signal's code by read(2) of a signalfd(2).
fn read_signal(descriptor: &SignalFd) -> Result<i32, CallError> {
    loop {
        match descriptor.read_signal() {
            Ok(Some(info)) => return Ok(info.ssi_code),
            Ok(None) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).call("read signalfd"),
        }
    }
}

/// The next signal's code by sigwaitinfo(2).
fn wait_for_signal(signals: &SigSet) -> Result<i32, CallError> {
    loop {
        // SAFETY: a structure of integers and pointers, for which zeroes are valid.
        let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
        // SAFETY: the kernel writes one siginfo_t to a place of ours.
        let fetched = unsafe { libc::sigwaitinfo(signals.as_ref(), &raw mut info) };
        match Errno::result(fetched) {
            Ok(_) => return Ok(info.si_code),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error).call("sigwaitinfo"),
        }
    }
}
