//! What the threads share: the epoll instance, the table of connections, and the two queues.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::output::{OutputError, line};
use common::{Call, CallError, complain};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::connection::Connection;
use crate::queue::Queue;
use crate::reactor_server::{Args, Mistake};
use crate::worker::Next;

#[derive(Debug)]
pub struct Shared {
    pub epoll: Epoll,
    /// For the main thread: there are new connections. It has nothing to say but that.
    pub turns: Queue<()>,
    /// For the workers.
    pub requests: Queue<Request>,
    table: Mutex<Table>,
    /// Wakes the main thread, which may sleep in epoll_wait.
    pub waker: EventFd,
    /// Standard output has failed in a thread: the main thread ends the program.
    failed: Mutex<Option<OutputError>>,
    pub pause: Duration,
    pub write_first: bool,
    quiet: bool,
    mistake: Option<Mistake>,
}

/// A connection to which something has happened.
#[derive(Debug)]
pub struct Request {
    pub id: u64,
    pub connection: Connection,
}

#[derive(Debug)]
struct Table {
    /// Every client. `None`: it is in the queue, or a worker has it.
    connections: HashMap<u64, Option<Connection>>,
    stopping: bool,
}

impl Shared {
    pub fn new(args: &Args) -> Result<Self, CallError> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).call("epoll_create1")?;
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let table = Table {
            connections: HashMap::new(),
            stopping: false,
        };
        Ok(Self {
            epoll,
            turns: Queue::new(false),
            requests: Queue::new(args.mistake == Some(Mistake::SleepFirst)),
            table: Mutex::new(table),
            waker: EventFd::from_value_and_flags(0, flags).call("eventfd")?,
            failed: Mutex::new(None),
            pause: args.pause,
            write_first: args.write_first,
            quiet: args.quiet,
            mistake: args.mistake,
        })
    }

    /// Reports an event, from any thread.
    pub fn tell(&self, what: fmt::Arguments) {
        if !self.quiet
            && let Err(error) = line(what)
        {
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            self.wake_main();
        }
    }

    /// For the main thread: why nothing can be reported any more.
    pub fn output_error(&self) -> Option<OutputError> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.take()
    }

    // ANCHOR: wake
    /// Ends the main thread's epoll_wait, or its next one.
    fn wake_main(&self) {
        // It fails when the counter is full, and then it is awake.
        let _ = self.waker.write(1);
    }
    // ANCHOR_END: wake

    /// Whether this mistake is to be made.
    pub fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    // ANCHOR: table
    /// A new client, from the accept thread. The event may come before this returns: then the main thread waits for the lock.
    pub fn adopt(&self, id: u64, connection: Connection) -> Result<(), CallError> {
        let mut table = self.lock();
        self.watch(&connection, id, EpollFlags::EPOLLIN)?;
        table.connections.insert(id, Some(connection));
        Ok(())
    }

    /// Takes a client out, for a worker. `None`: a worker has it, or it has gone.
    pub fn take(&self, id: u64) -> Option<Connection> {
        self.lock().connections.get_mut(&id)?.take()
    }

    /// A worker gives a client back.
    pub fn give_back(&self, id: u64, mut connection: Connection, next: Next) {
        let mut table = self.lock();
        let mut events = match next {
            Next::Close => return self.forget(table, id),
            Next::Write => EpollFlags::EPOLLOUT,
            Next::Read | Next::Idle => EpollFlags::EPOLLIN,
        };
        if table.stopping && !connection.ending {
            match next {
                // There may be a question that was asked before the stop.
                Next::Read => return self.requests.push(Request { id, connection }),
                Next::Idle if connection.end().is_err() => return self.forget(table, id),
                _ => {}
            }
        }
        if self.makes(Mistake::BothDirections) {
            events = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT; // on purpose
        }
        match self.watch_again(&connection, id, events) {
            Ok(()) => drop(table.connections.insert(id, Some(connection))),
            Err(error) => {
                complain!(
                    "Error: {}: {:#}",
                    connection.address,
                    anyhow::Error::new(error)
                );
                self.forget(table, id);
            }
        }
    }
    // ANCHOR_END: table

    fn forget(&self, mut table: MutexGuard<Table>, id: u64) {
        table.connections.remove(&id);
        if table.stopping && table.connections.is_empty() {
            self.wake_main(); // it waits for this
        }
    }

    // ANCHOR: stop
    /// From now on a client that has all its answers is told the end. Those that wait for a word are given to the workers,
    /// in case there is one.
    pub fn stop(&self) {
        let mut table = self.lock();
        table.stopping = true;
        for (&id, place) in &mut table.connections {
            if let Some(connection) = place.take() {
                self.requests.push(Request { id, connection });
            }
        }
    }
    // ANCHOR_END: stop

    /// Whether no client is left.
    pub fn is_empty(&self) -> bool {
        self.lock().connections.is_empty()
    }

    /// A thread that panicked elsewhere has left the table as it was.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
