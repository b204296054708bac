//! Exercises of chapter 2: client and server.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};

use super::Exercise;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "2/apart",
    "each client is told how many bytes it has sent, whoever else is there",
    10,
    apart,
    "Which conversations have the same name? A host has many clients, a port number is in use on many hosts, and this server has \
     more than one address. How many numbers does the kernel need to find the connection of a packet?",
)];

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// How much each client sends at a time: no two sums are the same.
const PIECES: [usize; 4] = [2, 4, 8, 16];

fn apart(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.names_own_hand("clients");
    let server = host.exercise("server", "--bind 0.0.0.0").start()?;
    server.listens()?;

    let first = connects_from(&host, (HERE, 0), HERE)?;
    let port = host.enter(|| first.local_addr())?.port();
    lab.notes("the second client is on the first one's host");
    let second = host.enter(|| TcpStream::connect((HERE, PORT)))?;
    lab.notes("the third one has another address, and the first one's port");
    let third = connects_from(&host, (ELSEWHERE, port), HERE)?;
    lab.notes(
        "the fourth one has the first one's address and port, for another address of the server",
    );
    let fourth = connects_from(&host, (HERE, port), ELSEWHERE)?;
    let mut clients = [first, second, third, fourth];

    lab.notes("each of them sends something");
    let mut told = [0; 4];
    for ((client, told), piece) in clients.iter_mut().zip(&mut told).zip(PIECES) {
        *told = sends(client, piece);
    }
    lab.notes("the second client leaves, and the first one goes on");
    let [first, second, ..] = &mut clients;
    leaves(second);
    let after = sends(first, PIECES[0]);
    lab.ends_the_ladder();

    lab.central(
        "two clients of one host are told of their own bytes",
        equal(&told[..2], &PIECES[..2]),
    );
    lab.claim(
        "so is one that has another address, and the same port",
        equal(told[2], PIECES[2]),
    );
    lab.central(
        "so is one that differs in the server's address alone",
        equal(told[3], PIECES[3]),
    );
    lab.central(
        "a client that leaves takes nothing of another one's with it",
        equal(after, 2 * PIECES[0]),
    );
    lab.done()
}

/// A client whose end is chosen by us. SO_REUSEADDR allows several connections from one end, socket(7).
fn connects_from(
    host: &Host,
    own: (Ipv4Addr, u16),
    server: Ipv4Addr,
) -> Result<TcpStream, LabError> {
    let address = |end| SockaddrStorage::from(SocketAddr::from(end));
    host.enter(|| {
        let client: OwnedFd = socket(
            AddressFamily::Inet,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC,
            None,
        )?;
        setsockopt(&client, sockopt::ReuseAddr, &true)?;
        bind(client.as_raw_fd(), &address(own))?;
        connect(client.as_raw_fd(), &address((server, PORT)))?;
        Ok(client.into())
    })
}

/// Sends so many bytes, and returns how many the server says that there have been. 0, if it does not say.
fn sends(client: &mut TcpStream, bytes: usize) -> usize {
    let mut answer = [0; 64];
    let asked = client
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| client.write_all(&vec![b'x'; bytes]))
        .and_then(|()| client.read(&mut answer));
    let answer = &answer[..asked.unwrap_or(0)];
    let answer = String::from_utf8_lossy(answer);
    answer.trim().parse().unwrap_or(0)
}

/// A client ends its conversation, and waits until the server has ended it, too.
fn leaves(client: &mut TcpStream) {
    let mut rest = Vec::new();
    // A server that does not end it is waited for in vain; what it says to the others afterwards counts.
    let _ = client
        .shutdown(Shutdown::Write)
        .and_then(|()| client.read_to_end(&mut rest));
}
