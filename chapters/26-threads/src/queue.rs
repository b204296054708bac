//! A queue between threads, with a limit.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

// ANCHOR: queue
/// What some threads put in and others take out, in order. A thread that puts in waits while it is full, one
/// that takes out while it is empty.
#[derive(Debug)]
pub struct Queue<T> {
    items: Mutex<VecDeque<T>>,
    limit: usize,
    /// Something was put in.
    filled: Condvar,
    /// Something was taken out.
    emptied: Condvar,
}

impl<T> Queue<T> {
    /// An empty queue for so many items.
    pub fn new(limit: usize) -> Self {
        Self {
            items: Mutex::new(VecDeque::with_capacity(limit)),
            limit,
            filled: Condvar::new(),
            emptied: Condvar::new(),
        }
    }

    /// Puts an item in. While there is no room it waits, and nothing is overwritten.
    pub fn push(&self, item: T) {
        let mut items = self.lock();
        // A condition variable may wake for nothing, and another may have been quicker: look again, pthread_cond_wait(3).
        while items.len() == self.limit {
            items = self
                .emptied
                .wait(items)
                .unwrap_or_else(PoisonError::into_inner);
        }
        items.push_back(item);
        self.filled.notify_one();
    }

    /// Takes out what has been in for longest.
    pub fn pop(&self) -> T {
        let mut items = self.lock();
        loop {
            if let Some(item) = items.pop_front() {
                self.emptied.notify_one();
                return item;
            }
            items = self
                .filled
                .wait(items)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
    // ANCHOR_END: queue

    /// A thread that panicked elsewhere has left the items as they were.
    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// The original overwrites what has not been taken yet, and then believes itself empty.
    #[test]
    fn e3_a_full_queue_overwrites_nothing() {
        let queue = Queue::new(3);
        let (sender, arrived) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..1000 {
                    queue.push(number);
                    sender.send(number).unwrap();
                }
            });
            for number in 0..3 {
                assert_eq!(arrived.recv().unwrap(), number);
            }
            assert!(arrived.recv_timeout(Duration::from_millis(50)).is_err());
            for number in 0..1000 {
                assert_eq!(queue.pop(), number);
            }
        });
    }

    #[test]
    fn each_item_comes_out_once() {
        let queue = Queue::new(2);
        let mut found = thread::scope(|scope| {
            let takes = || (0..500).map(|_| queue.pop()).collect::<Vec<_>>();
            let takers: Vec<_> = (0..4).map(|_| scope.spawn(takes)).collect();
            for giver in 0..4 {
                let queue = &queue;
                scope.spawn(move || (0..500).for_each(|number| queue.push(giver * 500 + number)));
            }
            let found = takers.into_iter().map(|taker| taker.join().unwrap());
            found.collect::<Vec<_>>().concat()
        });
        found.sort_unstable();
        assert!(found.into_iter().eq(0..2000));
    }
}
