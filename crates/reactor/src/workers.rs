//! Threads that compute, so that loops do not have to.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use nix::sys::signal::SigSet;

type Job = Box<dyn FnOnce() + Send>;

/// A pool of worker threads, for [`TcpConnection::compute`](crate::TcpConnection::compute). Its queue has no bound of its
/// own: each connection has one, [`Limits::jobs`](crate::Limits). Dropped, it finishes what is queued and waits for the
/// threads.
pub struct Workers {
    /// `None` when the pool ends.
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts `count` threads, named `Worker-1` and so on. Fails where the system allows no more threads.
    pub fn new(count: usize) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let mut workers = Self {
            jobs: Some(jobs),
            threads: Vec::new(),
        };
        for number in 1..=count.max(1) {
            let queue = Arc::clone(&queue);
            let thread = thread::Builder::new().name(format!("Worker-{number}"));
            workers.threads.push(thread.spawn(move || work(&queue))?);
        }
        Ok(workers)
    }

    /// Has a job done by the next worker that is free. It must not panic: use `compute`, which deals with that.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) {
        if let Some(jobs) = &self.jobs {
            // It fails where every worker has ended, and they end after the pool.
            let _ = jobs.send(Box::new(job));
        }
    }
}

/// One worker waits for the next job, holding the lock; the others wait for the lock.
fn work(queue: &Mutex<Receiver<Job>>) {
    // A signal that the kernel gave to this thread would end the process, whoever else waits for it: signal(7).
    let _ = SigSet::all().thread_block();
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
    while let Ok(job) = next() {
        job();
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // The last owner may be a job; a thread cannot wait for itself.
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}
