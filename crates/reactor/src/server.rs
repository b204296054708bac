//! A server: an acceptor in the main thread, loops in others, and their orderly end.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use common::signal::StopSignal;
use common::{Call, CallError, tcp};
use tracing::{debug, info};

use crate::acceptor::{Acceptor, bind};
use crate::placement::Placer;
use crate::{
    DispatcherKind, EventLoop, Handler, Interest, Limits, LoopHandle, MakeHandler, Next, Placement,
};

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
    /// Connections at the same time; the next ones wait in the kernel's queue. With [`Placement::ReusePort`] each loop has an
    /// equal part of them, rounded up, and a queue of its own.
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
    /// A system call failed: the address is in use, descriptors have run out, no thread can be started.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A handler has panicked.
    #[error("{0} has panicked")]
    Panicked(String),
}

/// A server for stream sockets. Made, it listens: clients can connect; they are served once it runs.
pub struct TcpServer<H: Handler> {
    main: EventLoop<H>,
    /// The loops of the threads.
    loops: Vec<LoopHandle<H>>,
    threads: Vec<JoinHandle<Result<(), CallError>>>,
    /// How many of the threads have not ended.
    serving: Arc<AtomicUsize>,
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
        let mut listeners = vec![bind(address, shared)?];
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
        let mut server = Self {
            main: EventLoop::new("main thread", dispatcher, options.limits.clone())?,
            loops: Vec::new(),
            threads: Vec::new(),
            serving: Arc::default(),
            address: tcp::local_address(&listeners[0]).ok(),
            stop_within: options.stop_within,
        };
        // One listener for each thread, or one for all.
        let each = listeners.len() > 1;
        let most = options.max_connections.div_ceil(listeners.len());
        let mut acceptors = listeners
            .into_iter()
            .map(|listener| (listener, Arc::clone(&make), most));
        // ANCHOR: threads
        for number in 1..=options.threads {
            let own = if each { acceptors.next() } else { None };
            server.start_thread(format!("Thread-{number}"), &options, own)?;
        }
        // Every loop runs: only now may clients come.
        if let Some((listener, make, most)) = acceptors.next() {
            let loops = server.loops.clone();
            let placer = (!loops.is_empty()).then(|| Placer::new(loops, options.placement));
            let acceptor = Acceptor::new(listener, placer, make, most)?;
            server.main.add_acceptor(acceptor)?;
        }
        // ANCHOR_END: threads
        if let Some(signals) = signals {
            server.stop_on(signals)?;
        }
        Ok(server)
    }

    /// Starts a loop in a thread of its own, with an acceptor of its own perhaps, and returns when it is there.
    fn start_thread(
        &mut self,
        name: String,
        options: &ServerOptions,
        own: Option<(OwnedFd, MakeHandler<H>, usize)>,
    ) -> Result<(), ServerError> {
        let (tell, told) = sync_channel(1);
        let (options, own_name) = (options.clone(), name.clone());
        self.serving.fetch_add(1, Ordering::Relaxed);
        let alarm = StopMain {
            main: self.main.handle(),
            within: self.stop_within,
            serving: Arc::clone(&self.serving),
        };
        // ANCHOR: thread
        let run = move || {
            let _alarm = alarm;
            if let Some(on_start) = &options.on_start {
                on_start(&own_name);
            }
            let dispatcher = options.dispatcher.open()?;
            let mut event_loop = EventLoop::new(&own_name, dispatcher, options.limits)?;
            if let Some((listener, make, most)) = own {
                event_loop.add_acceptor(Acceptor::new(listener, None, make, most)?)?;
            }
            debug!("event loop thread init and signal, {own_name}");
            let _ = tell.send(event_loop.handle());
            event_loop.run()
        };
        let thread = thread::Builder::new().name(name.clone());
        let thread = thread.spawn(run).call(format_args!("start {name}"))?;
        match told.recv() {
            Ok(handle) => {
                debug!("event loop thread started, {name}");
                self.loops.push(handle);
                self.threads.push(thread);
                Ok(())
            }
            // It has ended before it could tell.
            Err(_) => join(thread),
        }
        // ANCHOR_END: thread
    }

    fn stop_on(&mut self, signals: StopSignal) -> Result<(), CallError> {
        let mut stopper = self.stopper();
        let read = Interest::READ;
        self.main.watch(signals, read, move |_, signals, _| {
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
        match self.loops.is_empty() {
            true => vec![self.main.handle()],
            false => self.loops.clone(),
        }
    }

    /// Something to stop the server with, from any thread.
    pub fn stopper(&self) -> Stopper<H> {
        // The one that accepts comes first.
        let mut loops = vec![self.main.handle()];
        loops.extend_from_slice(&self.loops);
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
        // A second signal has to be heard while the others finish. Each of them wakes this loop when it does.
        while outcome.is_ok() && self.serving.load(Ordering::Acquire) > 0 {
            self.main.turn(None)?;
        }
        self.join()?;
        Ok(outcome?)
    }

    fn join(&mut self) -> Result<(), ServerError> {
        let ends: Vec<_> = self.threads.drain(..).map(join).collect();
        ends.into_iter().collect()
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

/// Waits for the end of a loop's thread.
fn join(thread: JoinHandle<Result<(), CallError>>) -> Result<(), ServerError> {
    let name = thread.thread().name().unwrap_or_default().to_owned();
    Ok(thread.join().map_err(|_| ServerError::Panicked(name))??)
}

/// Stops the main loop when its owner ends, in whatever way: a server that serves on one loop less would look healthy and
/// leave clients waiting.
struct StopMain<H: Handler> {
    main: LoopHandle<H>,
    within: Duration,
    serving: Arc<AtomicUsize>,
}

impl<H: Handler> Drop for StopMain<H> {
    fn drop(&mut self) {
        self.serving.fetch_sub(1, Ordering::Release);
        let _ = self.main.stop(self.within);
    }
}

/// Stops a server: all its loops.
#[derive(Debug)]
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
