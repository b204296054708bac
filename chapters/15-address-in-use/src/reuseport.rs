//! Several listening sockets on one address and port: SO_REUSEPORT.

use std::io::stdin;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::thread::sleep;
use std::time::Duration;

use common::address::Listen;
use common::io::{Received, receive, set_nonblocking};
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, CallError, complain, say, tcp};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{Backlog, SockaddrStorage, bind, listen, setsockopt, sockopt};

/// Opens several listening sockets on one port, and tells which of them gets which client
///
/// Type "close 2" to close the second one. Start the program several times, and the sockets of all of them share the
/// port.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// How many listening sockets
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=64))]
    servers: u8,
    /// Leave the clients in the queues
    #[arg(long)]
    no_accept: bool,
}

/// What a descriptor in the wait is for.
#[derive(Clone, Copy)]
enum Source {
    Keyboard,
    Listener(usize),
    Connection(usize),
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let first = listener(args.listen.address())?;
    let address = tcp::local_address(&first)?; // the port that the kernel has picked, if it was to pick one
    let mut listeners = vec![Some(first)];
    for _ in 1..args.servers {
        listeners.push(Some(listener(address)?));
    }
    say!("listening on {address}")?;
    say!("listening sockets: {}", listeners.len())?;

    let stdin = stdin();
    let (mut typed, mut typing) = (LineBuffer::new(), true);
    let mut connections: Vec<(usize, OwnedFd)> = Vec::new();
    loop {
        let mut sources = Vec::new();
        if typing {
            sources.push((Source::Keyboard, stdin.as_fd()));
        }
        for (number, listener) in listeners.iter().enumerate().filter(|_| !args.no_accept) {
            sources.extend(
                listener
                    .iter()
                    .map(|fd| (Source::Listener(number), fd.as_fd())),
            );
        }
        let open = connections.iter().enumerate();
        sources.extend(open.map(|(index, (_, fd))| (Source::Connection(index), fd.as_fd())));

        let mut closed = Vec::new();
        for source in wait(&sources)? {
            match source {
                Source::Keyboard => {
                    let received = typed.fill(&stdin).call("read standard input")?;
                    typing = received != Received::EndOfFile;
                    while let Some(line) = typed.next_line() {
                        close(&mut listeners, &line)?;
                    }
                }
                Source::Listener(number) => {
                    let Some(listener) = &listeners[number] else {
                        continue;
                    }; // closed just now
                    match tcp::accept_ready(listener) {
                        Ok(Some((connection, client))) => {
                            say!("server {}: accepted {client}", number + 1)?;
                            connections.push((number, connection));
                        }
                        Ok(None) => {}
                        // Too many clients at a time are no end of those that are there.
                        Err(error) if error.is_shortage() => {
                            complain!("{:#}", anyhow::Error::from(error));
                            sleep(Duration::from_millis(100)); // it would fail again at once
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
                Source::Connection(index) if report(&connections[index])? => {}
                Source::Connection(index) => closed.push(index),
            }
        }
        for index in closed.into_iter().rev() {
            connections.remove(index);
        }
    }
}

// ANCHOR: listener
/// Each of them sets the option, the first as well; and they belong to the same user, socket(7).
fn listener(address: SocketAddr) -> Result<OwnedFd, CallError> {
    let listener = tcp::stream_socket(&address)?;
    setsockopt(&listener, sockopt::ReusePort, &true).call("setsockopt SO_REUSEPORT")?;
    bind(listener.as_raw_fd(), &SockaddrStorage::from(address))
        .call(format_args!("bind {address}"))?;
    listen(&listener, Backlog::MAXCONN).call(format_args!("listen {address}"))?;
    // The client for which poll(2) woke us may have gone, and a blocking accept would wait for the next one.
    set_nonblocking(&listener)?;
    Ok(listener)
}
// ANCHOR_END: listener

/// Which of the descriptors are ready.
fn wait(sources: &[(Source, BorrowedFd)]) -> Result<Vec<Source>, CallError> {
    let fds = sources
        .iter()
        .map(|(_, fd)| PollFd::new(*fd, PollFlags::POLLIN));
    let mut fds: Vec<_> = fds.collect();
    while let Err(error) = poll(&mut fds, PollTimeout::NONE) {
        if error != Errno::EINTR {
            return Err(error).call("poll");
        }
    }
    let ready = sources
        .iter()
        .zip(&fds)
        .filter(|(_, fd)| fd.any() == Some(true));
    Ok(ready.map(|((source, _), _)| *source).collect())
}

fn close(listeners: &mut [Option<OwnedFd>], line: &[u8]) -> anyhow::Result<()> {
    let number = str::from_utf8(line)
        .ok()
        .and_then(|line| line.strip_prefix("close "));
    let number = number
        .and_then(|number| number.trim().parse::<usize>().ok())
        .unwrap_or(0);
    match listeners.get_mut(number.wrapping_sub(1)) {
        Some(listener) => {
            *listener = None; // close(2): what waits in its queue is lost
            say!("server {number}: closed")?;
        }
        None => complain!("no such server: {}", printable(line)),
    }
    Ok(())
}

/// Prints what a client has sent. False once it has ended.
fn report((number, connection): &(usize, OwnedFd)) -> anyhow::Result<bool> {
    let mut message = [0; 4096];
    let number = number + 1;
    match receive(connection, &mut message).call("read")? {
        Received::Data(length) => {
            say!(
                "server {number}: received {length} bytes: {}",
                printable(&message[..length])
            )?;
            Ok(true)
        }
        Received::WouldBlock => Ok(true),
        Received::EndOfFile | Received::Reset => {
            say!("server {number}: client closed")?;
            Ok(false)
        }
    }
}
