//! The solution of exercise 23/edge.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::ExitCode;

use clap::Parser;
use common::address::Listen;
use common::io::{Received, receive, send_all, set_nonblocking};
use common::{Call, complain, say, tcp};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// Counts what each client sends
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    listen: Listen,
}

/// A client, and how many bytes have come from it.
struct Client {
    socket: OwnedFd,
    count: usize,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).call("epoll_create1")?;
    let listener = tcp::listen(&args.listen.address())?;
    set_nonblocking(&listener)?;
    let event = EpollEvent::new(EpollFlags::EPOLLIN, id(&listener)); // level-triggered: one connection for each event
    epoll.add(&listener, event).call("epoll_ctl")?;
    say!("listening on {}", tcp::local_address(&listener)?)?;

    let mut clients: HashMap<u64, Client> = HashMap::new();
    let mut events = [EpollEvent::empty(); 16];
    loop {
        let count = match epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            outcome => outcome.call("epoll_wait")?,
        };
        for event in &events[..count] {
            let of = event.data();
            if of == id(&listener) {
                let Some((socket, name)) = tcp::accept_ready(&listener)? else {
                    continue;
                };
                set_nonblocking(&socket)?;
                let (client, flags) = (id(&socket), EpollFlags::EPOLLIN | EpollFlags::EPOLLET);
                let event = EpollEvent::new(flags, client);
                epoll.add(&socket, event).call("epoll_ctl")?;
                clients.insert(client, Client { socket, count: 0 });
                say!("client connected {name}")?;
            } else if let Some(client) = clients.get_mut(&of) {
                let goes_on = client.readable().unwrap_or_else(|error| {
                    complain!("client: {error}");
                    false
                });
                if !goes_on {
                    clients.remove(&of); // this closes the socket, and epoll forgets it
                }
            }
        }
    }
}

/// What epoll hands back with an event: the number of the descriptor.
fn id(fd: impl AsFd) -> u64 {
    fd.as_fd().as_raw_fd() as u64
}

// ANCHOR: answer
impl Client {
    /// Counts what has come, and answers when the client has ended. False when it is done with.
    fn readable(&mut self) -> io::Result<bool> {
        let mut data = [0; 512];
        // This event is the only word we get of what is there now. So read until read says that there is nothing left, and not
        // until it brings less than was asked for: the client's end may lie behind the last bytes, and was part of the same
        // event. (A client that never pauses would keep us here; lesson 23 gives each sixteen reads in a turn.)
        loop {
            match receive(&self.socket, &mut data)? {
                Received::Data(length) => self.count += length,
                Received::WouldBlock => return Ok(true),
                Received::EndOfFile => {
                    send_all(&self.socket, format!("{} bytes\n", self.count).as_bytes())?;
                    return Ok(false);
                }
                Received::Reset => return Ok(false),
            }
        }
    }
}
// ANCHOR_END: answer
