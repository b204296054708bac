//! A server in a thread of its own, and clients for it. Every wait has a deadline.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod child;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use reactor::{
    DispatcherKind, End, EventLoop, Handler, Input, Limits, Placement, ServerError, ServerOptions,
    Stopper, TcpConnection, TcpServer,
};

pub const DEADLINE: Duration = Duration::from_secs(20);

/// Every dispatcher and trigger, each with no, one and four threads.
pub fn every(test: impl Fn(ServerOptions)) {
    for dispatcher in DispatcherKind::ALL {
        for threads in [0, 1, 4] {
            eprintln!("{dispatcher}, {threads} threads");
            test(ServerOptions {
                dispatcher,
                threads,
                ..Default::default()
            });
        }
    }
}

/// Every dispatcher and trigger, one thread.
pub fn every_dispatcher(test: impl Fn(ServerOptions)) {
    for dispatcher in DispatcherKind::ALL {
        eprintln!("{dispatcher}");
        test(ServerOptions {
            dispatcher,
            ..Default::default()
        });
    }
}

pub struct Running<H: Handler> {
    pub address: SocketAddr,
    pub stopper: Stopper<H>,
    thread: Option<JoinHandle<Result<(), ServerError>>>,
}

impl<H: Handler> Running<H> {
    /// Stops the server, and expects an orderly end.
    pub fn stop(mut self) {
        self.stopper.stop();
        self.ended();
    }

    pub fn ended(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        let thread = self.thread.take().unwrap();
        while !thread.is_finished() {
            assert!(Instant::now() < deadline, "the server does not end");
            thread::sleep(Duration::from_millis(1));
        }
        thread.join().unwrap().unwrap();
    }
}

pub fn serve<H: Handler>(
    options: ServerOptions,
    make: impl Fn(Option<SocketAddr>) -> H + Send + Sync + 'static,
) -> Running<H> {
    serve_with(options, make, |_| {})
}

pub fn serve_with<H: Handler>(
    options: ServerOptions,
    make: impl Fn(Option<SocketAddr>) -> H + Send + Sync + 'static,
    prepare: impl FnOnce(&mut TcpServer<H>) + Send + 'static,
) -> Running<H> {
    let (tell, told) = channel();
    let thread = thread::spawn(move || {
        let address = "127.0.0.1:0".parse().unwrap();
        let mut server = TcpServer::bind(&address, options, make)?;
        prepare(&mut server);
        let address = server.local_address().unwrap();
        tell.send((address, server.stopper())).unwrap();
        server.run()
    });
    let (address, stopper) = told.recv_timeout(DEADLINE).expect("the server starts");
    Running {
        address,
        stopper,
        thread: Some(thread),
    }
}

/// A loop of its own, turned by hand.
pub fn new_loop<H: Handler>(kind: DispatcherKind) -> EventLoop<H> {
    EventLoop::new("main thread", kind.open().unwrap(), Limits::default()).unwrap()
}

/// Turns until `done`, within the deadline.
pub fn turn_until<H: Handler>(event_loop: &mut EventLoop<H>, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline);
        event_loop.turn(Some(Duration::from_millis(10))).unwrap();
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends `data` and reads as many bytes back.
pub fn exchange(stream: &mut TcpStream, data: &[u8]) -> Vec<u8> {
    stream.write_all(data).unwrap();
    read_exactly(stream, data.len())
}

pub fn read_exactly(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut answer = vec![0; count];
    stream.read_exact(&mut answer).unwrap();
    answer
}

pub fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

pub fn finish(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}

/// Makes the close of `stream` send a reset.
pub fn reset(stream: TcpStream) {
    let linger = nix::libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    nix::sys::socket::setsockopt(&stream, nix::sys::socket::sockopt::Linger, &linger).unwrap();
}

pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 7 + i / 251) as u8).collect()
}

/// Waits until `condition` holds.
pub fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Sends back what it gets.
pub struct Echo;

impl Handler for Echo {
    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        connection.send(input.take());
    }
}

/// What a [`Teller`] was called for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Connected,
    Message(Vec<u8>),
    WriteComplete,
    InputEnded(Vec<u8>),
    Timeout(reactor::Timeout),
    Closed(End),
}

/// Sends back what it gets, and tells each of its calls.
pub struct Teller {
    pub tell: Sender<Call>,
    pub echo: bool,
}

impl Teller {
    pub fn serve(options: ServerOptions, echo: bool) -> (Running<Self>, Receiver<Call>) {
        let (tell, told) = channel();
        let running = serve(options, move |_| Self {
            tell: tell.clone(),
            echo,
        });
        (running, told)
    }

    fn say(&self, call: Call) {
        let _ = self.tell.send(call);
    }
}

impl Handler for Teller {
    fn connected(&mut self, _: &mut TcpConnection<Self>) {
        self.say(Call::Connected);
    }

    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        self.say(Call::Message(input.to_vec()));
        let data = input.take();
        if self.echo {
            connection.send(data);
        }
    }

    fn write_complete(&mut self, _: &mut TcpConnection<Self>) {
        self.say(Call::WriteComplete);
    }

    fn input_ended(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        self.say(Call::InputEnded(input.to_vec()));
        connection.shutdown();
    }

    fn timeout(&mut self, connection: &mut TcpConnection<Self>, which: reactor::Timeout) {
        self.say(Call::Timeout(which));
        connection.end(End::TimedOut);
    }

    fn closed(&mut self, _: &mut TcpConnection<Self>, end: End) {
        self.say(Call::Closed(end));
    }
}

pub fn next(told: &Receiver<Call>) -> Call {
    told.recv_timeout(DEADLINE).expect("a call")
}

pub const PLACEMENTS: [Placement; 4] = [
    Placement::RoundRobin,
    Placement::LeastConnections,
    Placement::PeerHash,
    Placement::ReusePort,
];
