//! A body that is made while it is sent.

use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::time::Duration;

use super::{Busy, Connection, HttpConnection, flush};
use crate::feed::Waker;
use crate::loop_state::Work;
use crate::response::{More, Produce};
use crate::writer;

/// How much of a stream is produced before it is sent, in bytes.
const PART: usize = 16 * 1024;

/// One under way.
pub(super) struct Stream {
    pub(super) producer: Box<dyn Produce>,
    /// Until the producer has it.
    pub(super) waker: Option<Waker>,
    pub(super) chunked: bool,
    /// A stop ends it.
    pub(super) endless: bool,
    pub(super) persists: bool,
    /// The producer does not want to be called before the deadline, or before it is woken.
    pub(super) rests: bool,
}

impl HttpConnection {
    /// The producer has rested: its time is up, or it was woken.
    pub(crate) fn woken(&mut self, connection: &mut Connection) {
        if let Some(Busy::Stream(stream)) = self.busy.as_deref_mut() {
            stream.rests = false;
            if connection.all_sent() {
                self.produce(connection);
            }
        }
    }

    pub(super) fn produce(&mut self, connection: &mut Connection) {
        let state = Rc::clone(&self.state);
        self.produce_into(connection, &mut state.work.borrow_mut());
    }

    /// The next part of a stream. More is produced when the kernel has taken this one.
    pub(super) fn produce_into(&mut self, connection: &mut Connection, work: &mut Work) {
        let Some(Busy::Stream(stream)) = self.busy.as_deref_mut() else {
            return;
        };
        work.part.clear();
        let mut more = More::Now;
        while more == More::Now && work.part.len() < PART {
            let length = work.part.len();
            more = match self.last && stream.endless {
                true => More::End,
                false => {
                    let call = AssertUnwindSafe(|| {
                        if let Some(waker) = stream.waker.take() {
                            stream.producer.started(waker);
                        }
                        stream.producer.produce(&mut work.part)
                    });
                    match panic::catch_unwind(call) {
                        Ok(more) => more,
                        // A body that is cut off must not look complete, RFC 9112 section 8. The answers before it are.
                        Err(_) => {
                            if stream.chunked {
                                flush(connection, work);
                            }
                            return connection.close();
                        }
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
        stream.rests = matches!(more, More::After(_) | More::WhenWoken);
        flush(connection, work);
        // That of an earlier rest ends, if a waker was quicker.
        connection.set_deadline(match more {
            More::After(time) => Some(time),
            _ => None,
        });
        if more == More::End {
            self.busy = None;
            if !persists {
                self.finish(connection);
            } else if connection.all_sent() {
                self.waits = false;
                connection.resume();
            }
        }
    }
}
