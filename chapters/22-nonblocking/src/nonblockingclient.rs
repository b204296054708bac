//! A client that is gone before the server has taken it.

use std::os::fd::AsFd;

use common::address::Peer;
use common::{Call, CallError, say, tcp};
use libc::linger;
use nix::sys::socket::{setsockopt, sockopt};

/// Connects, and resets the connection at once
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Peer,
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
