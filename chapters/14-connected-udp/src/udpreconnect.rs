//! One datagram socket, and several peers one after the other: connect may be called again, and undone.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use common::tcp::{local_address, peer_address};
use common::{Call, CallError, complain, say};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::client::connect;
use crate::talk::{send_datagram, talk};

/// Reads commands about one datagram socket: connect ADDR:PORT, dissolve, send TEXT, sendto ADDR:PORT TEXT
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Open an IPv6 socket
    #[arg(long)]
    ipv6: bool,
}

enum Command<'a> {
    Connect(SocketAddr),
    Dissolve,
    Send(&'a [u8]),
    SendTo(SocketAddr, &'a [u8]),
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let family = match args.ipv6 {
        true => AddressFamily::Inet6,
        false => AddressFamily::Inet,
    };
    let socket = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).call("socket")?;
    talk(&socket, |line| {
        let Some(command) = Command::parse(line) else {
            complain!(
                "the commands are: connect ADDR:PORT, dissolve, send TEXT, sendto ADDR:PORT TEXT"
            );
            return Ok(());
        };
        // What a peer or the kernel refuses is what this program is there to show, and no end.
        match command.run(&socket) {
            Ok(done) => say!("{done}")?,
            Err(error) => complain!("{:#}", anyhow::Error::from(error)),
        }
        Ok(())
    })
}

impl<'a> Command<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let word = |text: &'a [u8]| {
            let mut parts = text.splitn(2, |byte| *byte == b' ');
            (parts.next().unwrap_or_default(), parts.next())
        };
        let address = |text: &[u8]| std::str::from_utf8(text).ok()?.trim().parse().ok();
        match word(line) {
            (b"connect", Some(peer)) => Some(Self::Connect(address(peer)?)),
            (b"dissolve", None) => Some(Self::Dissolve),
            (b"send", text) => Some(Self::Send(text.unwrap_or_default())),
            (b"sendto", Some(rest)) => {
                let (peer, text) = word(rest);
                Some(Self::SendTo(address(peer)?, text.unwrap_or_default()))
            }
            _ => None,
        }
    }

    fn run(self, socket: &OwnedFd) -> Result<String, CallError> {
        match self {
            Self::Connect(peer) => connect(socket, &peer)?,
            Self::Dissolve => dissolve(socket).call("connect AF_UNSPEC")?,
            Self::Send(data) => {
                let sent = send_datagram(socket, data, None)?;
                return Ok(format!("send bytes: {sent}"));
            }
            Self::SendTo(to, data) => {
                let sent = send_datagram(socket, data, Some(&to))?;
                return Ok(format!("send bytes: {sent}"));
            }
        }
        let local = local_address(socket)?;
        match peer_address(socket) {
            Ok(peer) => Ok(format!("local address {local}, peer {peer}")),
            Err(error) if error.errno() == Some(Errno::ENOTCONN) => {
                Ok(format!("local address {local}, no peer"))
            }
            Err(error) => Err(error),
        }
    }
}

// ANCHOR: dissolve
/// Connects to an address of no family, which takes the peer away again, connect(2). nix has no such address.
fn dissolve(socket: &OwnedFd) -> io::Result<()> {
    let nobody = libc::sockaddr {
        sa_family: libc::AF_UNSPEC as libc::sa_family_t,
        sa_data: [0; 14],
    };
    let length = size_of_val(&nobody) as libc::socklen_t;
    // SAFETY: the pointer and the length are those of `nobody`, which lives until the call has returned.
    let result = unsafe { libc::connect(socket.as_raw_fd(), &nobody, length) };
    Ok(Errno::result(result).map(drop)?)
}
// ANCHOR_END: dissolve
