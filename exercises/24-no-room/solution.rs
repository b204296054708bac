//! The solution of exercise 24/no-room.

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use clap::Parser;
use common::address::Listen;
use common::io::{Received, receive, send_all, set_nonblocking};
use common::{Call, CallError, complain, say, tcp};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Sends back what each client sends
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    listen: Listen,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

/// Sends back what is there: a few bytes, for which there is always room here. False when the client has ended.
fn serve(client: &OwnedFd) -> bool {
    let mut data = [0; 512];
    let outcome = match receive(client, &mut data) {
        Ok(Received::Data(length)) => send_all(client, &data[..length]),
        Ok(Received::WouldBlock) => Ok(()),
        Ok(Received::EndOfFile | Received::Reset) => return false,
        Err(error) => Err(error),
    };
    outcome
        .inspect_err(|error| complain!("client: {error}"))
        .is_ok()
}

/// Waits until something happens to a descriptor. Tells for each whether something has.
fn wait(mut fds: Vec<PollFd>) -> Result<Vec<bool>, CallError> {
    loop {
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            outcome => {
                outcome.call("poll")?;
                return Ok(fds.iter().map(|fd| fd.any() == Some(true)).collect());
            }
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let listener = tcp::listen(&args.listen.address())?;
    set_nonblocking(&listener)?;
    say!("listening on {}", tcp::local_address(&listener)?)?;

    // ANCHOR: answer
    // Whether there may be a descriptor for one more client.
    let mut room = true;
    let mut clients: Vec<OwnedFd> = Vec::new();
    loop {
        // The listener is readable as long as somebody waits there. A server that can do nothing about it must not ask.
        let mut waiting = PollFlags::empty();
        waiting.set(PollFlags::POLLIN, room);
        let mut fds = vec![PollFd::new(listener.as_fd(), waiting)];
        let sockets = clients.iter().map(OwnedFd::as_fd);
        fds.extend(sockets.map(|socket| PollFd::new(socket, PollFlags::POLLIN)));
        let mut ready = wait(fds)?.into_iter();
        let somebody_waits = ready.next() == Some(true);
        // Dropping a client closes its socket.
        let before = clients.len();
        clients.retain(|client| ready.next() != Some(true) || serve(client));
        room |= clients.len() < before;
        if somebody_waits {
            match tcp::accept_ready(&listener) {
                Ok(Some((socket, name))) => {
                    set_nonblocking(&socket)?;
                    clients.push(socket);
                    say!("client connected {name}")?;
                }
                Ok(None) => {}
                // It waits in the queue until somebody leaves. With no client that could leave, this is the end.
                Err(error) if error.is_shortage() && !clients.is_empty() => room = false,
                Err(error) => return Err(error.into()),
            }
        }
    }
    // ANCHOR_END: answer
}
