//! A client that ends the connection as it is told: both directions at once (`close`) or only its own (`shutdown`).

use std::io::stdin;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::exit;
use std::thread::sleep;
use std::time::Duration;

use common::address::{Peer, seconds};
use common::io::{Received, receive, writen};
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, CallError, say, tcp};
use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::select::{FdSet, select};
use nix::sys::signal::Signal;
use nix::sys::socket::{Shutdown, shutdown};
use nix::unistd::{ForkResult, fork, getpid, getppid, pause, read};

/// Sends each line that is typed and prints the answers; "close" and "shutdown" end the connection
///
/// Lines that are not sent: "close"; "shutdown", which ends our own direction; "shutdown both"; "shutdown read", after
/// which "read" reads once and tells what read(2) returned.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Peer,
    /// Seconds to stay after "close" and "shutdown both", to show that it is the kernel that answers late data
    #[arg(long, value_name = "SECONDS", default_value = "6", value_parser = seconds)]
    stay: Duration,
    /// Let a second process hold the socket too, as after the fork(2) of a server
    #[arg(long)]
    share: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let connection = tcp::connect(&args.server)?;
    if args.share {
        share()?;
    }
    let stdin = stdin();
    let mut typed = LineBuffer::new();
    let (mut may_send, mut reads) = (true, true);
    loop {
        // ANCHOR: select
        // select(2) overwrites the set with what is ready, so each round begins with a new one. It is told of the
        // keyboard only as long as there may be something to send.
        let mut ready = FdSet::new();
        if reads {
            ready.insert(connection.as_fd());
        }
        if may_send {
            ready.insert(stdin.as_fd());
        }
        match select(None, &mut ready, None, None, None) {
            Err(Errno::EINTR) => continue,
            outcome => outcome.call("select")?,
        };
        // ANCHOR_END: select

        if reads && ready.contains(connection.as_fd()) && !print_answer(&connection)? {
            return Ok(());
        }
        if !(may_send && ready.contains(stdin.as_fd())) {
            continue;
        }
        let ended = typed.fill(&stdin).call("read standard input")? == Received::EndOfFile;
        // Every line that this read brought: select does not see what is already in our buffer.
        while may_send && let Some(line) = typed.next_line() {
            let socket = connection.as_raw_fd();
            match line.as_slice() {
                // ANCHOR: endings
                b"shutdown" => {
                    shutdown(socket, Shutdown::Write).call("shutdown")?;
                    (may_send, reads) = (false, true); // or there would be nothing left to wait for
                }
                b"close" => {
                    drop(connection); // close(2): the last descriptor of this socket, unless it is shared
                    sleep(args.stay);
                    return Ok(());
                }
                b"shutdown both" => {
                    shutdown(socket, Shutdown::Both).call("shutdown")?;
                    sleep(args.stay); // the descriptor is still open
                    return Ok(());
                }
                // ANCHOR_END: endings
                b"shutdown read" => {
                    shutdown(socket, Shutdown::Read).call("shutdown")?;
                    reads = false; // select would report it readable for ever
                }
                b"read" if !reads => read_once(&connection)?,
                line => send_line(&connection, line)?,
            }
        }
        if ended && may_send {
            // We have nothing more to say; the answers to what we said may still come.
            shutdown(connection.as_raw_fd(), Shutdown::Write).call("shutdown")?;
            (may_send, reads) = (false, true);
        }
    }
}

/// Prints what the server sent. False once it has ended.
fn print_answer(connection: &OwnedFd) -> anyhow::Result<bool> {
    let mut answer = [0; 4096];
    match receive(connection, &mut answer).call("read")? {
        Received::Data(length) => say!("{}", printable(&answer[..length]))?,
        Received::EndOfFile => {
            say!("server terminated")?;
            return Ok(false);
        }
        Received::Reset | Received::WouldBlock => Err(Errno::ECONNRESET).call("read")?,
    }
    Ok(true)
}

fn read_once(connection: &OwnedFd) -> anyhow::Result<()> {
    let mut data = [0; 4096];
    let length = read(connection, &mut data).call("read")?;
    say!("read returns {length}: {}", printable(&data[..length]))?;
    Ok(())
}

// ANCHOR: share
/// Makes a second process that holds the socket and does nothing. It ends when this one ends.
fn share() -> Result<(), CallError> {
    let own = getpid();
    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.call("fork")? {
        ForkResult::Parent { .. } => Ok(()),
        ForkResult::Child => {
            set_pdeathsig(Signal::SIGKILL).call("prctl")?;
            // The signal comes only if this one ends from now on: it may have ended before.
            while getppid() == own {
                pause();
            }
            exit(0)
        }
    }
}
// ANCHOR_END: share

fn send_line(connection: &OwnedFd, line: &[u8]) -> anyhow::Result<()> {
    say!("now sending {}", printable(line))?;
    writen(connection, line).call("write")?;
    say!("send bytes: {}", line.len())?;
    Ok(())
}
