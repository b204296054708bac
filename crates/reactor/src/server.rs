//! A server: an acceptor in the main thread, loops in others, and their orderly end.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use common::signal::StopSignal;
use common::{CallError, tcp};
use tracing::{debug, info};

use crate::acceptor::{Acceptor, bind};
use crate::dispatcher::DispatcherKind;
use crate::event_loop::{EventLoop, Next};
use crate::handle::{LoopHandle, MakeHandler};
use crate::handler::Handler;
use crate::interest::Interest;
use crate::limits::Limits;
use crate::placement::{Placement, Placer};

/// Called with the name of a loop, in its thread, before the loop is made.
pub type OnStart = Arc<dyn Fn(&str) + Send + Sync>;

/// How a server is built.
#[derive(Clone)]
pub struct ServerOptions {
    /// Loops beside the main one. 0: the main thread does everything; otherwise it accepts, and the others do the rest.
    pub threads: usize,
    /// How each loop waits.
    pub dispatcher: DispatcherKind,
    /// Which loop gets the next connection.
    pub placement: Placement,
    /// What a connection may hold.
    pub limits: Limits,
    /// Connections at the same time; the next ones wait in the kernel's queue.
    pub max_connections: usize,
    /// SIGINT and SIGTERM stop the server; a second one at once.
    pub stop_on_signals: bool,
    /// The time that connections have to finish when the server stops.
    pub stop_within: Duration,
    /// For what has to be done in each thread first.
    pub on_start: Option<OnStart>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            threads: 0,
            dispatcher: DispatcherKind::default(),
            placement: Placement::default(),
            limits: Limits::default(),
            max_connections: usize::MAX,
            stop_on_signals: false,
            stop_within: Duration::from_secs(10),
            on_start: None,
        }
    }
}

/// A server could not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A system call failed: the address is in use, descriptors have run out.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A thread could not be started.
    #[error("start {name}")]
    Thread {
        /// The thread.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A handler has panicked.
    #[error("{0} has panicked")]
    Panicked(String),
}

/// A thread with its loop.
struct LoopThread<H: Handler> {
    handle: LoopHandle<H>,
    thread: Option<JoinHandle<Result<(), CallError>>>,
}

/// A server for stream sockets. Made, it listens: clients can connect; they are served once it runs.
pub struct TcpServer<H: Handler> {
    main: EventLoop<H>,
    threads: Vec<LoopThread<H>>,
    address: Option<SocketAddr>,
    stop_within: Duration,
}

impl<H: Handler> TcpServer<H> {
    /// A server on `address`; port 0 for any free one. `make` makes the handler of each connection.
    pub fn bind(
        address: &SocketAddr,
        options: ServerOptions,
        make: impl Fn(Option<SocketAddr>) -> H + Send + Sync + 'static,
    ) -> Result<Self, ServerError> {
        let shared = options.placement == Placement::ReusePort;
        let first = bind(address, shared)?;
        let mut listeners = vec![first];
        if shared {
            let address = tcp::local_address(&listeners[0])?;
            for _ in 1..options.threads {
                listeners.push(bind(&address, true)?);
            }
        }
        Self::start(listeners, options, Arc::new(make))
    }

    /// A server on a bound stream socket: a local one, or one that was inherited. Its socket file is the caller's to remove.
    pub fn on(
        listener: OwnedFd,
        options: ServerOptions,
        make: impl Fn(Option<SocketAddr>) -> H + Send + Sync + 'static,
    ) -> Result<Self, ServerError> {
        Self::start(vec![listener], options, Arc::new(make))
    }

    fn start(
        listeners: Vec<OwnedFd>,
        options: ServerOptions,
        make: MakeHandler<H>,
    ) -> Result<Self, ServerError> {
        // Before any thread: they inherit the mask.
        let signals = options.stop_on_signals.then(StopSignal::new).transpose()?;
        let dispatcher = options.dispatcher.open()?;
        let main = EventLoop::new("main thread", dispatcher, options.limits.clone())?;
        let mut server = Self {
            main,
            threads: Vec::new(),
            address: tcp::local_address(&listeners[0]).ok(),
            stop_within: options.stop_within,
        };
        for number in 1..=options.threads {
            let thread = start_thread(format!("Thread-{number}"), &options, server.main.handle())?;
            server.threads.push(thread);
        }
        // Every loop runs: only now may clients come.
        if listeners.len() > 1 {
            for (listener, thread) in listeners.into_iter().zip(&server.threads) {
                server.accept_in(thread, listener, &make, options.max_connections)?;
            }
        } else {
            for listener in listeners {
                let loops: Vec<_> = server
                    .threads
                    .iter()
                    .map(|one| one.handle.clone())
                    .collect();
                let placer = (!loops.is_empty()).then(|| Placer::new(loops, options.placement));
                let make = Arc::clone(&make);
                let acceptor = Acceptor::new(listener, placer, make, options.max_connections)?;
                server.main.add_acceptor(Box::new(acceptor))?;
            }
        }
        if let Some(signals) = signals {
            server.stop_on(signals)?;
        }
        Ok(server)
    }

    /// Has a loop accept its connections itself, and waits until it does.
    fn accept_in(
        &self,
        thread: &LoopThread<H>,
        listener: OwnedFd,
        make: &MakeHandler<H>,
        most: usize,
    ) -> Result<(), ServerError> {
        let make = Arc::clone(make);
        let most = most.div_ceil(self.threads.len());
        let (tell, told) = sync_channel(1);
        let queued = thread.handle.queue(move |event_loop| {
            let acceptor = Acceptor::new(listener, None, make, most);
            let added = acceptor.and_then(|acceptor| event_loop.add_acceptor(Box::new(acceptor)));
            let _ = tell.send(added.map(drop));
        });
        let ended = || ServerError::Panicked(thread.handle.name().into());
        queued.map_err(|_| ended())?;
        Ok(told.recv().map_err(|_| ended())??)
    }

    fn stop_on(&mut self, signals: StopSignal) -> Result<(), CallError> {
        let mut stopper = self.stopper();
        self.main
            .watch(signals, Interest::READ, move |_, signals, _| {
                while let Ok(Some(signal)) = signals.received() {
                    info!("{signal}: stopping");
                    stopper.stop();
                    stopper.within = Duration::ZERO;
                }
                Next::Keep
            })?;
        Ok(())
    }

    /// Where it listens; `None` for a local socket.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The loop of the main thread, for further channels and timers.
    pub fn main_loop(&mut self) -> &mut EventLoop<H> {
        &mut self.main
    }

    /// The loops that have connections.
    pub fn loops(&self) -> Vec<LoopHandle<H>> {
        let loops: Vec<_> = self.threads.iter().map(|one| one.handle.clone()).collect();
        match loops.is_empty() {
            true => vec![self.main.handle()],
            false => loops,
        }
    }

    /// Something to stop the server with, from any thread.
    pub fn stopper(&self) -> Stopper<H> {
        let mut loops: Vec<_> = self.threads.iter().map(|one| one.handle.clone()).collect();
        loops.push(self.main.handle());
        Stopper {
            loops,
            within: self.stop_within,
        }
    }

    /// Serves until the server is stopped and its last connection has ended.
    pub fn run(mut self) -> Result<(), ServerError> {
        let outcome = self.main.run();
        // If the main loop failed, nobody has told the others.
        self.stopper().stop();
        self.join()?;
        Ok(outcome?)
    }

    fn join(&mut self) -> Result<(), ServerError> {
        let mut outcome = Ok(());
        for one in &mut self.threads {
            let ended = match one.thread.take().map(JoinHandle::join) {
                None => Ok(()),
                Some(Ok(ended)) => ended.map_err(ServerError::Call),
                Some(Err(_)) => Err(ServerError::Panicked(one.handle.name().into())),
            };
            outcome = outcome.and(ended);
        }
        outcome
    }
}

impl<H: Handler> Drop for TcpServer<H> {
    /// A server that is dropped instead of run ends its threads; one that has run has none left.
    fn drop(&mut self) {
        let mut stopper = self.stopper();
        stopper.within = Duration::ZERO;
        stopper.stop();
        let _ = self.join();
    }
}

/// Starts a loop in a thread of its own, and returns when it is there.
fn start_thread<H: Handler>(
    name: String,
    options: &ServerOptions,
    main: LoopHandle<H>,
) -> Result<LoopThread<H>, ServerError> {
    let (tell, told) = sync_channel(1);
    let (options, own_name) = (options.clone(), name.clone());
    let started = thread::Builder::new()
        .name(name.clone())
        .spawn(move || run_thread(&own_name, &options, main, &tell));
    let thread = started.map_err(|source| ServerError::Thread {
        name: name.clone(),
        source,
    })?;
    match told.recv() {
        Ok(Ok(handle)) => {
            debug!("event loop thread started, {name}");
            let thread = Some(thread);
            Ok(LoopThread { handle, thread })
        }
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(ServerError::Panicked(name)),
    }
}

fn run_thread<H: Handler>(
    name: &str,
    options: &ServerOptions,
    main: LoopHandle<H>,
    tell: &SyncSender<Result<LoopHandle<H>, CallError>>,
) -> Result<(), CallError> {
    if let Some(on_start) = &options.on_start {
        on_start(name);
    }
    // However this thread ends: a server that serves on one loop less would look healthy and leave clients waiting.
    let _alarm = StopMain(main, options.stop_within);
    let dispatcher = options.dispatcher.open();
    let made = dispatcher.and_then(|it| EventLoop::new(name, it, options.limits.clone()));
    match made {
        Ok(mut event_loop) => {
            debug!("event loop thread init and signal, {name}");
            let _ = tell.send(Ok(event_loop.handle()));
            event_loop.run()
        }
        Err(error) => {
            let _ = tell.send(Err(error));
            Ok(())
        }
    }
}

struct StopMain<H: Handler>(LoopHandle<H>, Duration);

impl<H: Handler> Drop for StopMain<H> {
    fn drop(&mut self) {
        let _ = self.0.stop(self.1);
    }
}

/// Stops a server: all its loops.
pub struct Stopper<H: Handler> {
    loops: Vec<LoopHandle<H>>,
    within: Duration,
}

impl<H: Handler> Stopper<H> {
    /// Stops accepting, and gives connections [`ServerOptions::stop_within`] to finish.
    pub fn stop(&self) {
        for one in &self.loops {
            // One that has ended needs no stop.
            let _ = one.stop(self.within);
        }
    }
}

impl<H: Handler> Clone for Stopper<H> {
    fn clone(&self) -> Self {
        Self {
            loops: self.loops.clone(),
            within: self.within,
        }
    }
}

impl<H: Handler> fmt::Debug for Stopper<H> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_tuple("Stopper").field(&self.loops).finish()
    }
}
