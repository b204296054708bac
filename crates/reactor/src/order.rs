//! Puts the answers of workers back into the order in which a connection asked for them.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{Handler, Remote, TcpConnection, Workers};

/// What is to be done with a result, in the loop of its connection.
type Answer<H> = Box<dyn FnOnce(&mut H, &mut TcpConnection<H>) + Send>;

/// The jobs of one connection. An answer waits until those to earlier jobs have been given.
pub(crate) struct Order<H: Handler> {
    /// The number of the first job that is under way.
    first: u64,
    /// A place for the answer of each job under way.
    answers: VecDeque<Option<Answer<H>>>,
}

impl<H: Handler> Default for Order<H> {
    fn default() -> Self {
        Self {
            first: 0,
            answers: VecDeque::new(),
        }
    }
}

impl<H: Handler> Order<H> {
    pub(crate) fn under_way(&self) -> usize {
        self.answers.len()
    }

    pub(crate) fn submit<R: Send + 'static>(
        &mut self,
        remote: Remote<H>,
        workers: &Workers,
        job: impl FnOnce() -> R + Send + 'static,
        then: impl FnOnce(&mut H, &mut TcpConnection<H>, R) + Send + 'static,
    ) {
        let number = self.first + self.answers.len() as u64;
        self.answers.push_back(None);
        workers.run(move || {
            let answer: Answer<H> = match catch_unwind(AssertUnwindSafe(job)) {
                Ok(result) => Box::new(|handler, connection| then(handler, connection, result)),
                // Without its answer, all later ones would wait for ever.
                Err(_) => Box::new(|_, connection| connection.close()),
            };
            // If the loop has ended, so has the connection.
            let _ = remote.queue(move |handler, connection| {
                if let Some(order) = &mut connection.link.jobs {
                    let place = (number - order.first) as usize;
                    order.answers[place] = Some(answer);
                }
                give(handler, connection);
            });
        });
    }

    fn next(&mut self) -> Option<Answer<H>> {
        self.answers.pop_front_if(|answer| answer.is_some())?
    }
}

/// Gives the answers whose turn it is.
fn give<H: Handler>(handler: &mut H, connection: &mut TcpConnection<H>) {
    while !connection.link.is_dead()
        && let Some(order) = &mut connection.link.jobs
        && let Some(answer) = order.next()
    {
        order.first += 1;
        answer(handler, connection);
    }
    // An idle connection keeps nothing; with no job under way nobody knows the numbers any more.
    if connection.link.jobs() == 0 {
        connection.link.jobs = None;
    }
}
