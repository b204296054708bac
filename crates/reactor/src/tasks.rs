//! The one thing that threads share with a loop: a queue of tasks, and the knowledge whether the loop has been woken
//! for them.
//!
//! Whoever queues the first task of a batch wakes the loop, the others do not: a thousand tasks cost one wake-up if the
//! loop is slow, and no task is ever left waiting. `tests/loom.rs` runs this file under every order in which threads
//! can meet here.

use std::mem;

use crate::sync::{Mutex, MutexGuard};

/// Tasks from any thread for one loop.
#[derive(Debug)]
pub struct TaskQueue<T> {
    inner: Mutex<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    tasks: Vec<T>,
    /// The loop has been woken and has not yet taken the tasks.
    woken: bool,
    /// The loop has ended.
    closed: bool,
}

impl<T> TaskQueue<T> {
    /// Empty.
    pub fn new() -> Self {
        Self {
            inner: Mutex::new(Inner {
                tasks: Vec::new(),
                woken: false,
                closed: false,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        // Nothing in here can panic with the lock held.
        self.inner
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    // ANCHOR: push
    /// Adds a task, and calls `wake` if this is the first since the loop last took them. Gives the task back if the loop
    /// has ended.
    pub fn push(&self, task: T, wake: impl FnOnce()) -> Result<(), T> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(task);
        }
        inner.tasks.push(task);
        let first = !mem::replace(&mut inner.woken, true);
        drop(inner);
        if first {
            wake();
        }
        Ok(())
    }

    /// Swaps the tasks out into `batch`, which is empty: they are run without the lock, and the two vectors take turns.
    /// The wake-up must have been cleared before: in the other order, a wake-up for a task that comes in between is
    /// lost.
    pub fn take(&self, batch: &mut Vec<T>) {
        let mut inner = self.lock();
        inner.woken = false;
        mem::swap(&mut inner.tasks, batch);
    }
    // ANCHOR_END: push

    /// Refuses tasks from now on, and returns those that nobody will run.
    pub fn close(&self) -> Vec<T> {
        let mut inner = self.lock();
        inner.closed = true;
        mem::take(&mut inner.tasks)
    }
}
