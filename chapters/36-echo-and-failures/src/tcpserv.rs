//! An echo server with a child process for each client.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use common::address::Listen;
use common::io::{Received, receive, writen};
use common::{Call, complain, say, tcp};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::socket::{SockFlag, accept4};
use nix::unistd::{ForkResult, fork};

use crate::children::{Reap, handle_sigchld, sigchld};

/// Sends back what a client sends, from a child process for each client
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// What to do about children that have ended
    #[arg(long, default_value = "waitpid")]
    reap: Reap,
    /// Let SIGCHLD interrupt accept: a handler without SA_RESTART
    #[arg(long)]
    no_restart: bool,
    /// Hold SIGCHLD back (sigprocmask) until so many clients have come: a critical section as long as you like
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    hold_back: usize,
    /// Let the child become a new program that gets nothing but the descriptor
    #[arg(long)]
    exec: bool,
    /// Serve the connection with this descriptor: what --exec starts
    #[arg(long, value_name = "DESCRIPTOR", hide = true)]
    descriptor: Option<RawFd>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(raw) = args.descriptor {
        return serve_descriptor(raw);
    }
    handle_sigchld(args.reap, !args.no_restart)?;
    if args.hold_back > 0 {
        sigchld().thread_block().call("sigprocmask")?;
    }
    let listener = tcp::listen(&args.listen.address())?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    let mut clients = 0;
    loop {
        let Some((connection, client)) = accept(&listener)? else {
            continue;
        };
        // ANCHOR: critical
        // A child may be gone before we have said that it is there: its SIGCHLD has to wait until then.
        let before = sigchld()
            .thread_swap_mask(SigmaskHow::SIG_BLOCK)
            .call("sigprocmask")?;
        // SAFETY: this process has one thread, so the child may do anything.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => {
                SigSet::empty().thread_set_mask().call("sigprocmask")?;
                // An open listener here would keep the port busy after the parent has gone.
                drop(listener);
                return match args.exec {
                    true => become_a_program(&connection),
                    false => str_echo(&connection),
                };
            }
            Ok(ForkResult::Parent { child }) => say!("child {child} serves {client}")?,
            Err(error) => complain!("fork: {error}"), // this client goes, the others stay
        }
        // Ours has to be closed, or the child's close would end nothing.
        drop(connection);
        before.thread_set_mask().call("sigprocmask")?;
        // ANCHOR_END: critical
        clients += 1;
        if clients == args.hold_back {
            sigchld().thread_unblock().call("sigprocmask")?;
        }
    }
}

/// The next client; none where accept(2) failed for a reason that is not the listener's.
fn accept(listener: &OwnedFd) -> anyhow::Result<Option<(OwnedFd, String)>> {
    // ANCHOR: accept
    let raw = match accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
        Ok(raw) => raw,
        Err(Errno::EINTR) => {
            say!("accept: interrupted by a signal")?;
            return Ok(None);
        }
        // The client has gone while it waited for us. BSD says so here; Linux hands out the dead connection.
        Err(Errno::ECONNABORTED | Errno::EPROTO) => return Ok(None),
        Err(error @ (Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM)) => {
            complain!("accept: {error}");
            sleep(Duration::from_millis(100)); // it would fail again at once
            return Ok(None);
        }
        Err(error) => Err(error).call("accept")?,
    };
    // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
    let connection = unsafe { OwnedFd::from_raw_fd(raw) };
    let client = match tcp::peer_address(&connection) {
        Err(error) if error.errno() == Some(Errno::ENOTCONN) => "a client that has gone".into(),
        address => address?.to_string(),
    };
    // ANCHOR_END: accept
    Ok(Some((connection, client)))
}

// ANCHOR: str_echo
fn str_echo(connection: &OwnedFd) -> anyhow::Result<()> {
    let mut data = [0; 4096];
    loop {
        match receive(connection, &mut data).call("read")? {
            Received::Data(length) => writen(connection, &data[..length]).call("write")?,
            Received::EndOfFile => return Ok(()), // back to main, and the kernel closes what is open
            Received::Reset | Received::WouldBlock => Err(Errno::ECONNRESET).call("read")?,
        }
    }
}
// ANCHOR_END: str_echo

// ANCHOR: exec
/// The child starts this program anew: memory, variables and the client's address are gone, descriptors stay.
fn become_a_program(connection: &OwnedFd) -> anyhow::Result<()> {
    fcntl(connection, FcntlArg::F_SETFD(FdFlag::empty())).call("fcntl F_SETFD")?; // not close-on-exec
    let number = connection.as_raw_fd().to_string();
    let mut command = Command::new("/proc/self/exe");
    let error: io::Error = command.args(["tcpserv", "--descriptor", &number]).exec();
    Err(error).call("execve")?
}

fn serve_descriptor(raw: RawFd) -> anyhow::Result<()> {
    // SAFETY: whoever started us with --descriptor has left it to us.
    let connection = unsafe { OwnedFd::from_raw_fd(raw) };
    let ours: SocketAddr = tcp::local_address(&connection)?;
    let theirs = tcp::peer_address(&connection)?;
    say!("descriptor {raw}: {ours} serves {theirs}")?;
    str_echo(&connection)
}
// ANCHOR_END: exec
