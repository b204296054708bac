//! A client that is gone before the server has taken it.

use std::io::stdin;
use std::os::fd::AsFd;

use common::address::Peer;
use common::io::{Received, receive};
use common::{Call, CallError, say, tcp};
use libc::linger;
use nix::sys::socket::{setsockopt, sockopt};

/// Connects, and resets the connection at once, before the server has taken it
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Peer,
    /// Keep the connection until the input ends (Ctrl-D)
    #[arg(long)]
    hold: bool,
    /// End in good order, with FIN in place of RST
    #[arg(long)]
    fin: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let connection = tcp::connect(&args.server)?;
    let (server, own) = (
        tcp::peer_address(&connection)?,
        tcp::local_address(&connection)?,
    );
    say!("connected to {server} from {own}")?;
    if !args.fin {
        reset_when_closed(&connection)?;
    }
    if args.hold {
        let mut typed = [0; 4096];
        while let Received::Data(_) = receive(stdin(), &mut typed).call("read standard input")? {}
    }
    drop(connection); // close(2)
    say!("closed")?;
    Ok(())
}

// ANCHOR: linger
/// With zero seconds of lingering, close(2) sends RST in place of FIN: socket(7), chapter 10.
fn reset_when_closed(connection: impl AsFd) -> Result<(), CallError> {
    let option = linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&connection, sockopt::Linger, &option).call("setsockopt SO_LINGER")
}
// ANCHOR_END: linger
