//! The solution of exercise 33/knock.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Context;
use clap::Parser;
use common::address::Listen;
use common::io::{Received, receive, send_all, set_nonblocking};
use common::{Call, CallError, complain, say, tcp};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

/// Sends back what each client sends
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    listen: Listen,
}

/// What both threads have of the loop.
struct Shared {
    epoll: Epoll,
    waker: EventFd,
    /// Who was handed over, and is not the loop's yet.
    new: Mutex<Vec<OwnedFd>>,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    let shared = Arc::new(Shared {
        epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).call("epoll_create1")?,
        waker: EventFd::from_value_and_flags(0, flags).call("eventfd")?,
        new: Mutex::default(),
    });
    shared.watch(&shared.waker)?;
    let of_loop = Arc::clone(&shared);
    let serve = move || {
        if let Err(error) = of_loop.serve() {
            complain!("the loop has ended: {error}");
        }
    };
    thread::Builder::new().spawn(serve).context("no thread")?;
    let listener = tcp::listen(&args.listen.address())?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    loop {
        let (connection, _) = tcp::accept(&listener)?;
        set_nonblocking(&connection)?;
        shared.hands_over(connection)?;
        say!("a client was handed over")?;
    }
}

/// Sends back what is there: a few bytes, for which there is always room here. False when the client has ended.
fn echo(client: &OwnedFd) -> bool {
    let mut data = [0; 4096];
    match receive(client, &mut data) {
        Ok(Received::Data(length)) => send_all(client, &data[..length]).is_ok(),
        Ok(Received::WouldBlock) => true,
        Ok(Received::EndOfFile | Received::Reset) | Err(_) => false,
    }
}

/// What epoll hands back with an event: the number of the descriptor.
fn id(fd: impl AsFd) -> u64 {
    fd.as_fd().as_raw_fd() as u64
}

impl Shared {
    /// Level-triggered.
    fn watch(&self, fd: impl AsFd) -> Result<(), CallError> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, id(&fd));
        self.epoll.add(&fd, event).call("epoll_ctl")
    }

    /// The loop.
    fn serve(&self) -> Result<(), CallError> {
        let mut clients: HashMap<u64, OwnedFd> = HashMap::new();
        let mut events = [EpollEvent::empty(); 16];
        loop {
            let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                outcome => outcome.call("epoll_wait")?,
            };
            for event in &events[..count] {
                let of = event.data();
                if of == id(&self.waker) {
                    for client in self.takes_over()? {
                        self.watch(&client)?;
                        clients.insert(id(&client), client);
                    }
                } else if clients.get(&of).is_some_and(|client| !echo(client)) {
                    clients.remove(&of); // this closes the socket
                }
            }
        }
    }

    // ANCHOR: answer
    /// In the main thread: a client for the loop.
    fn hands_over(&self, client: OwnedFd) -> Result<(), CallError> {
        let mut new = self.new.lock().unwrap_or_else(PoisonError::into_inner);
        new.push(client);
        // Behind the push: a loop that wakes finds the client, or waits for the lock and finds it then. An eventfd adds, so many
        // knocks before the loop looks are one event, and none is lost.
        self.waker.write(1).call("write eventfd")?;
        Ok(())
    }

    /// In the loop, when the eventfd is readable: everybody who was handed over.
    fn takes_over(&self) -> Result<Vec<OwnedFd>, CallError> {
        // Reading sets it back to zero. Otherwise it would stay readable, and the loop would spin. Before the look, so that who
        // comes after the look knocks again.
        self.waker.read().call("read eventfd")?;
        let mut new = self.new.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut new))
    }
    // ANCHOR_END: answer
}
