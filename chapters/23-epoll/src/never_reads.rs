//! epoll02 and epoll03: a server that is told of data and leaves it where it is.

use std::io::stdin;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use common::address::Listen;
use common::io::{Received, receive};
use common::lines::LineBuffer;
use common::signal::StopSignal;
use common::text::printable;
use common::{Call, complain, say, tcp};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::socket::{Shutdown, shutdown};

use crate::listener::Listener;
use crate::trigger::{Trigger, id};

/// How many events one wait may bring.
const MAX_EVENTS: usize = 128;

/// The options of epoll02 and epoll03, which differ in their trigger alone.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// Tell of each client once, until "rearm" is typed (EPOLLONESHOT)
    #[arg(long)]
    oneshot: bool,
}

struct Server {
    epoll: Epoll,
    /// What epoll watches clients for.
    interest: EpollFlags,
    /// In the order in which they came. The keyboard is about the last one.
    clients: Vec<OwnedFd>,
}

pub fn run(args: &Args, trigger: Trigger) -> anyhow::Result<()> {
    let stop = StopSignal::new()?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).call("epoll_create1")?;
    let mut listener = Listener::new(&args.listen, trigger, &epoll)?;
    let readable = |fd| EpollEvent::new(EpollFlags::EPOLLIN, id(fd));
    epoll.add(&stop, readable(stop.as_fd())).call("epoll_ctl")?;
    let (keyboard, mut typed) = (stdin(), LineBuffer::new());
    match epoll.add(&keyboard, readable(keyboard.as_fd())) {
        Err(Errno::EPERM) => {} // epoll does not take regular files, nor /dev/null: nobody types there
        outcome => outcome.call("epoll_ctl")?,
    }
    say!("listening on {}", tcp::local_address(&listener)?)?;

    let mut interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | trigger.flag();
    interest.set(EpollFlags::EPOLLONESHOT, args.oneshot);
    let mut server = Server {
        epoll,
        interest,
        clients: Vec::new(),
    };
    let mut events = [EpollEvent::empty(); MAX_EVENTS];
    loop {
        // ANCHOR: wait
        let count = match server.epoll.wait(&mut events, listener.timeout()) {
            Err(Errno::EINTR) => continue,
            outcome => outcome.call("epoll_wait")?,
        };
        if count > 0 {
            say!("epoll_wait wakeup")?;
        }
        listener.recover(&server.epoll)?;
        for event in &events[..count] {
            if event.data() == id(&stop) {
                return Ok(());
            } else if event.data() == id(&listener) {
                server.accept_all(&mut listener)?;
            } else if event.data() == id(&keyboard) {
                if typed.fill(&keyboard).call("read standard input")? == Received::EndOfFile {
                    server.epoll.delete(&keyboard).call("epoll_ctl")?;
                }
            } else {
                // And that is all: nothing is read.
                let names: Vec<_> = event.events().iter_names().map(|(name, _)| name).collect();
                say!(
                    "get event on socket fd == {}: {}",
                    event.data(),
                    names.join(" ")
                )?;
            }
        }
        // ANCHOR_END: wait
        while let Some(line) = typed.next_line() {
            server.obey(&line)?;
        }
    }
}

impl Server {
    fn accept_all(&mut self, listener: &mut Listener) -> anyhow::Result<()> {
        while let Some((socket, address)) = listener.accept(&self.epoll)? {
            let event = EpollEvent::new(self.interest, id(&socket));
            self.epoll.add(&socket, event).call("epoll_ctl")?;
            say!("accepted {address}: fd {}", id(&socket))?;
            self.clients.push(socket);
        }
        Ok(())
    }

    // ANCHOR: obey
    /// Does what was typed, to the last client.
    fn obey(&mut self, line: &[u8]) -> anyhow::Result<()> {
        let Some(client) = self.clients.last() else {
            complain!("no client");
            return Ok(());
        };
        let line = str::from_utf8(line).unwrap_or_default();
        let (word, number) = line.split_once(' ').unwrap_or((line, ""));
        match (word, number.parse::<u16>()) {
            ("read", Ok(size)) if size > 0 => {
                let mut data = vec![0; size.into()];
                match receive(client, &mut data) {
                    Ok(Received::Data(length)) => {
                        say!("read returns {length}: {}", printable(&data[..length]))?;
                        return Ok(());
                    }
                    Ok(Received::WouldBlock) => return Ok(say!("read: nothing there (EAGAIN)")?),
                    Ok(Received::EndOfFile) => say!("client closed: fd {}", id(client))?,
                    Ok(Received::Reset) => say!("client reset the connection: fd {}", id(client))?,
                    Err(error) => complain!("client failed: fd {}: {error}", id(client)), // it, and nobody else
                }
                self.clients.pop();
            }
            ("rearm", Err(_)) => {
                let mut event = EpollEvent::new(self.interest, id(client));
                self.epoll.modify(client, &mut event).call("epoll_ctl")?;
            }
            ("shutdown", Err(_)) => match shutdown(client.as_raw_fd(), Shutdown::Write) {
                Err(Errno::ENOTCONN) => complain!("the connection is gone"),
                outcome => outcome.call("shutdown")?,
            },
            _ => complain!("type read BYTES, rearm or shutdown"),
        }
        Ok(())
    }
    // ANCHOR_END: obey
}
