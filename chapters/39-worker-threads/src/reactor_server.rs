//! The server: the main thread waits, the accept thread accepts, the workers do the rest.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use clap::{ValueEnum, value_parser};
use common::address::seconds;
use common::descriptors::raise_limit;
use common::io::set_nonblocking;
use common::signal::StopSignal;
use common::{Call, say, tcp};
use nix::sys::epoll::{EpollEvent, EpollFlags};

use crate::acceptor::accept;
use crate::daemon::detach;
use crate::main_thread::MainThread;
use crate::shared::Shared;
use crate::watch::{LISTENER, STOP, WAKER};
use crate::worker::work;

/// Answers each line with the time and the line, from worker threads
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Local address to listen on; 0.0.0.0 or :: for all of them
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    bind: IpAddr,
    /// Port to listen on; 0 lets the kernel pick a free one
    #[arg(short, long, default_value_t = 12345)]
    port: u16,
    /// Go on in the background, without a terminal
    #[arg(short, long)]
    daemon: bool,
    /// How many worker threads
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = value_parser!(u16).range(1..=1000))]
    workers: u16,
    /// Seconds that a worker takes for an answer
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    pub pause: Duration,
    /// Send an answer at once, and ask for room only if there is none
    #[arg(long)]
    pub write_first: bool,
    /// Seconds that clients have to take their answers and to leave, when the server stops
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    deadline: Duration,
    /// Make a mistake, on purpose
    #[arg(long)]
    pub mistake: Option<Mistake>,
    /// Print nothing but the first line, and errors
    #[arg(long)]
    pub quiet: bool,
}

/// What goes wrong in servers of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mistake {
    /// Do without EPOLLONESHOT
    LevelTriggered,
    /// Ask for both directions all the time, and read whatever waits to be sent
    BothDirections,
    /// Let workers sleep before they have looked into the queue
    SleepFirst,
    /// Close as soon as the first answer has been sent
    CloseAtOnce,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    // ANCHOR: start
    let stop = StopSignal::new()?; // before any thread: they inherit the mask
    raise_limit()?;
    let listener = tcp::listen(&SocketAddr::new(args.bind, args.port))?;
    set_nonblocking(&listener)?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    if args.daemon {
        detach()?; // what could go wrong until here was told in the terminal
    }
    let shared = Arc::new(Shared::new(args)?);
    let watched = EpollEvent::new(EpollFlags::EPOLLIN, STOP);
    shared.epoll.add(&stop, watched).call("epoll_ctl")?;
    let watched = EpollEvent::new(EpollFlags::EPOLLIN, WAKER);
    shared.epoll.add(&shared.waker, watched).call("epoll_ctl")?;
    shared.watch(&listener, LISTENER, EpollFlags::EPOLLIN)?;

    let of_thread = Arc::clone(&shared);
    let accepts = start("accept", move || accept(&listener, &of_thread))?;
    let mut workers = Vec::new();
    for number in 1..=args.workers {
        let of_thread = Arc::clone(&shared);
        let name = format!("worker {number}");
        workers.push(start(&name, move || work(&of_thread, number))?);
    }
    // ANCHOR_END: start
    let ended = MainThread {
        shared: &shared,
        stop,
    }
    .serve(accepts, args.deadline)?;
    if ended {
        shared.requests.end();
        for worker in workers {
            let _ = worker.join(); // a worker that has panicked has said so
        }
    }
    Ok(())
}

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> anyhow::Result<JoinHandle<()>> {
    let thread = thread::Builder::new().name(name.into()).spawn(run);
    thread.with_context(|| format!("start thread {name}"))
}
