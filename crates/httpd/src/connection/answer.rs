//! A connection's answers: to a request by the handler, to a bad one by us.

use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;

use super::stream::Stream;
use super::{Busy, Connection, HttpConnection, Step};
use crate::feed::Waker;
use crate::log;
use crate::loop_state::Work;
use crate::request::{Method, Request};
use crate::response::{Later, Material, Pieces, Response, Source};
use crate::status::{Refusal, Status};
use crate::writer::{self, Length, Persistence};

impl HttpConnection {
    /// Has a request answered, and writes the answer behind those of the batch.
    #[inline]
    pub(super) fn answer(
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
            // Clients that do not count well send a line end behind a body, RFC 9112 section 2.2.
            false if wants_more || !body.is_empty() => Step::Close,
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
            Later::Stream {
                producer,
                chunked,
                endless,
            } => {
                self.busy = Some(Box::new(Busy::Stream(Stream {
                    producer,
                    waker: Some(Waker(connection.remote())),
                    chunked,
                    endless,
                    persists,
                    rests: false,
                })));
                connection.pause();
                self.waits = true;
                self.produce_into(connection, work);
                match self.waits {
                    true => Step::Wait,
                    // It is over already, and what follows is in this very input.
                    false => Step::Next,
                }
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
            self.state.counters.sent.add(file.end.len() as u64);
            connection.out().append(&file.end);
        }
    }

    /// The one answer to a request that is refused.
    #[cold]
    pub(super) fn refuse(
        &mut self,
        connection: &mut Connection,
        work: &mut Work,
        refusal: Refusal,
        has_body: bool,
    ) -> Step {
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
        if !has_body {
            response.body.clear();
        }
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
    pub(super) fn refuse_now(&mut self, connection: &mut Connection, refusal: Refusal) {
        let state = Rc::clone(&self.state);
        let mut work = state.work.borrow_mut();
        work.clock.look(connection.event_loop().now());
        let step = self.refuse(connection, &mut work, refusal, self.wants_body(&[]));
        self.after_batch(connection, &mut work, step);
    }
}
