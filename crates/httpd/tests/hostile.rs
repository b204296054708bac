//! Clients that mean harm, or are very slow, or many.

mod support;

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use httpd::{AccessLog, Head, Limits, Method, More, Options, Progress, Routes, Statistics};
use support::*;

fn with(limits: Limits) -> Options {
    Options {
        limits,
        ..Default::default()
    }
}

fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    answer
}

/// Two hundred that send a byte now and then: others are served meanwhile, and each of these gets a 408.
#[test]
fn slowloris() {
    let server = serve(with(Limits {
        header_time: Duration::from_millis(500),
        ..Default::default()
    }));
    let mut slow: Vec<_> = (0..200).map(|_| server.connect()).collect();
    let began = Instant::now();
    for stream in &mut slow {
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
            .unwrap();
    }
    // A byte now and then does not prolong the time: they go on until the server has had enough.
    until("the server ends it", || {
        for stream in &mut slow {
            let _ = stream.write_all(b"y");
        }
        server.is_well();
        slow[0].set_nonblocking(true).unwrap();
        let ended = slow[0].peek(&mut [0]).is_ok();
        slow[0].set_nonblocking(false).unwrap();
        ended
    });
    for mut stream in slow {
        let answer = read_to_end(&mut stream);
        assert_eq!(answers(&answer, &[])[0].status, 408);
    }
    assert!(began.elapsed() >= Duration::from_millis(500));
    server.stop();
}

#[test]
fn a_body_has_its_time_as_well() {
    let server = serve(with(Limits {
        body_time: Duration::from_millis(100),
        ..Default::default()
    }));
    for kind in ["Content-Length: 100\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut stream = server.connect();
        stream
            .write_all(request(Method::Post, "/", kind).as_bytes())
            .unwrap();
        stream.write_all(b"5\r\nhello").unwrap();
        assert_eq!(answers(&read_to_end(&mut stream), &[])[0].status, 408);
    }
    server.stop();
}

/// Between two requests there is nothing to be answered: the connection is closed without a word.
#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let server = serve(with(Limits {
        idle: Duration::from_millis(50),
        ..Default::default()
    }));
    assert_eq!(read_to_end(&mut server.connect()), b"");
    let mut used = server.connect();
    used.write_all(request(Method::Get, "/", "").as_bytes())
        .unwrap();
    assert_eq!(answers(&read_to_end(&mut used), &[]).len(), 1);
    server.stop();
}

fn resident() -> usize {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        * 4096
}

/// Ten clients each ask a hundred times for 8 MiB, and read nothing: one answer each is all that is made, and when
/// their time is up they are dropped.
#[test]
fn clients_that_do_not_read_are_bounded_and_dropped() {
    let statistics = Arc::new(Statistics::default());
    let server = serve(Options {
        statistics: Arc::clone(&statistics),
        ..with(Limits {
            idle: Duration::from_millis(500),
            ..Default::default()
        })
    });
    let requests = request(Method::Get, "/large", "").repeat(100);
    let mut greedy: Vec<_> = (0..10).map(|_| server.connect()).collect();
    for stream in &mut greedy {
        stream.write_all(requests.as_bytes()).unwrap();
    }
    server.is_well();
    let ended = || statistics.loops()[0].ended.get();
    let mut most = 0;
    until("all are dropped", || {
        most = most.max(resident());
        ended() == 11
    });
    assert_eq!(statistics.loops()[0].requests.get(), 11);
    // An answer is there once in the making and once for each of those who do not take it.
    // All hundred of each would be 8 GB.
    assert!(most < 1024 * 1024 * 1024, "{most}");
    server.is_well();
    server.stop();
}

/// It reads a little at a time, and gets everything.
#[test]
fn a_slow_reader_gets_all_of_it() {
    let server = serve(Options::default());
    let mut stream = server.connect();
    let requests = [
        request(Method::Get, "/large", ""),
        request(Method::Get, "/", "Connection: close\r\n"),
    ];
    stream.write_all(requests.concat().as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut some = [0; 100_000];
    loop {
        let count = stream.read(&mut some).unwrap();
        if count == 0 {
            break;
        }
        answer.extend_from_slice(&some[..count]);
        thread::yield_now();
    }
    let answers = answers(&answer, &[]);
    assert_eq!(answers[0].body.len(), 8 * 1024 * 1024);
    assert_eq!(answers[1].text(), "GET / at a: ");
    server.stop();
}

/// The time that a client has for our last words runs from when it could have read them. To take a long answer it has as
/// long as on a connection that goes on.
#[test]
fn a_slow_reader_gets_all_of_a_last_answer() {
    let linger = Duration::from_millis(50);
    let server = serve(with(Limits {
        linger,
        ..Default::default()
    }));
    for (asked, half_closed) in [
        (
            "GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            false,
        ),
        (
            "GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nmore",
            false,
        ),
        ("GET /large HTTP/1.0\r\n\r\n", false),
        ("GET /large HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ] {
        let mut stream = server.connect();
        stream.write_all(asked.as_bytes()).unwrap();
        if half_closed {
            stream.shutdown(Shutdown::Write).unwrap();
        }
        let mut answer = vec![0; 100_000];
        stream.read_exact(&mut answer).unwrap();
        thread::sleep(10 * linger);
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(
            answers(&answer, &[])[0].body.len(),
            8 * 1024 * 1024,
            "{asked}"
        );
    }
    server.stop();
}

/// The time for a request does not run while we do not read it because the client still reads the answer before.
#[test]
fn a_slow_reader_is_not_blamed_for_the_next_request() {
    const SIZE: usize = 60_000;
    let options = with(Limits {
        header_time: Duration::from_millis(20),
        ..Default::default()
    });
    let mut event_loop = ByHand::answering(options, |_, response| {
        response.text([b'x'; SIZE]);
    });
    let whole = request(Method::Get, "/", "");
    let (begun, rest) = whole.as_bytes().split_at(20);
    let mut blocked = 0;
    // One of these numbers of answers is the first that does not fit into the kernel's buffers.
    for count in 1..10 {
        let mut client = event_loop.connect();
        for _ in 1..count {
            client.write_all(whole.as_bytes()).unwrap();
            event_loop.settle();
        }
        client
            .write_all(&[whole.as_bytes(), begun].concat())
            .unwrap();
        let up = Instant::now() + Duration::from_millis(40);
        while Instant::now() < up {
            event_loop
                .event_loop
                .turn(Some(Duration::from_millis(5)))
                .unwrap();
        }
        let mut answer = Vec::new();
        take(&mut client, &mut answer);
        if answer.len() >= count * SIZE {
            // Everything was sent, so the time of the next request has run, and is up.
            continue;
        }
        blocked += 1;
        let _ = client.write_all(rest);
        while answer.len() < (count + 1) * SIZE {
            event_loop.settle();
            assert!(
                !take(&mut client, &mut answer),
                "{count}: the connection was ended"
            );
        }
        assert!(answers(&answer, &[]).iter().all(|one| one.status == 200));
    }
    assert!(blocked > 0);
}

/// A head that comes byte by byte is not read from its start each time, nor is a line of it.
#[test]
fn a_drip_of_a_large_head_is_not_quadratic() {
    let limits = Limits {
        header: 1024 * 1024,
        ..Default::default()
    };
    let drip = |length: usize| {
        let whole = request(Method::Get, "/", &format!("X: {}\r\n", "y".repeat(length)));
        let once = || {
            let (mut head, mut progress) = (Head::default(), Progress::default());
            let before = processor_time();
            for end in 1..whole.len() {
                let outcome = head.parse(&whole.as_bytes()[..end], &mut progress, &limits);
                assert_eq!(outcome, Ok(None));
            }
            processor_time() - before
        };
        (0..3).map(|_| once()).min().unwrap_or_default()
    };
    let (short, long) = (drip(40_000), drip(200_000));
    // Five times as long; quadratic, it would be 25 times.
    assert!(long < short * 12, "{short:?} {long:?}");
}

/// Bodies, extensions, trailers and header fields without end, each ended by a limit.
#[test]
fn nothing_goes_on_for_ever() {
    let server = serve(with(Limits {
        body: 100_000,
        ..Default::default()
    }));
    let chunked = request(Method::Post, "/", "Transfer-Encoding: chunked\r\n");
    let head = "GET / HTTP/1.1\r\nHost: a\r\n";
    for (start, more, status) in [
        (&*chunked, "1\r\nx\r\n", 413),
        (&chunked, "1;x=\"y\"\r\nx\r\n", 400),
        (&format!("{chunked}1;"), "x", 400),
        (&format!("{chunked}1"), " ", 400),
        (&format!("{chunked}0"), "0", 400),
        (&format!("{chunked}0\r\n"), "X: y\r\n", 431),
        (&format!("{chunked}0\r\nX: "), "y", 431),
        (head, "X: y\r\n", 431),
        (&format!("{head}X: "), "y", 431),
        (head, "y", 431),
        ("GET /", "y", 414),
        ("", "y", 414),
        ("", "\r\n", 400),
    ] {
        let mut stream = server.connect();
        let mut reader = stream.try_clone().unwrap();
        let more = more.repeat(1000);
        let first = start.to_string();
        let sender = thread::spawn(move || {
            let _ = stream.write_all(first.as_bytes());
            // Until the server has had enough.
            while stream.write_all(more.as_bytes()).is_ok() {}
        });
        let mut answer = Vec::new();
        let _ = reader.read_to_end(&mut answer);
        sender.join().unwrap();
        assert_eq!(answers(&answer, &[])[0].status, status, "{start}");
    }
    server.is_well();
    server.stop();
}

/// A reset after each byte of a request, and in the middle of answers of all kinds.
#[test]
fn resets_at_every_moment() {
    let statistics = Arc::new(Statistics::default());
    let server = serve(Options {
        statistics: Arc::clone(&statistics),
        ..Default::default()
    });
    let body =
        request(Method::Post, "/", "Transfer-Encoding: chunked\r\n") + "3\r\nabc\r\n0\r\n\r\n";
    for request in [
        body,
        request(Method::Get, "/large", ""),
        request(Method::Get, "/stream", ""),
    ] {
        for cut in 0..=request.len() {
            let mut stream = server.connect();
            stream.write_all(&request.as_bytes()[..cut]).unwrap();
            drive::reset(stream).unwrap();
        }
        for _ in 0..20 {
            let mut stream = server.connect();
            stream.write_all(request.as_bytes()).unwrap();
            let mut some = [0; 20];
            stream.read_exact(&mut some).unwrap();
            drive::reset(stream).unwrap();
        }
    }
    server.is_well();
    until("nobody is left", || statistics.loops()[0].open() == 0);
    server.stop();
}

/// Five thousand that do nothing are no burden: they are accepted quickly, and the next request is answered as ever.
#[test]
fn five_thousand_idle_connections() {
    // Both ends are in this process.
    let limit = common::descriptors::raise_limit().unwrap() as usize;
    let count = 5000.min((limit - 500) / 2);
    let statistics = Arc::new(Statistics::default());
    let server = serve(Options {
        statistics: Arc::clone(&statistics),
        ..Default::default()
    });
    let mut crowd: Vec<_> = (0..count).map(|_| server.connect()).collect();
    until("all are accepted", || {
        statistics
            .loops()
            .first()
            .is_some_and(|one| one.open() == count as u64)
    });
    server.is_well();
    for stream in crowd.iter_mut().step_by(100) {
        stream
            .write_all(request(Method::Get, "/", "").as_bytes())
            .unwrap();
        let mut answer = [0; 512];
        let count = stream.read(&mut answer).unwrap();
        assert_eq!(answers(&answer[..count], &[])[0].status, 200);
    }
    drop(crowd);
    until("all are gone", || statistics.loops()[0].open() == 0);
    server.stop();
}

/// Above the limit there is a word, and when there is room again, an answer.
#[test]
fn too_many_connections_are_told_so() {
    let statistics = Arc::new(Statistics::default());
    let server = serve(Options {
        statistics: Arc::clone(&statistics),
        ..with(Limits {
            connections: 3,
            ..Default::default()
        })
    });
    let held: Vec<_> = (0..3).map(|_| server.connect()).collect();
    until("they are accepted", || {
        statistics
            .loops()
            .first()
            .is_some_and(|one| one.open() == 3)
    });
    for _ in 0..10 {
        let answer = answers(&server.exchange(request(Method::Get, "/", "")), &[]).remove(0);
        assert_eq!(
            (answer.status, answer.header("Retry-After")),
            (503, Some("1"))
        );
    }
    drop(held);
    until("there is room", || statistics.loops()[0].open() == 0);
    server.is_well();
    server.stop();
}

/// A client that has sent a thousand requests at once does not keep the others waiting: 64, then it is their turn.
#[test]
fn a_batch_is_bounded() {
    let mut event_loop = ByHand::new(Limits::default());
    let mut many = event_loop.connect();
    let mut one = event_loop.connect();
    many.write_all(request(Method::Get, "/", "").repeat(1000).as_bytes())
        .unwrap();
    one.write_all(request(Method::Get, "/", "").as_bytes())
        .unwrap();
    event_loop.event_loop.turn(Some(Duration::ZERO)).unwrap();
    let (mut first, mut other) = (Vec::new(), Vec::new());
    take(&mut many, &mut first);
    take(&mut one, &mut other);
    assert_eq!(
        (answers(&first, &[]).len(), answers(&other, &[]).len()),
        (64, 1)
    );
    many.shutdown(Shutdown::Write).unwrap();
    while !take(&mut many, &mut first) {
        event_loop.event_loop.turn(Some(Duration::ZERO)).unwrap();
    }
    assert_eq!(answers(&first, &[]).len(), 1000);
}

/// A handler that panics costs one connection.
#[test]
fn a_panic_is_a_500() {
    let server = serve(Options::default());
    let answer = server.exchange(
        [
            request(Method::Get, "/panic", ""),
            request(Method::Get, "/", ""),
        ]
        .concat(),
    );
    let answers = answers(&answer, &[]);
    assert_eq!((answers.len(), answers[0].status), (1, 500));
    server.is_well();
    server.stop();
}

/// When the server stops, what is idle is closed, and what is in flight finished.
#[test]
fn stopping_finishes_what_is_in_flight() {
    let statistics = Arc::new(Statistics::default());
    let mut server = serve(Options {
        statistics: Arc::clone(&statistics),
        threads: 2,
        // Who is only closed when this is over, is closed too late for this test.
        stop_within: 10 * DEADLINE,
        ..Default::default()
    });
    let mut idle = server.connect();
    idle.write_all(request(Method::Get, "/", "").as_bytes())
        .unwrap();
    let mut some = [0; 512];
    assert!(idle.read(&mut some).unwrap() > 0);
    let mut half = server.connect();
    let whole = request(Method::Get, "/half", "");
    half.write_all(&whole.as_bytes()[..20]).unwrap();
    let mut large = server.connect();
    large
        .write_all(request(Method::Get, "/large", "").as_bytes())
        .unwrap();
    assert_eq!(large.peek(&mut some[..1]).unwrap(), 1);
    // The stop reads what has arrived before it, so only this order is certain: a half request that is there already.
    until("three are open", || {
        statistics.loops().iter().map(|one| one.open()).sum::<u64>() == 3
    });
    server.stopper.stop();
    assert_eq!(read_to_end(&mut idle), b"");
    until("no new ones", || {
        TcpStream::connect(server.address).is_err()
    });
    half.write_all(&whole.as_bytes()[20..]).unwrap();
    let answer = read_to_end(&mut half);
    let answer = &answers(&answer, &[])[0];
    assert_eq!(
        (answer.text(), answer.header("Connection")),
        ("GET /half at a: ", Some("close"))
    );
    assert_eq!(
        answers(&read_to_end(&mut large), &[])[0].body.len(),
        8 * 1024 * 1024
    );
    drop((half, large));
    server.ended();
}

/// Server-sent events arrive one by one; the page is there; and a stop ends the stream in order.
#[test]
fn the_live_page_and_its_events() {
    let statistics = Arc::new(Statistics::default());
    let options = Options {
        statistics: Arc::clone(&statistics),
        threads: 1,
        ..Default::default()
    };
    let mut server = serve_with(
        options,
        Routes::new().live("/status", &statistics).handler(),
    );
    let page = server.exchange(request(Method::Get, "/status", "Connection: close\r\n"));
    assert!(answers(&page, &[])[0].text().contains("new EventSource"));
    let mut stream = server.connect();
    let me = stream.local_addr().unwrap();
    stream
        .write_all(request(Method::Get, "/status/events", "").as_bytes())
        .unwrap();
    let mut received = String::new();
    let mut some = [0; 4096];
    while received.matches("data: ").count() < 2 {
        let count = stream.read(&mut some).unwrap();
        assert!(count > 0);
        received.push_str(str::from_utf8(&some[..count]).unwrap());
    }
    server.stopper.stop();
    stream.read_to_string(&mut received).unwrap();
    let answer = &answers(received.as_bytes(), &[])[0];
    assert_eq!(answer.header("Content-Type"), Some("text/event-stream"));
    let event = answer.text().split("\n\n").next().unwrap();
    let json: serde_json::Value =
        serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(json["you"]["peer"], me.to_string());
    assert_eq!(json["you"]["loop"], "Thread-1");
    assert_eq!(json["loops"][0]["name"], "Thread-1");
    assert_eq!(json["loops"][0]["peers"][0], me.to_string());
    drop(stream);
    server.ended();
}

/// A stream to a client that reads slowly is made only as fast as it reads.
#[test]
fn a_stream_is_made_as_fast_as_it_is_read() {
    let made = Arc::new(Mutex::new(0usize));
    let counter = Arc::clone(&made);
    let server = serve_with(Options::default(), move |request, response| {
        if request.path() != "/endless" {
            response.text("well");
            return;
        }
        let counter = Arc::clone(&counter);
        response.stream(move |part: &mut Vec<u8>| {
            part.resize(part.len() + 10_000, b'x');
            *counter.lock().unwrap() += 10_000;
            More::Now
        });
    });
    let mut stream = server.connect();
    stream
        .write_all(request(Method::Get, "/endless", "").as_bytes())
        .unwrap();
    let mut before = 0;
    until("it stands still", || {
        thread::sleep(Duration::from_millis(100));
        let now = *made.lock().unwrap();
        std::mem::replace(&mut before, now) == now && now > 0
    });
    // What the kernel's buffers hold, and a little.
    assert!(before < 50_000_000, "{before}");
    let mut some = vec![0; before + 1_000_000];
    stream.read_exact(&mut some).unwrap();
    server.is_well();
    drive::reset(stream).unwrap();
    server.stop();
}

struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_access_log_is_in_the_common_format() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let server = serve(Options {
        log: Some(AccessLog::new(Lines(Arc::clone(&lines)))),
        ..Default::default()
    });
    server.exchange("GET /a?b=\"c\" HTTP/1.0\r\n\r\n");
    server.exchange("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    server.exchange("bad\r\n\r\n");
    server.stop();
    let lines = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
    let without_time: Vec<_> = lines
        .lines()
        .map(|line| {
            let (before, after) = (line.find('[').unwrap(), line.find(']').unwrap());
            assert_eq!(after - before, "[06/Nov/1994:08:49:37 +0000".len());
            format!("{}{}", &line[..before], &line[after + 2..])
        })
        .collect();
    let expected = [
        r#"127.0.0.1 - - "GET /a?b=\x22c\x22 HTTP/1.0" 200 12"#,
        r#"127.0.0.1 - - "HEAD / HTTP/1.1" 200 -"#,
        r#"127.0.0.1 - - "-" 400 47"#,
    ];
    assert_eq!(without_time, expected);
}
