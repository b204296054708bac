//! Exercises of chapter 16: framing a stream.

use super::Exercise;
use crate::net::sock_diag::Socket;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "16/messages",
    "the server prints each message once, however the stream was cut on its way",
    10,
    messages,
    "read(2) returns what has come, up to the size of the buffer. Which bytes does the server need before it can know how many \
     belong to a message? `common::io` has a call that reads exactly so many, and tells three ways to end apart.",
)];

/// A message of lesson 16, cut in its header and in its body.
const PIECES: [&str; 3] = ["\0\0\0\x05\0", "\0\0\x01go", "od\n"];

fn of_server(socket: &Socket) -> bool {
    socket.local.port() == PORT
}

fn messages(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.exercise("server", "").start()?;
    server.listens()?;
    let client = |options: &str| host.start(&format!("chap-16 streamclient 127.0.0.1 {options}"));
    let ends = |client: &Process| -> Result<(), LabError> {
        client.closes_input();
        client.ends()?;
        Ok(())
    };

    let together = client("")?;
    together.types("network\nprogram")?;
    ends(&together)?;

    // A piece is only sent when the server has taken the one before, and not when it has thrown the client out.
    let pieces = client("--plain")?;
    lab.until("the client is connected", || {
        host.has(TcpState::Established, of_server)
    })?;
    let mut sent = 0;
    for piece in PIECES {
        if host.has(TcpState::Established, of_server).holds() {
            pieces.types_on(piece)?;
            sent += piece.len() as u64;
        }
        lab.until("the server has taken the piece", || {
            !host.has(TcpState::Established, |socket| {
                let came = socket.info.is_some_and(|info| info.bytes_received >= sent);
                of_server(socket) && !(came && socket.receive_queue == 0)
            })
        })?;
    }
    ends(&pieces)?;

    let cut = client("--announce 100")?;
    cut.types("never whole")?;
    ends(&cut)?;
    let long = client("--announce 129")?;
    long.types("much too long")?;
    ends(&long)?;
    let last = client("")?;
    last.types("goodbye")?;
    server.says("goodbye")?;
    ends(&last)?;

    let output = server.output();
    lab.central("two messages that come together are two", {
        let both = output.says_exactly("network", &[r"received 8 bytes: network\n"]);
        both.and(output.says_exactly("program", &[r"received 8 bytes: program\n"]))
    });
    lab.central("a message that comes in three pieces is one", {
        output.says_exactly("good\\n", &[r"received 5 bytes: good\n"])
    });
    lab.central("a message that is cut off is not printed", {
        equal(output.count("never whole"), 0)
    });
    lab.claim("a message that is too long is refused, as it was", {
        let refused = server.errors().says("129 bytes is announced");
        refused.and(equal(output.count("much too long"), 0))
    });
    lab.claim("the client after that is served", {
        output.says_exactly("goodbye", &[r"received 8 bytes: goodbye\n"])
    });
    lab.done()
}
