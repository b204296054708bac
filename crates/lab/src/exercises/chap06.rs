//! Exercises of chapter 6: UDP.

use std::net::{SocketAddr, UdpSocket};

use super::Exercise;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "6/ask-again",
    "the client asks again when an answer is lost, and takes no other for it",
    15,
    ask_again,
    "Which call waits, and which socket option gives that wait an end? Who asks twice may be answered twice: where does the second \
     answer lie when the next line is typed, and how do the two differ?",
)];

fn ask_again(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.names_own_hand("server");
    let server = host.enter(|| UdpSocket::bind(("127.0.0.1", PORT)))?;
    host.enter(|| server.set_read_timeout(Some(Duration::from_secs(2))))?;
    let answer = |request: &str, to: SocketAddr| {
        host.enter(|| server.send_to(format!("Hi, {request}").as_bytes(), to))
    };
    let client = host.exercise("client", "127.0.0.1").start()?;

    client.types("alpha")?;
    let (first, from) = hears(&server);
    lab.notes("this is lost");
    let (again, _) = hears(&server);
    lab.central(
        "what is not answered is asked again, in the same words",
        equal(&again, "1 alpha").and(equal(first, again.clone())),
    );
    lab.notes("both are answered, one after the other");
    answer("1 alpha", from)?;
    answer("1 alpha", from)?;

    client.types("bravo")?;
    let bravo = asked(&server, "2 bravo");
    answer("2 bravo", from)?;
    lab.central_eventually("an answer is printed under its own line", || {
        let output = client.output();
        let alpha = output.says_exactly("alpha", &["1: Hi, 1 alpha"]);
        alpha.and(output.says_exactly("bravo", &["2: Hi, 2 bravo"]))
    });

    let stranger = host.enter(|| UdpSocket::bind(("127.0.0.1", 0)))?;
    client.types("charlie")?;
    let charlie = asked(&server, "3 charlie");
    lab.notes("somebody else answers, and the server does not");
    host.enter(|| stranger.send_to(b"Hi, 3 charlie", from))?;
    lab.eventually(
        "where only somebody else answers there is no answer",
        || {
            let printed = client.output().says("charlie");
            client.errors().says("3: no answer").and(!printed)
        },
    );

    client.types("delta")?;
    let delta = asked(&server, "4 delta");
    answer("4 delta", from)?;
    lab.eventually("the client goes on after that", || {
        client.output().says_exactly("delta", &["4: Hi, 4 delta"])
    });
    lab.claim("every line was sent", all([bravo, charlie, delta]));
    lab.done()
}

/// The next request and who sent it. Nobody, after a while.
fn hears(server: &UdpSocket) -> (String, SocketAddr) {
    let mut request = [0; 64];
    match server.recv_from(&mut request) {
        Ok((length, from)) => (String::from_utf8_lossy(&request[..length]).into(), from),
        Err(_) => (String::new(), SocketAddr::from(([127, 0, 0, 1], 9))),
    }
}

/// Whether this request comes. One that was sent again may come before it.
fn asked(server: &UdpSocket, request: &str) -> Check {
    let mut heard = Vec::new();
    while heard.len() < 4 && heard.last().is_none_or(|last| last != request) {
        let (next, _) = hears(server);
        if next.is_empty() {
            break;
        }
        heard.push(next);
    }
    Check::new(
        heard.last().is_some_and(|last| last == request),
        format_args!("{heard:?}"),
    )
}
