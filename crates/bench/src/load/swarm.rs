//! The connections, and what happens on them in a turn.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use common::Call;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::sockopt::{Linger, SocketError, TcpNoDelay};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, connect,
    getsockopt, send, setsockopt, socket,
};
use nix::unistd::read;

use super::answers::{Answers, Expected};
use super::{LoadError, PATIENCE, Shape};

/// How many connections are opened at the same time: more would only fill the server's queue, and a full queue costs a
/// second for each that is dropped, listen(2).
const OPENING: usize = 100;

/// Events that one epoll_wait(2) may bring.
const EVENTS: usize = 256;

/// As much as one read takes: an answer of 100 KiB whole.
const READ: usize = 256 * 1024;

/// Many connections to one server.
pub struct Swarm {
    address: SocketAddr,
    shape: Shape,
    /// As many requests as may be sent together.
    batch: Vec<u8>,
    request: usize,
    expected: Expected,
    epoll: Epoll,
    events: Vec<EpollEvent>,
    buffer: Vec<u8>,
    slots: Vec<Slot>,
    /// Slots whose answers have all come since the last turn began, and when.
    done: Vec<(usize, Instant)>,
    waiting: usize,
    answered: u64,
}

/// A connection, or the place of one.
struct Slot {
    socket: Option<OwnedFd>,
    phase: Phase,
    interest: EpollFlags,
    /// Bytes of the batch that are to go out, and that have gone.
    to_send: usize,
    sent: usize,
    /// Answers that are still to come.
    missing: usize,
    answers: Answers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    Connecting,
    Open,
    /// Everything has been answered, and the server's end is still to come.
    Ending,
}

impl Swarm {
    /// No connection yet.
    pub fn new(address: SocketAddr, shape: &Shape) -> Result<Self, LoadError> {
        let request = shape.request();
        Ok(Self {
            address,
            batch: request.repeat(shape.depth),
            request: request.len(),
            expected: shape.expected(),
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).call("epoll_create1")?,
            events: vec![EpollEvent::empty(); EVENTS],
            buffer: vec![0; READ],
            slots: Vec::new(),
            done: Vec::new(),
            waiting: 0,
            answered: 0,
            shape: shape.clone(),
        })
    }

    /// Opens connections until there are so many, and asks once on each: then the server has accepted it and set up what it
    /// needs. Says how long all that took.
    pub fn grow(&mut self, connections: usize) -> Result<Duration, LoadError> {
        let began = Instant::now();
        self.grow_patiently(connections, PATIENCE)?;
        match self.waiting {
            0 => Ok(began.elapsed()),
            waiting => Err(LoadError::Stalled {
                waiting,
                connections,
            }),
        }
    }

    /// As [`Swarm::grow`], with a server that does not serve everybody: once nothing has happened for so long, those that wait
    /// are left waiting. Says how many have been answered.
    pub fn grow_patiently(
        &mut self,
        connections: usize,
        patience: Duration,
    ) -> Result<usize, LoadError> {
        let (mut opened, mut last) = (self.slots.len(), Instant::now());
        let mut answered = 0;
        let before = self.waiting;
        while opened < connections || self.waiting > before {
            while opened < connections && self.waiting < before + OPENING {
                let slot = self.add();
                self.ask(slot, 1)?;
                opened += 1;
            }
            let now = self.turn(Some(Duration::from_millis(10)))?.len();
            answered += now;
            if now > 0 {
                last = Instant::now();
            } else if last.elapsed() > patience {
                break;
            }
        }
        Ok(answered)
    }

    /// Those that can be asked now.
    pub(super) fn free(&self) -> impl Iterator<Item = usize> {
        let slots = self.slots.iter().enumerate();
        slots
            .filter(|(_, slot)| slot.missing == 0 && slot.phase != Phase::Ending)
            .map(|(index, _)| index)
    }

    /// Connections that wait for an answer.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Answers so far.
    pub(super) fn answered(&self) -> u64 {
        self.answered
    }

    /// Requests that may be sent together.
    pub(super) fn depth(&self) -> usize {
        self.shape.depth
    }

    pub(super) fn stalled(&self) -> LoadError {
        LoadError::Stalled {
            waiting: self.waiting,
            connections: self.slots.len(),
        }
    }

    /// Room for so many connections, each to be opened when it is first asked.
    pub(super) fn places(&mut self, connections: usize) {
        while self.slots.len() < connections {
            self.add();
        }
    }

    fn add(&mut self) -> usize {
        self.slots.push(Slot {
            socket: None,
            phase: Phase::Closed,
            interest: EpollFlags::empty(),
            to_send: 0,
            sent: 0,
            missing: 0,
            answers: self.shape.answers(),
        });
        self.slots.len() - 1
    }

    /// Sends so many requests on a connection that waits for nothing.
    pub(super) fn ask(&mut self, index: usize, requests: usize) -> Result<(), LoadError> {
        let slot = &mut self.slots[index];
        slot.to_send = requests * self.request;
        slot.sent = 0;
        slot.missing = requests;
        self.waiting += 1;
        match slot.phase {
            Phase::Closed => self.connect(index),
            _ => self.flush(index),
        }
    }

    /// Waits for something to happen, for so long at most (`None`: not at all), and deals with it. Returns those connections
    /// whose answers have all come, and when.
    pub(super) fn turn(
        &mut self,
        wait: Option<Duration>,
    ) -> Result<&[(usize, Instant)], LoadError> {
        self.done.clear();
        let timeout = match wait {
            Some(wait) => EpollTimeout::try_from(wait).unwrap_or(EpollTimeout::MAX),
            None => EpollTimeout::ZERO,
        };
        let count = match self.epoll.wait(&mut self.events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(error) => return Err(error).call("epoll_wait")?,
        };
        for event in 0..count {
            let event = self.events[event];
            let (index, ready) = (event.data() as usize, event.events());
            if self.slots[index].phase == Phase::Connecting {
                self.connected(index)?;
            } else if ready.contains(EpollFlags::EPOLLOUT) {
                self.flush(index)?;
            }
            let readable = EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
            if ready.intersects(readable) {
                self.receive(index)?;
            }
        }
        Ok(&self.done)
    }

    fn connect(&mut self, index: usize) -> Result<(), LoadError> {
        let family = match self.address {
            SocketAddr::V4(_) => AddressFamily::Inet,
            SocketAddr::V6(_) => AddressFamily::Inet6,
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(family, SockType::Stream, flags, SockProtocol::Tcp).call("socket")?;
        setsockopt(&socket, TcpNoDelay, &true).call("setsockopt TCP_NODELAY")?;
        match connect(socket.as_raw_fd(), &SockaddrStorage::from(self.address)) {
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(Errno::EADDRNOTAVAIL) => return Err(LoadError::Ports(self.address)),
            Err(error) => {
                return Err(error).call(format_args!("connect {}", self.address))?;
            }
        }
        let slot = &mut self.slots[index];
        slot.interest = EpollFlags::EPOLLOUT;
        let event = EpollEvent::new(slot.interest, index as u64);
        self.epoll.add(&socket, event).call("epoll_ctl")?;
        slot.socket = Some(socket);
        slot.phase = Phase::Connecting;
        Ok(())
    }

    fn connected(&mut self, index: usize) -> Result<(), LoadError> {
        let slot = &mut self.slots[index];
        let Some(socket) = &slot.socket else {
            return Ok(());
        };
        let error = getsockopt(socket, SocketError).call("getsockopt SO_ERROR")?;
        if error != 0 {
            let error = Err(Errno::from_raw(error));
            return error.call(format_args!("connect {}", self.address))?;
        }
        slot.phase = Phase::Open;
        self.flush(index)
    }

    /// Sends what is still to be sent, as far as the kernel takes it.
    fn flush(&mut self, index: usize) -> Result<(), LoadError> {
        let slot = &mut self.slots[index];
        let Some(socket) = &slot.socket else {
            return Ok(());
        };
        let mut interest = EpollFlags::EPOLLIN;
        while slot.sent < slot.to_send {
            let rest = &self.batch[slot.sent..slot.to_send];
            match send(socket.as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL) {
                Ok(count) => slot.sent += count,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    interest |= EpollFlags::EPOLLOUT;
                    break;
                }
                Err(Errno::EPIPE | Errno::ECONNRESET) => {
                    return Err(LoadError::Ended(slot.missing));
                }
                Err(error) => return Err(error).call("send")?,
            }
        }
        if interest != slot.interest {
            slot.interest = interest;
            let mut event = EpollEvent::new(interest, index as u64);
            self.epoll.modify(socket, &mut event).call("epoll_ctl")?;
        }
        Ok(())
    }

    fn receive(&mut self, index: usize) -> Result<(), LoadError> {
        let slot = &mut self.slots[index];
        let Some(socket) = &slot.socket else {
            return Ok(());
        };
        let count = match read(socket.as_fd(), &mut self.buffer) {
            Ok(0) if slot.phase == Phase::Ending => {
                // Closed before another is opened in its place; epoll(7) forgets a descriptor that is closed.
                slot.socket = None;
                slot.phase = Phase::Closed;
                self.waiting -= 1;
                self.done.push((index, Instant::now()));
                return Ok(());
            }
            Ok(0) | Err(Errno::ECONNRESET) => return Err(LoadError::Ended(slot.missing)),
            Ok(count) => count,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(()),
            Err(error) => return Err(error).call("read")?,
        };
        let answers = slot.answers.take(&self.buffer[..count], &mut self.expected);
        let answers = answers.map_err(LoadError::Wrong)?;
        if answers > slot.missing || (answers == slot.missing && slot.answers.unfinished()) {
            return Err(LoadError::Wrong("more than it was asked for".into()));
        }
        slot.missing -= answers;
        self.answered += answers as u64;
        if slot.missing > 0 {
            return Ok(());
        }
        if self.shape.closes() {
            slot.phase = Phase::Ending;
        } else {
            self.waiting -= 1;
            self.done.push((index, Instant::now()));
        }
        Ok(())
    }
}

impl Drop for Swarm {
    /// By a reset: ten thousand connections that are closed in the usual way would hold their ports for a minute, in
    /// TIME_WAIT. socket(7), SO_LINGER.
    fn drop(&mut self) {
        let at_once = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        for socket in self.slots.iter().filter_map(|slot| slot.socket.as_ref()) {
            let _ = setsockopt(socket, Linger, &at_once); // then it is closed in the usual way
        }
    }
}
