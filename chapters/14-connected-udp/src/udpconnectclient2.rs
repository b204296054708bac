//! A client that connects its socket, and names nobody afterwards.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use common::{Call, CallError};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};

use crate::client::{self, Calls, connect, open};

/// Sends each line that is typed and prints the answer: connect, then send and recv
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    client: client::Options,
}

struct WithoutAddress(OwnedFd);

pub fn run(args: &Args) -> anyhow::Result<()> {
    let server = args.client.server.first()?;
    let socket = open(&server)?;
    connect(&socket, &server)?;
    let calls = WithoutAddress(socket);
    client::run(&args.client, &calls.0, &calls)
}

// ANCHOR: calls
impl Calls for WithoutAddress {
    fn send(&self, data: &[u8]) -> Result<usize, CallError> {
        loop {
            match send(self.0.as_raw_fd(), data, MsgFlags::empty()) {
                Err(Errno::EINTR) => {}
                outcome => return outcome.call("send"),
            }
        }
    }

    fn receive(
        &self,
        buffer: &mut [u8],
        flags: MsgFlags,
    ) -> Result<Option<(usize, Option<SocketAddr>)>, CallError> {
        loop {
            // MSG_TRUNC makes the result the length that was sent, so that a cut can be seen, recv(2).
            match recv(self.0.as_raw_fd(), buffer, flags | MsgFlags::MSG_TRUNC) {
                // Who sent it need not be asked: the kernel lets only the peer through.
                Ok(sent) => return Ok(Some((sent, None))),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(None),
                Err(error) => return Err(error).call("recv"),
            }
        }
    }
}
// ANCHOR_END: calls
