//! The same over every way of waiting, with and without threads.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;

use httpd::{DispatcherKind, Files, Method, Options, Routes};
use support::*;

/// Many requests of all kinds on one connection, its end with the last of them, and the answers in order.
#[test]
fn everything_in_one_connection() {
    let place = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..2_000_000u32).map(|number| (number / 3) as u8).collect();
    fs::write(place.path().join("file"), &content).unwrap();
    let post = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for dispatcher in DispatcherKind::ALL {
        for threads in [0, 2] {
            let files = Files::new(place.path()).unwrap();
            let routes = Routes::new()
                .get("/stream", echo)
                .get("/large", echo)
                .get("/small", echo)
                .post("/echo", echo)
                .files(files);
            let options = Options {
                dispatcher,
                threads,
                ..Default::default()
            };
            let server = serve_with(options, routes.handler());
            let get = |path| request(Method::Get, path, "");
            let one = [
                get("/small"),
                post.into(),
                get("/file"),
                get("/stream"),
                get("/large"),
                get("/small"),
            ]
            .concat();
            let rounds = 5;
            let small = get("/small").repeat(500);
            let mut stream = server.connect();
            let mut writer = stream.try_clone().unwrap();
            let requests = one.repeat(rounds) + &small;
            let sender = std::thread::spawn(move || {
                // In pieces that end anywhere.
                for piece in requests.as_bytes().chunks(97) {
                    writer.write_all(piece).unwrap();
                }
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            sender.join().unwrap();
            let answers = answers(&answer, &[]);
            assert_eq!(
                answers.len(),
                6 * rounds + 500,
                "{dispatcher}, {threads} threads"
            );
            for six in answers[..6 * rounds].chunks(6) {
                assert_eq!(six[0].text(), "GET /small at a: ");
                assert_eq!(six[1].text(), "POST /echo at a: hello");
                assert!(six[2].body == content);
                assert_eq!(six[3].text(), "part 2\npart 1\npart 0\n");
                assert_eq!(six[4].body.len(), 8 * 1024 * 1024);
                assert_eq!(six[5].text(), "GET /small at a: ");
            }
            drop(stream);
            server.stop();
        }
    }
}

/// IPv6, and refusals that can be read, whatever the way of waiting.
#[test]
fn refusals_and_other_addresses() {
    for dispatcher in DispatcherKind::ALL {
        let options = Options {
            dispatcher,
            ..Default::default()
        };
        let server = serve_on("[::1]:0", options, echo);
        for _ in 0..10 {
            let answer =
                server.exchange("bad\r\n\r\n".to_string() + &request(Method::Get, "/", ""));
            assert_eq!(answers(&answer, &[]).len(), 1);
            server.is_well();
        }
        server.stop();
    }
}
