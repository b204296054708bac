//! A server that takes its time before each answer, so that the client can leave before the answer comes.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::ValueEnum;
use common::address::{Listen, seconds};
use common::io::{Received, receive};
use common::text::printable;
use common::{Call, CallError, say, tcp};
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::socket::{MsgFlags, send};

/// Answers each message of one client with "Hi, …" after a pause, and ends when the client has ended
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// Seconds to wait before each answer, as if it took that long to find
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pause: Duration,
    /// What SIGPIPE does: it comes when this program sends to a peer that has reset the connection
    #[arg(long, default_value = "ignore")]
    sigpipe: SigPipe,
}

/// The three dispositions of a signal, signal(7).
#[derive(Debug, Clone, Copy, ValueEnum)]
enum SigPipe {
    /// No signal; send fails with EPIPE
    Ignore,
    /// The signal kills the process without a word
    Default,
    /// A handler runs, then send fails with EPIPE
    Handler,
}

/// Set by the handler. A handler may do next to nothing, signal-safety(7): no output, no allocation, no lock.
static PIPE_BROKE: AtomicBool = AtomicBool::new(false);

extern "C" fn on_sigpipe(_: i32) {
    PIPE_BROKE.store(true, Ordering::Relaxed);
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    dispose_of_sigpipe(args.sigpipe)?;
    let listener = tcp::listen(&args.listen.address())?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    let (connection, _) = tcp::accept(&listener)?;

    let mut message = [0; 4096];
    let mut count = 0;
    loop {
        // ANCHOR: answer
        let length = match receive(&connection, &mut message).call("read")? {
            Received::Data(length) => length,
            Received::EndOfFile => break,
            Received::Reset | Received::WouldBlock => {
                return Err(Errno::ECONNRESET).call("read")?;
            }
        };
        say!("received {length} bytes: {}", printable(&message[..length]))?;
        count += 1;

        std::thread::sleep(args.pause);

        let answer = [b"Hi, ", &message[..length]].concat();
        // No MSG_NOSIGNAL here: the signal is what the lesson shows.
        let sent = send(connection.as_raw_fd(), &answer, MsgFlags::empty());
        if PIPE_BROKE.load(Ordering::Relaxed) {
            say!("caught SIGPIPE after {count} messages")?;
        }
        say!("send bytes: {}", sent.call("send")?)?;
        // ANCHOR_END: answer
    }
    say!("client closed")?;
    // Returning from main closes every descriptor of the process. That is what sends our FIN.
    Ok(())
}

// ANCHOR: sigpipe
fn dispose_of_sigpipe(sigpipe: SigPipe) -> Result<(), CallError> {
    let handler = match sigpipe {
        SigPipe::Ignore => SigHandler::SigIgn,
        SigPipe::Default => SigHandler::SigDfl,
        SigPipe::Handler => SigHandler::Handler(on_sigpipe),
    };
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler only stores to an atomic, which signal-safety(7) allows.
    unsafe { sigaction(Signal::SIGPIPE, &action) }.call("sigaction SIGPIPE")?;
    Ok(())
}
// ANCHOR_END: sigpipe
