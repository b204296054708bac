//! A server that lets its clients end first, unless they ask it to.

use std::io::{Stdin, stdin};
use std::os::fd::OwnedFd;

use common::address::Listen;
use common::io::{Received, receive};
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, CallError, complain, say, tcp};

/// What a client sends that wants us to close first.
pub const QUIT: &[u8] = b"quit";
/// Longer messages are counted and not shown.
const SHOWN: usize = 64;

/// Takes one client after the other; closes when the client has closed, or first when it sends "quit"
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// Read nothing of a connection until Enter is pressed
    #[arg(long)]
    wait: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let listener = tcp::listen(&args.listen.address())?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    let stdin = stdin();
    let mut typed = LineBuffer::new();
    loop {
        let (connection, client) = tcp::accept(&listener)?;
        say!("accepted {client}")?;
        if args.wait {
            await_enter(&stdin, &mut typed)?;
        }
        match serve(&connection) {
            // The client's trouble ends its connection, not the server.
            Err(error) if error.is::<CallError>() => complain!("Error: {error:#}"),
            outcome => outcome?,
        }
        // The connection is dropped here, which is close(2).
    }
}

/// Returns at the end of a line, and at the end of the input: then nobody will press Enter any more.
fn await_enter(stdin: &Stdin, typed: &mut LineBuffer) -> Result<(), CallError> {
    while typed.next_line().is_none()
        && typed.fill(stdin).call("read standard input")? != Received::EndOfFile
    {}
    Ok(())
}

// ANCHOR: serve
fn serve(connection: &OwnedFd) -> anyhow::Result<()> {
    let mut message = [0; 4096];
    let mut total = 0;
    let mut last = Vec::new(); // "quit" may come in pieces, or behind something else
    loop {
        let length = match receive(connection, &mut message).call("read")? {
            Received::Data(length) => length,
            Received::EndOfFile => return Ok(say!("client closed after {total} bytes")?),
            Received::Reset | Received::WouldBlock => {
                return Ok(say!("client reset the connection after {total} bytes")?);
            }
        };
        let message = &message[..length];
        match length <= SHOWN {
            true => say!("received {length} bytes: {}", printable(message))?,
            false => say!("received {length} bytes")?,
        }
        total += length;
        last.extend_from_slice(message);
        last.drain(..last.len().saturating_sub(QUIT.len()));
        if last == QUIT {
            return Ok(say!("closing first")?);
        }
    }
}
// ANCHOR_END: serve
