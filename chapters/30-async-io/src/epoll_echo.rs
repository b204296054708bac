//! A reactor in one file, to compare the proactor with: it is told who is ready, and then reads and writes itself.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use common::address::Listen;
use common::descriptors::raise_limit;
use common::io::{Received, receive, set_nonblocking};
use common::signal::StopSignal;
use common::{Call, complain, say, tcp};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, SockFlag, accept4, send, setsockopt, sockopt};

/// Sends back what clients send, by epoll: the program accepts, reads and writes
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
}

/// A client, and what it has not taken yet. As long as there is something, nothing is read from it.
struct Client {
    socket: OwnedFd,
    peer: SocketAddr,
    waiting: Vec<u8>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let stop = StopSignal::new()?;
    raise_limit()?;
    let listener = tcp::listen(&args.listen.address())?;
    setsockopt(&listener, sockopt::TcpNoDelay, &true).call("setsockopt TCP_NODELAY")?;
    set_nonblocking(&listener)?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).call("epoll_create1")?;
    let (listens, stops) = (listener.as_raw_fd(), stop.as_fd().as_raw_fd());
    let readable = |fd: RawFd| EpollEvent::new(EpollFlags::EPOLLIN, fd as u64);
    epoll.add(&listener, readable(listens)).call("epoll_ctl")?;
    epoll.add(&stop, readable(stops)).call("epoll_ctl")?;

    // By descriptor: its number comes again only from accept, which is called when all events have been dealt with.
    let mut clients: Vec<Option<Client>> = Vec::new();
    let mut events = [EpollEvent::empty(); 256];
    let mut data = vec![0; 65_536];
    let mut accepts = true;
    loop {
        // ANCHOR: loop
        let limit = if accepts {
            EpollTimeout::NONE
        } else {
            EpollTimeout::from(100u8)
        };
        let count = match epoll.wait(&mut events, limit) {
            Err(Errno::EINTR) => continue,
            count => count.call("epoll_wait")?,
        };
        let mut connects = !mem::replace(&mut accepts, true);
        for event in &events[..count] {
            let fd = event.data() as RawFd;
            if fd == stops {
                return Ok(());
            }
            connects |= fd == listens;
            let Some(Some(client)) = clients.get_mut(fd as usize) else {
                continue;
            };
            match client.goes_on(&epoll, &mut data) {
                Ok(true) => continue,
                Ok(false) => say!("client closed {}", client.peer)?,
                Err(error) => complain!("client {}: {error}", client.peer),
            }
            clients[fd as usize] = None; // close(2), with which it leaves the epoll set
        }
        // ANCHOR_END: loop
        if connects {
            accepts = accept_all(&listener, &epoll, &mut clients)?;
            // Out of descriptors: the listener stays readable, and is not to be looked at for a moment.
            let interest = if accepts {
                EpollFlags::EPOLLIN
            } else {
                EpollFlags::empty()
            };
            let mut event = EpollEvent::new(interest, listens as u64);
            epoll.modify(&listener, &mut event).call("epoll_ctl")?;
        }
    }
}

impl Client {
    // ANCHOR: goes_on
    /// Reads once and writes once: what did not fit is what epoll says again. False at the end of the client's input.
    fn goes_on(&mut self, epoll: &Epoll, data: &mut [u8]) -> io::Result<bool> {
        if !self.waiting.is_empty() {
            let waiting = mem::take(&mut self.waiting);
            return self.sends(&waiting, epoll, true);
        }
        match receive(&self.socket, data)? {
            Received::Data(length) => self.sends(&data[..length], epoll, false),
            Received::WouldBlock => Ok(true),
            Received::EndOfFile => Ok(false),
            Received::Reset => Err(Errno::ECONNRESET.into()),
        }
    }
    // ANCHOR_END: goes_on

    /// Sends what the kernel takes, keeps the rest, and waits for the one thing that is next.
    fn sends(&mut self, data: &[u8], epoll: &Epoll, waited: bool) -> io::Result<bool> {
        let sent = match send(self.socket.as_raw_fd(), data, MsgFlags::MSG_NOSIGNAL) {
            Ok(sent) => sent,
            Err(Errno::EAGAIN | Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        self.waiting.extend_from_slice(&data[sent..]);
        if waited == self.waiting.is_empty() {
            let next = if waited {
                EpollFlags::EPOLLIN
            } else {
                EpollFlags::EPOLLOUT
            };
            let fd = self.socket.as_raw_fd();
            epoll.modify(&self.socket, &mut EpollEvent::new(next, fd as u64))?;
        }
        Ok(true)
    }
}

/// Accepts until nobody waits. False if that ended for want of descriptors or memory.
fn accept_all(
    listener: &OwnedFd,
    epoll: &Epoll,
    clients: &mut Vec<Option<Client>>,
) -> anyhow::Result<bool> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    loop {
        let raw = match accept4(listener.as_raw_fd(), flags) {
            Ok(raw) => raw,
            Err(Errno::EAGAIN) => return Ok(true),
            Err(error @ (Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM)) => {
                complain!("accept: {}", io::Error::from(error));
                return Ok(false);
            }
            Err(error @ (Errno::EBADF | Errno::EINVAL | Errno::ENOTSOCK)) => {
                Err(error).call("accept")?
            }
            Err(_) => continue, // interrupted, or of a connection that is gone already, accept(2)
        };
        // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
        let socket = unsafe { OwnedFd::from_raw_fd(raw) };
        let Ok(peer) = tcp::peer_address(&socket) else {
            continue; // it has gone while it waited for us
        };
        say!("client connected {peer}")?;
        epoll
            .add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, raw as u64))
            .call("epoll_ctl")?;
        let place = raw as usize;
        clients.resize_with(clients.len().max(place + 1), || None);
        clients[place] = Some(Client {
            socket,
            peer,
            waiting: Vec::new(),
        });
    }
}
