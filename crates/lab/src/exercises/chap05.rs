//! Exercises of chapter 5: read and write.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use nix::sys::socket::{setsockopt, sockopt};

use super::Exercise;
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
/// The server's buffer for what it sends back.
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
        Check::new(
            came,
            if came {
                "64 KiB came"
            } else {
                "64 KiB did not come"
            },
        ),
    );
    lab.eventually("the client comes to its end", || {
        Check::new(
            client.ended().is_some(),
            format_args!("{:?}", client.ended()),
        )
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
