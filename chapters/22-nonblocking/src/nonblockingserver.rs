//! The course's rot13 server on select(2), with sockets that do not block.

use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use common::address::{Listen, seconds};
use common::signal::StopSignal;
use common::{Call, complain, say, tcp};
use nix::errno::Errno;
use nix::sys::select::{FD_SETSIZE, FdSet, select};

use crate::client::Client;
use crate::listener::Listener;
use crate::rival;

/// Answers many clients in one thread: each letter, moved by 13 places
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// Seconds between select and accept, as if the server had much to do
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    accept_delay: Duration,
    /// Leave the listening socket as it is: its accept waits
    #[arg(long)]
    blocking_listener: bool,
    /// Share the listening socket with a second process, which takes a connection for each line that is typed
    #[arg(long)]
    rival: bool,
    /// Make the mistake of the course's code: of a long line, what does not fit into the buffer is dropped
    #[arg(long)]
    careless: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let listener = Listener::new(&args.listen, args.blocking_listener)?;
    let mut _rival = None;
    if args.rival {
        _rival = rival::start(&listener)?;
        if _rival.is_none() {
            return Ok(()); // this is the other process
        }
    }
    let stop = StopSignal::new()?;
    say!("listening on {}", tcp::local_address(&listener)?)?;

    let mut clients: Vec<Client> = Vec::new();
    let mut accepting = true;
    loop {
        // ANCHOR: wait
        let (mut readable, mut writable) = (FdSet::new(), FdSet::new());
        readable.insert(stop.as_fd());
        if accepting {
            readable.insert(listener.as_fd());
        }
        for client in &clients {
            if client.wants_to_read() {
                readable.insert(client.as_fd());
            }
            if client.wants_to_write() {
                writable.insert(client.as_fd());
            }
        }
        match select(None, &mut readable, &mut writable, None, None) {
            Err(Errno::EINTR) => continue,
            outcome => outcome.call("select")?,
        };
        // ANCHOR_END: wait

        if readable.contains(stop.as_fd()) && stop.received()?.is_some() {
            return Ok(());
        }
        let arrived = readable.contains(listener.as_fd());
        // Both sets hold borrowed descriptors: what they say is noted before the clients are changed.
        let of = |client: &Client| {
            readable.contains(client.as_fd()) || writable.contains(client.as_fd())
        };
        let ready: Vec<bool> = clients.iter().map(of).collect();
        for (client, ready) in clients.iter_mut().zip(ready) {
            if ready {
                client.serve()?;
            }
        }
        let before = clients.len();
        clients.retain(|client| !client.gone); // dropping a client closes its socket
        accepting |= clients.len() < before;
        if arrived {
            say!("listening socket readable")?;
            if !args.accept_delay.is_zero() && stop.comes_while(None, Some(args.accept_delay))? {
                return Ok(());
            }
            accepting = admit(&listener, args.careless, &mut clients)?;
        }
    }
}

// ANCHOR: admit
/// Takes every connection that waits; one, if the listening socket blocks. False when there are no descriptors left: the
/// listener stays readable, and a loop that asked for it again at once would spin. It is asked for again when a client has left.
fn admit(listener: &Listener, careless: bool, clients: &mut Vec<Client>) -> anyhow::Result<bool> {
    loop {
        let accepted = match listener.blocking {
            true => listener.accept_and_wait(),
            false => listener.accept(),
        };
        let socket = match accepted {
            Ok(Some(socket)) => socket,
            Ok(None) => return Ok(true),
            Err(error) if error.is_shortage() && !clients.is_empty() => {
                let error = anyhow::Error::from(error);
                complain!("{error:#}: waiting until a client leaves");
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        let number = socket.as_raw_fd();
        let client = Client::new(socket, careless)?;
        // The first number that a set has no place for is FD_SETSIZE itself. It costs this client, and no other.
        match usize::try_from(number) {
            Ok(place) if place < FD_SETSIZE => {
                say!("client connected {}", client.name())?;
                clients.push(client);
            }
            _ => complain!(
                "client refused {}: descriptor {number}: select takes only numbers below {FD_SETSIZE} (FD_SETSIZE)",
                client.name()
            ),
        }
        if listener.blocking {
            return Ok(true);
        }
    }
}
// ANCHOR_END: admit
