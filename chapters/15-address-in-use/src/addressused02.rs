//! The same server with one line more.

use std::os::fd::{AsRawFd, OwnedFd};

use common::address::Listen;
use common::signal::StopSignal;
use common::{Call, CallError, tcp};
use nix::sys::socket::{Backlog, SockaddrStorage, bind, listen, setsockopt, sockopt};

use crate::one_client::serve;

/// The same with SO_REUSEADDR: it can be started again at once
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// Close the listening socket once the client is there, so that only the connection is left on the port
    #[arg(long)]
    close_listener: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let stop = StopSignal::new()?;
    serve(listener(args)?, &stop, args.close_listener)
}

// ANCHOR: listener
fn listener(args: &Args) -> Result<OwnedFd, CallError> {
    let address = args.listen.address();
    let listener = tcp::stream_socket(&address)?;
    // Before bind, because bind is what refuses. Connections inherit it, in TIME-WAIT too.
    setsockopt(&listener, sockopt::ReuseAddr, &true).call("setsockopt SO_REUSEADDR")?;
    bind(listener.as_raw_fd(), &SockaddrStorage::from(address))
        .call(format_args!("bind {address}"))?;
    listen(&listener, Backlog::MAXCONN).call(format_args!("listen {address}"))?;
    Ok(listener)
}
// ANCHOR_END: listener
