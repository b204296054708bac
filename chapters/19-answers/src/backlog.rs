//! A server that lets its clients wait: they are connected, and nobody has accepted them.

use std::os::fd::{AsRawFd, OwnedFd};
use std::thread::sleep;
use std::time::Duration;

use common::address::{Listen, seconds};
use common::{Call, CallError, say, tcp};
use nix::errno::Errno;
use nix::sys::socket::{SockaddrStorage, bind, setsockopt, sockopt};
use nix::unistd::pause;

/// Listens with this backlog, and never accepts, or begins to after a while
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The second argument of listen(2)
    #[arg(value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    backlog: i32,
    #[command(flatten)]
    listen: Listen,
    /// Accept all who wait, and whoever comes, after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    accept_after: Option<Duration>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let listener = listen(args)?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    let Some(time) = args.accept_after else {
        loop {
            pause(); // until a signal ends the process
        }
    };
    sleep(time);
    let mut connections = Vec::new(); // they stay open as long as the server runs
    loop {
        let (connection, client) = tcp::accept(&listener)?;
        say!("accepted {client}")?;
        connections.push(connection);
    }
}

// ANCHOR: listen
fn listen(args: &Args) -> Result<OwnedFd, CallError> {
    let address = args.listen.address();
    let listener = tcp::stream_socket(&address)?;
    setsockopt(&listener, sockopt::ReuseAddr, &true).call("setsockopt SO_REUSEADDR")?;
    bind(listener.as_raw_fd(), &SockaddrStorage::from(address))
        .call(format_args!("bind {address}"))?;
    // The function of `nix` refuses a backlog above 4096. The kernel takes any, and cuts it without a word.
    // SAFETY: listen(2) takes two numbers and touches no memory of ours.
    let outcome = unsafe { libc::listen(listener.as_raw_fd(), args.backlog) };
    Errno::result(outcome).call(format_args!("listen {address}"))?;
    Ok(listener)
}
// ANCHOR_END: listen
