//! Two buffers that leave in one call: writev(2).

use std::io::{IoSlice, stdin};
use std::os::fd::{AsRawFd, OwnedFd};

use common::io::Received;
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, CallError, say, tcp};
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::socket::{MsgFlags, sendmsg, setsockopt, sockopt};
use nix::sys::uio::writev;

use crate::ends::{Ends, Role, finish, read_some, serve};

const GREETING: &[u8] = b"hello,";

/// Sends "hello," and each line that is typed, from two buffers with one call, until Ctrl-D
///
/// The server prints what each of its reads brings.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("end").required(true).args(["host", "serve"])))]
pub struct Args {
    #[command(flatten)]
    ends: Ends,
    /// Send the line so many times over, each time as a buffer of its own
    #[arg(long, value_name = "TIMES", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    copies: u16,
    /// Call sendmsg in place of writev
    #[arg(long)]
    sendmsg: bool,
    /// Ask for a send buffer of this size, SO_SNDBUF
    #[arg(long, value_name = "BYTES")]
    sndbuf: Option<u32>,
    /// Call once for each line, however little the call takes: wrong on purpose
    #[arg(long)]
    once: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    match args.ends.role() {
        Some(Role::Server { listen, rcvbuf }) => serve(&listen, rcvbuf, print_reads),
        Some(Role::Client(server)) => send_lines(&tcp::connect(&server)?, args),
        None => Ok(()), // clap has asked for one of the two
    }
}

fn print_reads(connection: &OwnedFd) -> anyhow::Result<()> {
    let mut data = [0; 4096];
    while let Some(length) = read_some(connection, &mut data)? {
        say!("received {length} bytes: {}", printable(&data[..length]))?;
    }
    say!("client closed")?;
    Ok(())
}

fn send_lines(connection: &OwnedFd, args: &Args) -> anyhow::Result<()> {
    let_sigusr1_interrupt()?;
    if let Some(asked) = args.sndbuf {
        setsockopt(connection, sockopt::SndBuf, &(asked as usize)).call("setsockopt SO_SNDBUF")?;
    }
    let mut typed = LineBuffer::new();
    let mut ended = false;
    while !ended {
        ended = typed.fill(stdin()).call("read standard input")? == Received::EndOfFile;
        while let Some(mut line) = typed.next_line() {
            if !ended {
                line.push(b'\n'); // a last line that the end of input ended has none
            }
            // ANCHOR: buffers
            let mut buffers = vec![IoSlice::new(GREETING)];
            buffers.extend((0..args.copies).map(|_| IoSlice::new(&line)));
            send_all(connection, &mut buffers, args)?;
            // ANCHOR_END: buffers
        }
    }
    Ok(finish(connection)?)
}

// ANCHOR: send_all
/// Sends all of the buffers. A call that takes less than all of them is no error: the next one begins where it ended,
/// which may be in the middle of a buffer.
fn send_all(connection: &OwnedFd, mut buffers: &mut [IoSlice], args: &Args) -> anyhow::Result<()> {
    while !buffers.is_empty() {
        let outcome = match args.sendmsg {
            false => writev(connection, buffers).call("writev"),
            true => send_message(connection, buffers),
        };
        let count = match outcome {
            Err(error) if error.errno() == Some(Errno::EINTR) => continue,
            outcome => outcome?,
        };
        say!("send bytes: {count}")?;
        if args.once {
            break;
        }
        IoSlice::advance_slices(&mut buffers, count);
    }
    Ok(())
}
// ANCHOR_END: send_all

fn send_message(connection: &OwnedFd, buffers: &[IoSlice]) -> Result<usize, CallError> {
    let flags = MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(connection.as_raw_fd(), buffers, &[], flags, None).call("sendmsg")
}

/// SIGUSR1 shall do nothing but interrupt. A call that has taken some bytes by then returns their number, signal(7).
fn let_sigusr1_interrupt() -> Result<(), CallError> {
    extern "C" fn nothing(_: i32) {}
    let handler = SigHandler::Handler(nothing);
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing, which signal-safety(7) allows.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.call("sigaction SIGUSR1")?;
    Ok(())
}
