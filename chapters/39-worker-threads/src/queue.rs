//! A queue between threads, with an end.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How many are in it has a limit elsewhere: a connection is in the queue once, or not at all.
#[derive(Debug)]
pub struct Queue<T> {
    state: Mutex<State<T>>,
    /// Something was put in, or the end has come.
    changed: Condvar,
    /// Sleep first, and look afterwards: wrong on purpose.
    sleeps_first: bool,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    ended: bool,
}

impl<T> Queue<T> {
    pub fn new(sleeps_first: bool) -> Self {
        let state = State {
            items: VecDeque::new(),
            ended: false,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            sleeps_first,
        }
    }

    // ANCHOR: queue
    /// Puts an item in, and wakes a thread that sleeps. If none does, that wakes nobody, and nobody remembers it.
    pub fn push(&self, item: T) {
        self.lock().items.push_back(item);
        self.changed.notify_one();
    }

    /// Takes out what has been in for longest, and sleeps as long as there is nothing. `None`: there will never be anything
    /// any more.
    pub fn pop(&self) -> Option<T> {
        let mut state = self.lock();
        if self.sleeps_first && !state.ended {
            state = self.sleep(state); // on purpose: what was put in before this line wakes nobody
        }
        // The look and the falling asleep are one step under the lock: nothing can come between them.
        loop {
            if let Some(item) = state.items.pop_front() {
                return Some(item);
            }
            if state.ended {
                return None;
            }
            state = self.sleep(state);
        }
    }

    /// The end: what is in is still given out, and then everybody who asks is told.
    pub fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }
    // ANCHOR_END: queue

    /// Gives the lock back, sleeps until somebody wakes us, and takes it again: pthread_cond_wait(3).
    fn sleep<'a>(&self, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread that panicked elsewhere has left the items as they were.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn each_item_comes_out_once_and_then_the_end() {
        let queue = Queue::new(false);
        let mut found = thread::scope(|scope| {
            let takes = || std::iter::from_fn(|| queue.pop()).collect::<Vec<_>>();
            let takers: Vec<_> = (0..4).map(|_| scope.spawn(takes)).collect();
            (0..2000).for_each(|number| queue.push(number));
            queue.end();
            let found = takers.into_iter().map(|taker| taker.join().unwrap());
            found.collect::<Vec<_>>().concat()
        });
        found.sort_unstable();
        assert!(found.into_iter().eq(0..2000));
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn one_taker_sees_the_order() {
        let queue = Queue::new(false);
        (0..100).for_each(|number| queue.push(number));
        queue.end();
        assert!(std::iter::from_fn(|| queue.pop()).eq(0..100));
    }
}
