//! Exercise 10/who-closes, 10 minutes: a server that keeps no connection in TIME-WAIT, and loses nothing.
//!
//! Each client gets the same long text. It knows how long the text is, and closes when it has all of it. The server serves one
//! client after the other, thousands in an hour, and does not want a TIME-WAIT for each of them.
//!
//! What goes wrong now: there is no TIME-WAIT, but a client that reads slowly does not get the whole text.
//!
//! `10/who-waits` and `10/linger-zero` show it. Man pages: close(2), SO_LINGER in socket(7).
//! Your program is checked by `scripts/exercise 10/who-closes`, as often as you like.

use std::os::fd::OwnedFd;
use std::process::ExitCode;

use clap::Parser;
use common::address::Listen;
use common::io::send_all;
use common::{Call, complain, say, tcp};
use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};

/// The size of the text, in bytes.
const TEXT: usize = 256 * 1024;

/// Sends a long text to one client after the other
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    listen: Listen,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let text: Vec<u8> = (b'a'..=b'z').cycle().take(TEXT).collect();
    let listener = tcp::listen(&args.listen.address())?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    loop {
        let (connection, client) = tcp::accept(&listener)?;
        match serve(connection, &text) {
            Ok(()) => say!("served {client}")?,
            // The end of this client, and of nobody else.
            Err(error) => complain!("client {client}: {error:#}"),
        }
    }
}

/// Sends the text, and ends the connection.
fn serve(connection: OwnedFd, text: &[u8]) -> anyhow::Result<()> {
    send_all(&connection, text).call("send")?;
    let at_once = linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&connection, sockopt::Linger, &at_once).call("setsockopt SO_LINGER")?;
    drop(connection);
    Ok(())
}
