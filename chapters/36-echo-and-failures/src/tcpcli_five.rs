//! Five connections that end at the same moment: five children of the server end together.

use common::address::Peer;
use common::{say, tcp};

use crate::echo::{send_whole, str_cli};

/// Opens five connections, talks on the first, and closes all of them together when its input ends
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Peer,
}

// ANCHOR: five
pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut connections = Vec::new();
    for _ in 0..5 {
        connections.push(tcp::connect(&args.server)?);
    }
    say!("{} connections", connections.len())?;
    str_cli(&connections[0], send_whole)
    // Five descriptors are closed here: five FINs.
}
// ANCHOR_END: five
