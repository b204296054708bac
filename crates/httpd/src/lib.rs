//! A strict HTTP/1.1 server on the event loops of `reactor`. Chapter 34 is about it.

mod beneath;
mod body;
mod chunked;
mod clock;
mod conditional;
mod connection;
mod files;
mod framing;
mod limits;
mod live;
mod log;
mod loop_state;
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
