//! The proactor's server: what is done when something is complete.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use common::signal::StopSignal;
use common::{Call, CallError, complain, say, tcp};
use io_uring::opcode;
use io_uring::types::{Fd, Timespec};
use nix::errno::Errno;

use crate::connection::{Connection, Reading, Sending};
use crate::pool::Pool;
use crate::proactor::{Completion, Kind, Place, Proactor};

/// How much memory is kept for those who will be slow.
const SPARE: usize = 16;

/// The server's state.
pub struct Server<'ring> {
    proactor: Proactor<'ring>,
    listener: OwnedFd,
    /// None where each request completes once.
    pool: Option<Pool>,
    size: usize,
    /// How long not to accept when there are no descriptors left.
    pause: Timespec,
    full: bool,
    connections: Vec<Option<Connection>>,
    vacant: Vec<Place>,
    /// Connections whose quick sends are decided by the next turn.
    quick: Vec<Place>,
    /// Connections that found no buffer.
    starved: VecDeque<Place>,
    /// Memory that slow connections have had and the next one gets: nothing is allocated for a message.
    spare: Vec<Vec<u8>>,
    /// Something is to be done after the next turn, whether something completes or not.
    hurry: bool,
}

impl<'ring> Server<'ring> {
    pub fn new(
        proactor: Proactor<'ring>,
        listener: OwnedFd,
        pool: Option<Pool>,
        size: usize,
    ) -> Self {
        Self {
            proactor,
            listener,
            pool,
            size,
            pause: Timespec::new().nsec(100_000_000),
            full: false,
            connections: Vec::new(),
            vacant: Vec::new(),
            quick: Vec::new(),
            starved: VecDeque::new(),
            spare: Vec::new(),
            hurry: false,
        }
    }

    // ANCHOR: serve
    /// Until a signal says that it is time to end.
    pub fn serve(&mut self, stop: &StopSignal) -> anyhow::Result<()> {
        self.accept()?;
        self.proactor.watch(Kind::Stop, stop.as_fd().as_raw_fd())?;
        let mut complete = Vec::new();
        loop {
            let wait = !mem::take(&mut self.hurry) && self.starved.is_empty();
            let taken = self.proactor.turn(wait, &mut complete)?;
            self.settle(taken, &complete)?;
            for completion in &complete {
                match completion.kind {
                    Kind::Accept => self.accepted(completion)?,
                    Kind::Receive => self.received(completion)?,
                    Kind::Send => self.sent(completion)?,
                    Kind::Pause => self.accept()?,
                    Kind::Stop => return Ok(()),
                    Kind::SendNow | Kind::Cancel => {}
                }
            }
            if let Some(pool) = &mut self.pool {
                self.hurry |= !pool.stock(); // those that are lent come back as soon as they are sent
            }
            self.feed_the_starved()?;
        }
    }
    // ANCHOR_END: serve

    fn accept(&mut self) -> Result<(), CallError> {
        let fd = Fd(self.listener.as_raw_fd());
        let entry = match self.pool {
            Some(_) => opcode::AcceptMulti::new(fd)
                .flags(libc::SOCK_CLOEXEC)
                .build(),
            None => {
                let (no_address, no_length) = (std::ptr::null_mut(), std::ptr::null_mut());
                opcode::Accept::new(fd, no_address, no_length)
                    .flags(libc::SOCK_CLOEXEC)
                    .build()
            }
        };
        // SAFETY: it points to nothing.
        unsafe { self.proactor.request(Kind::Accept, 0, entry) }
    }

    fn accepted(&mut self, completion: &Completion) -> anyhow::Result<()> {
        match completion.result {
            Ok(raw) => {
                self.full = false;
                // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
                self.connected(unsafe { OwnedFd::from_raw_fd(raw as i32) })?;
            }
            Err(error @ (Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM)) => {
                if !mem::replace(&mut self.full, true) {
                    complain!("accept: {}", io::Error::from(error));
                }
                // It would fail again at once, and again.
                let entry = opcode::Timeout::new(&raw const self.pause).build();
                // SAFETY: the time lies in the server, which does not move while it serves.
                unsafe { self.proactor.request(Kind::Pause, 0, entry)? };
                return Ok(());
            }
            Err(error @ (Errno::EBADF | Errno::EINVAL | Errno::ENOTSOCK)) => {
                Err(error).call("accept")?
            }
            Err(_) => {} // of a connection that is gone already, accept(2)
        }
        if !completion.more {
            self.accept()?;
        }
        Ok(())
    }

    fn connected(&mut self, socket: OwnedFd) -> anyhow::Result<()> {
        let peer = match tcp::peer_address(&socket) {
            Ok(peer) => peer,
            Err(_) => return Ok(()), // it has gone while it waited for us
        };
        say!("client connected {peer}")?;
        let place = self.vacant.pop().unwrap_or(self.connections.len());
        if place == self.connections.len() {
            self.connections.push(None);
        }
        self.connections[place] = Some(Connection::new(socket, peer));
        self.go_on(place)
    }

    /// What the last turn's quick sends have come to. Those that have failed have said so, and the others are done.
    fn settle(&mut self, taken: bool, complete: &[Completion]) -> anyhow::Result<()> {
        for completion in complete
            .iter()
            .filter(|completion| completion.kind == Kind::SendNow)
        {
            self.fell_short(completion)?;
        }
        if taken {
            let mut quick = mem::take(&mut self.quick);
            for place in quick.drain(..) {
                self.sent_lent(place)?;
            }
            self.quick = quick; // its memory serves again
        }
        Ok(())
    }

    /// A quick send took only a part, or nothing: the peer does not read fast enough. The rest may take its time.
    fn fell_short(&mut self, completion: &Completion) -> anyhow::Result<()> {
        let (Some(connection), Some(pool)) =
            (&mut self.connections[completion.place], &mut self.pool)
        else {
            return Ok(());
        };
        let Sending::Lent { buffer, length } = connection.sending else {
            return Ok(());
        };
        let sent = match completion.result {
            Ok(sent) => sent.min(length),
            Err(Errno::EAGAIN | Errno::EINTR) => 0,
            Err(error) => {
                connection.error = Some(error);
                length
            }
        };
        connection.own = self.spare.pop().unwrap_or_default();
        connection.keeps(&pool.data(buffer, length)[sent..]);
        pool.back(buffer);
        self.send_own(completion.place)?;
        self.go_on(completion.place)
    }

    fn sent_lent(&mut self, place: Place) -> anyhow::Result<()> {
        let (Some(connection), Some(pool)) = (&mut self.connections[place], &mut self.pool) else {
            return Ok(());
        };
        let Sending::Lent { buffer, .. } = connection.sending else {
            return Ok(());
        };
        connection.sending = Sending::Nothing;
        pool.back(buffer);
        self.go_on(place)
    }

    /// Sends what is left in the connection's own memory, if anything is.
    fn send_own(&mut self, place: Place) -> anyhow::Result<()> {
        if let Some(connection) = &mut self.connections[place] {
            connection.sending = Sending::Nothing;
            if connection.sent < connection.end && connection.error.is_none() {
                connection.sending = Sending::Own;
                // SAFETY: `own` is not touched while it is being sent from.
                unsafe {
                    self.proactor
                        .request(Kind::Send, place, connection.send_own())?
                };
            }
        }
        Ok(())
    }

    /// A send that took its time is complete.
    fn sent(&mut self, completion: &Completion) -> anyhow::Result<()> {
        let Some(connection) = &mut self.connections[completion.place] else {
            return Ok(());
        };
        match completion.result {
            Ok(sent) => connection.sent += sent,
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(error) => connection.error = Some(error),
        }
        self.send_own(completion.place)?;
        self.go_on(completion.place)
    }

    // ANCHOR: received
    /// Something has been received.
    fn received(&mut self, completion: &Completion) -> anyhow::Result<()> {
        let place = completion.place;
        let Some(connection) = &mut self.connections[place] else {
            return Ok(());
        };
        if !completion.more {
            connection.reading = Reading::Stopped;
        }
        match (completion.result, completion.buffer, &mut self.pool) {
            (Ok(0), None, _) => connection.input_ended = true,
            (Ok(length), Some(buffer), Some(pool)) => {
                pool.take(buffer, length).call("io_uring_enter")?;
                if length > 0
                    && connection.sending == Sending::Nothing
                    && connection.waiting.is_empty()
                {
                    // The buffer in which it came is the buffer from which it goes.
                    connection.sending = Sending::Lent { buffer, length };
                    let entry = connection.send_now(pool.data(buffer, length));
                    // SAFETY: the buffer is ours until `settle` gives it back.
                    unsafe { self.proactor.request(Kind::SendNow, place, entry)? };
                    self.quick.push(place);
                } else {
                    if connection.waiting.capacity() == 0 {
                        connection.waiting = self.spare.pop().unwrap_or_default();
                        connection.waiting.clear();
                    }
                    connection
                        .waiting
                        .extend_from_slice(pool.data(buffer, length));
                    connection.input_ended |= length == 0;
                    pool.back(buffer);
                }
            }
            (Ok(length), _, _) => {
                (connection.sent, connection.end) = (0, length);
                self.send_own(place)?;
            }
            (Err(Errno::ENOBUFS), _, Some(_)) => {
                connection.reading = Reading::Starved;
                self.starved.push_back(place);
            }
            (Err(Errno::ECANCELED | Errno::EINTR | Errno::EAGAIN), ..) => {}
            (Err(error), ..) => connection.error = Some(error),
        }
        self.go_on(place)
    }
    // ANCHOR_END: received

    // ANCHOR: go_on
    /// Whatever has happened to a connection: what is to be done next?
    fn go_on(&mut self, place: Place) -> anyhow::Result<()> {
        let several = self.pool.is_some();
        let Some(connection) = &mut self.connections[place] else {
            return Ok(());
        };
        if several && connection.sending == Sending::Nothing {
            if connection.takes_what_waits() {
                self.send_own(place)?;
            } else {
                // An idle connection holds no memory.
                for unused in [&mut connection.own, &mut connection.waiting] {
                    if unused.capacity() > 0 {
                        self.spare.push(mem::take(unused));
                        self.spare.truncate(SPARE);
                    }
                }
            }
        }
        let Some(connection) = &mut self.connections[place] else {
            return Ok(());
        };
        match (connection.reading, connection.wants_more(several)) {
            (Reading::Stopped, true) => {
                connection.reading = Reading::Asked;
                let entry = connection.receive(several, self.size);
                // SAFETY: it points to nothing, or to `own`, which is not touched while it is received into.
                unsafe { self.proactor.request(Kind::Receive, place, entry)? };
            }
            (Reading::Asked, false) => {
                connection.reading = Reading::CalledOff;
                self.proactor.cancel(Kind::Receive, place)?;
            }
            _ => {}
        }
        self.hurry |= connection.is_in_a_hurry();
        if connection.is_over() {
            self.close(place)?;
        }
        Ok(())
    }
    // ANCHOR_END: go_on

    fn close(&mut self, place: Place) -> anyhow::Result<()> {
        if let Some(connection) = self.connections[place].take() {
            self.starved.retain(|&starved| starved != place);
            self.vacant.push(place);
            drop(connection.socket); // close(2): the client need not wait for our words
            match connection.error {
                None => say!("client closed {}", connection.peer)?,
                Some(error) => complain!("client {}: {}", connection.peer, io::Error::from(error)),
            }
        }
        Ok(())
    }

    /// A multishot request ends when there is no buffer. As soon as there are some it is made again.
    fn feed_the_starved(&mut self) -> anyhow::Result<()> {
        let free = self.pool.as_ref().map_or(0, Pool::free);
        for _ in 0..free {
            let Some(place) = self.starved.pop_front() else {
                break;
            };
            if let Some(connection) = &mut self.connections[place] {
                connection.reading = Reading::Stopped;
            }
            self.go_on(place)?;
        }
        Ok(())
    }

    // ANCHOR: call_off
    /// Calls everything off, and waits until the kernel has given everything back.
    pub fn call_off(&mut self) -> Result<(), CallError> {
        for kind in [Kind::Accept, Kind::Pause, Kind::Stop] {
            self.proactor.cancel(kind, 0)?;
        }
        for (place, connection) in self.connections.iter().enumerate() {
            if connection
                .as_ref()
                .is_some_and(|connection| connection.reading == Reading::Asked)
            {
                self.proactor.cancel(Kind::Receive, place)?;
            }
            if connection
                .as_ref()
                .is_some_and(|connection| connection.sending == Sending::Own)
            {
                self.proactor.cancel(Kind::Send, place)?;
            }
        }
        let mut complete = Vec::new();
        while self.proactor.has_requests() {
            self.proactor.turn(true, &mut complete)?;
        }
        Ok(())
    }
    // ANCHOR_END: call_off
}
