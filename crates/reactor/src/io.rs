//! What the loop does with a connection: an event comes in, bytes are read and written, the handler is called, and at the
//! end the books are balanced (`settle`): is there something to write, may it be read from, is it over?

use std::mem;
use std::os::fd::AsFd;

use nix::errno::Errno;

use crate::connection::{Fact, Phase};
use crate::event_loop::Timer;
use crate::output::STEP;
use crate::sys::{self, Read};
use crate::timer::Tick;
use crate::{Buffer, End, Handler, Input, Interest, Readiness, TcpConnection, Timeout};

/// How often a connection may read or send anew in one turn of the loop, before others have theirs.
const ROUNDS: usize = 16;

/// The least room that a read gets, in bytes.
const LEAST_READ: usize = 4096;

/// Files and buffers that may wait in a connection's output before reading pauses.
const MOST_PIECES: usize = 16;

impl<H: Handler> TcpConnection<'_, H> {
    // Events.

    /// An event has come in. Writing goes first: it makes room.
    #[inline]
    pub(crate) fn ready(&mut self, handler: &mut H, readiness: Readiness) {
        if readiness.any(Readiness::BROKEN) {
            self.output_broken(readiness);
        } else if readiness.any(Readiness::WRITABLE) {
            self.flush();
        }
        // One that is listed is visited in this turn as well; if there is nothing to offer anew, that visit does not read.
        let visited =
            self.link.is(Fact::LISTED) && (self.event_loop.edge || self.link.is(Fact::REVISIT));
        if readiness.reads() && self.reads() && !visited {
            self.read(handler, readiness.any(Readiness::ENDED));
        }
    }

    /// An error or a hang-up: the peer takes nothing any more. What it had sent is still there to be read; the end, or the
    /// error, comes after it.
    #[cold]
    fn output_broken(&mut self, readiness: Readiness) {
        if readiness.any(Readiness::HANGUP) {
            self.link.set(Fact::HUNG_UP, true);
        }
        if self.link.output.is_some() {
            self.drop_output();
            self.link.set(Fact::FULL, false);
            if self.link.phase != Phase::Open {
                self.link.end(End::Reset);
            }
        }
        if readiness.any(Readiness::ERROR)
            && !self.reads()
            && let Err(error) = sys::pending_error(self.link.fd.as_fd())
        {
            self.link.end(error.into());
        }
    }

    /// A read on trust: no event has told that there is something.
    pub(crate) fn read_first(&mut self, handler: &mut H) {
        if self.reads() {
            self.read(handler, false);
        }
    }

    /// A visit without an event: something was left to do when the last one ended.
    pub(crate) fn visit(&mut self, handler: &mut H) {
        self.link.set(Fact::LISTED, false);
        if self.event_loop.edge {
            // No further event will tell of what was left.
            self.flush();
            if self.reads() {
                self.read(handler, true);
            }
        } else if self.link.is(Fact::REVISIT) && self.reads() {
            self.replay(handler);
        }
    }

    /// The loop's timer for this connection has fired, perhaps too early: there was activity since it was set.
    pub(crate) fn timer_fired(&mut self, handler: &mut H) {
        self.link.timer = None;
        self.link.set(Fact::TIMED_ANEW, true);
        let now = self.event_loop.now;
        if self.link.expires() > now {
            return;
        }
        let which = match self.link.deadline <= now {
            true => {
                self.link.deadline = Tick::MAX;
                Timeout::Deadline
            }
            false => {
                self.link.active = now;
                Timeout::Idle
            }
        };
        match self.link.phase {
            Phase::Open => handler.timeout(self, which),
            _ => self.link.end(End::TimedOut),
        }
    }

    // Input.

    pub(crate) fn reads(&self) -> bool {
        self.link.reads(&self.event_loop.limits)
    }

    /// Reads once where readiness is reported as long as it lasts: a short read means that there was no more, and if there
    /// is, we will hear. Otherwise until nothing is left, epoll(7) question 9: a short read, unless the end or an error
    /// was reported as well (`ended`), which only a read tells. (Urgent data and descriptors that come over a local socket cut
    /// a read short as well: who expects such takes level-triggered events.)
    #[inline]
    fn read(&mut self, handler: &mut H, ended: bool) {
        if self.link.is(Fact::REVISIT) {
            self.replay(handler);
            if !self.goes_on() {
                return;
            }
        }
        if !self.event_loop.edge {
            self.read_once(handler, ended);
            return;
        }
        for _ in 0..ROUNDS {
            if !self.read_once(handler, ended) || !self.goes_on() {
                return;
            }
        }
        self.event_loop.list(self.link);
    }

    /// May be read from at once? If not, it has to be visited when it may: no event will tell.
    fn goes_on(&mut self) -> bool {
        let goes_on = !self.link.is(Fact::REVISIT) && self.reads();
        self.link.set(Fact::REVISIT, !goes_on);
        goes_on
    }

    /// Reads into the loop's own buffer, and the handler sees the bytes there. If some were kept, it reads behind those, so
    /// that the handler sees one piece. True if there may be more.
    #[inline]
    fn read_once(&mut self, handler: &mut H, ended: bool) -> bool {
        if self.link.kept.is_some() {
            return self.read_behind(handler, ended);
        }
        let mut scratch = mem::take(&mut self.event_loop.scratch);
        let read = sys::read(self.link.fd.as_fd(), &mut scratch);
        if let Read::Data(count) = read {
            let mut input = Input::new(&scratch[..count]);
            self.offer(handler, &mut input);
            if !input.is_empty() {
                let mut kept = self.event_loop.pool.lend();
                kept.append(&input);
                self.keep(kept);
            }
        }
        let more = ended || read == Read::Data(scratch.len());
        self.event_loop.scratch = scratch;
        self.has_read(handler, read) && more
    }

    fn read_behind(&mut self, handler: &mut H, ended: bool) -> bool {
        let kept = self.link.kept.take();
        let mut kept = kept.unwrap_or_else(|| self.event_loop.pool.lend());
        kept.reserve(LEAST_READ.max(kept.len()));
        let room = kept.room();
        let length = room.len();
        let read = sys::read(self.link.fd.as_fd(), room);
        if let Read::Data(count) = read {
            kept.filled(count);
            self.offer_kept(handler, kept);
        } else {
            self.keep(kept);
        }
        self.has_read(handler, read) && (ended || read == Read::Data(length))
    }

    /// Deals with what was read besides data. True if it was data.
    #[inline]
    fn has_read(&mut self, handler: &mut H, read: Read) -> bool {
        match read {
            Read::Data(_) => {
                self.link.active = self.event_loop.now;
                return true;
            }
            Read::Blocked => {}
            Read::Failed(error) => self.link.end(error.into()),
            Read::End => self.end_of_input(handler),
        }
        false
    }

    /// Shows the handler what there is.
    #[inline]
    fn offer(&mut self, handler: &mut H, input: &mut Input) {
        if self.link.phase == Phase::Draining {
            return self.discard(input.take().len());
        }
        self.link.set(Fact::REVISIT, false);
        handler.message(self, input);
    }

    fn offer_kept(&mut self, handler: &mut H, mut kept: Box<Buffer>) {
        let mut input = Input::new(&kept);
        self.offer(handler, &mut input);
        let left = input.len();
        kept.consume(kept.len() - left);
        self.keep(kept);
    }

    /// Offers the kept input.
    fn replay(&mut self, handler: &mut H) {
        self.link.set(Fact::REVISIT, false);
        if let Some(kept) = self.link.kept.take() {
            self.offer_kept(handler, kept);
        }
    }

    /// Keeps what the handler left.
    fn keep(&mut self, kept: Box<Buffer>) {
        if kept.is_empty() {
            return self.event_loop.pool.give(kept);
        }
        // A handler that waits for more than the connection may hold would wait for ever.
        let full = kept.len() >= self.event_loop.limits.input;
        if full && !self.link.is(Fact::REVISIT) && self.reads() {
            self.link.end(End::InputOverflow);
        }
        self.link.kept = Some(kept);
    }

    /// Our direction has ended and nobody wants this any more.
    #[cold]
    fn discard(&mut self, count: usize) {
        self.link.discarded += count;
        if self.link.discarded > self.event_loop.limits.discard {
            self.link.end(End::Closed);
        }
    }

    #[cold]
    fn end_of_input(&mut self, handler: &mut H) {
        self.link.set(Fact::INPUT_ENDED, true);
        if self.link.phase == Phase::Draining {
            return self.link.end(End::Finished);
        }
        let kept = self.link.kept.take();
        let rest = kept.as_deref().map_or(&[][..], |kept| kept);
        handler.input_ended(self, &mut Input::new(rest));
        if let Some(kept) = kept {
            self.event_loop.pool.give(kept);
        }
    }

    // Output.

    /// Sends what is queued, as far as the kernel takes it.
    fn flush(&mut self) {
        if !self.link.sends() {
            // Appended after the end of our direction.
            self.drop_output();
        }
        let Some(output) = &mut self.link.output else {
            return;
        };
        match output.flush(self.link.fd.as_fd(), &mut self.event_loop.pool) {
            Err(error) => self.link.end(error.into()),
            Ok(taken) => {
                if output.is_empty() {
                    // Nothing was appended, nothing has gone out.
                    if taken > 0 {
                        self.link.set(Fact::COMPLETED, true);
                    }
                    self.drop_output();
                } else if taken >= STEP && self.event_loop.edge {
                    self.event_loop.list(self.link);
                }
                if taken > 0 {
                    self.link.active = self.event_loop.now;
                    if self.link.phase != Phase::Open {
                        self.linger();
                    }
                }
            }
        }
        self.measure();
    }

    pub(crate) fn drop_output(&mut self) {
        if let Some(output) = self.link.output.take() {
            self.event_loop.pool.give_output(output);
        }
    }

    /// Looks at how much output there is: too much, enough, or little again.
    pub(crate) fn measure(&mut self) {
        let limits = &self.event_loop.limits;
        let output = self.link.output.as_ref();
        let (queued, pieces) = output.map_or((0, 0), |output| (output.queued(), output.pieces()));
        if queued > limits.output {
            self.link.end(End::OutputOverflow);
        } else if queued > limits.high_water || pieces > MOST_PIECES {
            self.link.set(Fact::FULL, true);
        } else if queued <= limits.low_water && pieces <= MOST_PIECES / 2 {
            self.link.set(Fact::FULL, false);
        }
    }

    // The books.

    /// Balances the books after anything has happened. In the steady state it compares a few fields and calls nothing but
    /// the handler.
    #[inline]
    pub(crate) fn settle(&mut self, handler: &mut H) {
        if self.link.is(Fact::SENT) {
            self.tell_sent(handler);
        }
        if !self.link.is_steady() {
            self.balance();
        }
    }

    /// Sends what was appended, and tells the handler when all has gone out; it may then send anew.
    #[inline]
    fn tell_sent(&mut self, handler: &mut H) {
        for _ in 0..ROUNDS {
            if self.link.take(Fact::UNFLUSHED) {
                self.flush();
            }
            if !self.link.take(Fact::COMPLETED) || self.link.is_dead() {
                return;
            }
            if self.link.output.is_none() {
                handler.write_complete(self);
            }
            if !self.link.is(Fact::SENT) {
                return;
            }
        }
        self.event_loop.list(self.link);
    }

    #[inline(never)]
    fn balance(&mut self) {
        if self.link.phase != Phase::Open {
            self.advance();
        }
        if self.link.is_dead() {
            return;
        }
        let reads = self.reads();
        let wanted = Interest::of(reads, self.link.output.is_some());
        if self.link.watched != Some(wanted) || self.link.is(Fact::HUNG_UP) {
            self.watch(wanted);
        }
        if self.link.is(Fact::REVISIT) && reads {
            match self.link.kept.is_some() || self.event_loop.edge {
                true => self.event_loop.list(self.link),
                false => self.link.set(Fact::REVISIT, false),
            }
        }
        if self.link.take(Fact::TIMED_ANEW) {
            self.arm();
        }
    }

    /// Takes the next step of the way to the end, once the one before is done.
    fn advance(&mut self) {
        if self.link.jobs() > 0 {
            // The time of a job is not the peer's fault.
            self.link.expire_at(Tick::MAX);
            return;
        }
        if self.link.deadline == Tick::MAX {
            self.linger();
        }
        if self.link.output.is_some() {
            return;
        }
        match (self.link.phase, self.link.is(Fact::INPUT_ENDED)) {
            // Nothing is unread: the close that follows sends our FIN.
            (Phase::Flushing | Phase::FlushingToClose, true) => self.link.end(End::Finished),
            (Phase::FlushingToClose, false) => self.link.end(End::Closed),
            (Phase::Flushing, false) => {
                sys::end_output(self.link.fd.as_fd());
                self.link.phase = Phase::Draining;
                self.linger();
            }
            (Phase::Open | Phase::Draining | Phase::Dead(_), _) => {}
        }
    }

    /// From now on the peer has [`Limits::linger`](crate::Limits).
    fn linger(&mut self) {
        let linger = self.event_loop.limits.linger;
        self.link.expire_at(self.event_loop.tick_after(linger));
    }

    /// Changes what the dispatcher watches for.
    #[cold]
    fn watch(&mut self, wanted: Interest) {
        let before = self.link.watched;
        let resumed = wanted.reads() && !before.is_some_and(Interest::reads);
        if resumed && self.link.kept.is_some() {
            self.link.set(Fact::REVISIT, true);
        }
        // A hang-up is reported without end, asked for or not. While we cannot react to it, nothing must be asked.
        let mute = self.link.is(Fact::HUNG_UP) && wanted == Interest::NONE;
        self.link.watched = (!mute).then_some(wanted);
        let (fd, wanted) = (self.link.fd.as_fd(), self.link.watched);
        if let Err(error) = self.event_loop.rewatch(fd, self.link.token, before, wanted) {
            self.link
                .end(End::Failed(error.errno().unwrap_or(Errno::EIO)));
        }
    }

    /// Sees to it that the wheel has an entry at or before the time at which this connection expires.
    #[inline]
    fn arm(&mut self) {
        let expires = self.link.expires();
        if expires == Tick::MAX || self.link.timer.is_some_and(|(_, at)| at <= expires) {
            return;
        }
        let event_loop = &mut *self.event_loop;
        if let Some((timer, _)) = self.link.timer {
            event_loop.cancel(timer);
        }
        let timer = event_loop.set_timer(expires, Timer::Connection(self.link.token));
        self.link.timer = Some((timer, expires));
    }
}
