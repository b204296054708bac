//! A server for one machine: what differs from TCP is the address, and that the address is a file.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use anyhow::bail;
use common::io::Received;
use common::lines::LineBuffer;
use common::output::OutputError;
use common::signal::StopSignal;
use common::text::printable;
use common::{Call, CallError, complain, say};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, accept4, listen, send, socket,
};

use crate::name::Name;
use crate::socket_file::SocketFile;
use crate::wait::{Woken, wait};

/// So many clients may wait while one is served.
const BACKLOG: i32 = 128;
/// A client that never ends its line must not fill the memory.
const LONGEST_LINE: usize = 16 << 20;

/// Answers each line with "Hi, …", one client after the other, until Ctrl-C
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub listen: Listen,
}

/// Where a server listens: a name, and what to do with a file that is there already.
#[derive(Debug, clap::Args)]
pub struct Listen {
    /// The socket's file, or an abstract name after an @
    #[arg(value_name = "PATH")]
    pub name: Name,
    /// Leave a socket file where it is, even if its server is gone: bind fails then
    #[arg(long)]
    pub no_unlink: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    serve_all(&args.listen, |_| Ok("Hi, ".into()))
}

/// Serves one client after the other. `greet` is asked once for each what its answers begin with.
pub fn serve_all(
    args: &Listen,
    greet: impl Fn(&OwnedFd) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    let stop = StopSignal::new()?;
    let (listener, _file) = open(args)?;
    say!("listening on {}", args.name)?;
    while let Some(connection) = accept(&stop, &listener)? {
        match greet(&connection).and_then(|greeting| serve(&stop, &connection, &greeting)) {
            Ok(Woken::Stop) => break,
            Ok(_) => say!("client closed")?,
            Err(error) if error.is::<OutputError>() => return Err(error),
            // The end of this client, and of nobody else.
            Err(error) => complain!("client: {error:#}"),
        }
    }
    Ok(()) // The file is removed here.
}

// ANCHOR: open
/// A listening socket, and its file.
pub fn open(args: &Listen) -> Result<(OwnedFd, SocketFile), CallError> {
    // AF_UNIX and AF_LOCAL are the same number. There is one protocol for each type.
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let listener = socket(AddressFamily::Unix, SockType::Stream, flags, None).call("socket")?;
    let file = SocketFile::bind(&listener, &args.name, !args.no_unlink)?;
    let backlog = Backlog::new(BACKLOG).call("listen")?;
    listen(&listener, backlog).call(format_args!("listen {}", args.name))?;
    Ok((listener, file))
}
// ANCHOR_END: open

/// The next client; `None` when it is time to stop.
pub fn accept(stop: &StopSignal, listener: &OwnedFd) -> Result<Option<OwnedFd>, CallError> {
    while wait(stop, listener, PollFlags::POLLIN, None)? == Woken::Ready {
        match accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
            // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
            Ok(raw) => return Ok(Some(unsafe { OwnedFd::from_raw_fd(raw) })),
            Err(Errno::EINTR | Errno::EAGAIN | Errno::ECONNABORTED) => {}
            Err(error) => return Err(error).call("accept"),
        }
    }
    Ok(None)
}

// ANCHOR: serve
/// Serves one client until it has ended, or until it is time to stop.
fn serve(stop: &StopSignal, connection: &OwnedFd, greeting: &str) -> anyhow::Result<Woken> {
    let mut lines = LineBuffer::new();
    let mut unfinished = 0;
    while wait(stop, connection, PollFlags::POLLIN, None)? == Woken::Ready {
        let received = lines.fill(connection).call("read")?;
        match received {
            Received::Data(length) => unfinished += length,
            Received::EndOfFile | Received::WouldBlock => {}
            Received::Reset => Err(Errno::ECONNRESET).call("read")?,
        }
        // A byte stream here, too: one read may bring half a line, or three.
        while let Some(line) = lines.next_line() {
            unfinished = 0;
            say!("received {} bytes: {}", line.len(), printable(&line))?;
            let answer = [greeting.as_bytes(), &line, b"\n"].concat();
            if !send_all(stop, connection, &answer)? {
                return Ok(Woken::Stop);
            }
        }
        if received == Received::EndOfFile {
            return Ok(Woken::Ready);
        }
        if unfinished > LONGEST_LINE {
            bail!("a line of more than {LONGEST_LINE} bytes");
        }
    }
    Ok(Woken::Stop)
}
// ANCHOR_END: serve

/// Sends all of it, to a client that may take its time. False when it is time to stop.
fn send_all(stop: &StopSignal, connection: impl AsFd, mut data: &[u8]) -> Result<bool, CallError> {
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    while !data.is_empty() {
        match send(connection.as_fd().as_raw_fd(), data, flags) {
            Ok(count) => data = &data[count..],
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                if wait(stop, &connection, PollFlags::POLLOUT, None)? == Woken::Stop {
                    return Ok(false);
                }
            }
            Err(error) => return Err(error).call("send"),
        }
    }
    Ok(true)
}
