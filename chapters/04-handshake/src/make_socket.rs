//! A server, call by call: socket, bind, listen, accept.

use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use common::address::{PORT, from_kernel};
use common::io::{Received, receive};
use common::text::printable;
use common::{Call, CallError, complain, say};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrLike, SockaddrStorage, bind, getsockname,
    listen, setsockopt, socket, sockopt,
};
use nix::unistd::pause;

/// Makes a listening socket, then takes one client after the other and reports what it sends
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Port to listen on; 0 lets the kernel pick a free one
    #[arg(default_value_t = PORT)]
    port: u16,
    /// Local address to listen on; 0.0.0.0 or :: for all of them
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    bind: IpAddr,
    /// Take IPv6 clients only; a socket on :: takes IPv4 clients too, as ::ffff:a.b.c.d
    #[arg(long)]
    v6only: bool,
    /// How many connections may wait to be accepted
    #[arg(long, value_name = "COUNT", default_value_t = 1024, value_parser = clap::value_parser!(i32).range(0..=4096))]
    backlog: i32,
    /// Listen, and never call accept
    #[arg(long)]
    no_accept: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let listener = make_socket(args)?;
    let address: SockaddrStorage = getsockname(listener.as_raw_fd()).call("getsockname")?;
    say!("listening on {}", readable(&address)?)?;
    if args.no_accept {
        loop {
            pause(); // until a signal ends the process
        }
    }
    loop {
        // ANCHOR: accept
        // Two sockets from here on: the listener goes on to take clients, the connection is for this one.
        let (connection, client) = match accept(&listener) {
            // The client gave up while it waited for us: its failure, not the listener's, accept(2).
            Err(Errno::EINTR | Errno::ECONNABORTED | Errno::EPROTO) => continue,
            accepted => accepted.call("accept")?,
        };
        say!("accepted {}", readable(&client)?)?;
        report(&connection)?;
        // ANCHOR_END: accept
    }
}

// ANCHOR: make_socket
fn make_socket(args: &Args) -> Result<OwnedFd, CallError> {
    let address = SocketAddr::new(args.bind, args.port);
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let listener = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).call("socket")?;
    // So that the program can be started again at once; chapter 15 tells why it could not be.
    setsockopt(&listener, sockopt::ReuseAddr, &true).call("setsockopt SO_REUSEADDR")?;
    if args.v6only {
        setsockopt(&listener, sockopt::Ipv6V6Only, &true).call("setsockopt IPV6_V6ONLY")?;
    }
    // One bind for every kind of address: the family at its start and the length beside it tell the kernel which.
    bind(listener.as_raw_fd(), &SockaddrStorage::from(address))
        .call(format_args!("bind {address}"))?;
    // The socket turns from active to passive: from now on the kernel answers each SYN.
    let backlog = Backlog::new(args.backlog).call("backlog")?;
    listen(&listener, backlog).call(format_args!("listen {address}"))?;
    Ok(listener)
}
// ANCHOR_END: make_socket

// ANCHOR: accept_call
/// accept4(2) itself, for the two things it gives: a new descriptor and the client's address. (The function of `nix`
/// leaves the address to getpeername(2), which has none for a client that has gone by then.)
fn accept(listener: &OwnedFd) -> nix::Result<(OwnedFd, SockaddrStorage)> {
    let mut address = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    let pointer = address.as_mut_ptr().cast();
    // SAFETY: the kernel writes at most `length` bytes to `address`, and how many it has to `length`.
    let raw = Errno::result(unsafe {
        libc::accept4(
            listener.as_raw_fd(),
            pointer,
            &mut length,
            libc::SOCK_CLOEXEC,
        )
    })?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
    let connection = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: `address` is initialised, zero where the kernel wrote nothing, and `length` is the kernel's.
    let client = unsafe { SockaddrStorage::from_raw(pointer, Some(length)) };
    Ok((connection, client.ok_or(Errno::EAFNOSUPPORT)?))
}
// ANCHOR_END: accept_call

fn readable(address: &SockaddrStorage) -> Result<SocketAddr, CallError> {
    from_kernel(address)
        .ok_or(Errno::EAFNOSUPPORT)
        .call("read the address")
}

/// Reads what the client sends until it ends, whichever way it does.
fn report(connection: &OwnedFd) -> anyhow::Result<()> {
    let mut message = [0; 4096];
    loop {
        match receive(connection, &mut message) {
            Ok(Received::Data(length)) => {
                say!("received {length} bytes: {}", printable(&message[..length]))?;
            }
            Ok(Received::EndOfFile) => return Ok(say!("client closed")?),
            Ok(Received::Reset | Received::WouldBlock) => {
                return Ok(say!("client reset the connection")?);
            }
            // The client's trouble ends its connection, not the server.
            Err(error) => {
                complain!("Error: read: {error}");
                return Ok(());
            }
        }
    }
}
