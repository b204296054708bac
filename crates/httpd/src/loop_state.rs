//! What the connections of a server, and those of one loop, have in common.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use crate::clock::Clock;
use crate::limits::Limits;
use crate::log::AccessLog;
use crate::parser::Head;
use crate::request::Request;
use crate::response::{Material, Response};
use crate::statistics::{LoopCounters, Statistics};

/// How much memory a batch of answers may keep for the next one, in bytes.
pub(crate) const KEPT: usize = 1024 * 1024;

/// What answers requests.
pub(crate) type Answer = Box<dyn Fn(&Request, &mut Response) + Send + Sync>;

/// Of a server.
pub(crate) struct Shared {
    pub(crate) answer: Answer,
    pub(crate) announce_keep_alive: bool,
    pub(crate) limits: Limits,
    pub(crate) log: Option<AccessLog>,
    pub(crate) statistics: Arc<Statistics>,
}

/// Of a loop.
pub(crate) struct LoopState {
    pub(crate) shared: Arc<Shared>,
    pub(crate) counters: Arc<LoopCounters>,
    pub(crate) work: RefCell<Work>,
}

/// Memory that is used again for each request. A loop serves one connection at a time, so one of each is enough, and an idle
/// connection needs none.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) head: Head,
    pub(crate) material: Material,
    /// Answers that wait for the end of the batch.
    pub(crate) out: Vec<u8>,
    /// A part of a stream.
    pub(crate) part: Vec<u8>,
    /// Lines for the access log.
    pub(crate) log: Vec<u8>,
    pub(crate) clock: Clock,
}

impl Work {
    /// Gives the memory of a large answer back: one must not bind it for ever.
    #[cold]
    pub(crate) fn release(&mut self) {
        self.out = Vec::new();
        self.part = Vec::new();
        self.material.release();
    }
}

thread_local! {
    /// Nearly always one: a thread runs one loop, for one server.
    static LOOPS: RefCell<Vec<Rc<LoopState>>> = const { RefCell::new(Vec::new()) };
}

impl LoopState {
    /// That of the loop in this thread.
    pub(crate) fn of_this_thread(shared: &Arc<Shared>) -> Rc<Self> {
        LOOPS.with_borrow_mut(|states| {
            let known = |state: &&Rc<Self>| Arc::ptr_eq(&state.shared, shared);
            if let Some(state) = states.iter().find(known) {
                return Rc::clone(state);
            }
            // Those of servers that have ended.
            states.retain(|state| Rc::strong_count(state) > 1);
            let state = Rc::new(Self::new(shared));
            states.push(Rc::clone(&state));
            state
        })
    }

    fn new(shared: &Arc<Shared>) -> Self {
        let thread = thread::current();
        let name = thread.name().filter(|name| name.starts_with("Thread-"));
        Self {
            shared: Arc::clone(shared),
            counters: shared.statistics.add_loop(name.unwrap_or("main thread")),
            work: RefCell::default(),
        }
    }
}
