//! The solution of exercise 31/handed-on.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, ensure};
use clap::Parser;
use common::address::Listen;
use common::io::set_nonblocking;
use common::{Call, CallError, complain, say, tcp};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, recv};

/// The most bytes of a name: NAME_MAX, path_resolution(7).
const LONGEST: usize = 255;

/// Has the files that its clients name sent to them
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    listen: Listen,
}

struct Server {
    epoll: Epoll,
    /// Who has not named a file yet, by the number of the descriptor: this is what epoll hands back with an event.
    clients: HashMap<u64, Client>,
    /// Programs that send files.
    senders: Vec<Child>,
}

struct Client {
    socket: OwnedFd,
    /// What has come of its line.
    line: Vec<u8>,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let listener = tcp::listen(&args.listen.address())?;
    set_nonblocking(&listener)?;
    let mut server = Server {
        epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).call("epoll_create1")?,
        clients: HashMap::new(),
        senders: Vec::new(),
    };
    server.watch(&listener)?;
    say!("listening on {}", tcp::local_address(&listener)?)?;

    let mut events = [EpollEvent::empty(); 16];
    loop {
        let count = match server.epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            outcome => outcome.call("epoll_wait")?,
        };
        // Who has ended is asked how, so that nothing is left of it: wait(2).
        server
            .senders
            .retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        for event in &events[..count] {
            if event.data() != id(&listener) {
                server.happened(event.data(), event.events());
                continue;
            }
            while let Some((socket, name)) = tcp::accept_ready(&listener)? {
                server.watch(&socket)?;
                let line = Vec::new();
                server.clients.insert(id(&socket), Client { socket, line });
                say!("client connected {name}")?;
            }
        }
    }
}

fn id(fd: impl AsFd) -> u64 {
    fd.as_fd().as_raw_fd() as u64
}

impl Client {
    /// Reads some of the line. True when it is whole. Only this call does not wait: the flag O_NONBLOCK would be the connection's,
    /// and cat expects one that waits.
    fn has_asked(&mut self) -> anyhow::Result<bool> {
        let mut data = [0; 512];
        match recv(self.socket.as_raw_fd(), &mut data, MsgFlags::MSG_DONTWAIT) {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Ok(0) => anyhow::bail!("it has ended and not asked"),
            count => self.line.extend_from_slice(&data[..count.call("recv")?]),
        }
        ensure!(self.line.len() <= LONGEST, "its line is too long");
        Ok(self.line.contains(&b'\n'))
    }
}

impl Server {
    /// Level-triggered. What has to do with errors is told in any case.
    fn watch(&self, fd: impl AsFd) -> Result<(), CallError> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, id(&fd));
        self.epoll.add(&fd, event).call("epoll_ctl")
    }

    fn happened(&mut self, id: u64, events: EpollFlags) {
        let Some(mut client) = self.clients.remove(&id) else {
            return;
        };
        // Reset by the client: nobody is there who could be answered.
        if events.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP) {
            complain!("a client has gone");
            return;
        }
        let outcome = match client.has_asked() {
            Ok(true) => self.hands_on(client),
            Ok(false) => {
                self.clients.insert(id, client);
                Ok(())
            }
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            complain!("a client goes: {error:#}");
        }
    }

    // ANCHOR: answer
    /// Another program has the connection from now on, and we have not.
    fn hands_on(&mut self, Client { socket, line }: Client) -> anyhow::Result<()> {
        let name = line.split(|byte| *byte == b'\n').next();
        let name = name.unwrap_or_default().trim_ascii_end();
        ensure!(!name.contains(&b'/'), "no file of this directory");
        // What epoll watches is the connection, and that stays open in the other program. Our number for it is the only handle on the
        // entry, and the close takes it away: after that no EPOLL_CTL_DEL can reach it. To forget old numbers, or to be told of
        // each event once only, would still let the other program's client wake us.
        self.epoll.delete(&socket).call("epoll_ctl")?;
        let path = Path::new(".").join(OsStr::from_bytes(name));
        let mut cat = Command::new("cat");
        cat.arg(path).stdin(Stdio::null()).stdout(socket);
        self.senders.push(cat.spawn().context("start cat")?);
        Ok(()) // here `cat`, the command, ends, and our descriptor with it
    }
    // ANCHOR_END: answer
}
