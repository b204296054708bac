//! Exercises of chapter 22: non-blocking I/O.

use std::io::Read;
use std::net::TcpStream;

use super::Exercise;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "22/short-write",
    "every client gets the whole text, however slowly it reads, and nobody waits for another",
    10,
    short_write,
    "What does send(2) return when there is room for a part only? Who keeps the rest, and who says when there is room again? The \
     loop already asks poll for every client that it has.",
)];

/// The size of the text.
const TEXT: usize = 512 * 1024;

fn short_write(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.names_own_hand("clients");
    let server = host.exercise("server", "").start()?;
    server.listens()?;
    let connect = || host.enter(|| TcpStream::connect(("127.0.0.1", PORT)));

    let slow = connect()?;
    server.says("client connected")?;
    lab.notes("the first client reads nothing yet");
    let fast = read_all(connect()?);
    lab.central(
        "another client gets the whole text meanwhile",
        equal(fast, TEXT),
    );
    lab.eventually("the server sleeps in poll", || {
        server.blocks_in(&["poll", "ppoll"])
    });
    lab.notes("now it reads");
    let slow = read_all(slow);
    lab.central(
        "the first one gets the whole text when it reads",
        equal(slow, TEXT),
    );
    lab.claim("the server goes on", equal(server.ended(), None));
    lab.done()
}

/// How many bytes come until the end, or until nothing has come for a while.
fn read_all(mut connection: TcpStream) -> usize {
    let mut text = Vec::new();
    let patience = connection.set_read_timeout(Some(Duration::from_secs(2)));
    // What was read before an error stays in the buffer, and it is the answer.
    let _ = patience.and_then(|()| connection.read_to_end(&mut text));
    text.len()
}
