//! A second process that takes connections from the same listening socket.

use std::io::stdin;

use common::io::Received;
use common::lines::LineBuffer;
use common::signal::StopSignal;
use common::{Call, say, tcp};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{ForkResult, Pid, fork, getpid};

use crate::listener::Listener;

/// Starts it. True in the new process, once that is to end.
pub fn start(listener: &Listener) -> anyhow::Result<bool> {
    let server = getpid();
    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.call("fork")? {
        ForkResult::Parent { .. } => Ok(false),
        ForkResult::Child => run(listener, server).map(|()| true),
    }
}

fn run(listener: &Listener, server: Pid) -> anyhow::Result<()> {
    // It ends when the server does, prctl(2), unless that has ended already.
    set_pdeathsig(Signal::SIGTERM).call("prctl PR_SET_PDEATHSIG")?;
    if nix::unistd::getppid() != server {
        return Ok(());
    }
    let stop = StopSignal::new()?;
    let stdin = stdin();
    let (mut typed, mut taken) = (LineBuffer::new(), Vec::new());
    let mut input = Some(&stdin);
    loop {
        if stop.comes_while(input.map(std::os::fd::AsFd::as_fd), None)? {
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
