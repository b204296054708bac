//! A proactor: an echo server that asks the kernel to receive and to send, and deals with what is complete.

use std::mem;

use common::address::Listen;
use common::descriptors::raise_limit;
use common::signal::StopSignal;
use common::{Call, say, tcp};
use nix::sys::socket::{setsockopt, sockopt};

use crate::pool::Pool;
use crate::proactor::Proactor;
use crate::ring::{self, Shots};
use crate::server::Server;

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
    /// Bytes in a buffer [default: 65536; with --oneshot, where each connection has one, 16384]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    buffer_size: Option<u32>,
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
    let alone = args.oneshot || shots == Shots::One;
    let usual = if alone { 16_384 } else { 65_536 };
    let size = args.buffer_size.unwrap_or(usual) as usize;
    let proactor = Proactor::new(&mut ring);
    let pool = match alone {
        true => None,
        false => Some(Pool::new(proactor.submitter(), args.buffers, size)?),
    };
    say!("listening on {}", tcp::local_address(&listener)?)?;
    let mut server = Server::new(proactor, listener, pool, size);
    let outcome = server.serve(&stop);
    if server.call_off().is_err() {
        // The kernel may still write to what it was given: that must not be freed.
        mem::forget(server);
    }
    outcome
}
