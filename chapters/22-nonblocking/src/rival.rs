//! A second process that takes connections from the same listening socket.

use std::io::stdin;
use std::os::fd::AsFd;

use common::io::Received;
use common::lines::LineBuffer;
use common::signal::{StopSignal, ends_with};
use common::{Call, say, tcp};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, getpid};

use crate::listener::Listener;

/// The second process, as the server sees it. It ends when this is dropped.
pub struct Rival(Pid);

/// Starts it. `None` in the new process, once that is to end.
pub fn start(listener: &Listener) -> anyhow::Result<Option<Rival>> {
    let server = getpid();
    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.call("fork")? {
        ForkResult::Parent { child } => Ok(Some(Rival(child))),
        ForkResult::Child => run(listener, server).map(|()| None),
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGTERM); // it may have ended
        let _ = waitpid(self.0, None);
    }
}

fn run(listener: &Listener, server: Pid) -> anyhow::Result<()> {
    // A server that is killed cannot end it; so the kernel does.
    if !ends_with(server, Signal::SIGTERM)? {
        return Ok(());
    }
    let stop = StopSignal::new()?;
    let stdin = stdin();
    let (mut typed, mut taken) = (LineBuffer::new(), Vec::new());
    let mut input = Some(&stdin);
    loop {
        if stop.comes_while(input.map(AsFd::as_fd), None)? {
            return Ok(());
        }
        if input.is_some() && typed.fill(&stdin).call("read standard input")? == Received::EndOfFile
        {
            input = None;
        }
        while typed.next_line().is_some() {
            match listener.accept_and_wait()? {
                Some(connection) => {
                    match tcp::peer_address(&connection) {
                        Ok(address) => say!("the other process takes {address}")?,
                        Err(_) => say!("the other process takes a client that has gone")?,
                    }
                    taken.push(connection); // and does nothing with it
                }
                None => say!("the other process finds nobody")?,
            }
        }
    }
}
