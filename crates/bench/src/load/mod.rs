//! The client: one thread, one epoll, no allocation while it runs. It has to be lean, for on a small machine it shares a core with
//! the server that it measures.

mod answers;
mod closed;
mod rate;
mod swarm;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Duration;

use common::CallError;
use common::text::rot13;

use answers::{Answers, EchoAnswers, Expected, HttpAnswers, Known};
pub use closed::{Tally, Until, closed};
pub use rate::at_rate;
pub use swarm::Swarm;

use crate::results::{Kind, Workload};

/// What is said to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `GET PATH`, answered with 200 and a Content-Length.
    Http {
        /// What is asked for.
        path: String,
        /// Each request on a connection of its own, which the server closes.
        close: bool,
    },
    /// A message that comes back, as it is or as its rot13.
    Echo {
        /// Bytes of the message, the newline at its end included.
        size: usize,
    },
}

/// A load, but for how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What is said.
    pub protocol: Protocol,
    /// On how many connections at the same time.
    pub connections: usize,
    /// How many requests are sent together, before the first of their answers has come.
    pub depth: usize,
}

impl Shape {
    /// What this workload means for a server of this kind.
    pub fn of(workload: &Workload, kind: Kind) -> Self {
        let protocol = match kind {
            Kind::Http => Protocol::Http {
                path: if workload.size > SMALL { "/100k" } else { "/" }.into(),
                close: workload.id == CONNECTION_PER_REQUEST,
            },
            Kind::Echo | Kind::Model => Protocol::Echo {
                size: workload.size,
            },
        };
        Self {
            protocol,
            connections: workload.connections,
            depth: workload.depth,
        }
    }

    /// One request of it, as it goes out.
    fn request(&self) -> Vec<u8> {
        match &self.protocol {
            Protocol::Http { path, close } => {
                let close = if *close { "Connection: close\r\n" } else { "" };
                format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{close}\r\n").into_bytes()
            }
            Protocol::Echo { size } => {
                let letters = (b'a'..=b'z').cycle().take(size - 1);
                letters.chain([b'\n']).collect()
            }
        }
    }

    fn closes(&self) -> bool {
        matches!(self.protocol, Protocol::Http { close: true, .. })
    }

    fn expected(&self) -> Expected {
        match &self.protocol {
            Protocol::Http { .. } => Expected::Http(Known::default()),
            Protocol::Echo { .. } => {
                let same = self.request();
                let rot13 = same.iter().map(|&byte| rot13(byte)).collect();
                Expected::Echo { same, rot13 }
            }
        }
    }

    fn answers(&self) -> Answers {
        match &self.protocol {
            Protocol::Http { .. } => Answers::Http(HttpAnswers::default()),
            Protocol::Echo { .. } => Answers::Echo(EchoAnswers::default()),
        }
    }
}

/// The [`Workload::id`] of requests that each have a connection of their own.
pub const CONNECTION_PER_REQUEST: &str = "connection-per-request";

/// Bytes of the small answer; what is larger is the file.
pub const SMALL: usize = 26;

/// How long nothing may happen before the client gives up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a load came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A system call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Port numbers have run out.
    #[error(
        "no port is left for another connection to {0}: wait a minute, or widen net.ipv4.ip_local_port_range"
    )]
    Ports(SocketAddr),
    /// The server ended a connection that waited for an answer.
    #[error("the server ended a connection, with {0} answers still to come")]
    Ended(usize),
    /// What came back is not what the protocol says.
    #[error("the server sent {0}")]
    Wrong(String),
    /// Nothing happens any more.
    #[error("nothing happened for {} s, and {waiting} of {connections} connections wait for an answer", PATIENCE.as_secs())]
    Stalled {
        /// Connections without their answer.
        waiting: usize,
        /// Connections in all.
        connections: usize,
    },
}

/// Exactly so many requests.
pub fn exactly(address: SocketAddr, shape: &Shape, requests: u64) -> Result<Tally, LoadError> {
    closed(address, shape, Until::Requests(requests))
}
