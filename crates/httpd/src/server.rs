//! How a server starts and stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reactor::{DispatcherKind, Placement, ServerError, ServerOptions, TcpServer};

use crate::connection::HttpConnection;
use crate::limits::Limits;
use crate::log::AccessLog;
use crate::loop_state::{LoopState, Shared};
use crate::request::Request;
use crate::response::Response;
use crate::statistics::Statistics;

/// Connections above the limit that are told so at the same time, with a 503; the next ones wait in the kernel's queue.
const TURNED_AWAY: usize = 128;

/// How a server is built.
#[derive(Debug, Clone)]
pub struct Options {
    /// Loops beside the main one. 0: the main thread does everything; otherwise it accepts, and the others serve.
    pub threads: usize,
    /// How each loop waits.
    pub dispatcher: DispatcherKind,
    /// Which loop gets the next connection.
    pub placement: Placement,
    /// What clients may do.
    pub limits: Limits,
    /// Says `Connection: Keep-Alive` with every answer that leaves the connection open, as the course's server does. Clients of
    /// HTTP/1.1 expect nothing else, and are spared it by default.
    pub announce_keep_alive: bool,
    /// SIGINT and SIGTERM stop the server; a second one at once.
    pub stop_on_signals: bool,
    /// The time that requests in flight have when it stops.
    pub stop_within: Duration,
    /// Off by default.
    pub log: Option<AccessLog>,
    /// Where it counts.
    pub statistics: Arc<Statistics>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            threads: 0,
            dispatcher: DispatcherKind::default(),
            placement: Placement::default(),
            limits: Limits::default(),
            announce_keep_alive: false,
            stop_on_signals: false,
            stop_within: Duration::from_secs(10),
            log: None,
            statistics: Arc::default(),
        }
    }
}

/// What a server does, without the server: for connections in event loops of one's own.
#[derive(Clone)]
pub struct Service(Arc<Shared>);

impl Service {
    /// `answer` is called for each request, in the thread of its connection's loop: it must not block, as every other
    /// connection of the loop waits for it.
    pub fn new(
        options: Options,
        answer: impl Fn(&Request, &mut Response) + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Shared {
            answer: Box::new(answer),
            announce_keep_alive: options.announce_keep_alive,
            limits: options.limits,
            log: options.log,
            statistics: options.statistics,
        }))
    }

    /// The handler for a connection of the loop in this thread.
    pub fn connection(&self) -> HttpConnection {
        HttpConnection::new(LoopState::of_this_thread(&self.0))
    }

    /// The bounds that its loop should have.
    pub fn loop_limits(&self) -> reactor::Limits {
        let limits = &self.0.limits;
        reactor::Limits {
            // A head that is not complete, and a batch that waits.
            input: limits.request_line + limits.header + 128 * 1024,
            high_water: limits.output,
            low_water: limits.output / 4,
            // An answer may be of any length, and there is one at a time.
            output: usize::MAX,
            idle: Some(limits.idle),
            linger: limits.linger,
            ..Default::default()
        }
    }
}

/// An HTTP server. Made, it listens; it serves once it runs.
pub struct Server(TcpServer<HttpConnection>);

impl Server {
    /// A server on `address`; port 0 for any free one. For `answer` see [`Service::new`].
    pub fn bind(
        address: &SocketAddr,
        options: Options,
        answer: impl Fn(&Request, &mut Response) + Send + Sync + 'static,
    ) -> Result<Self, ServerError> {
        let service = Service::new(options.clone(), answer);
        let of_the_reactor = ServerOptions {
            threads: options.threads,
            dispatcher: options.dispatcher,
            placement: options.placement,
            limits: service.loop_limits(),
            max_connections: options.limits.connections.saturating_add(TURNED_AWAY),
            stop_on_signals: options.stop_on_signals,
            stop_within: options.stop_within,
            ..Default::default()
        };
        let make = move |_| service.connection();
        Ok(Self(TcpServer::bind(address, of_the_reactor, make)?))
    }

    /// Where it listens.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.0.local_address()
    }

    /// Something to stop it with, from any thread.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.0.stopper())
    }

    /// Serves until it is stopped and its last connection has ended.
    pub fn run(self) -> Result<(), ServerError> {
        self.0.run()
    }
}

/// Stops a server.
#[derive(Clone)]
pub struct Stopper(reactor::Stopper<HttpConnection>);

impl Stopper {
    /// The listener is closed, and idle connections are; requests in flight have [`Options::stop_within`].
    pub fn stop(&self) {
        self.0.stop();
    }
}
