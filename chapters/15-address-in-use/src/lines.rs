//! A client that sends lines, with control over its own address.

use std::io::stdin;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use anyhow::bail;
use common::address::Peer;
use common::io::{Received, receive, send_all};
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, CallError, complain, say, tcp};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{SockaddrStorage, bind, setsockopt, sockopt};

/// Sends each line that is typed; Ctrl-D ends the connection from this side
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Peer,
    /// Bind to this address and port before connecting. Addresses of another family are not tried
    #[arg(long, value_name = "ADDR:PORT")]
    from: Option<SocketAddr>,
    /// Set SO_REUSEADDR on the client's socket
    #[arg(long)]
    reuseaddr: bool,
    /// Make so many connections; each line is sent on all of them
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    connections: u16,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut addresses = args.server.resolve()?;
    if let Some(from) = args.from {
        addresses.retain(|address| address.is_ipv4() == from.is_ipv4());
    }
    let mut connections = Vec::new();
    for _ in 0..args.connections {
        let connection = connect_first(&addresses, args)?;
        let local = tcp::local_address(&connection)?;
        say!("connected from {local}")?;
        connections.push((local, connection));
    }
    let stdin = stdin();
    let (mut typed, mut ended, mut resets) = (LineBuffer::new(), false, 0);
    while !connections.is_empty() && !ended {
        let fds = connections.iter().map(|(_, connection)| connection.as_fd());
        let fds = fds.chain([stdin.as_fd()]);
        let mut fds: Vec<_> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            ready => ready.call("poll")?,
        };
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any() == Some(true)).collect();
        let mut open = Vec::new();
        for ((local, connection), ready) in connections.into_iter().zip(&ready) {
            match if *ready {
                heard(&connection)?
            } else {
                Heard::Nothing
            } {
                Heard::Nothing => open.push((local, connection)),
                Heard::End => {}
                Heard::Reset => {
                    complain!("{local}: read: Connection reset by peer (os error 104)");
                    resets += 1;
                }
            }
        }
        connections = open;
        if ready.last() == Some(&true) {
            ended = typed.fill(&stdin).call("read standard input")? == Received::EndOfFile;
            while let Some(line) = typed.next_line() {
                say!("now sending {}", printable(&line))?;
                for (_, connection) in &connections {
                    // A server that has just gone is told of by the next read.
                    let _ = send_all(connection, &line);
                }
            }
        }
    }
    match resets {
        0 => Ok(()),
        resets => bail!("{resets} of {} connections were reset", args.connections),
    }
}

fn connect_first(addresses: &[SocketAddr], args: &Args) -> anyhow::Result<OwnedFd> {
    let mut failure = None;
    for address in addresses {
        match connect(address, args) {
            Ok(connection) => return Ok(connection),
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) => Err(error.into()),
        None => bail!(
            "{} has no address of the family of --from",
            args.server.host
        ),
    }
}

// ANCHOR: connect
fn connect(address: &SocketAddr, args: &Args) -> Result<OwnedFd, CallError> {
    let connection = tcp::stream_socket(address)?;
    if args.reuseaddr {
        setsockopt(&connection, sockopt::ReuseAddr, &true).call("setsockopt SO_REUSEADDR")?;
    }
    if let Some(from) = args.from {
        bind(connection.as_raw_fd(), &SockaddrStorage::from(from))
            .call(format_args!("bind {from}"))?;
    }
    tcp::connect_socket(&connection, address)?;
    Ok(connection)
}
// ANCHOR_END: connect

/// What one read told about a connection.
enum Heard {
    Nothing,
    End,
    Reset,
}

fn heard(connection: &OwnedFd) -> anyhow::Result<Heard> {
    let mut message = [0; 4096];
    match receive(connection, &mut message).call("read")? {
        Received::Data(length) => {
            say!("received {length} bytes: {}", printable(&message[..length]))?;
        }
        Received::EndOfFile => {
            say!("server terminated")?;
            return Ok(Heard::End);
        }
        Received::Reset => return Ok(Heard::Reset),
        Received::WouldBlock => {}
    }
    Ok(Heard::Nothing)
}
