//! The loop: waits for events and calls whom they are for. One per thread, and the owner of everything that happens in it.

use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use common::CallError;
use tracing::{debug, warn};

use crate::acceptor::Acceptor;
use crate::buffer::Pool;
use crate::connection::{Fact, Link, Phase};
use crate::handle::chain;
use crate::source::Watch;
use crate::sys::{Accepted, make_non_blocking};
use crate::timer::{Tick, milliseconds};
use crate::{
    Dispatcher, End, Event, Handler, Interest, Limits, LoopHandle, MakeHandler, Next, Readiness,
    Source, Table, TcpConnection, TimerId, Token, Trigger, Wheel,
};

/// How much one read can bring, in bytes. Each loop has one buffer of this size; connections have none.
const SCRATCH: usize = 64 * 1024;

/// In milliseconds: timers may be late by a thirtieth of their time, and a turn takes less than that of this time.
const NEAR: Tick = 1000;

// ANCHOR: channel
/// What a token names.
enum Channel<H: Handler> {
    Connection(Box<Connection<H>>),
    Source(Box<dyn Source<H>>),
}

/// A connection and its handler, in one allocation.
struct Connection<H: Handler> {
    link: Link<H>,
    handler: H,
}
// ANCHOR_END: channel

/// What an application's timer does.
type Call<H> = Box<dyn FnOnce(&mut EventLoop<H>)>;

/// What a timer is for.
pub(crate) enum Timer<H: Handler> {
    Connection(Token),
    Call(Call<H>),
}

/// How far a stop has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopping {
    No,
    /// One more look at what has arrived already, then the handlers are told.
    Asked(Duration),
    /// They have been told.
    Told,
}

/// Waits for events and hands them to connections and other channels. It lives in one thread and locks nothing; other
/// threads have a [`LoopHandle`].
// ANCHOR: event_loop
pub struct EventLoop<H: Handler> {
    handle: LoopHandle<H>,
    dispatcher: Box<dyn Dispatcher>,
    pub(crate) edge: bool,
    pub(crate) limits: Limits,
    channels: Table<Channel<H>>,
    /// Of the last wait.
    events: Vec<Event>,
    /// To be called in the next turn whether or not there is an event.
    again: Vec<Event>,
    pub(crate) timers: Wheel<Timer<H>>,
    began: Instant,
    /// The time at which this turn began,
    instant: Instant,
    /// and the same in milliseconds since the loop did.
    pub(crate) now: Tick,
    pub(crate) pool: Pool,
    /// What connections read into; empty while one does.
    pub(crate) scratch: Vec<u8>,
    /// Sources that were to be removed while they were being called.
    leaving: Vec<Token>,
    acceptors: Vec<Token>,
    stopping: Stopping,
    /// The time for the stop is up: no connection stays.
    closing: bool,
    /// A turn is under way.
    turns: bool,
}
// ANCHOR_END: event_loop

impl<H: Handler> EventLoop<H> {
    /// A loop that waits with `dispatcher`. Its name is for the log: the course has `main thread`, `Thread-1`, ….
    pub fn new(
        name: &str,
        dispatcher: Box<dyn Dispatcher>,
        limits: Limits,
    ) -> Result<Self, CallError> {
        let kind = dispatcher.call().trim_end_matches("_wait");
        debug!("set {kind} as dispatcher, {name}");
        let handle = LoopHandle::new(name)?;
        let (waker, mut tasks) = (handle.waker(), Vec::new());
        let mut event_loop = Self {
            handle,
            edge: dispatcher.trigger() == Trigger::Edge,
            dispatcher,
            limits,
            channels: Table::default(),
            events: Vec::new(),
            again: Vec::new(),
            timers: Wheel::default(),
            began: Instant::now(),
            instant: Instant::now(),
            now: 0,
            pool: Pool::default(),
            scratch: vec![0; SCRATCH],
            leaving: Vec::new(),
            acceptors: Vec::new(),
            stopping: Stopping::No,
            closing: false,
            turns: false,
        };
        event_loop.watch(waker, Interest::READ, move |event_loop, waker, _| {
            waker.clear();
            debug!("wakeup, {}", event_loop.name());
            event_loop.handle.take_tasks(&mut tasks);
            for task in tasks.drain(..) {
                task(event_loop);
            }
            Next::Keep
        })?;
        Ok(event_loop)
    }

    /// Runs until the loop was [stopped](EventLoop::stop) and its last connection is gone. The only errors are those of
    /// the dispatcher's wait, which make no progress possible.
    pub fn run(&mut self) -> Result<(), CallError> {
        debug!("event loop run, {}", self.name());
        self.read_clock();
        while self.stopping != Stopping::Told || self.connections() > 0 {
            match self.stopping {
                Stopping::Asked(within) => {
                    self.turn(Some(Duration::ZERO))?;
                    self.tell_stop(within);
                }
                _ => self.turn(None)?,
            }
        }
        debug!("event loop end, {}", self.name());
        Ok(())
    }

    /// One turn: waits, for `at_most` so long, and deals with what has happened.
    ///
    /// # Panics
    ///
    /// In a call that a turn makes: the channel that is called is out of the table, and what happened to it would be lost.
    pub fn turn(&mut self, at_most: Option<Duration>) -> Result<(), CallError> {
        assert!(!self.turns, "a turn within a turn");
        self.turns = true;
        let outcome = self.wait_and_call(at_most);
        self.turns = false;
        outcome
    }

    // ANCHOR: turn
    fn wait_and_call(&mut self, at_most: Option<Duration>) -> Result<(), CallError> {
        let timeout = self.until_next_timer(at_most);
        let mut events = mem::take(&mut self.events);
        self.dispatcher.wait(&mut events, timeout)?;
        debug!("{} wakeup, {}", self.dispatcher.call(), self.name());
        self.read_clock();
        // Whoever asks to be called again while this goes on is called in the next turn.
        events.append(&mut self.again);
        for event in events.drain(..) {
            self.dispatch(event);
        }
        self.events = events;
        // Those that fall due while these are called have to wait for the next turn, and so for the others.
        let now = self.now;
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Call(call) => call(self),
                Timer::Connection(token) => {
                    self.with(token, |handler, connection| connection.timer_fired(handler));
                }
            }
        }
        Ok(())
    }
    // ANCHOR_END: turn

    fn until_next_timer(&mut self, at_most: Option<Duration>) -> Option<Duration> {
        if !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = self.timers.next_due();
        if next == Tick::MAX {
            return at_most;
        }
        // What this turn has taken so far does not matter to a timer that is far away.
        let mut left = next.saturating_sub(self.now);
        if left < NEAR {
            self.read_clock();
            left = next.saturating_sub(self.now);
        }
        let left = Duration::from_millis(left);
        Some(at_most.map_or(left, |at_most| at_most.min(left)))
    }

    // ANCHOR: dispatch
    /// Calls the channel that an event is for. There may be none: it was closed by an earlier event of the same wait.
    /// A channel is out of the table during its call, so the call may do with the loop what it likes.
    #[inline]
    fn dispatch(&mut self, Event { token, readiness }: Event) {
        match self.channels.take(token) {
            Some(Channel::Connection(connection)) => {
                self.log_event(connection.link.fd.as_fd(), readiness);
                self.call(connection, |handler, connection| {
                    if readiness == Readiness::default() {
                        connection.visit(handler);
                    } else {
                        connection.ready(handler, readiness);
                    }
                });
            }
            Some(Channel::Source(mut source)) => {
                self.log_event(source.fd(), readiness);
                let next = source.ready(self, token, readiness);
                self.follow(token, source, next, readiness);
            }
            None => {}
        }
    }
    // ANCHOR_END: dispatch

    #[inline(always)]
    fn log_event(&self, fd: BorrowedFd, readiness: Readiness) {
        if tracing::enabled!(tracing::Level::DEBUG) {
            let (fd, name) = (fd.as_raw_fd(), self.name());
            if readiness.reads() {
                debug!("get message channel fd=={fd} for read, {name}");
            }
            if readiness.any(Readiness::WRITABLE) {
                debug!("get message channel fd=={fd} for write, {name}");
            }
            let bits = readiness.in_the_log();
            debug!("activate channel fd == {fd}, revents={bits}, {name}");
        }
    }

    // What the dispatcher watches.

    /// Changes what a descriptor is watched for; `None` is not at all.
    pub(crate) fn rewatch(
        &mut self,
        fd: BorrowedFd,
        token: Token,
        before: Option<Interest>,
        wanted: Option<Interest>,
    ) -> Result<(), CallError> {
        let log = |what: &str| debug!("{what} channel fd == {}, {}", fd.as_raw_fd(), self.name());
        match (before, wanted) {
            (None, Some(wanted)) => {
                log("add");
                self.dispatcher.add(fd, token, wanted)
            }
            (Some(before), Some(wanted)) if before != wanted => {
                log("update");
                self.dispatcher.update(fd, token, wanted)
            }
            (Some(_), None) => {
                log("remove");
                self.dispatcher.remove(fd, token)
            }
            _ => Ok(()),
        }
    }

    // Sources.

    /// Adds a source. Fails where the dispatcher cannot watch its descriptor; then it is out again.
    pub fn add(
        &mut self,
        source: Box<dyn Source<H>>,
        interest: Interest,
    ) -> Result<Token, CallError> {
        match self.register(source.fd(), interest) {
            Ok(token) => {
                self.install(token, source);
                Ok(token)
            }
            Err(error) => {
                source.removed(self);
                Err(error)
            }
        }
    }

    /// Watches a descriptor, for a source that is [installed](EventLoop::install) under the token at once.
    pub(crate) fn register(
        &mut self,
        fd: BorrowedFd,
        interest: Interest,
    ) -> Result<Token, CallError> {
        let token = self.channels.reserve();
        let watched = self.rewatch(fd, token, None, Some(interest));
        watched
            .inspect_err(|_| drop(self.channels.remove(token)))
            .map(|()| token)
    }

    pub(crate) fn install(&mut self, token: Token, source: Box<dyn Source<H>>) {
        let _ = self.channels.put(token, Channel::Source(source));
    }

    /// Watches anything that has a descriptor, and calls `ready` with it: a datagram socket, a timerfd, a signalfd, a
    /// pipe. Under edge triggering, `ready` has to go on until nothing is left.
    pub fn watch<S: AsFd + 'static>(
        &mut self,
        subject: S,
        interest: Interest,
        ready: impl FnMut(&mut EventLoop<H>, &mut S, Readiness) -> Next + 'static,
    ) -> Result<Token, CallError> {
        self.add(Box::new(Watch { subject, ready }), interest)
    }

    /// Changes what a source waits for; not in its own callback, which returns [`Next::Watch`]. False if it is gone.
    pub fn set_interest(&mut self, token: Token, interest: Interest) -> bool {
        let Some(Channel::Source(source)) = self.channels.get(token) else {
            return false;
        };
        self.dispatcher.update(source.fd(), token, interest).is_ok()
    }

    /// Takes a source out. One that is just being called is taken out when its call is over.
    pub fn remove(&mut self, token: Token) {
        match self.channels.take(token) {
            Some(Channel::Source(source)) => {
                self.channels.remove(token);
                self.discard(token, source);
            }
            Some(connection) => drop(self.channels.put(token, connection)),
            None if self.channels.is_used(token) => self.leaving.push(token),
            None => {}
        }
    }

    fn discard(&mut self, token: Token, source: Box<dyn Source<H>>) {
        if let Err(error) = self.rewatch(source.fd(), token, Some(Interest::NONE), None) {
            warn!("{}", chain(&error));
        }
        source.removed(self);
    }

    /// Does what a source has answered.
    fn follow(&mut self, token: Token, source: Box<dyn Source<H>>, next: Next, event: Readiness) {
        let _ = self.channels.put(token, Channel::Source(source));
        let leaves = self.leaving.contains(&token);
        self.leaving.retain(|leaving| *leaving != token);
        match next {
            _ if leaves => self.remove(token),
            Next::Keep => {}
            Next::Watch(interest) => {
                if !self.set_interest(token, interest) {
                    self.remove(token);
                }
            }
            // Once: while it is ready, a level-triggered wait tells of it as well.
            Next::Again if self.again.iter().any(|event| event.token == token) => {}
            Next::Again => self.again.push(Event {
                token,
                readiness: event,
            }),
            Next::Remove => self.remove(token),
        }
    }

    /// Adds an acceptor, to be removed when the loop stops.
    pub(crate) fn add_acceptor(&mut self, acceptor: Acceptor<H>) -> Result<(), CallError> {
        let token = self.add(Box::new(acceptor), Interest::READ)?;
        self.acceptors.push(token);
        Ok(())
    }

    // Connections.

    /// Takes charge of a connected stream socket: makes it non-blocking, registers it, and calls
    /// [`Handler::connected`].
    pub fn adopt(
        &mut self,
        socket: OwnedFd,
        peer: Option<SocketAddr>,
        handler: H,
    ) -> Result<Token, CallError> {
        make_non_blocking(socket.as_fd())?;
        // Its times begin now, also between two turns.
        self.read_clock();
        self.handle.count(1);
        self.adopt_counted(socket, peer, handler, false)
    }

    /// Takes in a connection that was accepted, and counted when it was placed. It stays counted throughout: a gap, however
    /// short, would make this loop look emptier than it is to whoever places the next.
    pub(crate) fn take_in(&mut self, (socket, peer): Accepted, make: &MakeHandler<H>) {
        if let Err(error) = self.adopt_counted(socket, peer, make(peer), H::PEER_SPEAKS_FIRST) {
            warn!("a connection is closed at once: {}", chain(&error));
        }
    }

    fn adopt_counted(
        &mut self,
        socket: OwnedFd,
        peer: Option<SocketAddr>,
        handler: H,
        read_first: bool,
    ) -> Result<Token, CallError> {
        let token = self.channels.reserve();
        let mut link = Link::new(socket, token, peer, self.now);
        if !read_first {
            let fd = link.fd.as_fd();
            if let Err(error) = self.rewatch(fd, token, None, Some(Interest::READ)) {
                self.channels.remove(token);
                self.handle.count(-1);
                return Err(error);
            }
            link.watched = Some(Interest::READ);
        }
        let (idle, told) = (self.limits.idle, self.stopping == Stopping::Told);
        self.call(
            Box::new(Connection { link, handler }),
            |handler, connection| {
                connection.set_idle(idle);
                handler.connected(connection);
                if told {
                    handler.stopping(connection);
                }
                if read_first {
                    connection.read_first(handler);
                }
            },
        );
        Ok(token)
    }

    /// Calls `task` with a connection and its handler. `None` if it is gone, or is the one whose call this is made in.
    pub fn with<R>(
        &mut self,
        token: Token,
        task: impl FnOnce(&mut H, &mut TcpConnection<H>) -> R,
    ) -> Option<R> {
        match self.channels.take(token)? {
            Channel::Connection(connection) => Some(self.call(connection, task)),
            source => {
                let _ = self.channels.put(token, source);
                None
            }
        }
    }

    /// Has something done with a connection that is out of the table, and puts it back, or ends it.
    #[inline]
    fn call<R>(
        &mut self,
        mut connection: Box<Connection<H>>,
        task: impl FnOnce(&mut H, &mut TcpConnection<H>) -> R,
    ) -> R {
        let Connection { link, handler } = &mut *connection;
        let mut view = TcpConnection {
            link,
            event_loop: self,
        };
        let result = task(handler, &mut view);
        if view.event_loop.closing {
            view.end(End::Stopped);
        }
        view.settle(handler);
        if let Phase::Dead(end) = connection.link.phase {
            self.bury(&mut connection, end);
        } else {
            let token = connection.link.token;
            let _ = self.channels.put(token, Channel::Connection(connection));
        }
        result
    }

    /// The end: out of the dispatcher, the timers and the table while the descriptor is open; then the handler is told;
    /// then the descriptor is closed, and its number free for another.
    #[cold]
    fn bury(&mut self, Connection { link, handler }: &mut Connection<H>, end: End) {
        let watched = link.watched.take();
        if let Err(error) = self.rewatch(link.fd.as_fd(), link.token, watched, None) {
            warn!("{}", chain(&error));
        }
        if let Some((timer, _)) = link.timer.take() {
            self.timers.cancel(timer);
        }
        if let Some(kept) = link.kept.take() {
            self.pool.give(kept);
        }
        self.channels.remove(link.token);
        self.handle.count(-1);
        let event_loop = self;
        let mut view = TcpConnection { link, event_loop };
        view.drop_output();
        handler.closed(&mut view, end);
    }

    /// How many connections there are, those on their way to this loop included.
    pub fn connections(&self) -> usize {
        self.handle.connections()
    }

    /// Has a connection visited in the next turn.
    pub(crate) fn list(&mut self, link: &mut Link<H>) {
        if !link.is(Fact::LISTED) {
            link.set(Fact::LISTED, true);
            self.again.push(Event {
                token: link.token,
                readiness: Readiness::default(),
            });
        }
    }

    // Time.

    /// The time at which this turn began, or at which a timer was set in it.
    pub fn now(&self) -> Instant {
        self.instant
    }

    /// Calls `call` once, `after` from now. Never early; late by a thirtieth and a millisecond at most, if nothing blocks the
    /// loop.
    pub fn after(
        &mut self,
        after: Duration,
        call: impl FnOnce(&mut EventLoop<H>) + 'static,
    ) -> TimerId {
        self.read_clock();
        let at = self.tick_after(after);
        self.set_timer(at, Timer::Call(Box::new(call)))
    }

    /// Takes a timer back. False if it has fired.
    pub fn cancel(&mut self, timer: TimerId) -> bool {
        self.timers.cancel(timer).is_some()
    }

    fn read_clock(&mut self) {
        self.instant = Instant::now();
        let time = self.instant.duration_since(self.began);
        self.now = time.as_secs() * 1000 + Tick::from(time.subsec_millis());
    }

    /// Sets a timer for a tick.
    pub(crate) fn set_timer(&mut self, at: Tick, timer: Timer<H>) -> TimerId {
        self.timers.advance(self.now);
        self.timers.insert(at, timer)
    }

    /// The tick `after` from now, at most years ahead. Rounded up, and one is added for the part of a millisecond that
    /// `now` does not show.
    pub(crate) fn tick_after(&self, after: Duration) -> Tick {
        self.now + milliseconds(after) + 1
    }

    // The end.

    /// Stops the loop: acceptors are closed, requests that have arrived already are read, connections are told
    /// ([`Handler::stopping`]), and [`run`](EventLoop::run) returns when the last one is gone; after `within`, those that
    /// are left are closed. Asked a second time with no time left, they are closed now.
    pub fn stop(&mut self, within: Duration) {
        if self.stopping == Stopping::No {
            self.stopping = Stopping::Asked(within);
            for acceptor in mem::take(&mut self.acceptors) {
                self.remove(acceptor);
            }
        } else if within.is_zero() {
            self.close_all();
        }
    }

    fn tell_stop(&mut self, within: Duration) {
        self.stopping = Stopping::Told;
        for token in self.channels.tokens() {
            self.with(token, |handler, connection| handler.stopping(connection));
        }
        self.after(within, Self::close_all);
    }

    fn close_all(&mut self) {
        self.closing = true;
        for token in self.channels.tokens() {
            self.with(token, |_, connection| connection.end(End::Stopped));
        }
    }

    // What it is made of.

    /// The loop for other threads.
    pub fn handle(&self) -> LoopHandle<H> {
        self.handle.clone()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.handle.name()
    }
}

impl<H: Handler> Drop for EventLoop<H> {
    /// Connections that are left end, and tasks that nobody will run are dropped.
    fn drop(&mut self) {
        self.handle.close();
        self.close_all();
    }
}
