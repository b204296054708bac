//! The client against servers that it has to count exactly.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::*;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A server with a thread for each connection. It counts what it has done; its threads end with their connections, and the first
/// one with the process.
fn server(
    serves: impl Fn(TcpStream, &AtomicU64) + Send + Sync + 'static,
) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicU64::new(0));
    let (counted, serves) = (Arc::clone(&count), Arc::new(serves));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (counted, serves) = (Arc::clone(&counted), Arc::clone(&serves));
            thread::spawn(move || serves(stream.unwrap(), &counted));
        }
    });
    (address, count)
}

/// Answers each request after a pause; closes if it is told to.
fn http(pause: Duration) -> (SocketAddr, Arc<AtomicU64>) {
    server(move |mut stream, count| {
        let (mut come, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            while let Some(end) = come.windows(4).position(|end| end == b"\r\n\r\n") {
                let head: Vec<u8> = come.drain(..end + 4).collect();
                thread::sleep(pause);
                count.fetch_add(1, Ordering::SeqCst);
                if stream.write_all(ANSWER).is_err() {
                    return;
                }
                if String::from_utf8(head).unwrap().contains("close") {
                    return;
                }
            }
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(length) => come.extend_from_slice(&buffer[..length]),
            }
        }
    })
}

fn echo() -> (SocketAddr, Arc<AtomicU64>) {
    server(|mut stream, count| {
        let mut buffer = [0; 3000];
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            count.fetch_add(length as u64, Ordering::SeqCst);
            if stream.write_all(&buffer[..length]).is_err() {
                return;
            }
        }
    })
}

fn shape(close: bool, connections: usize, depth: usize) -> Shape {
    let path = "/".into();
    Shape {
        protocol: Protocol::Http { path, close },
        connections,
        depth,
    }
}

#[test]
fn exactly_as_many_requests_as_were_wanted() {
    for (close, connections, depth) in [(false, 1, 1), (false, 7, 1), (false, 7, 16), (true, 7, 1)]
    {
        let (address, count) = http(Duration::ZERO);
        let tally = exactly(address, &shape(close, connections, depth), 1000).unwrap();
        assert_eq!(tally.requests, 1000);
        assert_eq!(
            count.load(Ordering::SeqCst),
            1000,
            "{connections} × {depth}"
        );
    }
}

#[test]
fn who_is_counted_by_time_has_been_answered() {
    let (address, count) = http(Duration::ZERO);
    let mut swarm = Swarm::new(address, &shape(false, 10, 4)).unwrap();
    swarm.grow(10).unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 10, "one answer each");
    let tally = swarm
        .closed(Until::Time(Duration::from_millis(100)))
        .unwrap();
    assert!(tally.requests > 0 && tally.elapsed >= Duration::from_millis(100));
    assert_eq!(count.load(Ordering::SeqCst), 10 + tally.requests);
}

#[test]
fn messages_larger_than_the_socket_takes_come_back_whole() {
    let (address, count) = echo();
    let size = 8 << 20;
    let shape = Shape {
        protocol: Protocol::Echo { size },
        connections: 2,
        depth: 1,
    };
    let tally = exactly(address, &shape, 4).unwrap();
    assert_eq!(tally.requests, 4);
    assert_eq!(count.load(Ordering::SeqCst), 4 * size as u64);
}

#[test]
fn a_connection_that_ends_early_is_an_error() {
    let (address, _) = server(|mut stream, _| {
        let _ = stream.read(&mut [0; 100]).unwrap();
        stream.write_all(&ANSWER[..20]).unwrap();
    });
    let error = exactly(address, &shape(false, 1, 1), 1).unwrap_err();
    assert!(matches!(error, LoadError::Ended(1)), "{error}");
}

#[test]
fn an_answer_that_nobody_asked_for_is_an_error() {
    let (address, _) = server(|mut stream, _| {
        let _ = stream.read(&mut [0; 100]).unwrap();
        stream.write_all(&ANSWER.repeat(2)).unwrap();
        let _ = stream.read(&mut [0; 100]); // until the client has gone
    });
    let error = exactly(address, &shape(false, 1, 1), 1).unwrap_err();
    assert!(matches!(error, LoadError::Wrong(_)), "{error}");
}

#[test]
fn nobody_there_is_an_error_with_the_address() {
    let address = TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let error = exactly(address, &shape(false, 1, 1), 1).unwrap_err();
    let expected = format!("connect {address}");
    assert!(error.to_string().contains(&expected), "{error}");
}

#[test]
fn an_easy_rate_is_kept() {
    let (address, count) = http(Duration::ZERO);
    let time = Duration::from_millis(300);
    let latency = at_rate(address, &shape(false, 4, 1), 1000.0, time, true).unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 4 + 300);
    assert!(latency.p50_ns <= latency.p99_ns && latency.p99_ns <= latency.p999_ns);
    assert!(latency.p999_ns <= latency.max_ns && latency.max_ns > 0);
}

/// One connection, and 10 ms for each answer: 100 per second. At 400 per second the queue grows all the time. Who measures from when a
/// request was sent sees 10 ms for each of them.
#[test]
fn an_overloaded_server_is_charged_for_those_who_had_to_wait() {
    let (address, _) = http(Duration::from_millis(10));
    let time = Duration::from_millis(500);
    let began = Instant::now();
    let latency = at_rate(address, &shape(false, 1, 1), 400.0, time, true).unwrap();
    let milliseconds = |ns: u64| ns / 1_000_000;
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "it does not wait for all of them"
    );
    assert!(latency.achieved < 110.0, "{latency:?}");
    // 200 were due in half a second, 150 at most are answered in the second and a half that it takes: the one in the middle was due
    // after 250 ms and is answered after a second.
    assert!(milliseconds(latency.p50_ns) > 500, "{latency:?}");
    assert!(milliseconds(latency.p99_ns) > 900, "{latency:?}");
}

#[test]
fn who_is_not_served_is_left_waiting() {
    // One client after the other.
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut buffer = [0; 100];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                if stream.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
        }
    });
    let shape = Shape {
        protocol: Protocol::Echo { size: 64 },
        connections: 5,
        depth: 1,
    };
    let mut swarm = Swarm::new(address, &shape).unwrap();
    let served = swarm.grow_patiently(5, Duration::from_millis(100)).unwrap();
    assert_eq!(served, 1);
    let tally = swarm.closed(Until::Requests(50)).unwrap();
    assert_eq!(tally.requests, 50, "by the one that is served");
}
