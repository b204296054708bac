//! The course's rot13 server on epoll(7).

use std::collections::HashMap;
use std::fmt;
use std::os::fd::OwnedFd;

use common::address::Listen;
use common::descriptors::raise_limit;
use common::output::OutputError;
use common::signal::StopSignal;
use common::{Call, CallError, complain, say, tcp};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use crate::connection::{Connection, Turn};
use crate::listener::Listener;
use crate::trigger::{Trigger, id};

/// How many events one wait may bring. What is ready beyond that comes with the next.
const MAX_EVENTS: usize = 128;
/// How often an edge-triggered connection reads before others get their turn. A peer that never stops sending would
/// starve them, epoll(7).
const READS: usize = 16;

/// Answers many clients in one thread: each letter, moved by 13 places
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// When epoll tells of a descriptor
    #[arg(long, default_value = "edge")]
    trigger: Trigger,
    /// Make the two mistakes of the course's code: for each wake-up one connection is taken, and one client served
    #[arg(long)]
    careless: bool,
    /// Print nothing but the first line, and errors
    #[arg(long)]
    quiet: bool,
}

struct Server<'a> {
    args: &'a Args,
    epoll: Epoll,
    clients: HashMap<u64, Connection>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    raise_limit()?;
    let stop = StopSignal::new()?;
    // ANCHOR: create
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).call("epoll_create1")?;
    let listener = Listener::new(&args.listen, args.trigger, &epoll)?;
    let event = EpollEvent::new(EpollFlags::EPOLLIN, id(&stop));
    epoll.add(&stop, event).call("epoll_ctl")?;
    // ANCHOR_END: create
    say!("listening on {}", tcp::local_address(&listener)?)?;
    let clients = HashMap::new();
    let mut server = Server {
        args,
        epoll,
        clients,
    };
    server.serve(listener, &stop)
}

impl Server<'_> {
    // ANCHOR: loop
    fn serve(&mut self, mut listener: Listener, stop: &StopSignal) -> anyhow::Result<()> {
        let mut events = [EpollEvent::empty(); MAX_EVENTS];
        loop {
            let count = match self.epoll.wait(&mut events, listener.timeout()) {
                Err(Errno::EINTR) => continue, // a process that was stopped and goes on sees it, too: signal(7)
                outcome => outcome.call("epoll_wait")?,
            };
            if count > 0 {
                self.tell(format_args!("epoll_wait wakeup"))?;
            }
            listener.recover(&self.epoll)?;
            for event in &events[..count] {
                if event.data() == id(stop) {
                    return Ok(());
                } else if event.data() == id(&listener) {
                    self.accept_all(&mut listener)?;
                    continue;
                }
                self.serve_client(event.data())?;
                if self.args.careless {
                    break; // on purpose: the events behind this one are lost
                }
            }
        }
    }
    // ANCHOR_END: loop

    // ANCHOR: accept
    /// Takes every connection that waits. An edge-triggered listener is not told of them again.
    fn accept_all(&mut self, listener: &mut Listener) -> anyhow::Result<()> {
        while let Some((socket, address)) = listener.accept(&self.epoll)? {
            let id = id(&socket);
            match self.add(socket) {
                Ok(()) => self.tell(format_args!("accepted {address}: fd {id}"))?,
                // That ends this connection, and no other.
                Err(error) => complain!("Error: {address}: {:#}", anyhow::Error::from(error)),
            }
            if self.args.careless {
                break; // on purpose: the others wait until one more comes
            }
        }
        Ok(())
    }

    fn add(&mut self, socket: OwnedFd) -> Result<(), CallError> {
        let id = id(&socket);
        let interest = EpollFlags::EPOLLIN | self.args.trigger.flag();
        let event = EpollEvent::new(interest, id);
        self.epoll.add(&socket, event).call("epoll_ctl")?;
        self.clients.insert(id, Connection::new(socket, interest));
        Ok(())
    }
    // ANCHOR_END: accept

    // ANCHOR: client
    fn serve_client(&mut self, id: u64) -> anyhow::Result<()> {
        self.tell(format_args!("get event on socket fd == {id}"))?;
        let Some(client) = self.clients.get_mut(&id) else {
            return Ok(());
        };
        // Level-triggered, what is left is told again. Edge-triggered, it is read until nothing is left.
        let (edge, reads) = match self.args.trigger {
            Trigger::Edge => (true, READS),
            Trigger::Level => (false, 1),
        };
        let (ready, anew) = match client.serve(reads) {
            Ok(Turn::Drained) => (EpollFlags::EPOLLIN, false),
            Ok(Turn::Over) => (EpollFlags::EPOLLIN, edge),
            Ok(Turn::Full) => (EpollFlags::EPOLLOUT, false),
            Ok(Turn::Closed) => return self.close(id, "client closed"),
            Ok(Turn::Reset) => return self.close(id, "client reset the connection"),
            Err(error) => {
                complain!("Error: fd {id}: {error}");
                return self.close(id, "connection failed");
            }
        };
        let interest = ready | self.args.trigger.flag();
        if anew || interest != client.interest {
            client.interest = interest;
            // EPOLL_CTL_MOD looks anew: what is ready already is told once more, edge-triggered or not.
            let mut event = EpollEvent::new(interest, id);
            self.epoll.modify(&*client, &mut event).call("epoll_ctl")?;
        }
        Ok(())
    }

    fn close(&mut self, id: u64, why: &str) -> anyhow::Result<()> {
        self.clients.remove(&id); // close(2). epoll forgets a descriptor that was the last one of its socket.
        Ok(self.tell(format_args!("{why}: fd {id}"))?)
    }
    // ANCHOR_END: client

    fn tell(&self, line: fmt::Arguments) -> Result<(), OutputError> {
        match self.args.quiet {
            true => Ok(()),
            false => say!("{line}"),
        }
    }
}
