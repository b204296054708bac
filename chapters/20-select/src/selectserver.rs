//! One thread, many clients: a server that waits for all of them at once.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use common::address::Listen;
use common::descriptors::raise_limit;
use common::io::{Received, receive, set_nonblocking};
use common::signal::StopSignal;
use common::text::printable;
use common::{Call, complain, say, tcp};
use nix::errno::Errno;
use nix::sys::select::{FdSet, select};
use nix::sys::socket::{MsgFlags, send};

use crate::set::{check, insert, with_number};

/// Sends back to each client what it sends
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// Give the clients descriptors from this number on, as if all lower ones were taken
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(3..))]
    from: Option<i32>,
}

struct Client {
    socket: OwnedFd,
    address: SocketAddr,
    /// What the kernel has had no room for. As long as there is some, nothing more is read from this client.
    unsent: Vec<u8>,
    gone: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.from.is_some() {
        raise_limit()?;
    }
    let stop = StopSignal::new()?;
    let listener = tcp::listen(&args.listen.address())?;
    // A connection may be gone between select and accept, which must not wait for the next one then: chapter 22.
    set_nonblocking(&listener)?;
    say!("listening on {}", tcp::local_address(&listener)?)?;

    let mut clients: Vec<Client> = Vec::new();
    let mut accepting = true;
    loop {
        // ANCHOR: wait
        let (mut readable, mut writable) = (FdSet::new(), FdSet::new());
        insert(&mut readable, stop.as_fd())?;
        if accepting {
            insert(&mut readable, listener.as_fd())?;
        }
        for client in &clients {
            // A socket is writable nearly always. To ask for it with nothing to write would be to spin.
            match client.unsent.is_empty() {
                true => insert(&mut readable, client.socket.as_fd())?,
                false => insert(&mut writable, client.socket.as_fd())?,
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
        // ANCHOR: which
        // The sets say which are ready, but not in one place: to look at each is our work.
        let of = |client: &Client| {
            readable.contains(client.socket.as_fd()) || writable.contains(client.socket.as_fd())
        };
        let ready: Vec<bool> = clients.iter().map(of).collect();
        for (client, ready) in clients.iter_mut().zip(ready) {
            if ready {
                client.serve()?;
            }
        }
        // ANCHOR_END: which
        let before = clients.len();
        clients.retain(|client| !client.gone); // dropping a client closes its socket
        accepting |= clients.len() < before;
        if arrived {
            accepting = admit(&listener, args.from, &mut clients)?;
        }
    }
}

// ANCHOR: admit
/// Takes one connection; select tells of the next one again. False when there are no descriptors left for any: the listener
/// stays readable, and a loop that asked for it again at once would spin. It is asked for again when a client has left.
fn admit(listener: &OwnedFd, from: Option<i32>, clients: &mut Vec<Client>) -> anyhow::Result<bool> {
    let (socket, address) = match tcp::accept_ready(listener) {
        Ok(Some(accepted)) => accepted,
        Ok(None) => return Ok(true),
        Err(error) if error.is_shortage() && !clients.is_empty() => {
            let error = anyhow::Error::from(error);
            complain!("{error:#}: waiting until a client leaves");
            return Ok(false);
        }
        Err(error) => return Err(error.into()),
    };
    let socket = match from.map(|number| with_number(&socket, number)) {
        Some(Ok(moved)) => moved,
        Some(Err(error)) => {
            complain!("client refused {address}: {:#}", anyhow::Error::from(error));
            return Ok(true);
        }
        None => socket,
    };
    match check(socket.as_fd()) {
        Ok(()) => {
            say!("client connected {address}")?;
            clients.push(Client {
                socket,
                address,
                unsent: Vec::new(),
                gone: false,
            });
        }
        Err(error) => complain!("client refused {address}: {error}"),
    }
    Ok(true)
}
// ANCHOR_END: admit

impl Client {
    // ANCHOR: serve
    /// One read and its echo, or more of an earlier echo. An error is one of our own output: the client's end only it.
    fn serve(&mut self) -> anyhow::Result<()> {
        if self.unsent.is_empty() {
            let mut data = [0; 4096];
            match receive(&self.socket, &mut data) {
                Ok(Received::Data(length)) => {
                    say!("received {length} bytes: {}", printable(&data[..length]))?;
                    self.unsent.extend_from_slice(&data[..length]);
                }
                Ok(Received::EndOfFile) => {
                    self.gone = true;
                    say!("client closed {}", self.address)?;
                }
                Ok(Received::WouldBlock) => {}
                Ok(Received::Reset) => self.fails("read", Errno::ECONNRESET.into()),
                Err(error) => self.fails("read", error),
            }
        }
        if self.gone {
            return Ok(());
        }
        // Waiting for room here would mean that one client that does not read stops all others.
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match send(self.socket.as_raw_fd(), &self.unsent, flags) {
            Ok(count) => drop(self.unsent.drain(..count)),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => self.fails("send", error.into()),
        }
        Ok(())
    }
    // ANCHOR_END: serve

    fn fails(&mut self, call: &str, error: io::Error) {
        self.gone = true;
        complain!("client {}: {call}: {error}", self.address);
    }
}
