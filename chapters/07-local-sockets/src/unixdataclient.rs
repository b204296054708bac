//! A datagram client for one machine. It needs a name of its own, or no answer finds it.

use std::env::temp_dir;
use std::io::stdin;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use common::address::seconds;
use common::io::Received;
use common::lines::LineBuffer;
use common::signal::StopSignal;
use common::text::printable;
use common::{Call, CallError, complain, say};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, connect, send, socket};

use crate::name::Name;
use crate::socket_file::SocketFile;
use crate::unixdataserver::receive;
use crate::wait::{Woken, wait};

/// Sends each line that is typed as a datagram, and prints the answer
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server's socket file, or an abstract name after an @
    #[arg(value_name = "PATH")]
    server: Name,
    /// The client's own name, where answers go; without it a file of this process in the temporary directory
    #[arg(long, value_name = "PATH")]
    bind: Option<Name>,
    /// Take no name: no answer can come
    #[arg(long, conflicts_with = "bind")]
    unbound: bool,
    /// Seconds to wait for an answer; without it the wait has no end
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    // The file has to go whichever way this ends, so signals are waited for from the first.
    let stop = StopSignal::new()?;
    let (socket, _file) = open(args)?;
    let mut typed = LineBuffer::new();
    while wait(&stop, stdin(), PollFlags::POLLIN, None)? == Woken::Ready {
        let ended = typed.fill(stdin()).call("read standard input")? == Received::EndOfFile;
        while let Some(line) = typed.next_line() {
            // An answer that came after its timeout must not pass for the answer to this line.
            while let Some((late, _)) = receive(&socket)? {
                say!("late answer: {}", printable(&late))?;
            }
            say!("now sending {}", printable(&line))?;
            if exchange(&stop, &socket, args, &line)? == Woken::Stop {
                return Ok(());
            }
        }
        if ended {
            break;
        }
    }
    Ok(()) // The file is removed here.
}

// ANCHOR: open
fn open(args: &Args) -> Result<(OwnedFd, Option<SocketFile>), CallError> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None).call("socket")?;
    // Connected, a datagram socket sends without an address; and nobody but the server can
    // send to it: EPERM, unix(7). Before the bind, so that there is no moment in which
    // strangers could.
    connect(socket.as_raw_fd(), &args.server.address()?)
        .call(format_args!("connect {}", args.server))?;
    if args.unbound {
        return Ok((socket, None));
    }
    let own_file = || {
        Name::from(
            temp_dir()
                .join(format!("chap-7.{}.sock", std::process::id()))
                .into_os_string(),
        )
    };
    let name = args.bind.clone().unwrap_or_else(own_file);
    let file = SocketFile::bind(&socket, &name, true)?;
    Ok((socket, Some(file)))
}
// ANCHOR_END: open

/// Sends a line and prints the answer, if one comes in time.
fn exchange(
    stop: &StopSignal,
    socket: &OwnedFd,
    args: &Args,
    line: &[u8],
) -> anyhow::Result<Woken> {
    loop {
        match send(socket.as_raw_fd(), line, MsgFlags::MSG_NOSIGNAL) {
            Err(Errno::EINTR) => {}
            // The server's queue is full. A datagram socket of the network would drop; this one waits.
            Err(Errno::EAGAIN) => {
                if wait(stop, socket, PollFlags::POLLOUT, None)? == Woken::Stop {
                    return Ok(Woken::Stop);
                }
            }
            sent => break sent.call("send").map(drop)?,
        }
    }
    let deadline = args.timeout.map(|timeout| Instant::now() + timeout);
    loop {
        let woken = wait(stop, socket, PollFlags::POLLIN, deadline)?;
        if woken == Woken::Late {
            complain!("no answer in time");
        }
        if woken != Woken::Ready {
            return Ok(woken);
        }
        if let Some((answer, _)) = receive(socket)? {
            say!("{}", printable(&answer))?;
            return Ok(woken);
        }
    }
}
