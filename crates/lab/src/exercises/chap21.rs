//! Exercises of chapter 21: poll.

use std::io::Write;
use std::net::TcpStream;

use super::Exercise;
use crate::net::sock_diag::Socket;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "21/last-words",
    "the server counts every byte, also those that a client sends just before its end",
    10,
    last_words,
    "Which answers of poll come unasked, and what does each of them say about bytes that lie there unread? Which call knows for \
     certain that a client has nothing more?",
)];

fn last_words(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.names_own_hand("clients");
    let server = host.exercise("server", "").start()?;
    server.listens()?;
    let connect = || -> Result<TcpStream, LabError> {
        let client = host.enter(|| TcpStream::connect(("127.0.0.1", PORT)))?;
        server.says("client connected")?;
        Ok(client)
    };
    // What the server says about the last client, once it has spoken of so many.
    let hears_of = |sentence: &str, number: usize| {
        lab.eventually(sentence, || {
            equal(server.output().count("client ended"), number)
        });
        let output = server.output();
        let line = output
            .lines()
            .iter()
            .rfind(|line| line.contains("client ended"));
        line.cloned().unwrap_or_default()
    };

    let mut calm = connect()?;
    host.enter(|| calm.write_all(b"data1"))?;
    // The server has ended its own direction.
    lab.until("the server has read it", || {
        host.has(TcpState::FinWait2, |socket: &Socket| {
            let came = socket.info.is_some_and(|info| info.bytes_received == 5);
            socket.local.port() == PORT && came && socket.receive_queue == 0
        })
    })?;
    lab.eventually("with nothing to do the server sleeps in poll", || {
        server.blocks_in(&["poll", "ppoll"])
    });
    lab.notes("the client closes");
    drop(calm);
    let calm = hears_of("the server notices its end", 1);
    lab.claim(
        "a client that ends later is heard out",
        equal(calm, "client ended after 5 bytes"),
    );

    let mut hasty = connect()?;
    server.halt()?;
    host.enter(|| hasty.write_all(&[b'x'; 5000]))?;
    lab.notes("the client closes");
    drop(hasty);
    lab.until("the client's end has arrived", || match host.sockets() {
        Ok(sockets) => equal(
            sockets
                .iter()
                .filter(|socket| socket.remote.port() == PORT)
                .count(),
            0,
        ),
        Err(error) => Check::unseen(error),
    })?;
    server.resume();
    let hasty = hears_of("the server notices the end of the next one", 2);
    lab.central(
        "a client that sends 5000 bytes and closes, in one moment, is heard out",
        equal(hasty, "client ended after 5000 bytes"),
    );

    let broken = connect()?;
    lab.notes("the client resets the connection");
    host.enter(|| drive::reset(broken))?;
    hears_of("and that of one that resets", 3);
    let next = connect()?;
    lab.eventually("after a reset the server sleeps in poll", || {
        server.blocks_in(&["poll", "ppoll"])
    });
    lab.claim("it goes on", equal(server.ended(), None));
    drop(next);
    lab.done()
}
