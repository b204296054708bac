//! Instructions one by one, ptrace(2): slow, and right for whatever a program asks of the kernel. valgrind(1) has to know each system
//! call, and does not know those of io_uring.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};
use common::Call;
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// The signal that says: count from here. Nobody else has a use for it, and by itself it does nothing.
pub(super) const COUNT: Signal = Signal::SIGWINCH;

/// Runs a program, from SIGWINCH on step by step, and counts its first thread's instructions in user space
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write the count to this file when the program has ended
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The program
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs it to its end.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut command = Command::new(&args.command[0]);
    command.args(&args.command[1..]);
    // SAFETY: between fork and exec only ptrace(2) is called.
    unsafe { command.pre_exec(|| Ok(ptrace::traceme()?)) };
    let name = args.command[0].display();
    let child = command.spawn().with_context(|| format!("start {name}"))?;
    let pid = Pid::from_raw(child.id() as i32);
    let steps = steps(pid)?;
    fs::write(&args.out, steps.to_string()).with_context(|| format!("write {}", args.out.display()))
}

/// How many instructions this process makes. It has asked to be traced, and stops for the first time in exec.
fn steps(pid: Pid) -> anyhow::Result<u64> {
    let (mut steps, mut traced, mut counts) = (0, false, false);
    loop {
        let signal = match waitpid(pid, None) {
            Err(Errno::EINTR) => continue,
            status => match status.call("waitpid")? {
                WaitStatus::Stopped(_, Signal::SIGTRAP) => None,
                WaitStatus::Stopped(_, COUNT) => {
                    counts = true;
                    None
                }
                WaitStatus::Stopped(_, signal) => Some(signal), // its own affair
                WaitStatus::Exited(_, 0) | WaitStatus::Signaled(_, Signal::SIGTERM, _) => {
                    return Ok(steps);
                }
                status => bail!("it did not end well: {status:?}"),
            },
        };
        if !traced {
            // Without us it would stop at its next signal, and for ever.
            ptrace::setoptions(pid, Options::PTRACE_O_EXITKILL).call("ptrace")?;
            traced = true;
        }
        if counts {
            ptrace::step(pid, signal).call("ptrace PTRACE_SINGLESTEP")?;
            steps += 1;
        } else {
            ptrace::cont(pid, signal).call("ptrace PTRACE_CONT")?;
        }
    }
}
