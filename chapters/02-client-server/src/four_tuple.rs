//! Several connections of one client to one server, and how both ends name each.

use std::io::{Read, stdin};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, anyhow};
use common::address::Listen;
use common::io::{Received, receive};
use common::{CallError, complain, say, tcp};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::resolve::resolve;

/// Opens connections to one server; both ends print the addresses and ports of each
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address or name of the server
    #[arg(value_name = "ADDR", required_unless_present = "serve")]
    server: Option<String>,
    /// Name of the service to connect to, in place of a port
    #[arg(long, conflicts_with = "serve")]
    service: Option<String>,
    /// How many connections
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    connections: u16,
    /// Be the server
    #[arg(long, conflicts_with = "server")]
    serve: bool,
    #[command(flatten)]
    listen: Listen,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.server {
        Some(server) => connect(server, args),
        None => serve(args),
    }
}

// ANCHOR: connect
fn connect(server: &str, args: &Args) -> anyhow::Result<()> {
    let service = args.service.clone().unwrap_or(args.listen.port.to_string());
    let answers = resolve(server, Some(&service))?;
    let mut failure = anyhow!("{server} has no address for a stream");
    for answer in answers
        .iter()
        .filter(|answer| answer.kind.starts_with("stream"))
    {
        match tcp::connect_to(&answer.address) {
            Ok(first) => return hold(first, &answer.address, args.connections),
            Err(error) => failure = error.into(), // the next address may be the server's
        }
    }
    Err(failure)
}

/// Opens the other connections, to the address that has answered, and holds all of them.
fn hold(first: OwnedFd, address: &SocketAddr, count: u16) -> anyhow::Result<()> {
    let mut connections = vec![first];
    say!("{}", four_tuple(&connections[0])?)?;
    for _ in 1..count {
        let connection = tcp::connect_to(address)?;
        say!("{}", four_tuple(&connection)?)?;
        connections.push(connection);
    }
    // Held open until the input ends, so that they are there at the same time.
    stdin()
        .read_to_end(&mut Vec::new())
        .context("read standard input")?;
    Ok(())
}

/// The two ends as this one sees them: (own address, peer's address).
fn four_tuple(connection: &OwnedFd) -> Result<String, CallError> {
    let (own, peer) = (
        tcp::local_address(connection)?,
        tcp::peer_address(connection)?,
    );
    Ok(format!("own end {own}, other end {peer}"))
}
// ANCHOR_END: connect

fn serve(args: &Args) -> anyhow::Result<()> {
    let listener = tcp::listen(&args.listen.address())?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    let mut connections: Vec<OwnedFd> = Vec::new();
    loop {
        match tcp::accept(&listener) {
            Ok((connection, _)) => {
                say!("{}", four_tuple(&connection)?)?;
                connections.push(connection);
            }
            // Too many at a time is the clients' trouble, and no end of the server.
            Err(error) if error.is_shortage() => {
                complain!("{:#}", anyhow::Error::from(error));
                sleep(Duration::from_millis(100)); // it would fail again at once
            }
            Err(error) => return Err(error.into()),
        }
        connections.retain(is_open);
    }
}

/// Whether the client still holds its end; looked at when the next one comes.
fn is_open(connection: &OwnedFd) -> bool {
    let mut byte = [0];
    fcntl(connection, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).is_ok()
        && matches!(
            receive(connection, &mut byte),
            Ok(Received::WouldBlock | Received::Data(_))
        )
}
