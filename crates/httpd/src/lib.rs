//! A strict HTTP/1.1 server (RFC 9110, RFC 9112) on the event loops of `reactor`. Chapter 34 is about it.
//!
//! ```no_run
//! use httpd::{Options, Routes, Server};
//!
//! # fn main() -> Result<(), httpd::ServerError> {
//! let routes = Routes::new()
//!     .get("/network", |_request, response| {
//!         response.text("hello, network programming");
//!     })
//!     .post("/echo", |request, response| {
//!         response.text(request.body());
//!     });
//! let address = "127.0.0.1:43211".parse().expect("an address");
//! Server::bind(&address, Options::default(), routes.handler())?.run()
//! # }
//! ```
//!
//! # Where things are
//!
//! | file | what it answers |
//! |---|---|
//! | `syntax.rs` | which byte may stand where? |
//! | `parser.rs` | what does the head of a request say? |
//! | `framing.rs` | where does a request end, and what becomes of the connection? |
//! | `chunked.rs`, `body.rs` | what if the body comes in pieces? |
//! | `request.rs`, `response.rs` | what does a handler see, and what does it make? |
//! | `feed.rs` | what if the body comes from another thread? |
//! | `routes.rs` | who answers what? |
//! | `writer.rs`, `clock.rs` | how does an answer become bytes? |
//! | `connection.rs`, `connection/` | in which order does everything happen? |
//! | `files.rs`, `conditional.rs`, `range.rs`, `beneath.rs` | how are files served, and no others? |
//! | `status.rs`, `limits.rs` | what is refused, and with which status? |
//! | `server.rs`, `loop_state.rs` | what do connections have in common? |
//! | `statistics.rs`, `live.rs`, `log.rs` | how does one see what happens? |
//!
//! # The way of a request
//!
//! 1. The loop reads once, into its own buffer, and calls [`HttpConnection`] with what came.
//! 2. [`Head::parse`] makes a table of places in that buffer. A header that is the same as that of the request before, and
//!    most are, is compared with it and not read again. A head that is cut is looked at again when more has come, from where the
//!    first look ended.
//! 3. The framing fields tell where the body ends. One that has arrived is borrowed as well; only a part of one, or
//!    chunks, are copied to where they are put together.
//! 4. The handler gets the [`Request`] and fills in the [`Response`]; both use the loop's memory.
//! 5. Head and body are appended to the answers of this batch. In the usual case the head is a copy of the one before it, up to the
//!    length.
//! 6. When everything that had arrived is answered, the batch goes out with one write. What the kernel does not take waits,
//!    and the connection's further requests with it.
//!
//! That is one wait, one read, one write and no allocation, be it for one request or sixteen: `tests/cost.rs` counts.
//!
//! # What is refused
//!
//! A request that could be understood in two ways is not understood at all: [`Refusal`] lists the reasons. After one,
//! nothing on the connection is answered any more, and it is closed in stages, so that the client can read why.

mod beneath;
mod body;
mod chunked;
mod clock;
mod conditional;
mod connection;
mod feed;
mod files;
mod framing;
mod limits;
mod live;
mod log;
mod loop_state;
mod open_files;
mod parser;
mod range;
mod request;
mod response;
mod routes;
mod server;
mod statistics;
mod status;
mod syntax;
mod writer;

pub use chunked::Chunked;
pub use connection::HttpConnection;
pub use feed::{Feed, Gone, Sender, Waker, feed};
pub use files::Files;
pub use limits::Limits;
pub use log::AccessLog;
pub use parser::{Head, Progress};
pub use range::Ranges;
pub use reactor::{DispatcherKind, Placement, ServerError};
pub use request::{Method, Request};
pub use response::{More, Produce, Response};
pub use routes::Routes;
pub use server::{Options, Server, Service, Stopper};
pub use statistics::{Counter, LoopCounters, Statistics};
pub use status::{Refusal, Status};
