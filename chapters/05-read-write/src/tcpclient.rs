//! A client that hands all it has to send at once, and tells when send lets go of it.

use std::io::stdin;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Instant;

use common::address::Peer;
use common::io::{Received, receive};
use common::{Call, say, tcp};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, getsockopt, send, setsockopt, sockopt};

/// The most that one send takes, whatever it is given, send(2).
const MOST: i64 = 0x7fff_f000;

/// Sends many bytes and prints what each send returned, and when
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Peer,
    /// How many bytes to send
    #[arg(long, default_value_t = 10_240_000, value_parser = clap::value_parser!(u32).range(..=MOST))]
    bytes: u32,
    /// Ask for a send buffer of this size, SO_SNDBUF; without it the kernel sizes the buffer as it sees fit
    #[arg(long, value_name = "BYTES")]
    sndbuf: Option<u32>,
    /// Send one more byte after the others, as urgent data
    #[arg(long)]
    urgent: bool,
    /// Then send each line that is typed, with its newline, until Ctrl-D
    #[arg(long)]
    typed: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let connection = tcp::connect(&args.server)?;
    if let Some(asked) = args.sndbuf {
        // Early enough: unlike the receive buffer it has no part in the handshake.
        setsockopt(&connection, sockopt::SndBuf, &(asked as usize)).call("setsockopt SO_SNDBUF")?;
        let got = getsockopt(&connection, sockopt::SndBuf).call("getsockopt SO_SNDBUF")?;
        say!("send buffer: asked for {asked}, got {got}")?;
    }
    let data = vec![b'a'; args.bytes as usize];
    let started = Instant::now();
    let elapsed = || format!("after {:.1} ms", started.elapsed().as_secs_f64() * 1e3);

    // ANCHOR: send_data
    let send_data = |data: &[u8]| -> anyhow::Result<()> {
        let mut rest = data;
        while !rest.is_empty() {
            let count = send_some(&connection, rest, MsgFlags::empty()).call("send")?;
            say!("send into buffer {count} {}", elapsed())?;
            rest = &rest[count..];
        }
        Ok(())
    };
    // ANCHOR_END: send_data
    send_data(&data)?;
    // ANCHOR: urgent
    if args.urgent {
        send_some(&connection, b"!", MsgFlags::MSG_OOB).call("send MSG_OOB")?;
        say!("send urgent byte ! {}", elapsed())?;
    }
    // ANCHOR_END: urgent
    let mut line = [0; 4096];
    while args.typed
        && let Received::Data(count) = receive(stdin(), &mut line).call("read standard input")?
    {
        send_data(&line[..count])?;
    }
    // The kernel goes on sending what is in its buffer after this process has ended.
    Ok(())
}

/// One send(2), repeated only when a signal interrupts it before it has taken anything.
fn send_some(connection: &OwnedFd, data: &[u8], flags: MsgFlags) -> nix::Result<usize> {
    loop {
        match send(connection.as_raw_fd(), data, flags) {
            Err(Errno::EINTR) => {}
            outcome => return outcome,
        }
    }
}
