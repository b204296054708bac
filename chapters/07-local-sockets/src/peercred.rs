//! Who is at the other end? The kernel knows, and a client cannot lie to it: SO_PEERCRED, unix(7).

use std::os::fd::OwnedFd;

use common::{Call, say};
use nix::sys::socket::{getsockopt, sockopt};

use crate::unixstreamserver::{Listen, serve_all};

/// A stream server that asks the kernel who each client is, and greets it so
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    serve_all(&args.listen, greet)
}

// ANCHOR: greet
fn greet(connection: &OwnedFd) -> anyhow::Result<String> {
    // As they were when the client called connect(2): it may have changed its user since, or
    // handed the socket on.
    let client = getsockopt(connection, sockopt::PeerCredentials).call("getsockopt SO_PEERCRED")?;
    let (process, user, group) = (client.pid(), client.uid(), client.gid());
    say!("client: process {process}, user {user}, group {group}")?;
    Ok(format!("Hi, user {user}, "))
}
// ANCHOR_END: greet
