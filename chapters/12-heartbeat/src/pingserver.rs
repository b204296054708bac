//! A server that is alive, but takes its time to say so.

use std::os::fd::OwnedFd;
use std::thread::sleep;
use std::time::Duration;

use anyhow::bail;
use common::address::{Listen, seconds};
use common::io::{Filled, readn, send_all};
use common::output::OutputError;
use common::tcp::{self, local_address};
use common::udp::{self, receive_from, send_to};
use common::{Call, complain, say};
use nix::sys::socket::MsgFlags;

use crate::message::{Kind, LENGTH, message};

/// Answers each PING with a PONG after a pause, for one client after the other
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Seconds to wait before each PONG: many, to look like a server that hangs
    #[arg(value_name = "SECONDS", value_parser = seconds)]
    pause: Duration,
    #[command(flatten)]
    listen: Listen,
    /// Use datagrams in place of a connection
    #[arg(long)]
    udp: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.udp {
        return serve_datagrams(args);
    }
    let listener = tcp::listen(&args.listen.address())?;
    say!("listening on {}", local_address(&listener)?)?;
    loop {
        let (connection, client) = tcp::accept(&listener)?;
        match serve(&connection, args.pause) {
            Ok(()) => say!("client closed")?,
            Err(error) if error.is::<OutputError>() => return Err(error),
            // The end of this client, and of nobody else.
            Err(error) => complain!("client {client}: {error:#}"),
        }
    }
}

// ANCHOR: serve
fn serve(connection: &OwnedFd, pause: Duration) -> anyhow::Result<()> {
    let mut request = [0; LENGTH];
    loop {
        // A message may arrive in pieces, and two at once: TCP knows nothing of messages. So: exactly this many bytes.
        match readn(connection, &mut request).call("read")? {
            Filled::Full => {}
            Filled::EndOfFile => return Ok(()),
            Filled::CutOff(length) => bail!("closed after {length} bytes of a message"),
        }
        say!("received {LENGTH} bytes")?;
        if is_ping(Kind::of(&request)?)? {
            sleep(pause);
            send_all(connection, &message(Kind::Pong)).call("send")?;
        }
    }
}

/// Says what is done with the message; true if that is a PONG.
fn is_ping(kind: Kind) -> anyhow::Result<bool> {
    match kind {
        Kind::Ping => return Ok(true),
        Kind::Type1 | Kind::Type2 => say!("process {kind}")?,
        Kind::Pong => bail!("unexpected message type ({})", kind as u32),
    }
    Ok(false)
}
// ANCHOR_END: serve

// ANCHOR: datagrams
/// The same over UDP. A datagram arrives whole or not at all, so there are no pieces; there is no end of file either.
fn serve_datagrams(args: &Args) -> anyhow::Result<()> {
    let socket = udp::bind(&args.listen.address())?;
    say!("listening on {}", local_address(&socket)?)?;
    let mut request = [0; LENGTH];
    loop {
        let arrived = receive_from(&socket, &mut request, MsgFlags::empty()).call("recvmsg")?;
        let Some(datagram) = arrived else { continue };
        say!("received {} bytes", datagram.sent)?;
        let answer = match datagram.sent {
            LENGTH => Kind::of(&request).map_err(Into::into).and_then(is_ping),
            _ => Err(anyhow::anyhow!("not a message of {LENGTH} bytes")),
        };
        let outcome = answer.and_then(|ping| {
            if ping {
                sleep(args.pause);
                let pong = message(Kind::Pong);
                send_to(&socket, &pong, &datagram.from).call("sendto")?;
            }
            Ok(())
        });
        match outcome {
            Err(error) if error.is::<OutputError>() => return Err(error),
            Err(error) => complain!("client {}: {error:#}", datagram.from),
            Ok(()) => {}
        }
    }
}
// ANCHOR_END: datagrams
