//! A proactor: an echo server that asks the kernel to receive and to send, and deals with what is complete.

use std::collections::VecDeque;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use common::address::Listen;
use common::descriptors::raise_limit;
use common::signal::StopSignal;
use common::{Call, CallError, complain, say, tcp};
use io_uring::opcode;
use io_uring::types::{Fd, Timespec};
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};

use crate::connection::{Connection, Reading, Sending};
use crate::pool::Pool;
use crate::proactor::{Completion, Kind, Place, Proactor};
use crate::ring::{self, Shots};

/// Sends back what clients send, by io_uring: the kernel accepts, receives and sends
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// Ask for each connection and each piece of data by itself, as a kernel before 6.1 wants it
    #[arg(long)]
    oneshot: bool,
    /// Buffers that all connections share; a power of two
    #[arg(long, value_name = "COUNT", default_value_t = 128, value_parser = power_of_two)]
    buffers: u16,
    /// Bytes in a buffer
    #[arg(long, value_name = "BYTES", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    buffer_size: u32,
}

fn power_of_two(text: &str) -> Result<u16, String> {
    let count: u16 = text.parse().map_err(|_| "not a number up to 32768")?;
    match count.is_power_of_two() {
        true => Ok(count),
        false => Err("not a power of two".into()),
    }
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let stop = StopSignal::new()?;
    raise_limit()?;
    let (mut ring, shots) = ring::open()?;
    let listener = tcp::listen(&args.listen.address())?;
    // Connections inherit it: an answer never waits for the ACK of the one before.
    setsockopt(&listener, sockopt::TcpNoDelay, &true).call("setsockopt TCP_NODELAY")?;
    let size = args.buffer_size as usize;
    let proactor = Proactor::new(&mut ring);
    let pool = match args.oneshot || shots == Shots::One {
        true => None,
        false => Some(Pool::new(proactor.submitter(), args.buffers, size)?),
    };
    say!("listening on {}", tcp::local_address(&listener)?)?;
    let mut server = Server {
        proactor,
        listener,
        pool,
        size,
        pause: Timespec::new().nsec(100_000_000),
        full: false,
        connections: Vec::new(),
        vacant: Vec::new(),
        quick: Vec::new(),
        starved: VecDeque::new(),
        hurry: false,
    };
    let outcome = server.serve(&stop);
    if server.call_off().is_err() {
        // The kernel may still write to what it was given: that must not be freed.
        mem::forget(server);
    }
    outcome
}

struct Server<'ring> {
    proactor: Proactor<'ring>,
    listener: OwnedFd,
    /// None where each request completes once.
    pool: Option<Pool>,
    size: usize,
    /// How long not to accept when there are no descriptors left.
    pause: Timespec,
    full: bool,
    connections: Vec<Option<Connection>>,
    vacant: Vec<Place>,
    /// Connections whose quick sends are decided by the next turn.
    quick: Vec<Place>,
    /// Connections that found no buffer.
    starved: VecDeque<Place>,
    /// Something is to be done after the next turn, whether something completes or not.
    hurry: bool,
}

impl Server<'_> {
    // ANCHOR: serve
    fn serve(&mut self, stop: &StopSignal) -> anyhow::Result<()> {
        self.accept()?;
        self.proactor.watch(Kind::Stop, stop.as_fd().as_raw_fd())?;
        let mut complete = Vec::new();
        loop {
            let wait = !mem::take(&mut self.hurry) && self.starved.is_empty();
            let taken = self.proactor.turn(wait, &mut complete)?;
            self.settle(taken, &complete)?;
            for completion in &complete {
                match completion.kind {
                    Kind::Accept => self.accepted(completion)?,
                    Kind::Receive => self.received(completion)?,
                    Kind::Send => self.sent(completion)?,
                    Kind::Pause => self.accept()?,
                    Kind::Stop => return Ok(()),
                    Kind::SendNow | Kind::Cancel => {}
                }
            }
            self.feed_the_starved()?;
        }
    }
    // ANCHOR_END: serve

    fn accept(&mut self) -> Result<(), CallError> {
        let fd = Fd(self.listener.as_raw_fd());
        let entry = match self.pool {
            Some(_) => opcode::AcceptMulti::new(fd).flags(libc::SOCK_CLOEXEC).build(),
            None => {
                let (no_address, no_length) = (std::ptr::null_mut(), std::ptr::null_mut());
                opcode::Accept::new(fd, no_address, no_length).flags(libc::SOCK_CLOEXEC).build()
            }
        };
        // SAFETY: it points to nothing.
        unsafe { self.proactor.request(Kind::Accept, 0, entry) }
    }

    fn accepted(&mut self, completion: &Completion) -> anyhow::Result<()> {
        match completion.result {
            Ok(raw) => {
                self.full = false;
                // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
                self.connected(unsafe { OwnedFd::from_raw_fd(raw as i32) })?;
            }
            Err(error @ (Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM)) => {
                if !mem::replace(&mut self.full, true) {
                    complain!("accept: {error}");
                }
                // It would fail again at once, and again.
                let entry = opcode::Timeout::new(&raw const self.pause).build();
                // SAFETY: the time lies in the server, which does not move while it serves.
                unsafe { self.proactor.request(Kind::Pause, 0, entry)? };
                return Ok(());
            }
            Err(error @ (Errno::EBADF | Errno::EINVAL | Errno::ENOTSOCK)) => Err(error).call("accept")?,
            Err(_) => {} // of a connection that is gone already, accept(2)
        }
        if !completion.more {
            self.accept()?;
        }
        Ok(())
    }

    fn connected(&mut self, socket: OwnedFd) -> anyhow::Result<()> {
        let peer = match tcp::peer_address(&socket) {
            Ok(peer) => peer,
            Err(_) => return Ok(()), // it has gone while it waited for us
        };
        say!("client connected {peer}")?;
        let place = self.vacant.pop().unwrap_or(self.connections.len());
        if place == self.connections.len() {
            self.connections.push(None);
        }
        self.connections[place] = Some(Connection::new(socket, peer));
        self.go_on(place)
    }
}
