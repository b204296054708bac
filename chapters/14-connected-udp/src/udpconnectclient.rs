//! A client that connects its socket, and passes the server's address with each call all the same.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use common::{Call, CallError, udp};
use nix::sys::socket::MsgFlags;

use crate::client::{self, Calls, connect, open};

/// Sends each line that is typed and prints the answer: connect, then sendto and recvmsg
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    client: client::Options,
    /// Leave out the connect: then this is the client of lesson 6
    #[arg(long)]
    no_connect: bool,
}

struct WithAddress {
    socket: OwnedFd,
    server: SocketAddr,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let server = args.client.server.first()?;
    let socket = open(&server)?;
    if !args.no_connect {
        connect(&socket, &server)?;
    }
    let calls = WithAddress { socket, server };
    client::run(&args.client, &calls.socket, &calls)
}

// ANCHOR: calls
impl Calls for WithAddress {
    fn send(&self, data: &[u8]) -> Result<usize, CallError> {
        // The address of every call is looked up in the routing table, connected or not.
        udp::send_to(&self.socket, data, &self.server).call(format_args!("sendto {}", self.server))
    }

    fn receive(
        &self,
        buffer: &mut [u8],
        flags: MsgFlags,
    ) -> Result<Option<(usize, Option<SocketAddr>)>, CallError> {
        let datagram = udp::receive_from(&self.socket, buffer, flags).call("recvmsg")?;
        // On a connected socket there are no strangers. On one that is not, anybody may send.
        Ok(datagram.map(|it| (it.sent, Some(it.from).filter(|from| *from != self.server))))
    }
}
// ANCHOR_END: calls
