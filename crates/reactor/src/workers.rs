//! Threads that compute, so that loops do not have to.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// A job was queued, or the pool is ending.
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    ending: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Jobs run without the lock, and nothing else can panic.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        loop {
            let queue = self.lock();
            let idle = |queue: &mut Queue| queue.jobs.is_empty() && !queue.ending;
            let waited = self.changed.wait_while(queue, idle);
            let job = waited
                .unwrap_or_else(PoisonError::into_inner)
                .jobs
                .pop_front();
            match job {
                Some(job) => job(),
                None => return,
            }
        }
    }
}

/// A pool of worker threads, for [`TcpConnection::compute`](crate::TcpConnection::compute). Its queue has no bound of its
/// own: each connection has one, [`Limits::jobs`](crate::Limits). Dropped, it finishes what is queued and waits for the
/// threads.
pub struct Workers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts `count` threads, named `Worker-1` and so on. Fails where the system allows no more threads.
    pub fn new(count: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut workers = Self {
            shared,
            threads: Vec::new(),
        };
        for number in 1..=count.max(1) {
            let shared = Arc::clone(&workers.shared);
            let thread = thread::Builder::new().name(format!("Worker-{number}"));
            workers.threads.push(thread.spawn(move || shared.work())?);
        }
        Ok(workers)
    }

    /// Has a job done by the next worker that is free. It must not panic: use `compute`, which deals with that.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) {
        self.shared.lock().jobs.push_back(Box::new(job));
        self.shared.changed.notify_one();
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.lock().ending = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // The last owner may be a job; a thread cannot wait for itself.
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}
