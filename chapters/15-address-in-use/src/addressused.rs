//! A server as it was written before anybody told its author of SO_REUSEADDR.

use std::os::fd::{AsRawFd, OwnedFd};

use common::address::Listen;
use common::signal::StopSignal;
use common::{Call, CallError, tcp};
use nix::sys::socket::{Backlog, SockaddrStorage, bind, listen};

use crate::one_client::serve;

/// Prints what one client sends, and ends with it; Ctrl-C ends the connection from this side
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let stop = StopSignal::new()?;
    serve(listener(args)?, &stop, false)
}

// ANCHOR: listener
/// Nothing between socket and bind: that is what is wrong here, on purpose.
fn listener(args: &Args) -> Result<OwnedFd, CallError> {
    let address = args.listen.address();
    let listener = tcp::stream_socket(&address)?;
    bind(listener.as_raw_fd(), &SockaddrStorage::from(address))
        .call(format_args!("bind {address}"))?;
    listen(&listener, Backlog::MAXCONN).call(format_args!("listen {address}"))?;
    Ok(listener)
}
// ANCHOR_END: listener
