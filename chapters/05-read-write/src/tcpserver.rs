//! A server that reads a kilobyte at a time and takes its time in between.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Duration;

use common::address::{Listen, seconds};
use common::{Call, CallError, complain, say, tcp};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::socket::{Backlog, SockaddrStorage, bind, getsockopt, listen, setsockopt, sockopt};

use crate::readn::{Block, read_once, readn};
use crate::urgent::{self, Watch};

const BLOCK: usize = 1024;

/// Reads what each client sends in blocks of one kilobyte, with a pause after each
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// Seconds to wait after each block, as if it took that long to work on
    #[arg(long, value_name = "SECONDS", default_value = "0.001", value_parser = seconds)]
    pause: Duration,
    /// Ask for a receive buffer of this size, SO_RCVBUF; without it the kernel sizes the buffer as it sees fit
    #[arg(long, value_name = "BYTES")]
    rcvbuf: Option<u32>,
    /// Call read once for each block, where readn would go on until the block is full
    #[arg(long)]
    read_once: bool,
    /// Report only every so many blocks, for a shorter story
    #[arg(long, value_name = "BLOCKS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// Look out for an urgent byte between blocks, with poll or with select
    #[arg(long, value_name = "CALL", num_args = 0..=1, default_missing_value = "poll")]
    urgent: Option<Watch>,
}

/// How often SIGUSR1 has come.
static SIGNALS: AtomicU32 = AtomicU32::new(0);

extern "C" fn on_signal(_: i32) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let_sigusr1_interrupt()?;
    let listener = listener(args)?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    if let Some(asked) = args.rcvbuf {
        let got = getsockopt(&listener, sockopt::RcvBuf).call("getsockopt SO_RCVBUF")?;
        say!("receive buffer: asked for {asked}, got {got}")?;
    }
    loop {
        let (connection, _) = tcp::accept(&listener)?;
        match read_data(&connection, args) {
            // The client's trouble ends its connection, not the server.
            Err(error) if error.is::<CallError>() => complain!("Error: {error:#}"),
            outcome => outcome?,
        }
    }
}

fn listener(args: &Args) -> Result<OwnedFd, CallError> {
    let address = args.listen.address();
    let listener = tcp::stream_socket(&address)?;
    setsockopt(&listener, sockopt::ReuseAddr, &true).call("setsockopt SO_REUSEADDR")?;
    if let Some(bytes) = args.rcvbuf {
        // Connections inherit it. Before listen: the answer to a SYN fixes the scale of the window, tcp(7).
        let bytes = bytes as usize;
        setsockopt(&listener, sockopt::RcvBuf, &bytes).call("setsockopt SO_RCVBUF")?;
    }
    bind(listener.as_raw_fd(), &SockaddrStorage::from(address))
        .call(format_args!("bind {address}"))?;
    listen(&listener, Backlog::MAXCONN).call(format_args!("listen {address}"))?;
    Ok(listener)
}

// ANCHOR: read_data
fn read_data(connection: &OwnedFd, args: &Args) -> anyhow::Result<()> {
    if args.urgent.is_some() {
        urgent::readable_by_block(connection, BLOCK)?;
    }
    let mut block = [0; BLOCK];
    let (mut full, mut short, mut bytes) = (0_usize, 0_usize, 0_usize);
    let ending = loop {
        let reported = (full + short + 1).is_multiple_of(args.every as usize);
        if reported {
            say!("block in read")?;
        }
        if let Some(watch) = args.urgent {
            urgent::await_block(connection, watch)?;
        }
        let outcome = if args.read_once {
            read_once(connection, &mut block)
        } else {
            readn(connection, &mut block)
        };
        let count = match outcome.call("read")? {
            Block::Full => {
                full += 1;
                if reported {
                    say!("1K read for {}", full + short)?;
                }
                BLOCK
            }
            Block::Short(count) => {
                short += 1;
                say!("{count} bytes read for {}", full + short)?;
                count
            }
            Block::EndOfFile => break "client closed",
            Block::Reset(count) => {
                bytes += count;
                break "client reset the connection";
            }
        };
        bytes += count;
        sleep(args.pause);
    };
    say!("{ending} after {bytes} bytes: full blocks {full}, short blocks {short}")?;
    match SIGNALS.swap(0, Ordering::Relaxed) {
        0 => Ok(()),
        count => Ok(say!("SIGUSR1 came {count} times")?),
    }
}
// ANCHOR_END: read_data

// ANCHOR: sigusr1
/// SIGUSR1 shall do nothing but interrupt. Without SA_RESTART the kernel does not resume the call that it cut short:
/// a read that waits fails with EINTR, signal(7).
fn let_sigusr1_interrupt() -> Result<(), CallError> {
    let handler = SigHandler::Handler(on_signal);
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler only adds to an atomic, which signal-safety(7) allows.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.call("sigaction SIGUSR1")?;
    Ok(())
}
// ANCHOR_END: sigusr1
