//! A streamed body whose parts come from another thread.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use httpd::{Gone, Method, Options};
use support::*;

/// Reads until what was read ends with `end`.
fn read_until(client: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    while !answer.ends_with(end) {
        let mut buffer = [0; 65536];
        let count = client.read(&mut buffer).unwrap();
        assert!(count > 0, "{}", answer.escape_ascii());
        answer.extend_from_slice(&buffer[..count]);
    }
    answer
}

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A worker's parts reach the client as they come, however the worker and the client are in step; the body ends with the
/// worker, and the worker learns of a client that is gone.
#[test]
fn another_thread_feeds_a_stream() {
    let (tell, told) = channel();
    let (tell, started) = (Mutex::new(tell), Arc::new(Mutex::new(Vec::new())));
    let workers = Arc::clone(&started);
    let server = serve_with(Options::default(), move |_, response| {
        let (sender, feed) = httpd::feed(2);
        let tell = tell.lock().unwrap().clone();
        let (go, gone) = channel::<Option<Vec<u8>>>();
        tell.send(go).unwrap();
        workers.lock().unwrap().push(thread::spawn(move || {
            while let Ok(Some(part)) = gone.recv() {
                sender.send(part)?;
            }
            Ok::<(), Gone>(())
        }));
        response.events(feed);
    });
    let mut client = server.connect();
    for _ in 0..2 {
        // The second on the same connection: a stream leaves nothing behind.
        client
            .write_all(request(Method::Get, "/", "").as_bytes())
            .unwrap();
        let worker = told.recv_timeout(DEADLINE).unwrap();
        for part in ["data: one\n\n", "data: two\n\n"] {
            worker.send(Some(part.into())).unwrap();
            read_until(&mut client, format!("{part}\r\n").as_bytes());
        }
        worker.send(None).unwrap();
        assert_eq!(read_until(&mut client, LAST_CHUNK), LAST_CHUNK);
    }
    // More than fits between here and there: the worker is slowed down, and everything arrives.
    client
        .write_all(request(Method::Get, "/", "").as_bytes())
        .unwrap();
    let worker = told.recv_timeout(DEADLINE).unwrap();
    for _ in 0..100 {
        worker.send(Some(vec![b'#'; 100_000])).unwrap();
    }
    worker.send(None).unwrap();
    let answer = read_until(&mut client, &[b"\r\n", LAST_CHUNK].concat());
    assert_eq!(
        answer.iter().filter(|byte| **byte == b'#').count(),
        10_000_000
    );
    // A client that goes away.
    client
        .write_all(request(Method::Get, "/", "").as_bytes())
        .unwrap();
    let worker = told.recv_timeout(DEADLINE).unwrap();
    drop(client);
    while worker
        .send(Some(b"data: still there?\n\n".to_vec()))
        .is_ok()
    {
        thread::sleep(Duration::from_millis(1));
    }
    let ends: Vec<_> = started
        .lock()
        .unwrap()
        .drain(..)
        .map(|worker| worker.join().unwrap())
        .collect();
    assert_eq!(ends, [Ok(()), Ok(()), Ok(()), Err(Gone)]);
    server.stop();
}
