//! The queue between threads and a loop under every order of events that loom finds: the file itself, with loom's lock in
//! the place of the standard library's.

mod sync {
    pub use loom::sync::{Mutex, MutexGuard};
}

#[path = "../src/tasks.rs"]
mod tasks;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use tasks::TaskQueue;

/// An eventfd: what was added, until it is read.
#[derive(Default)]
struct EventFd(AtomicUsize, AtomicUsize);

impl EventFd {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.1.fetch_add(1, Ordering::SeqCst);
    }

    /// Reads it as the loop does when its wait tells that it is readable.
    fn clear(&self) -> bool {
        self.0.swap(0, Ordering::SeqCst) > 0
    }
}

/// Three tasks by two threads, while the loop takes what it is woken for. When all is quiet, either every task was
/// taken or the loop is still to be woken: no task is left without.
#[test]
fn no_task_is_left_without_a_wake_up() {
    loom::model(|| {
        let queue = Arc::new(TaskQueue::new());
        let event = Arc::new(EventFd::default());
        let threads: Vec<_> = [vec![1, 2], vec![3]]
            .into_iter()
            .map(|tasks| {
                let (queue, event) = (Arc::clone(&queue), Arc::clone(&event));
                thread::spawn(move || {
                    for task in tasks {
                        queue.push(task, || event.wake()).unwrap();
                    }
                })
            })
            .collect();
        let mut done = Vec::new();
        let mut turn = || {
            if event.clear() {
                let mut batch = Vec::new();
                queue.take(&mut batch);
                done.append(&mut batch);
            }
        };
        turn();
        turn();
        for thread in threads {
            thread.join().unwrap();
        }
        // Whatever is left, one more wait finds it.
        turn();
        assert!(done.iter().position(|task| *task == 1) < done.iter().position(|task| *task == 2));
        done.sort_unstable();
        assert_eq!(done, [1, 2, 3]);
        // At most one wake-up for each batch: never more of them than tasks.
        assert!(event.1.load(Ordering::SeqCst) <= 3);
    });
}

/// A task that comes while the loop ends is either returned to its thread or among those that are dropped with the queue.
#[test]
fn no_task_is_lost_when_the_loop_ends() {
    loom::model(|| {
        let queue = Arc::new(TaskQueue::new());
        let other = Arc::clone(&queue);
        let pushing = thread::spawn(move || other.push(1, || {}).is_err());
        let dropped = queue.close().len();
        let refused = usize::from(pushing.join().unwrap());
        assert_eq!(dropped + refused, 1);
    });
}
