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

thread_local! {
    static LOOP: RefCell<Option<Rc<LoopState>>> = const { RefCell::new(None) };
}

impl LoopState {
    /// That of the loop in this thread.
    pub(crate) fn of_this_thread(shared: &Arc<Shared>) -> Rc<Self> {
        LOOP.with_borrow_mut(|place| match place {
            Some(state) if Arc::ptr_eq(&state.shared, shared) => Rc::clone(state),
            place => Rc::clone(place.insert(Rc::new(Self::new(shared)))),
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
