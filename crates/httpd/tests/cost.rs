//! What a request costs: system calls, allocations, and what an idle connection holds, counted.

#[path = "../../reactor/tests/support/counting.rs"]
mod counting;
mod support;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use counting::{Calls, costs, live};
use httpd::{Files, Limits, Method, Options, Routes};
use support::*;

fn service() -> ByHand {
    let routes = Routes::new()
        .get("/", |_, response| {
            response.text("hello, network programming");
        })
        .post("/", |request, response| {
            response.text(request.body());
        });
    ByHand::answering(Options::default(), routes.handler())
}

/// What the loop spends on this exchange, `times` times, after a few to warm up.
fn measure(event_loop: &mut ByHand, request: &[u8], turns: usize, times: u64) -> (Calls, u64) {
    let mut client = event_loop.connect();
    let mut answer = [0; 65536];
    let mut sum = (Calls::new(), 0);
    for round in 0..times + 10 {
        client.write_all(request).unwrap();
        let (calls, allocations) = costs(|| {
            for _ in 0..turns {
                event_loop.event_loop.turn(Some(Duration::ZERO)).unwrap();
            }
        });
        assert!(client.read(&mut answer).unwrap() > 0);
        if round >= 10 {
            for (name, count) in calls {
                *sum.0.entry(name).or_default() += count;
            }
            sum.1 += allocations;
        }
    }
    sum
}

const TIMES: u64 = 1000;

#[test]
fn one_wait_one_read_one_write_and_no_allocation() {
    let get = "GET / HTTP/1.1\r\nHost: 127.0.0.1:43211\r\nAccept: */*\r\nUser-Agent: x\r\n\r\n";
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let mut event_loop = service();
    for request in [get, post, &get.repeat(16), &[get, post].concat().repeat(8)] {
        let (calls, allocations) = measure(&mut event_loop, request.as_bytes(), 1, TIMES);
        let expected = [("epoll_wait", TIMES), ("recv", TIMES), ("send", TIMES)];
        assert_eq!(calls, Calls::from(expected), "{request}");
        assert_eq!(allocations, 0, "{request}");
    }
}

/// A request that comes in two pieces is read in two; what is kept in between lies in lent memory.
#[test]
fn a_cut_request_does_not_allocate() {
    let mut event_loop = service();
    let mut client = event_loop.connect();
    let request = request(Method::Get, "/", "");
    let (one, other) = request.as_bytes().split_at(20);
    let mut answer = [0; 4096];
    for round in 0..100 {
        let mut sum = 0;
        for piece in [one, other] {
            client.write_all(piece).unwrap();
            sum += costs(|| event_loop.event_loop.turn(Some(Duration::ZERO)).unwrap()).1;
        }
        assert!(client.read(&mut answer).unwrap() > 0);
        assert!(round < 10 || sum == 0, "{sum}");
    }
}

/// A file: its head and its content, and the least that finding it takes.
#[test]
fn a_file_is_found_described_and_sent() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("file"), "x".repeat(10_000)).unwrap();
    let files = Files::new(place.path()).unwrap();
    let mut event_loop =
        ByHand::answering(Options::default(), Routes::new().files(files).handler());
    let request = request(Method::Get, "/file", "");
    let (calls, allocations) = measure(&mut event_loop, request.as_bytes(), 1, 100);
    let expected = [
        ("close", 100),
        ("epoll_wait", 100),
        ("fstat", 100),
        ("recv", 100),
        ("send", 100),
        ("sendfile", 100),
    ];
    assert_eq!(calls, Calls::from(expected));
    assert!(allocations <= 20 * 100, "{allocations}");

    let files = Files::new(place.path()).unwrap().kept_open(DEADLINE);
    let mut event_loop =
        ByHand::answering(Options::default(), Routes::new().files(files).handler());
    let (calls, _) = measure(&mut event_loop, request.as_bytes(), 1, 100);
    assert_eq!(calls.get("close"), None);
}

/// A connection for each request: it is registered, read, answered and closed.
#[test]
fn a_connection_for_one_request() {
    let mut event_loop = service();
    let request = request(Method::Get, "/", "Connection: close\r\n");
    let mut once = || {
        let mut client = event_loop.connect();
        client.write_all(request.as_bytes()).unwrap();
        let (calls, _) = costs(|| event_loop.event_loop.turn(Some(Duration::ZERO)).unwrap());
        let mut answer = Vec::new();
        assert!(take(&mut client, &mut answer));
        calls
    };
    once();
    let calls = once();
    assert_eq!(
        (
            calls["epoll_wait"],
            calls["recv"],
            calls["send"],
            calls["close"]
        ),
        (1, 1, 1, 1)
    );
    assert!(!calls.contains_key("shutdown"));
}

/// Every request leaks: a defect of the original's HTTP part. Here, what a thread has allocated is the same after many.
#[test]
fn e2_14_requests_and_connections_leave_nothing_behind() {
    let mut event_loop = ByHand::new(Limits::default());
    let chunked =
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let mut rounds = |count: usize| {
        for _ in 0..count {
            event_loop.exchange(&[request(Method::Get, "/", "").repeat(20).as_bytes()]);
            event_loop.exchange(&[&chunked[..60], &chunked[60..]]);
            event_loop.exchange(&[b"GET / HTTP/1.1\r\n\r\n"]);
        }
        assert_eq!(event_loop.event_loop.connections(), 0);
    };
    rounds(100);
    let before = live();
    rounds(1000);
    assert_eq!(live(), before);
}

/// User memory of a connection that waits for its next request, in bytes.
#[test]
fn an_idle_connection_is_small() {
    const COUNT: usize = 1000;
    common::descriptors::raise_limit().unwrap();
    let mut event_loop = ByHand::new(Limits::default());
    let mut clients: Vec<UnixStream> = Vec::with_capacity(2 * COUNT);
    let mut open = |clients: &mut Vec<UnixStream>| {
        for _ in 0..COUNT {
            let mut client = event_loop.connect();
            client
                .write_all(request(Method::Get, "/", "").as_bytes())
                .unwrap();
            clients.push(client);
        }
        event_loop.settle();
        event_loop.settle();
    };
    open(&mut clients);
    let before = live();
    open(&mut clients);
    let each = (live() - before) / COUNT as i64;
    println!("{each} bytes per idle connection");
    assert!(each < 512, "{each}");
}
