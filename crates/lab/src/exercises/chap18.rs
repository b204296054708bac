//! Exercises of chapter 18: validating data.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use super::Exercise;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "18/drip",
    "a client that sends a byte every now and then keeps nobody waiting for more than a second",
    10,
    drip,
    "What does SO_RCVTIMEO limit: the line, or something smaller? What begins anew with each byte, and what should not?",
)];

/// How often the slow client sends a byte.
const PAUSE: Duration = Duration::from_millis(200);
/// How many bytes it has: enough for three seconds, and no line.
const BYTES: usize = 15;

fn drip(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.names_own_hand("clients");
    let server = host.exercise("server", "").start()?;
    server.listens()?;
    let client = |patience: Duration| {
        host.enter(|| {
            let connection = TcpStream::connect(("127.0.0.1", PORT))?;
            connection.set_read_timeout(Some(patience))?;
            Ok(connection)
        })
    };
    let usual = Duration::from_secs(2);

    let slow = client(PAUSE)?;
    let waiting = client(PAUSE)?;
    lab.notes("the first client sends a byte every 0.2 seconds, the second one a whole line");
    let mut line = gets(&waiting, b"next\n");
    let mut sent = 0;
    while line == WAITS && sent < BYTES {
        sent += 1;
        // An error is the answer of a server that has sent it away.
        let _ = (&slow).write_all(b"a");
        line = gets(&waiting, b"");
    }
    lab.central("who sends a line behind a slow client gets it back", {
        equal(line, "next\n")
    });
    lab.central("the slow client is sent away, though it is never silent", {
        equal(gets(&slow, b""), "")
    });
    drop((slow, waiting));
    lab.ends_the_ladder();

    let quick = gets(&client(usual)?, b"quick\n");
    let long = gets(&client(usual)?, &[b'a'; 101]);
    let pieces = client(usual)?;
    (&pieces)
        .write_all(b"two ")
        .map_err(|error| LabError::Impossible(error.to_string()))?;
    // Each client has a second, so this is in time.
    lab.watches_for(Duration::from_millis(500));
    let pieces = gets(&pieces, b"pieces\n");
    lab.claim("who is quick gets the line back", equal(quick, "quick\n"));
    lab.claim("a line that is too long is not sent back", equal(long, ""));
    lab.claim(
        "a line in two pieces, half a second apart, is sent back",
        equal(pieces, "two pieces\n"),
    );
    lab.claim("the server goes on", equal(server.ended(), None));
    lab.done()
}

/// Nothing has come in time, and the connection is not over.
const WAITS: &str = "(nothing yet)";

/// What a client gets when it has sent this. Nothing, where the server ends the connection.
fn gets(mut client: &TcpStream, request: &[u8]) -> String {
    let mut answer = [0; 128];
    let came = client
        .write_all(request)
        .and_then(|()| client.read(&mut answer));
    match came {
        Ok(length) => String::from_utf8_lossy(&answer[..length]).into(),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => WAITS.into(),
        Err(_) => String::new(),
    }
}
