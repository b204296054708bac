//! What a round trip costs, over a local socket and over TCP, all else equal: two threads that send each other the same
//! bytes. Two threads and not two processes, so that one clock counts what both of them cost.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::ValueEnum;
use common::io::{Filled, Received, readn, receive, send_all};
use common::{Call, say, tcp};
use nix::sys::socket::{
    AddressFamily, Shutdown, SockFlag, SockType, setsockopt, shutdown, socketpair, sockopt,
};

use crate::processor::{allowed_processors, processor_time, run_on};

/// Measures what a round trip costs, and how many bytes pass in a second
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to measure, in turn
    #[arg(default_values = ["local", "tcp"])]
    transports: Vec<Transport>,
    /// Round trips in a row
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// How many times to measure that for each: the median is said. Once is not measured
    #[arg(long, value_name = "COUNT", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Bytes in each direction
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    size: u32,
    /// Then measure the throughput for these sizes of a write
    #[arg(long, value_name = "BYTES", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    throughput: Vec<u32>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Transport {
    /// A local stream socket
    Local,
    /// TCP over the loopback interface
    Tcp,
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Transport::Local => "local",
            Transport::Tcp => "TCP",
        }
    }
}

/// So long the throughput is watched, for each number.
const WATCH: Duration = Duration::from_millis(50);

pub fn run(args: &Args) -> anyhow::Result<()> {
    let processors = allowed_processors()?;
    let one = processors[0];
    // ANCHOR: rounds
    let mut costs = vec![Vec::new(); args.transports.len()];
    // In turn, so that a slow moment of the machine falls on both.
    for _ in 0..args.rounds {
        for (transport, costs) in args.transports.iter().zip(&mut costs) {
            costs.push(round_trips(*transport, args, one)?);
        }
    }
    // ANCHOR_END: rounds
    for (transport, mut costs) in args.transports.iter().zip(costs) {
        let (name, size, count) = (transport.name(), args.size, args.count);
        if args.rounds == 1 {
            // One measurement is none: the first of anything costs more than the others.
            say!("{name}: {size} bytes there and back, {count} times")?;
            continue;
        }
        costs.sort();
        let median = costs[costs.len() / 2].as_secs_f64() * 1e6 / f64::from(count);
        say!("{name}: {size} bytes there and back cost {median:.2} µs of processor time")?;
    }
    for &size in &args.throughput {
        let pairs = [
            ("one processor", one),
            ("two processors", *processors.last().unwrap_or(&one)),
        ];
        let pairs = pairs.into_iter().take(processors.len());
        for (place, other) in pairs {
            let mut rates = Vec::new();
            for &transport in &args.transports {
                let rate = throughput(transport, size as usize, [one, other])?;
                rates.push(format!("{} {:.0} MB/s", transport.name(), rate / 1e6));
            }
            say!("writes of {size} bytes, {place}: {}", rates.join(", "))?;
        }
    }
    Ok(())
}

/// The processor time of one round. Nearly all of it is the kernel's: the program itself does nothing between two calls.
fn round_trips(transport: Transport, args: &Args, processor: usize) -> anyhow::Result<Duration> {
    let [near, far] = connect(transport)?;
    let echo = thread::spawn(move || -> anyhow::Result<()> {
        run_on(processor)?;
        let mut data = [0; 65_536];
        while let Received::Data(length) = receive(&far, &mut data).call("read")? {
            send_all(&far, &data[..length]).call("send")?;
        }
        Ok(())
    });
    run_on(processor)?;
    let mut data = vec![b'x'; args.size as usize];
    let before = processor_time()?;
    for _ in 0..args.count {
        send_all(&near, &data).call("send")?;
        let filled = readn(&near, &mut data).call("read")?;
        anyhow::ensure!(filled == Filled::Full, "the other thread has ended");
    }
    let cost = processor_time()? - before;
    drop(near);
    echo.join()
        .ok()
        .context("the other thread has panicked")??;
    Ok(cost)
}

/// Bytes per second in one direction.
fn throughput(transport: Transport, size: usize, processors: [usize; 2]) -> anyhow::Result<f64> {
    let [near, far] = connect(transport)?;
    let drain = thread::spawn(move || -> anyhow::Result<usize> {
        run_on(processors[1])?;
        let (mut data, mut total) = (vec![0; 262_144], 0);
        while let Received::Data(length) = receive(&far, &mut data).call("read")? {
            total += length;
        }
        Ok(total)
    });
    run_on(processors[0])?;
    let data = vec![b'x'; size];
    let started = Instant::now();
    while started.elapsed() < WATCH {
        send_all(&near, &data).call("send")?;
    }
    shutdown(near.as_raw_fd(), Shutdown::Write).call("shutdown")?;
    let total = drain
        .join()
        .ok()
        .context("the other thread has panicked")??;
    Ok(total as f64 / started.elapsed().as_secs_f64())
}

// ANCHOR: connect
/// The two ends of a connection.
fn connect(transport: Transport) -> anyhow::Result<[OwnedFd; 2]> {
    let ends = match transport {
        Transport::Local => {
            let flags = SockFlag::SOCK_CLOEXEC;
            let pair = socketpair(AddressFamily::Unix, SockType::Stream, None, flags);
            pair.call("socketpair")?.into()
        }
        Transport::Tcp => {
            let listener = tcp::listen(&SocketAddr::from(([127, 0, 0, 1], 0)))?;
            let near = tcp::connect_to(&tcp::local_address(&listener)?)?;
            let ends: [OwnedFd; 2] = [near, tcp::accept(&listener)?.0];
            for end in &ends {
                setsockopt(end, sockopt::TcpNoDelay, &true).call("setsockopt TCP_NODELAY")?;
            }
            ends
        }
    };
    Ok(ends)
}
// ANCHOR_END: connect
