//! Events that nobody has asked for.

use std::io::{BufRead, stdin};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;

use common::io::set_nonblocking;
use common::{Call, CallError, say, tcp};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};
use nix::unistd::{pipe2, read, write};

use crate::calls::{IN, OUT};
use crate::instance::{Instance, Words};

/// Asks for no event, while the other end goes away
#[derive(Debug, clap::Args)]
pub struct ErrHupUnasked {
    /// Leave the other ends open
    #[arg(long)]
    open: bool,
}

impl ErrHupUnasked {
    // ANCHOR: unasked
    pub fn run(&self) -> anyhow::Result<()> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).call("pipe2")?;
        self.watch("the read end of a pipe whose writer goes", &reader, writer)?;
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).call("pipe2")?;
        self.watch("the write end of a pipe whose reader goes", &writer, reader)?;
        let (ours, peers) = connection()?;
        let linger = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        // Zero seconds of lingering make close(2) send RST: chapter 10.
        setsockopt(&peers, sockopt::Linger, &linger).call("setsockopt SO_LINGER")?;
        self.watch("a connection whose peer resets", &ours, peers)
    }

    fn watch(&self, what: &str, watched: &OwnedFd, other: OwnedFd) -> anyhow::Result<()> {
        let instance = Instance::new()?;
        instance.add(watched, 0)?;
        let other = self.open.then_some(other); // or it is closed here
        // The RST is there at once, or in a moment. While the ends are open nothing will come.
        let told = instance.wait(1, if self.open { 100 } else { 5000 })?;
        drop(other);
        Ok(say!("{what}: {}", Words(&told))?)
    }
    // ANCHOR_END: unasked
}

/// Both ends of a TCP connection.
fn connection() -> Result<(OwnedFd, OwnedFd), CallError> {
    let listener = tcp::listen(&(Ipv4Addr::LOCALHOST, 0).into())?;
    let ours = tcp::connect_to(&tcp::local_address(&listener)?)?;
    let (peers, _) = tcp::accept(&listener)?;
    Ok((ours, peers))
}

/// Waits for data, while there is room to write again
///
/// The other end reads when you type a line, and writes when you type another.
#[derive(Debug, clap::Args)]
pub struct EventFilter {
    /// Ask for room to write, too
    #[arg(long)]
    both: bool,
}

impl EventFilter {
    // ANCHOR: filter
    pub fn run(&self) -> anyhow::Result<()> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, peers) =
            socketpair(AddressFamily::Unix, SockType::Stream, None, flags).call("socketpair")?;
        set_nonblocking(&ours)?;
        set_nonblocking(&peers)?;
        until_it_would_wait(|| write(&ours, &[b'x'; 4096]))?;
        let instance = Instance::new()?;
        instance.add(&ours, if self.both { IN | OUT } else { IN })?;
        say!("{} is full, a thread waits", ours.as_raw_fd())?;
        let waiter = thread::spawn(move || -> anyhow::Result<()> {
            let told = instance.wait(1, -1)?;
            Ok(say!("it is told of {}", Words(&told))?)
        });
        let mut lines = stdin().lock();
        if lines.skip_until(b'\n')? > 0 {
            let mut room = [0; 4096];
            until_it_would_wait(|| read(&peers, &mut room))?;
            say!("the other end has read everything")?;
            lines.skip_until(b'\n')?;
        }
        write(&peers, b"data1").call("write")?;
        say!("the other end has written")?;
        match waiter.join() {
            Ok(outcome) => outcome,
            Err(_) => anyhow::bail!("the waiting thread has panicked"),
        }
    }
    // ANCHOR_END: filter
}

/// Repeats a call until it would have to wait.
fn until_it_would_wait(mut call: impl FnMut() -> nix::Result<usize>) -> Result<(), CallError> {
    loop {
        match call() {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Ok(()),
            Err(error) => return Err(error).call("read or write"),
        }
    }
}
