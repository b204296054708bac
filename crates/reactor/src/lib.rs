//! An event loop and what stands on it: channels, dispatchers, buffers, connections, servers, timers, workers. Chapters 27
//! to 35 build it, and the HTTP server of chapter 34 stands on it.
//!
//! ```no_run
//! use reactor::{Handler, Input, ServerOptions, TcpConnection, TcpServer};
//!
//! struct Echo;
//!
//! impl Handler for Echo {
//!     fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
//!         connection.send(input.take());
//!     }
//! }
//!
//! # fn main() -> Result<(), reactor::ServerError> {
//! let options = ServerOptions { threads: 4, stop_on_signals: true, ..Default::default() };
//! let address = "127.0.0.1:43211".parse().expect("an address");
//! TcpServer::bind(&address, options, |_peer| Echo)?.run()
//! # }
//! ```
//!
//! # Where things are
//!
//! | file | what it answers | the course's name |
//! |---|---|---|
//! | `handler.rs`, `limits.rs` | what does the application do, and what may a connection hold? | the four callbacks |
//! | `connection.rs` | what may a handler do with its connection? | tcp_connection |
//! | `io.rs` | what does the loop do with a connection? | handle_read, handle_write |
//! | `output.rs`, `buffer.rs` | where are bytes that wait? | buffer |
//! | `event_loop.rs`, `source.rs` | what happens in a turn? | event_loop, channel |
//! | `token.rs` | which channel is meant? | channel_map |
//! | `interest.rs`, `dispatcher.rs`, `dispatcher/` | who is ready? | event_dispatcher |
//! | `timer.rs` | what is late? | |
//! | `tasks.rs`, `waker.rs`, `handle.rs` | how do other threads reach a loop? | pending list, socket pair |
//! | `acceptor.rs`, `placement.rs` | who comes in, and where to? | acceptor, thread_pool_get_loop |
//! | `server.rs` | how does it all start and stop? | tcp_server, thread_pool, event_loop_thread |
//! | `workers.rs`, `order.rs` | who computes? | |
//! | `connect.rs` | how does one connect to others? | |
//! | `sys.rs` | which system calls does a connection make? | |
//! | `names.rs` | how is a dispatcher or a placement chosen by name? | |
//!
//! # Who owns what
//!
//! A thread has one [`EventLoop`], and the loop owns everything that happens in it: the dispatcher, the table of channels, the
//! timers, the buffers. Nothing in it is shared, so nothing is locked. A channel is a descriptor that is waited for, with what
//! is to be done when it is ready. Two kinds there are: a connection, of which there are many, with a handler that is known at
//! compile time; and any other [`Source`] (the acceptor, the waker, a connect under way, your own), of which there are few,
//! called through a table.
//!
//! Other threads hold a [`LoopHandle`], or a [`Remote`] for one connection. All they can do is to queue a task: a closure that
//! runs in the loop's thread, between two events. The queue is the one place with a lock.
//!
//! While a channel's callback runs, the channel is out of the table. So the callback has the whole loop at its disposal, mutably,
//! and no channel can be called a second time from within its own call. A channel is named by a [`Token`], never by its
//! descriptor: an event for a channel that an earlier event has closed finds nobody, even if the descriptor's number
//! belongs to a new connection by then.
//!
//! # The life of a connection
//!
//! 1. *Accepted.* The acceptor is readable; it accepts one connection for each wait, or, edge-triggered, until the queue is
//!    empty. The listener's options are inherited.
//! 2. *Placed.* A loop is picked, and a task with the socket queued there. The loop makes the handler, registers the
//!    descriptor, and calls [`Handler::connected`]. All that is in its own thread: nobody sees half a connection. (Where
//!    [the peer speaks first](Handler::PEER_SPEAKS_FIRST), it is read from before it is registered.)
//! 3. *Readable.* The loop reads once into its own buffer of 64 KiB; fewer bytes than fit mean that there are no more.
//!    (Edge-triggered, and only then, it reads on until the kernel has nothing.)
//! 4. *Message.* The handler sees the bytes where they were read. What it does not consume is copied into a buffer that the loop
//!    lends, and seen again, with more behind it, after the next read.
//! 5. *Write.* [`TcpConnection::send`] goes straight to the kernel. Only what the kernel does not take is copied into
//!    a lent buffer, and only while there is something in it does the dispatcher watch for room to write. Above the high-water mark
//!    nothing is read from the connection any more, below the low one it is again. [`Handler::write_complete`] tells
//!    when all has gone out.
//! 6. *Idle.* It holds no buffer: its place in the table, its handler, and a timer's entry are all there is.
//! 7. *Closed.* The peer's end ([`Handler::input_ended`]) is not the end of the connection: answers under way are still sent.
//!    [`TcpConnection::shutdown`] closes in stages: the output is flushed, our direction ended, the peer's end awaited. Then, and
//!    for every other reason as well, the channel leaves the dispatcher, the timers and the table, [`Handler::closed`] is called, and
//!    last the descriptor is closed, so that its number cannot turn up anew before everything of the old one is gone.
//!
//! In the steady state of a request and its answer that is one wait, one read, one write, and no allocation; `tests/cost.rs`
//! counts.
//!
//! # Log
//!
//! The lines of the course's log (`epoll_wait wakeup, Thread-1`) are `tracing` events at debug level. While nobody listens
//! they cost a comparison each.

mod acceptor;
mod buffer;
mod connect;
mod connection;
mod dispatcher;
mod event_loop;
mod handle;
mod handler;
mod interest;
mod io;
mod limits;
mod names;
mod order;
mod output;
mod placement;
mod server;
mod source;
mod sys;
mod tasks;
mod timer;
mod token;
mod waker;
mod workers;

/// What `tasks.rs` locks with. Its test puts loom's in this place.
mod sync {
    pub(crate) use std::sync::{Mutex, MutexGuard};
}

pub use buffer::{Buffer, Input};
pub use connect::{Connect, ConnectError};
pub use connection::TcpConnection;
pub use dispatcher::{
    Dispatcher, DispatcherKind, EpollDispatcher, PollDispatcher, SelectDispatcher, Trigger,
};
pub use event_loop::EventLoop;
pub use handle::{LoopEnded, LoopHandle, MakeHandler, Remote};
pub use handler::{End, Handler, Timeout};
pub use interest::{Event, Interest, Readiness};
pub use limits::Limits;
pub use names::UnknownName;
pub use placement::Placement;
pub use server::{OnStart, ServerError, ServerOptions, Stopper, TcpServer};
pub use source::{Next, Source};
pub use timer::{TimerId, Wheel};
pub use token::{Table, Token};
pub use workers::Workers;
