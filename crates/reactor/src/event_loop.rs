//! The loop: waits for events and calls whom they are for. One per thread, and the owner of everything that happens in it.

use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use common::{Call as _, CallError};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tracing::debug;

use crate::buffer::Pool;
use crate::connection::{Link, TcpConnection};
use crate::dispatcher::{Dispatcher, Trigger};
use crate::handle::{LoopHandle, Task, chain};
use crate::handler::{End, Handler};
use crate::interest::{Event, Interest, Readiness};
use crate::io::Connection;
use crate::limits::Limits;
use crate::timer::{Tick, TimerId, Wheel};
use crate::token::{Table, Token};
use crate::waker::Woken;

/// How much one read can bring, in bytes. Each loop has one buffer of this size; connections have none.
const SCRATCH: usize = 64 * 1024;

/// A channel other than a connection: an acceptor, the waker, a connect under way, and whatever an application wants to
/// wait for. There are few of them, so their calls may be dynamic ones.
pub trait Source<H: Handler>: 'static {
    /// The descriptor: open, and the same, for as long as the source lives.
    fn fd(&self) -> BorrowedFd<'_>;

    /// Something has happened to it.
    fn ready(&mut self, event_loop: &mut EventLoop<H>, token: Token, readiness: Readiness) -> Next;

    /// It has been taken out of the loop.
    fn removed(self: Box<Self>, event_loop: &mut EventLoop<H>) {
        let _ = event_loop;
    }
}

/// What becomes of a source after its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It stays as it is.
    Keep,
    /// It waits for this from now on.
    Watch(Interest),
    /// It was not done: call it once more in the next turn, when others had theirs.
    Again,
    /// It is taken out.
    Remove,
}

/// What a token names.
enum Channel<H: Handler> {
    Connection(Box<Connection<H>>),
    Source(Box<dyn Source<H>>),
}

/// What an application's timer does.
type Call<H> = Box<dyn FnOnce(&mut EventLoop<H>)>;

/// What a timer is for.
enum Timer<H: Handler> {
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
pub struct EventLoop<H: Handler> {
    name: String,
    handle: LoopHandle<H>,
    dispatcher: Box<dyn Dispatcher>,
    edge: bool,
    limits: Limits,
    channels: Table<Channel<H>>,
    /// Of the last wait.
    events: Vec<Event>,
    /// To be called in the next turn whether or not there is an event.
    again: Vec<(Token, Readiness)>,
    timers: Wheel<Timer<H>>,
    began: Instant,
    /// Milliseconds since it began, as of this turn.
    now: Tick,
    pool: Pool,
    /// What connections read into.
    pub(crate) scratch: Vec<u8>,
    connections: usize,
    acceptors: Vec<Token>,
    stopping: Stopping,
}

impl<H: Handler> EventLoop<H> {
    /// A loop that waits with `dispatcher`. Its name is for the log: the course has `main thread`, `Thread-1`, ….
    pub fn new(
        name: &str,
        dispatcher: Box<dyn Dispatcher>,
        limits: Limits,
    ) -> Result<Self, CallError> {
        debug!(
            "set {} as dispatcher, {name}",
            dispatcher.call().trim_end_matches("_wait")
        );
        let handle = LoopHandle::new(name)?;
        let waker = handle.waker();
        let mut event_loop = Self {
            name: name.into(),
            handle,
            edge: dispatcher.trigger() == Trigger::Edge,
            dispatcher,
            limits,
            channels: Table::default(),
            events: Vec::new(),
            again: Vec::new(),
            timers: Wheel::default(),
            began: Instant::now(),
            now: 0,
            pool: Pool::default(),
            scratch: vec![0; SCRATCH],
            connections: 0,
            acceptors: Vec::new(),
            stopping: Stopping::No,
        };
        event_loop.add(Box::new(Woken::new(waker)), Interest::READ)?;
        Ok(event_loop)
    }

    /// Runs until the loop was [stopped](EventLoop::stop) and its last connection is gone. The only errors are those of
    /// the dispatcher's wait, which make no progress possible.
    pub fn run(&mut self) -> Result<(), CallError> {
        debug!("event loop run, {}", self.name);
        while self.stopping != Stopping::Told || self.connections > 0 {
            self.turn(None)?;
            if let Stopping::Asked(within) = self.stopping {
                self.turn(Some(Duration::ZERO))?;
                self.tell_stop(within);
            }
        }
        debug!("event loop end, {}", self.name);
        Ok(())
    }

    /// One turn: waits, for `at_most` so long, and deals with what has happened.
    pub fn turn(&mut self, at_most: Option<Duration>) -> Result<(), CallError> {
        let timeout = self.until_next_timer(at_most);
        let mut events = mem::take(&mut self.events);
        self.dispatcher.wait(&mut events, timeout)?;
        debug!("{} wakeup, {}", self.dispatcher.call(), self.name);
        self.now = self.began.elapsed().as_millis() as Tick;
        // Whoever asks to be called again while this goes on is called in the next turn.
        events.extend(
            self.again
                .drain(..)
                .map(|(token, readiness)| Event { token, readiness }),
        );
        for event in events.drain(..) {
            self.dispatch(event);
        }
        self.events = events;
        while let Some(timer) = self.timers.pop_due(self.now) {
            self.fire(timer);
        }
        Ok(())
    }

    fn until_next_timer(&mut self, at_most: Option<Duration>) -> Option<Duration> {
        if !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = self.timers.next_due();
        if next == Tick::MAX {
            return at_most;
        }
        let due = self.began + Duration::from_millis(next);
        let left = due.saturating_duration_since(Instant::now());
        Some(at_most.map_or(left, |at_most| at_most.min(left)))
    }

    /// Calls the channel that an event is for. There may be none: it was closed by an earlier event of the same wait.
    /// A channel is out of the table during its call, so the call may do with the loop what it likes.
    #[inline]
    fn dispatch(&mut self, event: Event) {
        let Event { token, readiness } = event;
        match self.channels.take(token) {
            Some(Channel::Connection(mut connection)) => {
                let fd = connection.link.fd.as_raw_fd();
                self.log_event(fd, readiness);
                if readiness == Readiness::default() {
                    connection.visit(self);
                } else {
                    connection.ready(self, readiness);
                }
                self.put_back(connection);
            }
            Some(Channel::Source(mut source)) => {
                self.log_event(source.fd().as_raw_fd(), readiness);
                let next = source.ready(self, token, readiness);
                self.follow(token, source, next, readiness);
            }
            None => {}
        }
    }

    #[inline]
    fn log_event(&self, fd: i32, readiness: Readiness) {
        if readiness.reads() {
            debug!("get message channel fd=={fd} for read, {}", self.name);
        }
        if readiness.any(Readiness::WRITABLE) {
            debug!("get message channel fd=={fd} for write, {}", self.name);
        }
        debug!(
            "activate channel fd == {fd}, revents={}, {}",
            readiness.bits(),
            self.name
        );
    }

    fn follow(
        &mut self,
        token: Token,
        source: Box<dyn Source<H>>,
        next: Next,
        readiness: Readiness,
    ) {
        let mut removed = next == Next::Remove;
        if let Next::Watch(interest) = next {
            debug!(
                "update channel fd == {}, {}",
                source.fd().as_raw_fd(),
                self.name
            );
            let outcome = self.dispatcher.update(source.fd(), token, interest);
            removed |= outcome.is_err();
        }
        if next == Next::Again {
            self.again.push((token, readiness));
        }
        if let Err(Channel::Source(source)) = self.channels.put(token, Channel::Source(source)) {
            // Its own callback, or one that it called, has removed it.
            self.discard(token, source);
        } else if removed {
            self.remove(token);
        }
    }

    fn fire(&mut self, timer: Timer<H>) {
        match timer {
            Timer::Call(call) => call(self),
            Timer::Connection(token) => {
                if let Some(Channel::Connection(mut connection)) = self.channels.take(token) {
                    connection.timer_fired(self);
                    self.put_back(connection);
                }
            }
        }
    }

    // Channels.

    /// Adds a source. Fails where the dispatcher cannot watch its descriptor.
    pub fn add(
        &mut self,
        source: Box<dyn Source<H>>,
        interest: Interest,
    ) -> Result<Token, CallError> {
        let token = self.channels.reserve();
        if let Err(error) = self.register(source.fd(), token, interest) {
            self.channels.remove(token);
            return Err(error);
        }
        let _ = self.channels.put(token, Channel::Source(source));
        Ok(token)
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
        debug!(
            "update channel fd == {}, {}",
            source.fd().as_raw_fd(),
            self.name
        );
        self.dispatcher.update(source.fd(), token, interest).is_ok()
    }

    /// Takes a source out. One that is just being called is taken out when its call is over.
    pub fn remove(&mut self, token: Token) {
        if let Some(Channel::Connection(_)) = self.channels.get(token) {
            return;
        }
        if let Some(Channel::Source(source)) = self.channels.remove(token) {
            self.discard(token, source);
        }
    }

    fn discard(&mut self, token: Token, source: Box<dyn Source<H>>) {
        self.unregister(source.fd(), token);
        source.removed(self);
    }

    /// Adds an acceptor, to be removed when the loop stops.
    pub(crate) fn add_acceptor(
        &mut self,
        acceptor: Box<dyn Source<H>>,
    ) -> Result<Token, CallError> {
        let token = self.add(acceptor, Interest::READ)?;
        self.acceptors.push(token);
        Ok(token)
    }

    fn register(
        &mut self,
        fd: BorrowedFd,
        token: Token,
        interest: Interest,
    ) -> Result<(), CallError> {
        debug!("add channel fd == {}, {}", fd.as_raw_fd(), self.name);
        self.dispatcher.add(fd, token, interest)
    }

    fn unregister(&mut self, fd: BorrowedFd, token: Token) {
        debug!("remove channel fd == {}, {}", fd.as_raw_fd(), self.name);
        if let Err(error) = self.dispatcher.remove(fd, token) {
            tracing::warn!("{}", chain(&error));
        }
    }

    /// Changes what a connection's descriptor is watched for; `mute` for not at all.
    pub(crate) fn rewatch(
        &mut self,
        fd: BorrowedFd,
        token: Token,
        before: Option<Interest>,
        wanted: Interest,
        mute: bool,
    ) -> Result<(), CallError> {
        match before {
            Some(_) if mute => self.unregister(fd, token),
            Some(before) if before != wanted => {
                debug!("update channel fd == {}, {}", fd.as_raw_fd(), self.name);
                self.dispatcher.update(fd, token, wanted)?;
            }
            None if !mute => self.register(fd, token, wanted)?,
            _ => {}
        }
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
        self.adopt_non_blocking(socket, peer, handler)
    }

    pub(crate) fn adopt_non_blocking(
        &mut self,
        socket: OwnedFd,
        peer: Option<SocketAddr>,
        handler: H,
    ) -> Result<Token, CallError> {
        self.handle.count(1);
        self.adopt_counted(socket, peer, handler)
    }

    /// For a connection that was counted when it was placed. It stays counted throughout: a gap, however short, would make
    /// this loop look emptier than it is to whoever places the next.
    pub(crate) fn adopt_counted(
        &mut self,
        socket: OwnedFd,
        peer: Option<SocketAddr>,
        handler: H,
    ) -> Result<Token, CallError> {
        let token = self.channels.reserve();
        if let Err(error) = self.register(socket.as_fd(), token, Interest::READ) {
            self.channels.remove(token);
            self.handle.count(-1);
            return Err(error);
        }
        let mut link = Link::new(socket, token, peer, self.now);
        link.watched = Some(Interest::READ);
        let mut connection = Box::new(Connection { link, handler });
        self.connections += 1;
        let (idle, stopping) = (self.limits.idle, self.stopping);
        connection.with(self, |handler, connection| {
            connection.set_idle(idle);
            handler.connected(connection);
            if stopping == Stopping::Told {
                handler.stopping(connection);
            }
        });
        self.put_back(connection);
        Ok(token)
    }

    /// Calls `task` with a connection and its handler. `None` if it is gone, or is the one whose call this is made in.
    pub fn with<R>(
        &mut self,
        token: Token,
        task: impl FnOnce(&mut H, &mut TcpConnection<H>) -> R,
    ) -> Option<R> {
        match self.channels.take(token)? {
            Channel::Connection(mut connection) => {
                let result = connection.with(self, task);
                self.put_back(connection);
                Some(result)
            }
            source => {
                let _ = self.channels.put(token, source);
                None
            }
        }
    }

    /// Puts a connection back after its call, or ends it.
    #[inline]
    fn put_back(&mut self, mut connection: Box<Connection<H>>) {
        if connection.link.is_dead() {
            return self.bury(&mut connection);
        }
        let _ = self
            .channels
            .put(connection.link.token, Channel::Connection(connection));
    }

    /// The end: out of the dispatcher, the timers and the table while the descriptor is open; then the handler is told;
    /// then the descriptor is closed, and its number free for another.
    #[cold]
    fn bury(&mut self, connection: &mut Connection<H>) {
        let link = &mut connection.link;
        if link.watched.take().is_some() {
            self.unregister(link.fd.as_fd(), link.token);
        }
        if let Some((timer, _)) = link.timer.take() {
            self.timers.cancel(timer);
        }
        if let Some(output) = link.output.take() {
            self.pool.give_output(output);
        }
        if let Some(kept) = link.kept.take() {
            self.pool.give(kept);
        }
        self.channels.remove(link.token);
        self.connections -= 1;
        self.handle.count(-1);
        connection.closed(self);
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.connections
    }

    // Time.

    /// Calls `call` once, `after` from now. Never early; late by 3 % and a millisecond at most, if nothing blocks the loop.
    pub fn after(
        &mut self,
        after: Duration,
        call: impl FnOnce(&mut EventLoop<H>) + 'static,
    ) -> TimerId {
        self.now = self.began.elapsed().as_millis() as Tick;
        let at = self.tick_after(after);
        self.timers.insert(at, Timer::Call(Box::new(call)))
    }

    /// Takes a timer back. False if it has fired.
    pub fn cancel(&mut self, timer: TimerId) -> bool {
        self.timers.cancel(timer).is_some()
    }

    pub(crate) fn arm(&mut self, at: Tick, token: Token) -> TimerId {
        self.timers.insert(at, Timer::Connection(token))
    }

    pub(crate) fn disarm(&mut self, timer: TimerId) {
        self.timers.cancel(timer);
    }

    pub(crate) fn now(&self) -> Tick {
        self.now
    }

    /// The tick `after` from now. One is added for the part of a millisecond that `now` does not show.
    pub(crate) fn tick_after(&self, after: Duration) -> Tick {
        let milliseconds = after.as_nanos().div_ceil(1_000_000).min(1 << 48);
        self.now + milliseconds as Tick + 1
    }

    // The end.

    /// Stops the loop: acceptors are closed, requests that have arrived already are read, connections are told
    /// ([`Handler::stopping`]), and [`run`](EventLoop::run) returns when the last one is gone; after `within`, those that
    /// are left are closed. Asked a second time with no time left, they are closed now.
    pub fn stop(&mut self, within: Duration) {
        if self.stopping != Stopping::No {
            if within.is_zero() {
                self.close_all();
            }
            return;
        }
        self.stopping = Stopping::Asked(within);
        for acceptor in mem::take(&mut self.acceptors) {
            self.remove(acceptor);
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
        for token in self.channels.tokens() {
            self.with(token, |_, connection| connection.end(End::Stopped));
        }
    }

    // What the parts of the loop have of each other.

    /// The loop for other threads.
    pub fn handle(&self) -> LoopHandle<H> {
        self.handle.clone()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bounds of its connections.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    #[inline]
    pub(crate) fn edge(&self) -> bool {
        self.edge
    }

    #[inline]
    pub(crate) fn pool(&mut self) -> &mut Pool {
        &mut self.pool
    }

    /// Has a connection visited in the next turn.
    pub(crate) fn list(&mut self, link: &mut Link<H>) {
        if !mem::replace(&mut link.listed, true) {
            self.again.push((link.token, Readiness::default()));
        }
    }

    pub(crate) fn take_tasks(&self, batch: &mut Vec<Task<H>>) {
        self.handle.take_tasks(batch);
    }
}

impl<H: Handler> Drop for EventLoop<H> {
    /// Connections that are left end, and tasks that nobody will run are dropped.
    fn drop(&mut self) {
        self.handle.close();
        self.close_all();
    }
}

struct Watch<S, F> {
    subject: S,
    ready: F,
}

impl<H, S, F> Source<H> for Watch<S, F>
where
    H: Handler,
    S: AsFd + 'static,
    F: FnMut(&mut EventLoop<H>, &mut S, Readiness) -> Next + 'static,
{
    fn fd(&self) -> BorrowedFd<'_> {
        self.subject.as_fd()
    }

    fn ready(&mut self, event_loop: &mut EventLoop<H>, _: Token, readiness: Readiness) -> Next {
        (self.ready)(event_loop, &mut self.subject, readiness)
    }
}

/// Sets O_NONBLOCK and leaves the other flags alone, fcntl(2).
pub(crate) fn make_non_blocking(fd: BorrowedFd) -> Result<(), CallError> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).call("fcntl F_GETFL")?);
    if !flags.contains(OFlag::O_NONBLOCK) {
        fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).call("fcntl F_SETFL")?;
    }
    Ok(())
}
