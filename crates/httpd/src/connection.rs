//! A connection: requests in, answers out, in their order. What has arrived is answered as a batch and goes out with one
//! write; a request is looked at only when the answers before it are with the kernel, so a client that does not read
//! cannot make us work, nor fill our memory.

mod answer;
mod stream;

use std::mem;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use reactor::{End, Handler, Input, TcpConnection, Timeout};

use self::stream::Stream;
use crate::body::Partial;
use crate::framing::Body;
use crate::loop_state::{KEPT, LoopState, Work};
use crate::parser::Progress;
use crate::status::Refusal;

/// The handler of a connection, made by [`Service::connection`](crate::Service::connection). An idle one holds nothing but
/// this.
pub struct HttpConnection {
    state: Rc<LoopState>,
    /// Of the head that is arriving.
    progress: Progress,
    busy: Option<Box<Busy>>,
    /// An empty line has stood before the request line, RFC 9112 section 2.2. One is enough.
    blank: bool,
    /// A deadline runs.
    timed: bool,
    /// The next request has to wait until the answer before it is with the kernel.
    waits: bool,
    /// The last answer is made; when it is with the kernel, our direction ends.
    ends: bool,
    /// The next answer is the last one: the server stops.
    last: bool,
    seat: Option<u8>,
}

/// What takes several turns.
enum Busy {
    /// A request's body arrives.
    Body(Partial),
    /// An answer's body is being made.
    Stream(Stream),
}

/// What follows a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Another one, if there is input.
    Next,
    /// More has to arrive, or to go out.
    Wait,
    /// That was the last answer, and the client does not expect another one.
    Done,
    /// That was the last answer.
    Close,
}

type Connection<'a> = TcpConnection<'a, HttpConnection>;

impl Handler for HttpConnection {
    const PEER_SPEAKS_FIRST: bool = true;

    fn connected(&mut self, connection: &mut Connection) {
        self.state.counters.accepted.add(1);
        self.seat = self.state.counters.take_seat(connection.peer());
        let shared = &self.state.shared;
        let others = shared.statistics.open.fetch_add(1, Ordering::Relaxed);
        if others >= shared.limits.connections {
            self.refuse_now(connection, Refusal::Busy);
        }
    }

    // ANCHOR: message
    fn message(&mut self, connection: &mut Connection, input: &mut Input) {
        let state = Rc::clone(&self.state);
        let mut work = state.work.borrow_mut();
        let limits = &state.shared.limits;
        work.clock.look(connection.event_loop().now());
        let mut batch = limits.batch;
        let mut step = Step::Next;
        while step == Step::Next && !input.is_empty() && connection.is_open() {
            if batch == 0 {
                // The others' turn.
                connection.again();
                break;
            }
            batch -= 1;
            step = match self.step(connection, &mut work, input) {
                Ok(step) => step,
                Err(refusal) => {
                    let has_body = self.wants_body(input);
                    self.refuse(connection, &mut work, refusal, has_body)
                }
            };
            if step == Step::Done && !input.is_empty() {
                step = Step::Close;
            }
            if work.out.len() >= limits.output && !flush(connection, &mut work) {
                break;
            }
        }
        self.after_batch(connection, &mut work, step);
        if step == Step::Close || step == Step::Done {
            // Whatever follows is not answered, RFC 9112 section 9.6.
            input.take();
        }
    }
    // ANCHOR_END: message

    fn write_complete(&mut self, connection: &mut Connection) {
        if !self.waits {
            return;
        }
        if let Some(Busy::Stream(stream)) = self.busy.as_deref() {
            if !stream.rests {
                self.produce(connection);
            }
            return;
        }
        self.waits = false;
        match self.ends || self.last && connection.is_quiet() {
            true => connection.shutdown(),
            false => connection.resume(),
        }
    }

    fn input_ended(&mut self, connection: &mut Connection, _: &mut Input) {
        // What had arrived whole is answered; what is cut off never will be a request.
        if !matches!(self.busy.as_deref(), Some(Busy::Stream(_))) {
            self.finish(connection);
        }
    }

    fn timeout(&mut self, connection: &mut Connection, which: Timeout) {
        match (self.busy.as_deref(), which) {
            (Some(Busy::Stream(_)), Timeout::Deadline) => self.woken(connection),
            // The time of a request does not run while we do not read it: it begins anew when we do.
            (_, Timeout::Deadline) if !connection.all_sent() => self.timed = false,
            // It takes nothing at all any more.
            _ if !connection.all_sent() => connection.end(End::TimedOut),
            (Some(Busy::Stream(_)), Timeout::Idle) => {}
            (None, Timeout::Idle) if !self.progress.has_begun() => connection.shutdown(),
            _ => self.refuse_now(connection, Refusal::TimedOut),
        }
    }

    fn stopping(&mut self, connection: &mut Connection) {
        self.last = true;
        if let Some(Busy::Stream(stream)) = self.busy.as_deref_mut() {
            stream.persists = false;
            // A body that has an end gets there, or is cut off when the time of the stop is over, and then looks it.
            if stream.endless {
                self.produce(connection);
            }
            return;
        }
        let in_flight = self.busy.is_some() || self.progress.has_begun() || self.waits;
        if !in_flight && connection.is_quiet() {
            connection.close_when_sent();
        }
    }

    fn closed(&mut self, _: &mut Connection, _: End) {
        self.state.counters.ended.add(1);
        self.state
            .shared
            .statistics
            .open
            .fetch_sub(1, Ordering::Relaxed);
        if let Some(seat) = self.seat {
            self.state.counters.leave_seat(seat);
        }
    }
}

impl HttpConnection {
    pub(crate) fn new(state: Rc<LoopState>) -> Self {
        Self {
            state,
            progress: Progress::default(),
            busy: None,
            blank: false,
            timed: false,
            waits: false,
            ends: false,
            last: false,
            seat: None,
        }
    }

    /// Takes a request, or a part of one, from the input.
    #[inline]
    fn step(
        &mut self,
        connection: &mut Connection,
        work: &mut Work,
        input: &mut Input,
    ) -> Result<Step, Refusal> {
        if self.busy.is_some() {
            return self.go_on(connection, work, input);
        }
        let state = Rc::clone(&self.state);
        let limits = &state.shared.limits;
        let bytes = input.rest();
        if bytes[0] == b'\r' && !self.blank {
            return Ok(self.skip_blank(connection, input));
        }
        let Some(length) = work.head.parse(bytes, &mut self.progress, limits)? else {
            self.set_deadline(connection, limits.header_time);
            return Ok(Step::Wait);
        };
        self.blank = false;
        let (head, rest) = bytes.split_at(length);
        match work.head.framing.body() {
            Body::Length(length) if length > limits.body as u64 => Err(Refusal::BodyTooLarge),
            Body::Length(length) if length <= rest.len() as u64 => {
                let body = &rest[..length as usize];
                input.consume(head.len() + body.len());
                Ok(self.answer(connection, work, head, body))
            }
            body => {
                input.consume(head.len());
                if work.head.framing.expects_continue && !work.head.old && input.is_empty() {
                    work.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                }
                self.busy = Some(Box::new(Busy::Body(Partial::new(head, body))));
                self.timed = false;
                self.set_deadline(connection, limits.body_time);
                Ok(Step::Next)
            }
        }
    }

    /// Skips an empty line before the request line, RFC 9112 section 2.2.
    #[cold]
    fn skip_blank(&mut self, connection: &mut Connection, input: &mut Input) -> Step {
        let whole = input.starts_with(b"\r\n");
        if whole || input.len() > 1 {
            // Without its line feed it is an error, and the parser says so.
            self.blank = true;
            if mem::take(&mut self.timed) {
                connection.set_deadline(None);
            }
            input.consume(if whole { 2 } else { 0 });
            return Step::Next;
        }
        self.set_deadline(connection, self.state.shared.limits.header_time);
        Step::Wait
    }

    /// The next part of a body.
    #[cold]
    fn go_on(
        &mut self,
        connection: &mut Connection,
        work: &mut Work,
        input: &mut Input,
    ) -> Result<Step, Refusal> {
        let limits = &self.state.shared.limits;
        let Some(Busy::Body(partial)) = self.busy.as_deref_mut() else {
            return Ok(Step::Wait);
        };
        if !partial.feed(input, limits)? {
            let time = limits.body_time;
            self.set_deadline(connection, time);
            return Ok(Step::Wait);
        }
        let head = mem::take(&mut partial.head);
        let body = mem::take(&mut partial.body);
        self.busy = None;
        work.head.parse(&head, &mut Progress::default(), limits)?;
        Ok(self.answer(connection, work, &head, &body))
    }

    /// The batch is done: it goes out, and what must wait, waits.
    #[inline]
    fn after_batch(&mut self, connection: &mut Connection, work: &mut Work, step: Step) {
        flush(connection, work);
        if !work.log.is_empty() {
            if let Some(log) = &self.state.shared.log {
                log.write(&work.log);
            }
            work.log.clear();
        }
        if step == Step::Done && connection.all_sent() {
            // The client has said that nothing follows: there is nothing that could turn our FIN into a reset.
            connection.close_when_sent();
        } else if step == Step::Done || step == Step::Close {
            self.finish(connection);
        } else if !connection.all_sent() && connection.is_open() {
            connection.pause();
            self.waits = true;
        }
    }

    /// Nothing follows: our direction ends, in stages, so that the client can read the answer (RFC 9112 section 9.6). First
    /// the kernel has to take all of it. For that the client has the time of one that does not read, not that of a close.
    fn finish(&mut self, connection: &mut Connection) {
        if connection.all_sent() {
            return connection.shutdown();
        }
        connection.pause();
        self.waits = true;
        self.ends = true;
    }

    /// A refused request gets a body, unless it is a HEAD that got so far.
    #[cold]
    fn wants_body(&self, input: &[u8]) -> bool {
        let head = match self.busy.as_deref() {
            Some(Busy::Body(partial)) => &partial.head,
            _ => input,
        };
        !head.starts_with(b"HEAD ")
    }

    /// Starts the time that a part of a request has, if it does not run yet: a byte now and then does not prolong it.
    fn set_deadline(&mut self, connection: &mut Connection, time: Duration) {
        if !mem::replace(&mut self.timed, true) {
            connection.set_deadline(Some(time));
        }
    }
}

/// Sends the batch. False if the kernel did not take all of it.
#[inline]
fn flush(connection: &mut Connection, work: &mut Work) -> bool {
    if !work.out.is_empty() {
        connection.send(&work.out);
        work.out.clear();
        if work.out.capacity() > KEPT {
            work.release();
        }
    }
    connection.all_sent()
}
