//! A connection: requests in, answers out, in their order. What has arrived is answered as a batch and goes out with one
//! write; a request is looked at only when the answers before it are with the kernel, so a client that does not read
//! cannot make us work, nor fill our memory.

use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use reactor::{End, Handler, Input, TcpConnection, Timeout};

use crate::body::Partial;
use crate::framing::Body;
use crate::log;
use crate::loop_state::{LoopState, Work};
use crate::parser::Progress;
use crate::request::{Method, Request};
use crate::response::{Later, Material, More, Pieces, Produce, Response, Source};
use crate::status::{Refusal, Status};
use crate::writer::{self, Length, Persistence};

/// How much of a stream is produced before it is sent, in bytes.
const PART: usize = 16 * 1024;

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

struct Stream {
    producer: Box<dyn Produce>,
    chunked: bool,
    persists: bool,
    /// The producer does not want to be called before the deadline.
    rests: bool,
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
    fn connected(&mut self, connection: &mut Connection) {
        self.state.counters.accepted.add(1);
        self.seat = self.state.counters.take_seat(connection.peer());
        let shared = &self.state.shared;
        let others = shared.statistics.open.fetch_add(1, Ordering::Relaxed);
        if others >= shared.limits.connections {
            self.refuse_now(connection, Refusal::Busy);
        }
    }

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
                Err(refusal) => self.refuse(connection, &mut work, refusal),
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
        match self.last && connection.is_quiet() {
            true => connection.shutdown(),
            false => connection.resume(),
        }
    }

    fn input_ended(&mut self, connection: &mut Connection, _: &mut Input) {
        // What had arrived whole is answered; what is cut off never will be a request.
        if !matches!(self.busy.as_deref(), Some(Busy::Stream(_))) {
            connection.shutdown();
        }
    }

    fn timeout(&mut self, connection: &mut Connection, which: Timeout) {
        match (self.busy.as_deref_mut(), which) {
            (Some(Busy::Stream(stream)), Timeout::Deadline) => {
                stream.rests = false;
                if connection.all_sent() {
                    self.produce(connection);
                }
            }
            // It does not read, or reads nothing at all any more.
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
            return self.produce(connection);
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
            return Ok(Step::Wait);
        }
        let head = mem::take(&mut partial.head);
        let body = mem::take(&mut partial.body);
        self.busy = None;
        work.head.parse(&head, &mut Progress::default(), limits)?;
        Ok(self.answer(connection, work, &head, &body))
    }

    /// Has a request answered, and writes the answer behind those of the batch.
    #[inline]
    fn answer(
        &mut self,
        connection: &mut Connection,
        work: &mut Work,
        bytes: &[u8],
        body: &[u8],
    ) -> Step {
        if mem::take(&mut self.timed) {
            connection.set_deadline(None);
        }
        let before = work.out.len();
        let state = &*self.state;
        let Work {
            head,
            material,
            out,
            clock,
            ..
        } = work;
        let request = Request {
            head,
            bytes,
            body,
            peer: connection.peer(),
            loop_name: state.counters.name(),
        };
        let mut response = Response::new(material, head.old);
        let call = AssertUnwindSafe(|| (state.shared.answer)(&request, &mut response));
        if panic::catch_unwind(call).is_err() {
            // One request's fault is not to end the others. What was made so far is thrown away whole.
            response = Response::new(material, head.old);
            response.error(Status::InternalServerError).close();
        }
        let length = writer::length(&response);
        let wants_more = request.persists();
        let persists = wants_more && !self.last && !response.close && length != Length::Close;
        let persistence = match persists {
            true if head.old || state.shared.announce_keep_alive => Persistence::KeepAlive,
            true => Persistence::Silent,
            false => Persistence::Close,
        };
        writer::head(out, clock, &response, length, persistence);
        let has_body = head.method != Method::Head && !response.status.has_no_body();
        let source = mem::take(&mut response.source);
        if has_body {
            out.extend_from_slice(match &source {
                Source::Bytes => response.body,
                Source::Static(bytes) => bytes,
                Source::Later(_) => b"",
            });
        }
        state.counters.requests.add(1);
        state.counters.sent.add((out.len() - before) as u64);
        if state.shared.log.is_some() {
            let (time, status) = (clock.log_time(), response.status.code());
            let bytes = if has_body { length.known() } else { 0 };
            let line = [
                request.method().as_str(),
                request.target(),
                request.version(),
            ];
            let _ = log::line(&mut work.log, request.peer, &time, &line, status, bytes);
        }
        if let (Source::Later(later), true) = (source, has_body) {
            return self.deliver(connection, work, *later, persists);
        }
        match persists {
            true => Step::Next,
            false if wants_more => Step::Close,
            false => Step::Done,
        }
    }

    /// Sends a body that is not in memory.
    #[cold]
    fn deliver(
        &mut self,
        connection: &mut Connection,
        work: &mut Work,
        later: Later,
        persists: bool,
    ) -> Step {
        match later {
            Later::File(file) => {
                self.send_file(connection, work, file);
                if persists { Step::Wait } else { Step::Close }
            }
            Later::Stream(producer, chunked) => {
                self.busy = Some(Box::new(Busy::Stream(Stream {
                    producer,
                    chunked,
                    persists,
                    rests: false,
                })));
                connection.pause();
                self.waits = true;
                self.produce_into(connection, work);
                Step::Wait
            }
        }
    }

    /// Queues a file, and the answers before it. It goes from the page cache to the socket.
    fn send_file(&mut self, connection: &mut Connection, work: &mut Work, file: Pieces) {
        for piece in file.pieces {
            work.out.extend_from_slice(&piece.before);
            connection.out().append(&work.out);
            work.out.clear();
            self.state
                .counters
                .sent
                .add(piece.before.len() as u64 + piece.length);
            connection.send_file(file.file.clone(), piece.offset, piece.length);
        }
        if !file.end.is_empty() {
            connection.out().append(&file.end);
        }
    }

    fn produce(&mut self, connection: &mut Connection) {
        let state = Rc::clone(&self.state);
        self.produce_into(connection, &mut state.work.borrow_mut());
    }

    /// The next part of a stream. More is produced when the kernel has taken this one.
    fn produce_into(&mut self, connection: &mut Connection, work: &mut Work) {
        let Some(Busy::Stream(stream)) = self.busy.as_deref_mut() else {
            return;
        };
        work.part.clear();
        let mut more = More::Now;
        while more == More::Now && work.part.len() < PART {
            let length = work.part.len();
            more = match self.last {
                true => More::End,
                false => {
                    let call = AssertUnwindSafe(|| stream.producer.produce(&mut work.part));
                    match panic::catch_unwind(call) {
                        Ok(more) => more,
                        // A body that is cut off must not look complete, RFC 9112 section 8.
                        Err(_) => return connection.close(),
                    }
                }
            };
            if more == More::Now && work.part.len() == length {
                // It has nothing and wants to be asked at once: that would be for ever.
                more = More::After(Duration::from_millis(10));
            }
        }
        let before = work.out.len();
        match stream.chunked {
            true => writer::chunk(&mut work.out, &work.part),
            false => work.out.extend_from_slice(&work.part),
        }
        if stream.chunked && more == More::End {
            work.out.extend_from_slice(writer::LAST_CHUNK);
        }
        self.state
            .counters
            .sent
            .add((work.out.len() - before) as u64);
        let persists = stream.persists;
        stream.rests = matches!(more, More::After(_));
        flush(connection, work);
        match more {
            More::Now => {}
            More::After(time) => connection.set_deadline(Some(time)),
            More::End => {
                self.busy = None;
                if !persists {
                    connection.shutdown();
                } else if connection.all_sent() {
                    self.waits = false;
                    connection.resume();
                }
            }
        }
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
        if step == Step::Done {
            // The client has said that nothing follows: there is nothing that could turn our FIN into a reset.
            connection.close_when_sent();
        } else if step == Step::Close {
            // In stages, so that the client can read the answer: RFC 9112 section 9.6.
            connection.shutdown();
        } else if !connection.all_sent() && connection.is_open() {
            connection.pause();
            self.waits = true;
        }
    }

    /// The one answer to a request that is refused.
    #[cold]
    fn refuse(&mut self, connection: &mut Connection, work: &mut Work, refusal: Refusal) -> Step {
        let before = work.out.len();
        let mut material = Material::default();
        let mut response = Response::new(&mut material, false);
        let status = refusal.status();
        response.status(status).text(format!(
            "{} {}: {refusal}\n",
            status.code(),
            status.reason()
        ));
        if refusal == Refusal::Busy {
            response.header("Retry-After", "1");
        }
        let length = writer::length(&response);
        writer::head(
            &mut work.out,
            &mut work.clock,
            &response,
            length,
            Persistence::Close,
        );
        work.out.extend_from_slice(response.body);
        let counters = &self.state.counters;
        counters.requests.add(1);
        counters.refused.add(1);
        counters.sent.add((work.out.len() - before) as u64);
        if self.state.shared.log.is_some() {
            let (time, count) = (work.clock.log_time(), response.body.len() as u64);
            let _ = log::line(
                &mut work.log,
                connection.peer(),
                &time,
                &["-"],
                status.code(),
                count,
            );
        }
        self.busy = None;
        Step::Close
    }

    /// The same outside a batch.
    #[cold]
    fn refuse_now(&mut self, connection: &mut Connection, refusal: Refusal) {
        let state = Rc::clone(&self.state);
        let mut work = state.work.borrow_mut();
        work.clock.look(connection.event_loop().now());
        let step = self.refuse(connection, &mut work, refusal);
        self.after_batch(connection, &mut work, step);
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
        // One large answer must not bind its memory for ever.
        if work.out.capacity() > 1024 * 1024 {
            work.out = Vec::new();
        }
    }
    connection.all_sent()
}
