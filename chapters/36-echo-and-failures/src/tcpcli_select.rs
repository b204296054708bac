//! The echo client that waits for the keyboard and the server at once.

use std::io::stdin;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use common::address::Peer;
use common::io::Received;
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, CallError, say, tcp};
use nix::errno::Errno;
use nix::sys::select::{FdSet, select};
use nix::sys::socket::{MsgFlags, Shutdown, send, setsockopt, shutdown, sockopt};

use crate::tcpcli::announce;

/// Sends each line that is typed and prints what comes back; notices at once when the server ends
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Peer,
    /// Let the kernel ask a silent server whether it is there (SO_KEEPALIVE)
    #[arg(long)]
    keepalive: bool,
    /// Seconds of silence before the first probe, with --keepalive
    #[arg(long, value_name = "SECONDS", default_value_t = 7200, value_parser = clap::value_parser!(u32).range(1..=32767))]
    idle: u32,
    /// Seconds between probes, with --keepalive
    #[arg(long, value_name = "SECONDS", default_value_t = 75, value_parser = clap::value_parser!(u32).range(1..=32767))]
    interval: u32,
    /// How many probes without an answer are the end, with --keepalive
    #[arg(long, value_name = "COUNT", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=127))]
    probes: u32,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let connection = tcp::connect(&args.server)?;
    if args.keepalive {
        keep_alive(&connection, args)?;
    }
    announce(&connection)?;
    let stdin = stdin();
    let (mut typed, mut echoed) = (LineBuffer::new(), LineBuffer::new());
    let (mut outgoing, mut input_ended, mut shut) = (Vec::new(), false, false);
    loop {
        // ANCHOR: wait
        let (mut readable, mut writable) = (FdSet::new(), FdSet::new());
        readable.insert(connection.as_fd());
        // No more lines while some wait to be sent: a server that does not read stops us, and not our memory.
        if outgoing.is_empty() && !input_ended {
            readable.insert(stdin.as_fd());
        }
        if !outgoing.is_empty() {
            writable.insert(connection.as_fd());
        }
        match select(None, &mut readable, &mut writable, None, None) {
            Err(Errno::EINTR) => continue,
            outcome => outcome.call("select")?,
        };
        // ANCHOR_END: wait
        if readable.contains(connection.as_fd()) {
            // ANCHOR: ended
            match echoed.fill(&connection).call("read")? {
                Received::EndOfFile if shut => return print_lines(&mut echoed),
                Received::EndOfFile => {
                    print_lines(&mut echoed)?;
                    anyhow::bail!("server terminated prematurely");
                }
                Received::Reset => Err(Errno::ECONNRESET).call("read")?,
                Received::Data(_) | Received::WouldBlock => print_lines(&mut echoed)?,
            }
            // ANCHOR_END: ended
        }
        if readable.contains(stdin.as_fd()) {
            input_ended = typed.fill(&stdin).call("read standard input")? == Received::EndOfFile;
            while let Some(line) = typed.next_line() {
                outgoing.extend_from_slice(&line);
                outgoing.push(b'\n');
            }
        }
        if !outgoing.is_empty() {
            send_some(&connection, &mut outgoing)?;
        }
        if input_ended && outgoing.is_empty() && !shut {
            // We have nothing more to say; the echo of what we said may still come.
            shutdown(connection.as_raw_fd(), Shutdown::Write).call("shutdown")?;
            shut = true;
        }
    }
}

fn print_lines(echoed: &mut LineBuffer) -> anyhow::Result<()> {
    while let Some(line) = echoed.next_line() {
        say!("{}", printable(&line))?;
    }
    Ok(())
}

/// Sends as much as the kernel takes now. Waiting here would mean not to read, while the server waits for us to.
fn send_some(connection: &OwnedFd, outgoing: &mut Vec<u8>) -> Result<(), CallError> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    match send(connection.as_raw_fd(), outgoing, flags) {
        Ok(count) => drop(outgoing.drain(..count)),
        Err(Errno::EAGAIN | Errno::EINTR) => {}
        // The connection is gone; reading tells why.
        Err(Errno::EPIPE | Errno::ECONNRESET) => outgoing.clear(),
        Err(error) => Err(error).call("send")?,
    }
    Ok(())
}

fn keep_alive(connection: &OwnedFd, args: &Args) -> Result<(), CallError> {
    setsockopt(connection, sockopt::KeepAlive, &true).call("setsockopt SO_KEEPALIVE")?;
    setsockopt(connection, sockopt::TcpKeepIdle, &args.idle).call("setsockopt TCP_KEEPIDLE")?;
    setsockopt(connection, sockopt::TcpKeepInterval, &args.interval)
        .call("setsockopt TCP_KEEPINTVL")?;
    setsockopt(connection, sockopt::TcpKeepCount, &args.probes).call("setsockopt TCP_KEEPCNT")
}
