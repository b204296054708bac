//! One of the connections: asks, and counts what comes back.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::text::rot13;
use reactor::{End, Handler, Input, TcpConnection, Token};

/// What all connections have in common.
#[derive(Debug, Default)]
pub struct Shared {
    /// What each of them asks: letters, and a newline at the end.
    pub question: Vec<u8>,
    /// Those that are open.
    pub open: Vec<Token>,
    /// How many wait for an answer.
    pub waiting: usize,
    pub answered: usize,
    /// Answers that were neither the question nor its rot13.
    pub wrong: usize,
    pub latencies: Vec<Duration>,
    /// Connections that ended, or never came to be, by the reason.
    pub errors: BTreeMap<String, usize>,
}

impl Shared {
    pub fn fails(&mut self, why: String) {
        *self.errors.entry(why).or_default() += 1;
    }
}

// ANCHOR: client
/// A connection's side of the program.
pub struct Client {
    shared: Rc<RefCell<Shared>>,
    /// How many more questions it asks by itself.
    left: usize,
    /// Bytes of the answer that have come, and when the question went out; `None` while there is none.
    answer: Option<(usize, Instant)>,
    /// Nobody waits for that answer any more.
    given_up: bool,
}

impl Client {
    pub fn new(shared: Rc<RefCell<Shared>>) -> Self {
        Self {
            shared,
            left: 0,
            answer: None,
            given_up: false,
        }
    }

    /// Whether it can be asked: the last question has its answer.
    pub fn is_free(&self) -> bool {
        self.answer.is_none()
    }

    /// The time of the phase is up: an answer that comes later is not counted.
    pub fn give_up(&mut self) {
        if self.waits() {
            (self.given_up, self.left) = (true, 0);
            self.shared.borrow_mut().waiting -= 1;
        }
    }

    fn waits(&self) -> bool {
        self.answer.is_some() && !self.given_up
    }

    /// Asks so many questions, each when the one before is answered.
    pub fn ask(&mut self, connection: &mut TcpConnection<Self>, count: usize) {
        self.left = count - 1;
        self.answer = Some((0, Instant::now()));
        let shared = Rc::clone(&self.shared);
        shared.borrow_mut().waiting += 1;
        connection.send(&shared.borrow().question);
    }
}

impl Handler for Client {
    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        let mut shared = self.shared.borrow_mut();
        let Some((come, since)) = &mut self.answer else {
            // "too many users", or the like: nobody was asked.
            let said = String::from_utf8_lossy(input.take()).trim().to_owned();
            return shared.fails(format!("unasked: {said}"));
        };
        let answer = input.take();
        let expected = shared.question.get(*come..*come + answer.len());
        let fits = expected.is_some_and(|question| {
            answer == question
                || question
                    .iter()
                    .map(|&byte| rot13(byte))
                    .eq(answer.iter().copied())
        });
        shared.wrong += usize::from(!fits);
        *come += answer.len();
        if *come < shared.question.len() {
            return;
        }
        let took = since.elapsed();
        self.answer = None;
        if std::mem::take(&mut self.given_up) {
            return;
        }
        shared.latencies.push(took);
        shared.answered += 1;
        shared.waiting -= 1;
        drop(shared);
        if self.left > 0 {
            self.ask(connection, self.left);
        }
    }

    fn closed(&mut self, connection: &mut TcpConnection<Self>, end: End) {
        let mut shared = self.shared.borrow_mut();
        shared.waiting -= usize::from(self.waits());
        let token = connection.token();
        let open = shared.open.iter().position(|&other| other == token);
        if let Some(open) = open {
            shared.open.swap_remove(open);
        }
        if end != End::Stopped {
            shared.fails(format!("connection ended: {end}"));
        }
    }
}
// ANCHOR_END: client
