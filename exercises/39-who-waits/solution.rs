//! The solution of exercise 39/who-waits.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Context;
use clap::Parser;
use common::address::Listen;
use common::io::{Received, receive, send_all, set_nonblocking};
use common::{Call, CallError, complain, say, tcp};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How many clients are served at the same time.
const WORKERS: usize = 2;

/// Sends back what a client sends, from a fixed number of threads
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    listen: Listen,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let queue: Arc<Queue> = Arc::default();
    for _ in 0..WORKERS {
        let queue = Arc::clone(&queue);
        let work = move || {
            loop {
                if let Err(error) = serve(&queue.pop()) {
                    complain!("{:#}", anyhow::Error::from(error));
                }
            }
        };
        thread::Builder::new().spawn(work).context("no thread")?;
    }
    let listener = tcp::listen(&args.listen.address())?;
    set_nonblocking(&listener)?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    loop {
        match poll(
            &mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)],
            PollTimeout::NONE,
        ) {
            Err(Errno::EINTR) => continue,
            outcome => outcome.call("poll")?,
        };
        let mut new = Vec::new();
        while let Some((connection, client)) = tcp::accept_ready(&listener)? {
            new.push(connection);
            say!("client connected {client}")?;
        }
        queue.push(new);
    }
}

fn serve(connection: &OwnedFd) -> Result<(), CallError> {
    let mut data = [0; 4096];
    loop {
        match receive(connection, &mut data).call("read")? {
            Received::Data(length) => send_all(connection, &data[..length]).call("send")?,
            Received::EndOfFile | Received::Reset | Received::WouldBlock => return Ok(()),
        }
    }
}

/// Who waits for a worker, and where the workers wait.
#[derive(Default)]
struct Queue {
    clients: Mutex<VecDeque<OwnedFd>>,
    filled: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, VecDeque<OwnedFd>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts clients in, and wakes every worker that sleeps: there may be work for all of them.
    fn push(&self, clients: Vec<OwnedFd>) {
        self.lock().extend(clients);
        self.filled.notify_all();
    }

    // ANCHOR: answer
    /// Takes out who has waited for longest. While there is nobody, the worker sleeps.
    fn pop(&self) -> OwnedFd {
        let mut clients = self.lock();
        loop {
            // Look first: who was put in while no worker slept has woken none, and nobody remembers it. The look and the
            // falling asleep are one step under the lock, so nothing can come between them.
            if let Some(client) = clients.pop_front() {
                return client;
            }
            // And look again after waking, whatever has woken us: everybody was woken, and another worker may have been quicker.
            let woken = self.filled.wait(clients);
            clients = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }
    // ANCHOR_END: answer
}
