//! What the loop does with a connection: an event comes in, bytes are read and written, the handler is called, and at the
//! end the books are balanced (`settle`): is there something to write, may it be read from, is it over?

use std::mem;
use std::os::fd::AsFd;

use crate::buffer::Input;
use crate::connection::{Link, Phase, TcpConnection};
use crate::event_loop::EventLoop;
use crate::handler::{End, Handler, Timeout};
use crate::interest::{Interest, Readiness};
use crate::sys::{self, Read};
use crate::timer::Tick;

/// How often a connection may read or send anew in one turn of the loop, before others have theirs.
const ROUNDS: usize = 16;

/// The least room that a read into kept input gets, in bytes.
const LEAST_READ: usize = 4096;

/// A connection and its handler, in one allocation.
pub(crate) struct Connection<H: Handler> {
    pub(crate) link: Link<H>,
    pub(crate) handler: H,
}

impl<H: Handler> Connection<H> {
    /// Calls the handler with the connection.
    #[inline]
    fn call<R>(
        &mut self,
        event_loop: &mut EventLoop<H>,
        callback: impl FnOnce(&mut H, &mut TcpConnection<H>) -> R,
    ) -> R {
        let link = &mut self.link;
        callback(&mut self.handler, &mut TcpConnection { link, event_loop })
    }

    /// An event has come in. Writing goes first: it makes room.
    #[inline]
    pub(crate) fn ready(&mut self, event_loop: &mut EventLoop<H>, readiness: Readiness) {
        if readiness.any(Readiness::BROKEN) {
            self.output_broken(event_loop, readiness);
        } else if readiness.any(Readiness::WRITABLE) {
            self.link.flush(event_loop);
        }
        if readiness.reads() && self.link.reads(event_loop) {
            self.read(event_loop, readiness);
        }
        self.settle(event_loop);
    }

    /// An error or a hang-up: the peer takes nothing any more. What it had sent is still there to be read; the end, or the
    /// error, comes after it.
    #[cold]
    fn output_broken(&mut self, event_loop: &mut EventLoop<H>, readiness: Readiness) {
        self.link.hung_up |= readiness.any(Readiness::HANGUP);
        if let Some(output) = self.link.output.take() {
            event_loop.pool().give_output(output);
            self.link.full = false;
            if self.link.phase != Phase::Open {
                self.link.end(End::Reset);
            }
        }
        if readiness.any(Readiness::ERROR)
            && !self.link.reads(event_loop)
            && let Err(error) = sys::pending_error(self.link.fd.as_fd())
        {
            self.link.end(error.into());
        }
    }

    /// A visit without an event: something was left to do when the last one ended.
    pub(crate) fn visit(&mut self, event_loop: &mut EventLoop<H>) {
        self.link.listed = false;
        if event_loop.edge() {
            // No further event will tell of what was left.
            self.link.flush(event_loop);
            if self.link.reads(event_loop) {
                self.read(event_loop, Readiness::ENDED);
            }
        } else if self.link.revisit && self.link.reads(event_loop) {
            self.replay(event_loop);
        }
        self.settle(event_loop);
    }

    /// Reads once where readiness is reported as long as it lasts: a short read means that there was no more, and if there
    /// is, we will hear. Otherwise until nothing is left, epoll(7) question 9: a short read, unless the end or an error
    /// was reported as well, which only a read tells.
    #[inline]
    fn read(&mut self, event_loop: &mut EventLoop<H>, readiness: Readiness) {
        if self.link.revisit {
            self.replay(event_loop);
            if !self.link.reads(event_loop) {
                self.link.revisit = true;
                return;
            }
        }
        if !event_loop.edge() {
            self.read_once(event_loop);
            return;
        }
        for _ in 0..ROUNDS {
            let drained = self.read_once(event_loop);
            if drained == Drained::Yes {
                return;
            }
            if !self.link.reads(event_loop) {
                self.link.revisit = true;
                return;
            }
            if drained == Drained::Perhaps && !readiness.any(Readiness::ENDED) {
                return;
            }
        }
        event_loop.list(&mut self.link);
    }

    #[inline]
    fn read_once(&mut self, event_loop: &mut EventLoop<H>) -> Drained {
        match self.link.phase {
            Phase::Draining => self.discard(event_loop),
            _ if self.link.kept.is_some() => self.read_behind_kept(event_loop),
            _ => self.read_fresh(event_loop),
        }
    }

    /// Nothing is kept: reads into the loop's own buffer, and the handler sees it there.
    #[inline]
    fn read_fresh(&mut self, event_loop: &mut EventLoop<H>) -> Drained {
        let mut scratch = mem::take(&mut event_loop.scratch);
        let read = sys::read(self.link.fd.as_fd(), &mut scratch);
        if let Read::Data(count) = read {
            self.link.active = event_loop.now();
            let mut input = Input::new(&scratch[..count]);
            self.call(event_loop, |handler, connection| {
                handler.message(connection, &mut input);
            });
            if !input.is_empty() && !self.link.is_dead() {
                let mut kept = event_loop.pool().lend();
                kept.append(&input);
                self.link.kept = Some(kept);
                self.check_kept(event_loop);
            }
        }
        let drained = self.after_read(event_loop, read, scratch.len());
        event_loop.scratch = scratch;
        drained
    }

    /// Something is kept: reads behind it, so that the handler sees one piece.
    fn read_behind_kept(&mut self, event_loop: &mut EventLoop<H>) -> Drained {
        let Some(kept) = &mut self.link.kept else {
            return Drained::Yes;
        };
        kept.reserve(LEAST_READ.max(kept.len()));
        let room = kept.room();
        let length = room.len();
        let read = sys::read(self.link.fd.as_fd(), room);
        if let Read::Data(count) = read {
            kept.filled(count);
            self.link.active = event_loop.now();
            self.replay(event_loop);
        }
        self.after_read(event_loop, read, length)
    }

    /// Offers the kept input.
    fn replay(&mut self, event_loop: &mut EventLoop<H>) {
        self.link.revisit = false;
        let Some(mut kept) = self.link.kept.take() else {
            return;
        };
        let mut input = Input::new(&kept);
        self.call(event_loop, |handler, connection| {
            handler.message(connection, &mut input);
        });
        let consumed = kept.len() - input.len();
        kept.consume(consumed);
        if kept.is_empty() {
            event_loop.pool().give(kept);
        } else {
            self.link.kept = Some(kept);
            self.check_kept(event_loop);
        }
    }

    /// A handler that waits for more than the connection may hold would wait for ever.
    fn check_kept(&mut self, event_loop: &EventLoop<H>) {
        let kept = self.link.kept.as_ref().map_or(0, |kept| kept.len());
        if kept >= event_loop.limits().input && self.link.reads(event_loop) {
            self.link.end(End::InputOverflow);
        }
    }

    /// Our direction has ended and nobody wants this any more.
    fn discard(&mut self, event_loop: &mut EventLoop<H>) -> Drained {
        let mut scratch = mem::take(&mut event_loop.scratch);
        let read = sys::read(self.link.fd.as_fd(), &mut scratch);
        let drained = self.after_read(event_loop, read, scratch.len());
        event_loop.scratch = scratch;
        drained
    }

    #[inline]
    fn after_read(&mut self, event_loop: &mut EventLoop<H>, read: Read, room: usize) -> Drained {
        match read {
            Read::Data(count) if count == room => Drained::No,
            Read::Data(_) => Drained::Perhaps,
            Read::Blocked => Drained::Yes,
            Read::Failed(error) => {
                self.link.end(error.into());
                Drained::Yes
            }
            Read::End => {
                self.input_ended(event_loop);
                Drained::Yes
            }
        }
    }

    #[cold]
    fn input_ended(&mut self, event_loop: &mut EventLoop<H>) {
        self.link.input_ended = true;
        if self.link.phase == Phase::Draining {
            return self.link.end(End::Finished);
        }
        let kept = self.link.kept.take().unwrap_or_default();
        let mut input = Input::new(&kept);
        self.call(event_loop, |handler, connection| {
            handler.input_ended(connection, &mut input);
        });
        event_loop.pool().give(kept);
    }

    /// Has the handler called from somewhere else: a task, the answer of a worker, another connection.
    pub(crate) fn with<R>(
        &mut self,
        event_loop: &mut EventLoop<H>,
        task: impl FnOnce(&mut H, &mut TcpConnection<H>) -> R,
    ) -> R {
        let result = self.call(event_loop, task);
        self.settle(event_loop);
        result
    }

    /// The last call.
    pub(crate) fn closed(&mut self, event_loop: &mut EventLoop<H>) {
        if let Phase::Dead(end) = self.link.phase {
            self.call(event_loop, |handler, connection| {
                handler.closed(connection, end)
            });
        }
    }

    /// The loop's timer for this connection has fired, perhaps too early: there was activity since it was set.
    pub(crate) fn timer_fired(&mut self, event_loop: &mut EventLoop<H>) {
        self.link.timer = None;
        let now = event_loop.now();
        if self.link.expires() <= now {
            let which = match self.link.deadline <= now {
                true => Timeout::Deadline,
                false => Timeout::Idle,
            };
            self.link.active = now;
            self.link.deadline = Tick::MAX;
            match self.link.phase {
                Phase::Open => self.call(event_loop, |handler, connection| {
                    handler.timeout(connection, which);
                }),
                _ => self.link.end(End::TimedOut),
            }
        }
        self.settle(event_loop);
    }

    /// Balances the books after anything has happened. In the steady state it looks at a few fields and calls nothing.
    #[inline]
    pub(crate) fn settle(&mut self, event_loop: &mut EventLoop<H>) {
        let mut rounds = 0;
        loop {
            if self.link.unflushed {
                self.link.flush(event_loop);
            }
            if !self.link.completed || self.link.is_dead() {
                break;
            }
            if rounds == ROUNDS {
                event_loop.list(&mut self.link);
                break;
            }
            rounds += 1;
            self.link.completed = false;
            if self.link.output.is_none() {
                self.call(event_loop, H::write_complete);
            }
        }
        if self.link.phase != Phase::Open {
            self.advance(event_loop);
        }
        if self.link.is_dead() {
            return;
        }
        let reads = self.link.reads(event_loop);
        let wanted = Interest::of(reads, self.link.output.is_some());
        if self.link.watched != Some(wanted) || self.link.hung_up {
            self.watch(event_loop, wanted);
        }
        if self.link.revisit && reads {
            event_loop.list(&mut self.link);
        }
        self.link.arm(event_loop);
    }

    /// Takes the next step of the way to the end, once the one before is done.
    fn advance(&mut self, event_loop: &EventLoop<H>) {
        if self.link.jobs() > 0 {
            // The time of a job is not the peer's fault.
            self.link.deadline = Tick::MAX;
            return;
        }
        if self.link.deadline == Tick::MAX {
            self.link.linger(event_loop);
        }
        if self.link.output.is_some() {
            return;
        }
        match self.link.phase {
            Phase::Flushing => {
                if self.link.input_ended {
                    // Nothing is unread: the close that follows sends our FIN.
                    return self.link.end(End::Finished);
                }
                sys::end_output(self.link.fd.as_fd());
                self.link.phase = Phase::Draining;
                self.link.linger(event_loop);
            }
            Phase::FlushingToClose => self.link.end(match self.link.input_ended {
                true => End::Finished,
                false => End::Closed,
            }),
            Phase::Open | Phase::Draining | Phase::Dead(_) => {}
        }
    }

    /// Changes what the dispatcher watches for.
    #[cold]
    fn watch(&mut self, event_loop: &mut EventLoop<H>, wanted: Interest) {
        let resumed = wanted.reads() && !self.link.watched.is_some_and(Interest::reads);
        self.link.revisit |= resumed && self.link.kept.is_some();
        // A hang-up is reported without end, asked for or not. While we cannot react to it, nothing must be asked.
        let mute = self.link.hung_up && wanted == Interest::NONE;
        let fd = self.link.fd.as_fd();
        let outcome = event_loop.rewatch(fd, self.link.token, self.link.watched, wanted, mute);
        self.link.watched = (!mute).then_some(wanted);
        if outcome.is_err() {
            self.link.end(End::Failed(nix::errno::Errno::EIO));
        }
    }
}

/// Was that all there is to read?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drained {
    /// Certainly.
    Yes,
    /// There was less than there was room for.
    Perhaps,
    /// There may be more.
    No,
}
