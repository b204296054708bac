//! A server without a terminal: daemon(7).

use std::os::fd::OwnedFd;
use std::process::exit;

use anyhow::bail;
use common::io::{Filled, readn, writen};
use common::{Call, CallError, say};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{ForkResult, chdir, dup2_stderr, dup2_stdin, dup2_stdout, fork, pipe2, setsid};

// ANCHOR: daemon
/// Goes on in the background: returns in a child with a session of its own, and ends the process that was started, once the
/// child has let go of the terminal. To be called before there are threads: fork(2) copies the calling one alone.
pub fn detach() -> anyhow::Result<()> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).call("pipe2")?;
    // SAFETY: this process has one thread, so the child may do whatever its parent may.
    match unsafe { fork() }.call("fork")? {
        ForkResult::Child => {
            drop(reader);
            become_daemon()?;
            writen(&writer, b"1").call("write")?;
            Ok(())
        }
        ForkResult::Parent { child } => {
            drop(writer);
            if readn(&reader, &mut [0]).call("read")? != Filled::Full {
                bail!("the process in the background has ended"); // and has said why
            }
            say!("process {child} goes on in the background")?;
            exit(0);
        }
    }
}

fn become_daemon() -> Result<(), CallError> {
    setsid().call("setsid")?; // out of the session, and so without its terminal
    chdir("/").call("chdir /")?; // or the file system that it was started in could not be unmounted
    let nothing: OwnedFd = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
        .call("open /dev/null")?;
    dup2_stdin(&nothing).call("dup2")?;
    dup2_stdout(&nothing).call("dup2")?;
    dup2_stderr(&nothing).call("dup2")
}
// ANCHOR_END: daemon
