//! Two people and one connection. Each side has two processes: one waits for the keyboard, one for the connection.

use std::io::stdin;
use std::os::fd::{AsRawFd, OwnedFd};

use common::address::{Listen, Peer};
use common::io::{Received, send_all};
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, CallError, say, tcp};
use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill, raise};
use nix::sys::socket::{Shutdown, shutdown};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid};

/// Waits for one person to call, and chats; a second caller is refused
#[derive(Debug, clap::Args)]
pub struct ServerArgs {
    #[command(flatten)]
    listen: Listen,
}

/// Calls a p2p-server, and chats
#[derive(Debug, clap::Args)]
pub struct ClientArgs {
    #[command(flatten)]
    server: Peer,
}

pub fn serve(args: &ServerArgs) -> anyhow::Result<()> {
    let listener = tcp::listen(&args.listen.address())?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    let (connection, client) = tcp::accept(&listener)?;
    // From here on the kernel refuses whoever calls, and ends the connections that nobody has accepted.
    drop(listener);
    say!("connected to {client}")?;
    chat(connection)
}

pub fn connect(args: &ClientArgs) -> anyhow::Result<()> {
    let connection = tcp::connect(&args.server)?;
    say!("connected to {}", tcp::peer_address(&connection)?)?;
    chat(connection)
}

// ANCHOR: chat
fn chat(connection: OwnedFd) -> anyhow::Result<()> {
    let own = getpid();
    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.call("fork")? {
        ForkResult::Child => {
            end_with(own)?;
            keyboard_to_connection(&connection)
        }
        ForkResult::Parent { child } => {
            let outcome = connection_to_terminal(&connection);
            end_child(child)?;
            outcome
        }
    }
}
// ANCHOR_END: chat

/// The child: sends each line that is typed. The end of the input ends our direction, and this process.
fn keyboard_to_connection(connection: &OwnedFd) -> anyhow::Result<()> {
    let mut typed = LineBuffer::new();
    loop {
        let ended = typed.fill(stdin()).call("read standard input")? == Received::EndOfFile;
        while let Some(mut line) = typed.next_line() {
            line.push(b'\n');
            send_all(connection, &line).call("send")?;
        }
        if ended {
            // Not close: the parent holds the same socket, and reads from it (chapter 11).
            return Ok(shutdown(connection.as_raw_fd(), Shutdown::Write).call("shutdown")?);
        }
    }
}

/// The parent: prints each line that comes, until the other side has ended.
fn connection_to_terminal(connection: &OwnedFd) -> anyhow::Result<()> {
    let mut heard = LineBuffer::new();
    loop {
        let received = heard.fill(connection).call("read")?;
        while let Some(line) = heard.next_line() {
            say!("{}", printable(&line))?;
        }
        match received {
            Received::Data(_) => {}
            Received::EndOfFile => {
                say!("the other side has left")?;
                return Ok(());
            }
            Received::Reset | Received::WouldBlock => {
                return Ok(Err(Errno::ECONNRESET).call("read")?);
            }
        }
    }
}

// ANCHOR: end
/// The child sits in a read from the keyboard, which may never return. SIGUSR1 ends it: that is the signal's default
/// action, so there is no moment at which it could come too early and be missed, as there would be with a handler.
fn end_child(child: Pid) -> Result<(), CallError> {
    // It may have ended by itself. It is not reaped yet, so the number is still its own.
    kill(child, Signal::SIGUSR1).call("kill")?;
    waitpid(child, None).call("waitpid")?;
    Ok(())
}

/// In the child: whatever ends the parent ends this process too, so that none is left behind.
fn end_with(parent: Pid) -> Result<(), CallError> {
    set_pdeathsig(Signal::SIGUSR1).call("prctl PR_SET_PDEATHSIG")?;
    if getppid() != parent {
        // It had ended before we asked to be told.
        raise(Signal::SIGUSR1).call("raise")?;
    }
    Ok(())
}
// ANCHOR_END: end
