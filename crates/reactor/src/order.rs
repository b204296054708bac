//! Puts the answers of workers back into the order in which a connection asked for them.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::connection::TcpConnection;
use crate::handle::Remote;
use crate::handler::Handler;
use crate::workers::Workers;

/// What is to be done with a result, in the loop of its connection.
type Answer<H> = Box<dyn FnOnce(&mut H, &mut TcpConnection<H>) + Send>;

/// The jobs of one connection. Each has a number; an answer waits until those with lower numbers have been given.
pub(crate) struct Order<H: Handler> {
    submitted: u64,
    answered: u64,
    early: BTreeMap<u64, Answer<H>>,
}

impl<H: Handler> Default for Order<H> {
    fn default() -> Self {
        Self {
            submitted: 0,
            answered: 0,
            early: BTreeMap::new(),
        }
    }
}

impl<H: Handler> Order<H> {
    pub(crate) fn under_way(&self) -> usize {
        (self.submitted - self.answered) as usize
    }

    pub(crate) fn submit<R: Send + 'static>(
        &mut self,
        remote: Remote<H>,
        workers: &Workers,
        job: impl FnOnce() -> R + Send + 'static,
        then: impl FnOnce(&mut H, &mut TcpConnection<H>, R) + Send + 'static,
    ) {
        let number = self.submitted;
        self.submitted += 1;
        workers.run(move || {
            let answer: Answer<H> = match catch_unwind(AssertUnwindSafe(job)) {
                Ok(result) => Box::new(|handler, connection| then(handler, connection, result)),
                // Without its answer, all later ones would wait for ever.
                Err(_) => Box::new(|_, connection| connection.close()),
            };
            // If the loop has ended, so has the connection.
            let _ = remote.queue(move |handler, connection| {
                give(handler, connection, number, answer);
            });
        });
    }

    fn next(&mut self) -> Option<Answer<H>> {
        let answer = self.early.remove(&self.answered)?;
        self.answered += 1;
        Some(answer)
    }
}

/// Gives the answer, and those that have waited for it.
fn give<H: Handler>(
    handler: &mut H,
    connection: &mut TcpConnection<H>,
    number: u64,
    answer: Answer<H>,
) {
    if let Some(order) = &mut connection.link.jobs {
        order.early.insert(number, answer);
    }
    while let Some(order) = &mut connection.link.jobs
        && let Some(answer) = order.next()
    {
        answer(handler, connection);
    }
    // An idle connection keeps nothing; with no job under way nobody knows the numbers any more.
    if connection.link.jobs() == 0 {
        connection.link.jobs = None;
    }
}
