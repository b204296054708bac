//! A network namespace: network_namespaces(7).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

use crate::net::route;

/// A network namespace that lives as long as this value, or as long as something in it lives.
#[derive(Debug, Clone)]
pub struct Namespace(Option<Arc<File>>);

impl Namespace {
    /// A new one, with its loopback interface up.
    pub(crate) fn new() -> io::Result<Self> {
        // A thread has its own network namespace: a new thread leaves the old one and we keep the descriptor.
        on_a_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            route::loopback_up()?;
            Ok(Self(Some(Arc::new(File::open(
                "/proc/thread-self/ns/net",
            )?))))
        })
    }

    /// The one that we are in: where no other can be made.
    pub(crate) fn ours() -> Self {
        Self(None)
    }

    /// Does something in this namespace.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        match &self.0 {
            None => work(),
            Some(file) => on_a_thread(|| {
                setns(file, CloneFlags::CLONE_NEWNET)?;
                work()
            }),
        }
    }

    /// Moves the calling thread, or the process that is about to be a program, into this namespace.
    pub(crate) fn join(&self) -> io::Result<()> {
        match &self.0 {
            None => Ok(()),
            Some(file) => Ok(setns(file, CloneFlags::CLONE_NEWNET)?),
        }
    }

    /// The number that tells it from others: the target of /proc/PID/ns/net, namespaces(7).
    pub(crate) fn number(&self) -> io::Result<u64> {
        use std::os::unix::fs::MetadataExt;
        match &self.0 {
            None => Ok(std::fs::metadata("/proc/thread-self/ns/net")?.ino()),
            Some(file) => Ok(file.metadata()?.ino()),
        }
    }
}

impl AsFd for Namespace {
    /// Only for a namespace that was made: there is no link to a host's own network.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0
            .as_ref()
            .expect("links join namespaces that were made")
            .as_fd()
    }
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let worker = thread::Builder::new()
            .name("namespace".into())
            .spawn_scoped(scope, work)?;
        worker
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
