//! Three ways to wake a thread that sleeps in epoll_wait.

use std::fmt;
use std::os::fd::OwnedFd;
use std::thread;

use anyhow::Context;
use common::io::{Received, receive};
use common::{Call, CallError, say};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{pipe2, write};

/// Wakes a thread by a pipe, an eventfd and a socket pair, and tells what differs
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this one
    way: Option<Way>,
    /// How often to wake it before it has looked
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    times: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Way {
    Pipe,
    Eventfd,
    Socketpair,
}

// ANCHOR: ways
/// What is written to, and what epoll watches: two descriptors, or one that is both. None of them blocks: one that is full
/// has woken the thread already, and a waker that waited for it could wait for ever.
struct Waker {
    sleeper: OwnedFd,
    other: Option<OwnedFd>,
}

impl Waker {
    fn new(way: Way) -> Result<Self, CallError> {
        let (sleeper, other) = match way {
            Way::Pipe => {
                let flags = OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
                let (reader, writer) = pipe2(flags).call("pipe2")?;
                (reader, Some(writer))
            }
            Way::Eventfd => {
                let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
                let both = EventFd::from_value_and_flags(0, flags).call("eventfd")?;
                (both.into(), None)
            }
            Way::Socketpair => {
                let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
                let (left, right) = socketpair(AddressFamily::Unix, SockType::Stream, None, flags)
                    .call("socketpair")?;
                (left, Some(right))
            }
        };
        Ok(Self { sleeper, other })
    }

    /// Wakes: a byte, or for an eventfd a number of eight bytes that is added to its counter, eventfd(2).
    fn wake(&self, by: u64) -> nix::Result<usize> {
        match &self.other {
            Some(writer) => write(writer, b"w"),
            None => write(&self.sleeper, &by.to_ne_bytes()),
        }
    }
}
// ANCHOR_END: ways

pub fn run(args: &Args) -> anyhow::Result<()> {
    let ways = args
        .way
        .map_or(vec![Way::Pipe, Way::Eventfd, Way::Socketpair], |way| {
            vec![way]
        });
    for way in ways {
        show(way, args.times)?;
    }
    Ok(())
}

fn show(way: Way, times: u16) -> anyhow::Result<()> {
    let waker = Waker::new(way)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).call("epoll_create1")?;
    let watched = EpollEvent::new(EpollFlags::EPOLLIN, 0);
    epoll.add(&waker.sleeper, watched).call("epoll_ctl")?;

    // ANCHOR: early
    for _ in 0..times {
        waker.wake(1).call("write")?;
    }
    wait(&epoll)?; // nobody slept yet, and nothing is lost
    let mut read = [0; 128];
    let read = match receive(&waker.sleeper, &mut read).call("read")? {
        Received::Data(length) => &read[..length],
        _ => &[],
    };
    // ANCHOR_END: early
    match <[u8; 8]>::try_from(read) {
        Ok(bytes) if way == Way::Eventfd => {
            let number = u64::from_ne_bytes(bytes);
            say!(
                "{way}: woken {times} times before the wait: it returns at once, and the counter is {number}"
            )?;
        }
        _ => {
            let length = read.len();
            say!(
                "{way}: woken {times} times before the wait: it returns at once, and {length} bytes are there"
            )?;
        }
    }

    let woken = thread::scope(|scope| {
        let sleeps = thread::Builder::new().spawn_scoped(scope, || wait(&epoll));
        let sleeps = sleeps.context("start a thread")?;
        waker.wake(1).call("write")?;
        let woken = sleeps.join().unwrap_or(Err(Errno::ECANCELED).call("join"));
        Ok::<_, anyhow::Error>(woken?)
    })?;
    say!("{way}: a thread in epoll_wait is woken, {woken} event")?;

    if way == Way::Eventfd {
        let short = write(&waker.sleeper, b"w").err();
        say!("{way}: a single byte is no wake-up: {}", name(short))?;
    }
    let (room, full) = fill(&waker)?;
    say!("{way}: {room} more fit, then {}", name(full))?;
    Ok(())
}

fn wait(epoll: &Epoll) -> Result<usize, CallError> {
    let mut events = [EpollEvent::empty(); 1];
    loop {
        match epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            outcome => return outcome.call("epoll_wait"),
        }
    }
}

/// Wakes until there is no room for more, and says how often that was and which error told.
fn fill(waker: &Waker) -> Result<(u64, Option<Errno>), CallError> {
    let mut room = 0;
    if waker.other.is_none() {
        room = u64::MAX - 2; // the counter stands at 1, and its largest value is 2^64 - 2
        waker.wake(room).call("write")?;
    }
    loop {
        match waker.wake(1) {
            Ok(_) => room += 1,
            Err(error) => return Ok((room, Some(error))),
        }
    }
}

fn name(error: Option<Errno>) -> String {
    error.map_or("no error".into(), |error| format!("{error:?}"))
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Way::Pipe => "pipe",
            Way::Eventfd => "eventfd",
            Way::Socketpair => "socketpair",
        })
    }
}
