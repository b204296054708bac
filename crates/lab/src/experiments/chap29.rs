//! Chapter 29: a reactor on epoll.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use crate::net::sock_diag::Socket;
use crate::prelude::*;
use crate::tracer::SystemCall;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "29/same-behaviour",
        "a hundred clients of each of four servers that wait in four ways: the same bytes come out",
        same_behaviour,
        "the fourth server takes a sip of eight bytes for each event",
    )
    .isolated(),
    Experiment::new(
        "29/log",
        "the main thread wakes for connections only, the other threads for data only",
        log,
        "there is no other thread",
    )
    .also(&["chap-36"]),
    Experiment::new(
        "29/edge-needs-draining",
        "a server takes 512 bytes for each event: level-triggered it gets on, edge-triggered it waits for ever",
        edge_needs_draining,
        "the second server is level-triggered, too",
    ),
    Experiment::new(
        "29/write-storm",
        "a server waits for room to write and has nothing to write: level wakes it without end, edge once",
        write_storm,
        "it does not wait for room",
    ),
];

fn server_on(host: &Host, command: &str, port: u16) -> Result<Process, LabError> {
    let server = host.start(&format!("chap-29 {command} --port {port}"))?;
    server.listens()?;
    Ok(server)
}

fn connect(host: &Host, port: u16) -> Result<TcpStream, LabError> {
    let stream = host.enter(|| TcpStream::connect(("127.0.0.1", port)))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}

/// Reads so many bytes, or as many as come before the time is up.
fn takes(mut stream: &TcpStream, most: usize, within: Duration) -> Result<Vec<u8>, LabError> {
    stream.set_read_timeout(Some(within))?;
    let mut found = Vec::new();
    let mut bytes = [0; 4096];
    while found.len() < most {
        match stream.read(&mut bytes) {
            Ok(count @ 1..) => found.extend_from_slice(&bytes[..count]),
            _ => break,
        }
    }
    Ok(found)
}

const MULTITHREADS: &str = "epoll-server-multithreads";

fn same_behaviour(lab: &Lab) -> Outcome {
    const CLIENTS: usize = 100;
    let host = lab.host()?;
    lab.leaves_out(PORT..=PORT + 3);
    // No client may have by chance the port of a server that is still to come.
    host.sets("net.ipv4.ip_local_port_range", "50000 60999")?;
    let fourth = lab.vary(
        format!("{MULTITHREADS} --trigger edge"),
        "sip --trigger edge --bytes 8".into(),
    );
    let commands = [
        format!("{MULTITHREADS} --dispatcher select"),
        format!("{MULTITHREADS} --dispatcher poll"),
        format!("{MULTITHREADS} --dispatcher epoll"),
        fourth,
    ];
    let mut outs: Vec<Vec<u8>> = Vec::new();
    for (port, command) in (PORT..).zip(&commands) {
        server_on(&host, command, port)?;
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            clients.push(connect(&host, port)?);
        }
        // All of them are there when they begin to speak, and each speaks twice.
        let question =
            |number: usize| format!("client {number} asks {}\n", "abc".repeat(number * 7));
        for (number, mut client) in clients.iter().enumerate() {
            client.write_all(question(number).as_bytes())?;
        }
        for (number, mut client) in clients.iter().enumerate() {
            client.write_all(&question(number).as_bytes()[..number])?;
        }
        let mut out = Vec::new();
        for (number, client) in clients.iter().enumerate() {
            let most = question(number).len() + number;
            let patience = lab.vary(Duration::from_secs(10), Duration::from_millis(20));
            out.extend(takes(client, most, patience)?);
        }
        outs.push(out);
    }
    let expected: Vec<u8> = {
        // The same sentence, rot13.
        let answer = |number: usize| format!("pyvrag {number} nfxf {}\n", "nop".repeat(number * 7));
        let both = |number: usize| {
            [
                answer(number).as_bytes(),
                &answer(number).as_bytes()[..number],
            ]
            .concat()
        };
        (0..CLIENTS).flat_map(both).collect()
    };
    let lengths: Vec<usize> = outs.iter().map(Vec::len).collect();
    let same = outs.iter().all(|out| *out == outs[0]);
    lab.central(
        "select, poll, epoll level-triggered and epoll edge-triggered answer with the same bytes",
        Check::new(same, format_args!("{lengths:?} bytes")),
    );
    lab.claim(
        "they are what the clients have sent, letter by letter 13 places on",
        Check::new(outs[0] == expected, format_args!("{} bytes", outs[0].len())),
    );
    lab.figure("bytes of each server", expected.len());
    lab.done()
}

/// A read of a connection, and not of an eventfd.
fn reads_a_connection(call: &SystemCall) -> bool {
    let socket = call
        .descriptor
        .as_deref()
        .is_some_and(|name| name.starts_with("socket:"));
    socket
        && matches!(&*call.name, "read" | "readv" | "recvfrom")
        && matches!(call.result, Some(Ok(_)))
}

fn log(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let threads = lab.vary(2, 0);
    let server = host
        .program(&format!("chap-29 {MULTITHREADS} -v --threads {threads}"))
        .traced_drawing(&[])
        .start()?;
    server.listens()?;
    lab.until("the main thread waits", || {
        server.blocks_in(&["epoll_wait"])
    })?;
    let begun = Instant::now();
    let lines_before = server.errors().count("epoll_wait wakeup, main thread");
    for (question, answer) in [("fafaf", "snsns"), ("afasf", "nsnfs")] {
        let client = host.start("chap-36 tcpcli-select 127.0.0.1")?;
        client.says("connected: ")?;
        server.says("connection completed")?;
        host.look();
        client.types(question)?;
        client.says(answer)?;
    }
    lab.until("both threads have said so", || {
        equal(server.output().count("write completed"), 2)
    })?;
    let main = server.pid();
    let calls = server.calls().all();
    // A wait that began before counts: it is the one that the first client ends.
    let ended_since = |call: &&SystemCall| call.ended_at.is_some_and(|at| at > begun);
    let since: Vec<_> = calls.iter().filter(ended_since).collect();
    let accepts: Vec<_> = since
        .iter()
        .filter(|call| call.name == "accept4" && matches!(call.result, Some(Ok(_))))
        .collect();
    lab.claim("both connections are accepted by the main thread", {
        equal(
            accepts
                .iter()
                .map(|call| call.tid == main)
                .collect::<Vec<_>>(),
            [true, true],
        )
    });
    let reads: Vec<_> = since
        .iter()
        .filter(|call| reads_a_connection(call))
        .collect();
    lab.central("the main thread reads from no connection", {
        let of_main = reads.iter().filter(|call| call.tid == main).count();
        equal((of_main, reads.is_empty()), (0, false))
    });
    lab.central("each connection is read by a thread of its own", {
        let mut threads: Vec<_> = reads.iter().map(|call| call.tid).collect();
        threads.sort();
        threads.dedup();
        equal(threads.len(), 2)
    });
    let woken = since.iter().filter(|call| {
        call.name == "epoll_wait" && call.tid == main && matches!(call.result, Some(Ok(1..)))
    });
    lab.central(
        "epoll_wait returns twice in the main thread, once for each connection",
        equal(woken.count(), 2),
    );
    lab.central("the log says the same", {
        equal(
            server.errors().count("epoll_wait wakeup, main thread") - lines_before,
            2,
        )
    });
    lab.done()
}

fn edge_needs_draining(lab: &Lab) -> Outcome {
    const SENT: usize = 2000;
    let host = lab.host()?;
    host.names_own_hand("client");
    server_on(&host, "sip --trigger level", PORT)?;
    server_on(
        &host,
        lab.vary("sip --trigger edge", "sip --trigger level"),
        PORT + 1,
    )?;
    server_on(
        &host,
        &format!("{MULTITHREADS} --trigger edge --echo"),
        PORT + 2,
    )?;
    lab.leaves_out(PORT + 2..=PORT + 2);
    let asks = |port: u16, expected: usize| -> Result<(TcpStream, usize), LabError> {
        let mut client = connect(&host, port)?;
        client.write_all(&[b'x'; SENT])?;
        let found = takes(&client, expected, Duration::from_secs(10))?.len();
        Ok((client, found))
    };
    let (_first, level) = asks(PORT, SENT)?;
    let (second, mut edge) = asks(PORT + 1, 512)?;
    edge += takes(&second, SENT, Duration::from_millis(300))?.len();
    let of_second = |s: &Socket| s.local.port() == PORT + 1 && s.remote.port() != 0;
    let unread = host.has(TcpState::Established, |s| {
        of_second(s) && s.receive_queue as usize == SENT - 512
    });
    let (_third, ours) = asks(PORT + 2, SENT)?;

    lab.claim(
        "level-triggered, all 2000 bytes come back, 512 at a time",
        equal(level, SENT),
    );
    lab.central("edge-triggered, 512 come back", equal(edge, 512));
    lab.central(
        "the other 1488 lie in the server's kernel, and no event will tell of them",
        unread,
    );
    lab.claim(
        "the framework is edge-triggered, too, and reads until nothing is left: all come back",
        equal(ours, SENT),
    );
    if !lab.is_control() {
        (&second).write_all(b"y")?;
        let more = takes(&second, 512, Duration::from_secs(10))?.len();
        lab.claim(
            "one byte more is a new event, and 512 more come back",
            equal(more, 512),
        );
    }
    lab.done()
}

fn write_storm(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    lab.leaves_out(PORT..=PORT + 1);
    let storm = lab.vary("--always-writable", "");
    let starts = |trigger: &str, port: u16| -> Result<Process, LabError> {
        let command = format!("chap-29 sip --trigger {trigger} {storm} --port {port}");
        let server = host
            .program(&command)
            .named(trigger)
            .traced_drawing(&[])
            .start()?;
        server.listens()?;
        Ok(server)
    };
    let waits = |server: &Process| {
        let woken =
            |call: &SystemCall| call.name == "epoll_wait" && matches!(call.result, Some(Ok(1..)));
        server.calls().filtered(woken).len()
    };
    let wakes = |server: &Process, port: u16| -> Result<usize, LabError> {
        let mut client = connect(&host, port)?;
        client.write_all(b"a")?;
        takes(&client, 1, Duration::from_secs(10))?; // it is connected, and was served
        let before = waits(server);
        lab.watches_for(Duration::from_millis(300));
        Ok(waits(server) - before)
    };
    let level = starts("level", PORT)?;
    let by_level = wakes(&level, PORT)?;
    level.kill()?;
    let edge = starts("edge", PORT + 1)?;
    let by_edge = wakes(&edge, PORT + 1)?;
    lab.central(
        "level-triggered, epoll_wait returns again and again while nothing happens",
        within(by_level, 100..),
    );
    lab.claim("edge-triggered, it does not", within(by_edge, ..=1));
    lab.figure(
        "returns of epoll_wait in 0.3 s, level-triggered and traced",
        by_level,
    );
    lab.figure("edge-triggered", by_edge);
    lab.done()
}
