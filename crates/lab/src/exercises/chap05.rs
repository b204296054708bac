//! Exercises of chapter 5: read and write.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use nix::sys::socket::{setsockopt, sockopt};

use super::Exercise;
use crate::net::sock_diag::Socket;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "5/both-ways",
    "the client gets back all that it sends, however much it is",
    10,
    both_ways,
    "In which call does each of the two programs sleep, and what would wake it? What may the server do while nobody reads what it \
     sends back?",
)];

/// The size of the text.
const TEXT: usize = 2_000_000;
/// The client's buffers, and the server's for what it sends back.
const BUFFER: usize = 32 * 1024;
/// How much of the text the server reads before it sends anything back. It fits into its own buffer and is more than one piece.
const HELD_BACK: usize = 64 * 1024;

fn both_ways(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.names_own_hand("server");
    let listener = host.enter(|| TcpListener::bind(("127.0.0.1", PORT)))?;
    let client = host.exercise("client", "127.0.0.1").start()?;
    let (mut connection, _) = host.enter(|| listener.accept())?;
    let patience = Some(Duration::from_secs(1));
    host.enter(|| {
        // Left alone, this buffer would grow until the text fits into it.
        setsockopt(&connection, sockopt::SndBuf, &BUFFER)?;
        connection.set_read_timeout(patience)?;
        connection.set_write_timeout(patience)
    })?;

    let mut first = vec![0; HELD_BACK];
    let came = connection.read_exact(&mut first).is_ok();
    let sockets = host.sockets()?;
    let of_client = |socket: &&Socket| socket.remote.port() == PORT && socket.inode != 0;
    let memory = sockets.iter().find(of_client).and_then(|end| end.memory);
    let buffers = memory.map_or(0, |memory| memory.send_buffer.max(memory.receive_buffer));
    lab.notes("the server has read 64 KiB, and now begins to send back");
    lab.ends_the_ladder();
    let rest = connection
        .write_all(&first)
        .map_or(0, |()| echoes(&mut connection));
    lab.central(
        "the server has room for all that it sends back",
        equal(HELD_BACK + rest, TEXT),
    );
    drop(connection);
    lab.central_eventually("the client gets everything back", || {
        client.output().says("2000000 bytes came back as they were")
    });
    lab.claim(
        "the client does not wait for an answer before it sends on",
        equal(came, true),
    );
    // The kernel doubles what is asked for.
    lab.claim(
        "the client's buffers are as small as they were",
        within(buffers, ..=2 * BUFFER as u32),
    );
    lab.eventually("the client ends in good order", || {
        let end = client.ended();
        end.map_or(Check::new(false, "it has not ended"), |end| {
            end.exited_with(0)
        })
    });
    lab.done()
}

/// Sends back what comes, until the end or until nothing moves: how many bytes.
fn echoes(connection: &mut TcpStream) -> usize {
    let mut piece = [0; 16 * 1024];
    let mut echoed = 0;
    while let Ok(length @ 1..) = connection.read(&mut piece)
        && connection.write_all(&piece[..length]).is_ok()
    {
        echoed += length;
    }
    echoed
}
