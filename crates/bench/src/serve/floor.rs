//! The floors: what cannot be left out of a server with one thread. A loop of epoll_wait(2), read(2) and write(2), with no timers,
//! no buffers of its own, no bounds, and no understanding of what it reads beyond where a head ends. They serve the
//! benchmark's client and nobody else.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context;
use common::io::set_nonblocking;
use common::{Call, complain, tcp};
use memchr::memmem::Finder;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::sendfile::sendfile64;
use nix::sys::socket::{Backlog, MsgFlags, SockFlag, accept4, listen, send, setsockopt, sockopt};
use nix::unistd::read;

use super::{FILE, TEXT, listening};

const BUFFER: usize = 64 * 1024;

/// Bytes of the shortest request there can be: `GET / HTTP/1.1` and two line ends.
const SHORTEST: usize = 18;

/// Sends back what comes.
pub fn echo(port: u16) -> anyhow::Result<()> {
    let mut buffer = vec![0; BUFFER];
    serve(port, |connection| {
        let count = read(connection, &mut buffer)?;
        send_all(connection, &buffer[..count], MsgFlags::empty())?;
        Ok(count > 0)
    })
}

/// Answers each head with the same bytes, and a head for [`FILE`] with the file.
pub fn http(port: u16, files: Option<&Path>) -> anyhow::Result<()> {
    let answer = head("text/plain", TEXT.len()) + TEXT;
    let answers = answer.repeat(BUFFER / SHORTEST).into_bytes();
    let file = files.map(Large::open).transpose()?;
    let wanted = format!("GET {FILE} ");
    let end = Finder::new(b"\r\n\r\n");
    let mut buffer = vec![0; BUFFER];
    serve(port, |connection| {
        let count = read(connection, &mut buffer)?;
        let mut rest = &buffer[..count];
        // A client that has ended is done with; so is one that says so in the last line of its head.
        let (mut goes_on, mut waiting) = (count > 0, 0);
        let small = |count| {
            send_all(
                connection,
                &answers[..count * answer.len()],
                MsgFlags::empty(),
            )
        };
        while let Some(length) = end.find(rest) {
            let (head, further) = rest.split_at(length);
            rest = &further[4..];
            goes_on = !head.ends_with(b"\r\nConnection: close");
            match &file {
                Some(file) if head.starts_with(wanted.as_bytes()) => {
                    small(waiting)?;
                    waiting = 0;
                    file.send(connection)?;
                }
                _ => waiting += 1,
            }
        }
        small(waiting)?;
        match rest.is_empty() {
            true => Ok(goes_on),
            false => Err(io::Error::other(
                "a request in two pieces is more than the floor understands",
            )),
        }
    })
}

/// As long as that of a server that means it: the date is that of the start.
fn head(kind: &str, length: usize) -> String {
    let date = httpdate::fmt_http_date(SystemTime::now());
    format!(
        "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// The large answer.
struct Large {
    head: String,
    file: File,
    length: usize,
}

impl Large {
    fn open(files: &Path) -> anyhow::Result<Self> {
        let path = files.join(FILE.trim_start_matches('/'));
        let file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
        let length = file.metadata().call("fstat")?.len() as usize;
        Ok(Self {
            head: head("application/octet-stream", length),
            file,
            length,
        })
    }

    fn send(&self, connection: BorrowedFd) -> io::Result<()> {
        // Together with the beginning of the file, send(2).
        let more = MsgFlags::from_bits_retain(libc::MSG_MORE);
        send_all(connection, self.head.as_bytes(), more)?;
        let mut from = 0;
        while from < self.length as i64 {
            let left = self.length - from as usize;
            match sendfile64(connection, &self.file, Some(&mut from), left) {
                Ok(0) => return Err(io::Error::other("the file has become shorter")),
                outcome => done_or_room(outcome, connection)?,
            };
        }
        Ok(())
    }
}

/// Writes all of it. What the kernel has no room for waits until the client has read: it always does.
fn send_all(connection: BorrowedFd, mut data: &[u8], flags: MsgFlags) -> io::Result<()> {
    while !data.is_empty() {
        let outcome = send(connection.as_raw_fd(), data, flags | MsgFlags::MSG_NOSIGNAL);
        data = &data[done_or_room(outcome, connection)?..];
    }
    Ok(())
}

/// How much was written. Where nothing could be, waits until something can.
fn done_or_room(outcome: nix::Result<usize>, connection: BorrowedFd) -> io::Result<usize> {
    match outcome {
        Err(Errno::EAGAIN) => {
            let mut room = [PollFd::new(connection, PollFlags::POLLOUT)];
            poll(&mut room, PollTimeout::NONE)?;
            Ok(0)
        }
        outcome => Ok(outcome?),
    }
}

/// Accepts, and calls `serve` for each connection that is readable. On false or an error the connection is closed.
fn serve(port: u16, mut serve: impl FnMut(BorrowedFd) -> io::Result<bool>) -> anyhow::Result<()> {
    let listener = tcp::listen(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    setsockopt(&listener, sockopt::TcpNoDelay, &true).call("setsockopt TCP_NODELAY")?;
    listen(&listener, Backlog::MAXALLOWABLE).call("listen")?;
    set_nonblocking(&listener)?;
    listening(tcp::local_address(&listener)?)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).call("epoll_create1")?;
    let watch = |fd: BorrowedFd| {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, fd.as_raw_fd() as u64);
        epoll.add(fd, event).call("epoll_ctl")
    };
    watch(listener.as_fd())?;
    let listens = listener.as_raw_fd() as usize;
    // By descriptor.
    let mut connections: Vec<Option<OwnedFd>> = Vec::new();
    let mut events = [EpollEvent::empty(); 512];
    loop {
        let count = match epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            count => count.call("epoll_wait")?,
        };
        for event in &events[..count] {
            let place = event.data() as usize;
            if place == listens {
                let Some(connection) = accept(&listener)? else {
                    continue;
                };
                watch(connection.as_fd())?;
                let place = connection.as_raw_fd() as usize;
                connections.resize_with(connections.len().max(place + 1), || None);
                connections[place] = Some(connection);
                continue;
            }
            let Some(connection) = &connections[place] else {
                continue;
            };
            let goes_on = serve(connection.as_fd()).unwrap_or_else(|error| {
                if error.raw_os_error().is_none() {
                    complain!("Error: {error}");
                }
                false
            });
            if !goes_on {
                connections[place] = None;
            }
        }
    }
}

fn accept(listener: &OwnedFd) -> anyhow::Result<Option<OwnedFd>> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    match accept4(listener.as_raw_fd(), flags) {
        // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
        Ok(raw) => Ok(Some(unsafe { OwnedFd::from_raw_fd(raw) })),
        // The client that waited has gone, accept(2).
        Err(Errno::EAGAIN | Errno::ECONNABORTED | Errno::EINTR) => Ok(None),
        Err(error) => Ok(Err(error).call("accept4")?),
    }
}
