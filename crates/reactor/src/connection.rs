//! A connection as its handler sees it: send, shut down, pause, time out. What the loop does with it is in `io.rs`.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use crate::buffer::Pool;
use crate::order::Order;
use crate::output::Output;
use crate::sys;
use crate::timer::{Tick, milliseconds};
use crate::{Buffer, End, EventLoop, Handler, Interest, Limits, Remote, TimerId, Token, Workers};

/// Where a connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Both directions may carry data.
    Open,
    /// What is queued or being computed is sent, then our direction ends.
    Flushing,
    /// The same, then the socket is closed.
    FlushingToClose,
    /// Our direction has ended. Input is read and thrown away until the peer ends its own, so that nothing unread turns
    /// our FIN into a reset, which could take the answer away from the peer (RFC 9293 section 3.6.1, RFC 9112 section 9.6).
    Draining,
    /// Over. The socket is closed when the callback has returned.
    Dead(End),
}

/// Something that is the case with a connection; several make a sum. In the steady state none is, so that one comparison
/// tells whether there is anything to look after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Fact(u16);

impl Fact {
    /// The peer has ended its direction.
    pub(crate) const INPUT_ENDED: Self = Self(1);
    /// The handler does not want to read now.
    pub(crate) const PAUSED: Self = Self(1 << 1);
    /// The output is above the high-water mark, and not below the low one since.
    pub(crate) const FULL: Self = Self(1 << 2);
    /// Each of these three keeps us from reading.
    const NO_READING: Self = Self(0b111);
    /// A hang-up was reported.
    pub(crate) const HUNG_UP: Self = Self(1 << 3);
    /// The handler appended to the output directly.
    pub(crate) const UNFLUSHED: Self = Self(1 << 4);
    /// Everything sent has gone out, and the handler was not yet told.
    pub(crate) const COMPLETED: Self = Self(1 << 5);
    /// Something may be left to read of which no event will tell: kept input after a pause, or, edge-triggered, what was in
    /// the kernel when a pause began.
    pub(crate) const REVISIT: Self = Self(1 << 6);
    /// It is on the loop's list of those to be visited again without an event.
    pub(crate) const LISTED: Self = Self(1 << 7);
    /// It may expire earlier than the loop's timer for it fires.
    pub(crate) const TIMED_ANEW: Self = Self(1 << 8);
    /// Either of these, and the handler may have to be told that all has gone out.
    pub(crate) const SENT: Self = Self(Self::UNFLUSHED.0 | Self::COMPLETED.0);
}

/// All that an open connection keeps, its handler apart.
pub(crate) struct Link<H: Handler> {
    pub(crate) fd: OwnedFd,
    pub(crate) token: Token,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) phase: Phase,
    facts: Fact,
    /// What the dispatcher watches for; `None` while it does not watch at all.
    pub(crate) watched: Option<Interest>,
    /// Bytes thrown away since our direction has ended.
    pub(crate) discarded: usize,
    /// Input that the handler left. `None` in an idle connection.
    pub(crate) kept: Option<Box<Buffer>>,
    /// What could not be sent at once. `None` in an idle connection.
    pub(crate) output: Option<Box<Output>>,
    /// Jobs with the workers. `None` in an idle connection.
    pub(crate) jobs: Option<Box<Order<H>>>,
    /// The entry in the loop's wheel, and its tick. It is moved only to an earlier tick: when it fires too early, it is
    /// set again, so that activity costs a store and not a timer.
    pub(crate) timer: Option<(TimerId, Tick)>,
    /// When a byte last came or went.
    pub(crate) active: Tick,
    /// Milliseconds of [`TcpConnection::set_idle`]; 0 for none.
    idle: u32,
    /// The tick of [`TcpConnection::set_deadline`]; `Tick::MAX` for none.
    pub(crate) deadline: Tick,
}

impl<H: Handler> Link<H> {
    /// A connection that is not watched yet.
    pub(crate) fn new(fd: OwnedFd, token: Token, peer: Option<SocketAddr>, now: Tick) -> Self {
        Self {
            fd,
            token,
            peer,
            phase: Phase::Open,
            facts: Fact::default(),
            watched: None,
            discarded: 0,
            kept: None,
            output: None,
            jobs: None,
            timer: None,
            active: now,
            idle: 0,
            deadline: Tick::MAX,
        }
    }

    /// Is one of these the case?
    #[inline]
    pub(crate) fn is(&self, facts: Fact) -> bool {
        self.facts.0 & facts.0 != 0
    }

    #[inline]
    pub(crate) fn set(&mut self, fact: Fact, on: bool) {
        match on {
            true => self.facts.0 |= fact.0,
            false => self.facts.0 &= !fact.0,
        }
    }

    /// Is it the case? Not any more, at any rate.
    #[inline]
    pub(crate) fn take(&mut self, fact: Fact) -> bool {
        let was = self.is(fact);
        self.set(fact, false);
        was
    }

    pub(crate) fn end(&mut self, end: End) {
        if !self.is_dead() {
            self.phase = Phase::Dead(end);
        }
    }

    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.phase, Phase::Dead(_))
    }

    /// Nothing is under way, nothing has changed: the books balance.
    #[inline]
    pub(crate) fn is_steady(&self) -> bool {
        self.facts == Fact::default()
            && self.phase == Phase::Open
            && self.watched == Some(Interest::READ)
            && self.output.is_none()
            && self.jobs.is_none()
    }

    /// Still may send?
    #[inline]
    pub(crate) fn sends(&self) -> bool {
        !matches!(self.phase, Phase::Draining | Phase::Dead(_))
    }

    pub(crate) fn jobs(&self) -> usize {
        self.jobs.as_ref().map_or(0, |jobs| jobs.under_way())
    }

    /// Should be read from?
    #[inline]
    pub(crate) fn reads(&self, limits: &Limits) -> bool {
        match self.phase {
            Phase::Open => !self.is(Fact::NO_READING) && self.jobs() < limits.jobs,
            Phase::Draining => !self.is(Fact::INPUT_ENDED),
            // What arrives now will not be answered: it stays in the kernel, and so bounded.
            Phase::Flushing | Phase::FlushingToClose | Phase::Dead(_) => false,
        }
    }

    pub(crate) fn expire_at(&mut self, deadline: Tick) {
        self.deadline = deadline;
        self.set(Fact::TIMED_ANEW, true);
    }

    /// The tick at which a time is up; `Tick::MAX` for never.
    pub(crate) fn expires(&self) -> Tick {
        match self.idle {
            0 => self.deadline,
            // One is added for the part of a millisecond that `active` does not show.
            idle => self.deadline.min(self.active + Tick::from(idle) + 1),
        }
    }
}

/// A connection, in the hands of its handler for the time of a call. It cannot leave the thread of its loop, the compiler
/// sees to that; other threads use its [`Remote`].
///
/// ```compile_fail
/// fn from_another_thread<H: reactor::Handler>(connection: &mut reactor::TcpConnection<H>) {
///     std::thread::scope(|scope| { scope.spawn(|| connection.send(b"hello")); });
/// }
/// ```
pub struct TcpConnection<'a, H: Handler> {
    pub(crate) link: &'a mut Link<H>,
    pub(crate) event_loop: &'a mut EventLoop<H>,
}

impl<H: Handler> TcpConnection<'_, H> {
    /// Sends bytes: straight to the kernel if nothing is queued, and what it does not take is copied and goes out when it
    /// has room. A failure ends the connection, and [`Handler::closed`] tells it.
    ///
    /// Each call is a system call; for an answer that is made in pieces see [`TcpConnection::out`].
    #[inline]
    pub fn send(&mut self, bytes: &[u8]) {
        if bytes.is_empty() || !self.link.sends() {
            return;
        }
        self.link.set(Fact::COMPLETED, true);
        // What is queued goes first.
        if self.link.output.is_some() {
            return self.queue(bytes);
        }
        self.link.active = self.event_loop.now;
        match sys::write(self.link.fd.as_fd(), bytes, false) {
            Ok(taken) => self.queue(&bytes[taken..]),
            Err(error) => self.link.end(error.into()),
        }
    }

    fn queue(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            let (output, pool) = self.output();
            output.append(pool, bytes);
            self.measure();
        }
    }

    fn output(&mut self) -> (&mut Output, &mut Pool) {
        let pool = &mut self.event_loop.pool;
        let output = self.link.output.get_or_insert_with(|| pool.lend_output());
        (output, pool)
    }

    /// The output buffer, to append to. It goes out with one system call when the handler returns. If our direction has
    /// ended, it goes nowhere.
    pub fn out(&mut self) -> &mut Buffer {
        self.link.set(Fact::UNFLUSHED, true);
        let (output, pool) = self.output();
        output.tail(pool)
    }

    /// Sends `length` bytes of a file from `offset` on, with sendfile(2), in order with what else is sent; a file that turns
    /// out to be shorter ends the connection. Several connections may share the descriptor: its own position is not used.
    pub fn send_file(&mut self, file: Arc<OwnedFd>, offset: u64, length: u64) {
        if length > 0 {
            // With the rest when the handler returns: a head that stands before it goes out in the same segment.
            self.link.set(Fact::UNFLUSHED, true);
            self.output().0.append_file(file, offset, length);
        }
    }

    /// How many bytes are queued in memory, files not counted. They should be few: see [`Handler::write_complete`].
    pub fn queued(&self) -> usize {
        let output = self.link.output.as_ref();
        output.map_or(0, |output| output.held())
    }

    /// True when everything sent is with the kernel.
    pub fn all_sent(&self) -> bool {
        self.link.output.is_none()
    }

    /// True when nothing is queued, nothing is being computed, and no input was left.
    pub fn is_quiet(&self) -> bool {
        self.all_sent() && self.link.jobs() == 0 && self.link.kept.is_none()
    }

    /// Ends our direction in order: what is queued or being computed is sent, then the peer is told that nothing follows;
    /// its own end is awaited, for [`Limits::linger`](crate::Limits) at most. Input is not looked at any more.
    pub fn shutdown(&mut self) {
        self.flush_and(Phase::Flushing);
    }

    /// Closes the connection when what is queued or being computed has been sent. If there is unread input at that time, or
    /// more comes afterwards, the peer gets a reset, and may lose what was sent, RFC 9112 section 9.6.
    /// [`TcpConnection::shutdown`] has not that fault, and takes longer.
    pub fn close_when_sent(&mut self) {
        self.flush_and(Phase::FlushingToClose);
    }

    fn flush_and(&mut self, phase: Phase) {
        if matches!(self.link.phase, Phase::Open | Phase::Flushing) {
            self.link.phase = phase;
            self.link.idle = 0;
            self.link.deadline = Tick::MAX;
        }
    }

    /// Closes the connection as soon as the handler has returned. What is queued is lost.
    pub fn close(&mut self) {
        self.end(End::Closed);
    }

    /// The same for another reason, which [`Handler::closed`] gets.
    pub fn end(&mut self, end: End) {
        self.link.end(end);
    }

    /// True until it is closed or shut down by us, or has failed.
    pub fn is_open(&self) -> bool {
        self.link.phase == Phase::Open
    }

    /// Stops reading, for flow control of the handler's own. The peer is slowed down by its window.
    pub fn pause(&mut self) {
        self.link.set(Fact::PAUSED, true);
    }

    /// Reads on. Input that was left unconsumed is offered again in the next turn.
    pub fn resume(&mut self) {
        // Within `message`, what it leaves is kept only when it has returned.
        if self.link.take(Fact::PAUSED) {
            self.again();
        }
    }

    /// Has [`Handler::message`] called with what is left of the input in the next turn, when others had theirs. Until then
    /// nothing is read behind it, and its end is not told.
    pub fn again(&mut self) {
        self.link.set(Fact::REVISIT, true);
    }

    /// Sets the time without a byte in either direction after which [`Handler::timeout`] is called.
    pub fn set_idle(&mut self, idle: Option<Duration>) {
        let idle = idle.map_or(0, |idle| milliseconds(idle).clamp(1, u32::MAX.into()));
        self.link.idle = idle as u32;
        self.link.set(Fact::TIMED_ANEW, true);
    }

    /// Sets a point in time, `after` from now, at which [`Handler::timeout`] is called, whatever happens until then; `None`
    /// takes it back. "Now" is the time at which this turn of the loop began. It costs a store: one deadline can
    /// be moved with every request.
    pub fn set_deadline(&mut self, after: Option<Duration>) {
        if self.link.phase == Phase::Open {
            let after = after.map(|after| self.event_loop.tick_after(after));
            self.link.expire_at(after.unwrap_or(Tick::MAX));
        }
    }

    /// Has `job` computed by a worker, and `then` called with the result in this loop. The results of one connection
    /// come in the order of its jobs, however long each took; if the connection is gone by then, they are dropped. A job
    /// that panics ends the connection.
    pub fn compute<R: Send + 'static>(
        &mut self,
        workers: &Workers,
        job: impl FnOnce() -> R + Send + 'static,
        then: impl FnOnce(&mut H, &mut TcpConnection<H>, R) + Send + 'static,
    ) {
        let remote = self.remote();
        let order = self.link.jobs.get_or_insert_default();
        order.submit(remote, workers, job, then);
    }

    /// This connection for other threads, or for later.
    pub fn remote(&self) -> Remote<H> {
        Remote::new(self.event_loop.handle(), self.link.token)
    }

    /// Names the connection within its loop.
    pub fn token(&self) -> Token {
        self.link.token
    }

    /// The peer's address; `None` for a local socket.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.link.peer
    }

    /// The connection's loop: its timers, its other channels. This connection itself is not to be found there during the
    /// call.
    pub fn event_loop(&mut self) -> &mut EventLoop<H> {
        self.event_loop
    }
}

impl<H: Handler> AsFd for TcpConnection<'_, H> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.fd.as_fd()
    }
}

impl<H: Handler> fmt::Debug for TcpConnection<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("TcpConnection")
            .field("token", &self.link.token)
            .field("peer", &self.link.peer)
            .field("phase", &self.link.phase)
            .finish_non_exhaustive()
    }
}
