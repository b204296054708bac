//! The defects of the original's HTTP part, each with its number: what went wrong there goes right here.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use httpd::{Limits, Method, Options, Routes, Statistics, Status};
use support::*;

/// A partial request spins the thread.
#[test]
fn e2_01_a_partial_request_costs_nothing_while_it_waits() {
    let mut event_loop = ByHand::new(Limits::default());
    let mut client = event_loop.connect();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX").unwrap();
    event_loop.settle();
    let before = processor_time();
    event_loop
        .event_loop
        .turn(Some(Duration::from_millis(200)))
        .unwrap();
    let spent = processor_time() - before;
    assert!(spent < Duration::from_millis(50), "{spent:?}");
    client.write_all(b": y\r\n\r\n").unwrap();
    event_loop.settle();
    let mut answer = Vec::new();
    take(&mut client, &mut answer);
    assert_eq!(answers(&answer, &[])[0].status, 200);
}

/// A malformed request line aborts the server.
#[test]
fn e2_02_a_malformed_request_line_is_answered() {
    let server = serve(Options::default());
    let noise: Vec<u8> = (0..=255).collect();
    for line in [
        &b"\0\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b" \r\n\r\n",
        b"a b c d\r\n\r\n",
        &noise,
    ] {
        let answer = server.exchange(line);
        assert_eq!(answers(&answer, &[])[0].status, 400);
        server.is_well();
    }
    server.stop();
}

/// Heap overflow on every request: here, memory is the compiler's business; what is left to see is that lengths are right.
#[test]
fn e2_03_targets_of_every_length_come_back_whole() {
    let mut event_loop = ByHand::new(Limits::default());
    for length in (0..300).chain([1000, 4095, 4096, 8000]) {
        let path = format!("/{}", "p".repeat(length));
        let request = request(Method::Get, &path, "");
        let (answer, _) = event_loop.exchange(&[request.as_bytes()]);
        assert_eq!(
            answers(&answer, &[])[0].text(),
            format!("GET {path} at a: ")
        );
    }
}

/// HTTP/1.0 without Connection crashes.
#[test]
fn e2_04_http_1_0_without_connection_is_answered_and_closed() {
    let server = serve(Options::default());
    let answer = server.exchange("GET / HTTP/1.0\r\n\r\n");
    let answers = answers(&answer, &[]);
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].header("Connection"), Some("close"));
    server.stop();
}

/// No limit on headers.
#[test]
fn e2_05_every_dimension_has_a_limit() {
    let limits = Limits {
        request_line: 100,
        header: 200,
        fields: 5,
        body: 50,
        ..Default::default()
    };
    let mut event_loop = ByHand::new(limits);
    let exactly = |path: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "p".repeat(path));
    let header = |bytes: usize| {
        let rest = bytes - "Host: a\r\nX: \r\n\r\n".len();
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
            "y".repeat(rest)
        )
    };
    let fields = |count: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "X: y\r\n".repeat(count - 1)
        )
    };
    let body = |length: usize| {
        let body = "b".repeat(length);
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let chunk = |length: usize| {
        let body = "b".repeat(length);
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
        )
    };
    let line = "GET / HTTP/1.1".len();
    for (request, status) in [
        (exactly(100 - line), 200),
        (exactly(101 - line), 414),
        (exactly(100_000), 414),
        (header(200), 200),
        (header(201), 431),
        (header(100_000), 431),
        (fields(5), 200),
        (fields(6), 431),
        (body(50), 200),
        (body(51), 413),
        (chunk(50), 200),
        (chunk(51), 413),
    ] {
        let bytes = request.as_bytes();
        let pieces: Vec<_> = bytes.chunks(1).collect();
        let ways = if bytes.len() < 1000 {
            vec![vec![bytes], pieces]
        } else {
            vec![vec![bytes]]
        };
        for pieces in ways {
            let (answer, ended) = event_loop.exchange(&pieces);
            let head = &request[..request.len().min(60)];
            assert_eq!(answers(&answer, &[])[0].status, status, "{head}");
            assert_eq!(ended, status != 200);
        }
    }
}

/// Header names matched by prefix and case.
#[test]
fn e2_06_field_names_are_whole_and_in_any_case() {
    let mut event_loop = ByHand::answering(Options::default(), |request, response| {
        let value = |name| request.header(name).unwrap_or("-");
        response.text(format!("{} {}", value("x-one"), value("X-On")));
    });
    let (answer, _) = event_loop.exchange(&[b"GET / HTTP/1.1\r\nhOST: a\r\nX-ONE: 1\r\n\r\n"]);
    assert_eq!(answers(&answer, &[])[0].text(), "1 -");
    let prefix = b"GET / HTTP/1.1\r\nHost: a\r\nConnectio: close\r\nContent-Lengthy: 5\r\n\r\n";
    let (answer, ended) = event_loop.exchange(&[prefix]);
    assert_eq!((answers(&answer, &[])[0].status, ended), (200, false));
}

/// `Host:x` without a space ends the headers.
#[test]
fn e2_07_a_field_needs_no_space() {
    let mut event_loop = ByHand::new(Limits::default());
    let request = b"POST / HTTP/1.1\r\nHost:x\r\nContent-Length:2\r\n\r\nhi";
    let (answer, _) = event_loop.exchange(&[request]);
    assert_eq!(answers(&answer, &[])[0].text(), "POST / at x: hi");
}

/// Bodies become the next request.
#[test]
fn e2_08_a_body_is_not_a_request() {
    let mut event_loop = ByHand::new(Limits::default());
    let hidden = request(Method::Get, "/hidden", "");
    for fields in [
        format!("Content-Length: {}\r\n\r\n{hidden}", hidden.len()),
        format!(
            "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{hidden}\r\n0\r\n\r\n",
            hidden.len()
        ),
    ] {
        for method in ["GET", "POST", "DELETE"] {
            let next = request(Method::Get, "/next", "");
            let both = format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}{next}");
            let (answer, _) = event_loop.exchange(&[both.as_bytes()]);
            let answers = answers(&answer, &[]);
            assert_eq!(answers.len(), 2);
            assert!(answers[0].text().ends_with(&hidden));
            assert_eq!(answers[1].text(), "GET /next at a: ");
        }
    }
}

/// Two pipelined requests get one answer.
#[test]
fn e2_09_pipelined_requests_are_all_answered_in_order() {
    let server = serve(Options::default());
    let mut stream = server.connect();
    let requests: String = (0..1000)
        .map(|number| request(Method::Get, &format!("/{number}"), ""))
        .collect();
    stream.write_all(requests.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answers = answers(&answer, &[]);
    assert_eq!(answers.len(), 1000);
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.text(), format!("GET /{number} at a: "));
    }
    server.stop();
}

/// The 400 is cut to 8 bytes and parsing goes on.
#[test]
fn e2_10_a_refusal_arrives_whole_and_is_the_last() {
    let server = serve(Options::default());
    let next = request(Method::Get, "/", "");
    // So much that it cannot all have been read when the answer is written: a plain close would reset the connection.
    let behind = next.repeat(20_000);
    for _ in 0..20 {
        let mut stream = server.connect();
        let writer = stream.try_clone().unwrap();
        let behind = behind.clone();
        let sender = std::thread::spawn(move || {
            let mut writer = writer;
            let _ = writer.write_all(format!("bad\r\n\r\n{behind}").as_bytes());
        });
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answers = answers(&answer, &[]);
        assert_eq!(answers.len(), 1);
        assert_eq!(
            answers[0].text(),
            "400 Bad Request: the request line is malformed\n"
        );
        assert_eq!(answers[0].header("Connection"), Some("close"));
        sender.join().unwrap();
    }
    server.stop();
}

/// 404 announces close and does not close; keep-alive inverted.
#[test]
fn e2_11_what_is_said_about_the_connection_is_done() {
    let server = serve_with(Options::default(), Routes::new().handler());
    let mut stream = server.connect();
    for _ in 0..3 {
        stream
            .write_all(request(Method::Get, "/missing", "").as_bytes())
            .unwrap();
        let mut answer = vec![0; 4096];
        let count = stream.read(&mut answer).unwrap();
        let answer = &answers(&answer[..count], &[])[0];
        assert_eq!((answer.status, answer.header("Connection")), (404, None));
    }
    stream
        .write_all(request(Method::Get, "/missing", "Connection: close\r\n").as_bytes())
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answers(&answer, &[])[0].header("Connection"), Some("close"));
    server.stop();
}

/// No Content-Type; HEAD has a body.
#[test]
fn e2_12_answers_have_a_type_and_head_has_no_body() {
    let server = serve(Options::default());
    let close = "Connection: close\r\n";
    let get = server.exchange(request(Method::Get, "/", close));
    let head = server.exchange(request(Method::Head, "/", close));
    let get = &answers(&get, &[])[0];
    let head = &answers(&head, &[0])[0];
    assert_eq!(
        get.header("Content-Type"),
        Some("text/plain; charset=utf-8")
    );
    // GET and HEAD are words of different lengths, and in the body here.
    assert_eq!(get.header("Content-Length"), Some("12"));
    assert_eq!(head.header("Content-Length"), Some("13"));
    assert_eq!(head.header("Content-Type"), get.header("Content-Type"));
    server.stop();
}

/// The port argument is ignored.
#[test]
fn e2_13_the_server_listens_where_it_is_told() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let server = httpd::Server::bind(&free, Options::default(), echo).unwrap();
    assert_eq!(server.local_address(), Some(free));
    let taken = httpd::Server::bind(&free, Options::default(), echo);
    assert!(taken.is_err());
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let server = serve_on(address, Options::default(), echo);
        server.is_well();
        server.stop();
    }
}

/// Paths unterminated.
#[test]
fn e2_15_a_path_ends_where_it_ends() {
    let mut event_loop = ByHand::answering(Options::default(), |request, response| {
        response.text(format!("{} {:?}", request.path(), request.query()));
    });
    for (target, expected) in [
        ("/a", "/a None"),
        ("/a?", "/a Some(\"\")"),
        ("/a?b", "/a Some(\"b\")"),
        ("/a?b?c", "/a Some(\"b?c\")"),
        ("/?", "/ Some(\"\")"),
        ("http://h", "/ None"),
        ("http://h/x?y", "/x Some(\"y\")"),
    ] {
        // A longer one first: nothing of it may be left.
        event_loop
            .exchange(&[request(Method::Get, "/much/longer/than/the/next?one", "").as_bytes()]);
        let (answer, _) = event_loop.exchange(&[request(Method::Get, target, "").as_bytes()]);
        assert_eq!(answers(&answer, &[])[0].text(), expected);
    }
}

/// What the counters say is what has happened.
#[test]
fn counters_count() {
    let statistics = Arc::new(Statistics::default());
    let server = serve(Options {
        statistics: Arc::clone(&statistics),
        threads: 2,
        ..Default::default()
    });
    let mut sent = 0;
    for _ in 0..10 {
        sent += server
            .exchange(request(Method::Get, "/", "Connection: close\r\n"))
            .len();
    }
    sent += server.exchange("bad\r\n\r\n").len();
    let sum = |count: fn(&httpd::LoopCounters) -> u64| -> u64 {
        statistics.loops().iter().map(|one| count(one)).sum()
    };
    until("all are closed", || sum(|one| one.open()) == 0);
    assert_eq!(statistics.loops().len(), 2);
    assert_eq!(sum(|one| one.accepted.get()), 11);
    assert_eq!(sum(|one| one.requests.get()), 11);
    assert_eq!(sum(|one| one.refused.get()), 1);
    assert_eq!(sum(|one| one.sent.get()), sent as u64);
    server.stop();
}

/// A handler that tries to split its answer in two.
#[test]
fn a_field_cannot_break_out_of_its_line() {
    let mut event_loop = ByHand::answering(Options::default(), |request, response| {
        let value = request
            .query()
            .unwrap_or("")
            .replace("%0d", "\r")
            .replace("%0a", "\n");
        response.header("Location", &value).status(Status::Found);
        if value.contains('\r') {
            response.header("X", &value);
        }
    });
    let (answer, _) = event_loop.exchange(&[request(Method::Get, "/?/x", "").as_bytes()]);
    assert_eq!(answers(&answer, &[])[0].header("Location"), Some("/x"));
    let (answer, _) =
        event_loop.exchange(&[request(Method::Get, "/?a%0d%0aSet-Cookie:%20b", "").as_bytes()]);
    let answer = &answers(&answer, &[])[0];
    assert_eq!((answer.status, answer.header("Set-Cookie")), (500, None));
}
