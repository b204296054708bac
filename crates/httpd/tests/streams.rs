//! Bodies that are made while they are sent: what comes before and behind them, and how they end.

mod support;

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use httpd::{Limits, Method, More, Options, Produce, Request, Response, Waker};
use support::*;

/// `/at-once` is a stream that is over with its first part, `/panics` one that never comes to it.
fn answer(request: &Request, response: &mut Response) {
    match request.path() {
        "/at-once" => response.stream(|part: &mut Vec<u8>| {
            part.extend_from_slice(b"all");
            More::End
        }),
        "/panics" => response.stream(|_: &mut Vec<u8>| panic!("on purpose")),
        path => response.text(path),
    };
}

fn get(path: &str) -> String {
    request(Method::Get, path, "")
}

/// Wherever the connection stands: on its first read, and later.
#[test]
fn what_comes_behind_a_stream_is_answered() {
    let mut event_loop = ByHand::answering(Options::default(), answer);
    let behind = [get("/at-once"), get("/a"), get("/at-once"), get("/b")].concat();
    for pieces in [vec![behind.clone()], vec![get("/first"), behind]] {
        let pieces: Vec<_> = pieces.iter().map(String::as_bytes).collect();
        let (answer, ended) = event_loop.exchange(&pieces);
        let found = answers(&answer, &[]);
        let texts: Vec<_> = found.iter().map(Answer::text).collect();
        assert!(texts.ends_with(&["all", "/a", "all", "/b"]), "{texts:?}");
        assert!(!ended);
    }
}

/// The answers before it are whole, and it is cut off.
#[test]
fn a_stream_that_panics_takes_nothing_with_it() {
    let mut event_loop = ByHand::answering(Options::default(), answer);
    let both = get("/a") + &get("/panics");
    let (answer, ended) = event_loop.exchange(&[both.as_bytes()]);
    let text = String::from_utf8(answer).unwrap();
    assert!(
        text.contains("\r\n\r\n/a") && !text.ends_with("0\r\n\r\n"),
        "{text}"
    );
    assert!(ended);
}

/// A stop waits for a body that has an end: what looks whole is whole.
#[test]
fn a_stop_lets_a_stream_come_to_its_end() {
    let server = serve_with(Options::default(), |_, response| {
        let mut left = 20;
        response.stream(move |part: &mut Vec<u8>| {
            left -= 1;
            part.extend_from_slice(b"line\n");
            match left {
                0 => More::End,
                _ => More::After(Duration::from_millis(10)),
            }
        });
    });
    let mut client = server.connect();
    client.write_all(get("/").as_bytes()).unwrap();
    let mut received = vec![0; 1];
    client.read_exact(&mut received).unwrap();
    server.stopper.stop();
    client.read_to_end(&mut received).unwrap();
    let found = answers(&received, &[]);
    assert_eq!(found[0].text(), "line\n".repeat(20));
    server.stop();
}

/// Rests for a time, but is woken before it is over.
struct Woken(bool);

const REST: Duration = Duration::from_millis(50);

impl Produce for Woken {
    fn started(&mut self, waker: Waker) {
        waker.wake();
    }

    fn produce(&mut self, _: &mut Vec<u8>) -> More {
        match std::mem::replace(&mut self.0, true) {
            false => More::After(REST),
            true => More::End,
        }
    }
}

/// Neither a rest that was cut short nor half a line end leaves a time behind that runs out later.
#[test]
fn no_time_runs_while_nothing_is_asked() {
    let limits = Limits {
        header_time: REST,
        ..Default::default()
    };
    let options = Options {
        limits,
        ..Default::default()
    };
    let mut event_loop = ByHand::answering(options, |_, response| {
        response.stream(Woken(false));
    });
    for pieces in [[&*get("/"), ""], ["\r", "\n"]] {
        let mut client = event_loop.connect();
        let mut answer = Vec::new();
        for piece in pieces {
            client.write_all(piece.as_bytes()).unwrap();
            event_loop.settle();
        }
        thread::sleep(2 * REST);
        event_loop.settle();
        let ended = take(&mut client, &mut answer);
        let found = answers(&answer, &[]);
        assert!(
            found.iter().all(|one| one.status == 200) && !ended,
            "{pieces:?}"
        );
    }
}
