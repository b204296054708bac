//! A client with many connections.

use std::cell::RefCell;
use std::io::{Read, stdin};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::bail;
use common::address::{Peer, seconds};
use common::descriptors::raise_limit;
use common::say;
use reactor::{Connect, DispatcherKind, EventLoop, Limits};

use crate::client::{Client, Shared};
use crate::report::{percentiles, rate};

/// Opens many connections, asks on each of them once, and then on some of them many times
///
/// The server has to answer each line with as many bytes, as every echo and rot13 server of this course does.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Peer,
    /// How many connections
    #[arg(long, value_name = "COUNT", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// How many of them talk at the same time; the others are idle
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    active: u32,
    /// How many questions each of these asks
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    messages: u32,
    /// How long a question is, its newline included
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=1 << 20))]
    size: u32,
    /// Addresses of ours to connect from, in turn. One address has some 28 000 ports for one server
    #[arg(long, value_name = "ADDR,…", value_delimiter = ',')]
    from: Vec<IpAddr>,
    /// Give up a connection that takes longer, and a phase in which nothing happens for so many seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
    /// Keep the connections until the standard input ends
    #[arg(long)]
    hold: bool,
}

/// How many connections are being opened at the same time.
const OPENING: usize = 100;

pub fn run(args: &Args) -> anyhow::Result<()> {
    raise_limit()?;
    let server = args.server.first()?;
    let letters = (b'a'..=b'z').cycle().take(args.size as usize - 1);
    let shared = Rc::new(RefCell::new(Shared {
        question: letters.chain([b'\n']).collect(),
        ..Shared::default()
    }));
    let mut event_loop =
        EventLoop::new("main", DispatcherKind::default().open()?, Limits::default())?;
    let mut swarm = Swarm {
        args,
        event_loop: &mut event_loop,
        shared,
    };

    swarm.connect(server)?;
    let all = swarm.shared.borrow().open.clone();
    swarm.ask("asked once", &all, 1)?;
    if args.messages > 0 {
        let mut active = all;
        active.retain(|&token| {
            swarm.event_loop.with(token, |client, _| client.is_free()) == Some(true)
        });
        active.truncate(args.active as usize);
        swarm.ask(
            &format!("asked again, by {}", active.len()),
            &active,
            args.messages as usize,
        )?;
    }
    if args.hold {
        say!("holding {} connections", swarm.shared.borrow().open.len())?;
        let _ = stdin().read_to_end(&mut Vec::new());
    }
    let shared = swarm.shared.borrow();
    for (why, count) in &shared.errors {
        say!("{count} times: {why}")?;
    }
    let lost = args.connections as usize - shared.open.len();
    match (lost, shared.wrong) {
        (0, 0) => Ok(()),
        (lost, wrong) => bail!("{lost} connections lost, {wrong} wrong answers"),
    }
}

struct Swarm<'a> {
    args: &'a Args,
    event_loop: &'a mut EventLoop<Client>,
    shared: Rc<RefCell<Shared>>,
}

impl Swarm<'_> {
    // ANCHOR: connect
    /// Opens all connections, some at a time: more would only fill the server's queue.
    fn connect(&mut self, server: SocketAddr) -> anyhow::Result<()> {
        let began = Instant::now();
        let wanted = self.args.connections as usize;
        let (mut begun, outcomes) = (0, Rc::new(RefCell::new(0)));
        while *outcomes.borrow() < wanted {
            while begun < wanted && begun - *outcomes.borrow() < OPENING {
                let from = match self.args.from.is_empty() {
                    true => None,
                    false => Some(SocketAddr::new(
                        self.args.from[begun % self.args.from.len()],
                        0,
                    )),
                };
                let timeout = self.args.timeout;
                let request = Connect {
                    timeout,
                    from,
                    ..Connect::to(server)
                };
                let (shared, outcomes) = (Rc::clone(&self.shared), Rc::clone(&outcomes));
                self.event_loop.connect(request, move |event_loop, socket| {
                    *outcomes.borrow_mut() += 1;
                    let client = Client::new(Rc::clone(&shared));
                    let adopted = match socket {
                        Ok(socket) => event_loop.adopt(socket, Some(server), client),
                        Err(error) => {
                            return shared
                                .borrow_mut()
                                .fails(format!("connect: {}", error.source));
                        }
                    };
                    match adopted {
                        Ok(token) => shared.borrow_mut().open.push(token),
                        Err(error) => shared.borrow_mut().fails(error.to_string()),
                    }
                });
                begun += 1;
            }
            self.event_loop.turn(Some(Duration::from_millis(100)))?;
        }
        let open = self.shared.borrow().open.len();
        Ok(rate("connected", open, began.elapsed())?)
    }
    // ANCHOR_END: connect

    // ANCHOR: ask
    /// Lets these connections ask, `--active` of them at the same time, until all have been answered or nothing happens
    /// any more.
    fn ask(&mut self, what: &str, tokens: &[reactor::Token], each: usize) -> anyhow::Result<()> {
        let (began, mut last) = (Instant::now(), Instant::now());
        self.shared.borrow_mut().latencies.clear();
        let before = self.shared.borrow().answered;
        let (mut next, mut seen) = (0, before);
        loop {
            while next < tokens.len() && self.shared.borrow().waiting < self.args.active as usize {
                // A connection that has ended meanwhile is nobody's.
                self.event_loop.with(tokens[next], |client, connection| {
                    client.ask(connection, each)
                });
                next += 1;
            }
            let (waiting, answered) = {
                let shared = self.shared.borrow();
                (shared.waiting, shared.answered)
            };
            if answered > seen {
                (seen, last) = (answered, Instant::now());
            }
            if (waiting == 0 && next == tokens.len()) || last.elapsed() > self.args.timeout {
                break;
            }
            self.event_loop.turn(Some(Duration::from_millis(100)))?;
        }
        let waiting = self.shared.borrow().waiting;
        for &token in tokens {
            self.event_loop.with(token, |client, _| client.give_up());
        }
        let mut shared = self.shared.borrow_mut();
        rate(what, shared.answered - before, began.elapsed())?;
        if waiting > 0 {
            say!("without an answer: {waiting}")?;
        }
        Ok(percentiles(std::mem::take(&mut shared.latencies))?)
    }
    // ANCHOR_END: ask
}
