//! Chapter 18: validating data.

use std::time::Instant;

use nix::errno::Errno;

use crate::net::sock_diag::{Socket, Timer};
use crate::prelude::*;
use crate::tracer::SystemCall;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "18/exactly-full",
        "133 bytes come for a buffer of 128: it is filled to its last byte, and the rest comes with the next read",
        exactly_full,
        "the server writes a 0 behind what it has read, as strings in C want it",
    ),
    Experiment::new(
        "18/trailing-nul",
        "the server sends the 0 that ends its text, and the client does not know the text again",
        trailing_nul,
        "the server sends the text alone",
    ),
    Experiment::new(
        "18/lying-length",
        "a message says 65535 and has 12 bytes: with the check it is refused, without it the server waits for ever",
        lying_length,
        "the messages say 12",
    )
    .also(&["chap-16"]),
    Experiment::new(
        "18/line-exactly-fits",
        "a line of ten bytes for a buffer of ten: version 2 writes one byte too many, version 3 does not",
        line_exactly_fits,
        "the line has nine bytes",
    ),
    Experiment::new(
        "18/syscalls-per-line",
        "for a line of 600 bytes version 1 makes 600 reads, versions 2 and 3 make two",
        syscalls_per_line,
        "all three servers use version 1",
    ),
    Experiment::new(
        "18/read-timeout",
        "with SO_RCVTIMEO a read that gets nothing fails with EAGAIN when the time is up",
        read_timeout,
        "the time is 0, which means no limit",
    ),
    Experiment::new(
        "18/select-timeout",
        "select returns 0 when the time is up; on Linux it has changed the time that it was given",
        select_timeout,
        "the program fills in the time for each call",
    ),
];

/// A server of this lesson, ready.
fn server(host: &Host, command: &str) -> Result<Process, LabError> {
    let server = host.start(&format!("chap-18 {command}"))?;
    server.listens()?;
    Ok(server)
}

/// The same, and its system calls are watched; the ladder shows the ones that are named.
fn traced_server(
    host: &Host,
    command: &str,
    drawn: &'static [&'static str],
) -> Result<Process, LabError> {
    let server = host
        .program(&format!("chap-18 {command}"))
        .traced_drawing(drawn)
        .start()?;
    server.listens()?;
    Ok(server)
}

/// A client that has sent this line.
fn sends(host: &Host, line: &str) -> Result<Process, LabError> {
    let client = host.start("chap-18 bufferclient 127.0.0.1")?;
    client.types(line)?;
    Ok(client)
}

/// What the reads from sockets have returned. One that has not returned is left out.
fn reads(program: &Process) -> Vec<Result<i64, Errno>> {
    let calls = program.calls().named("read");
    calls
        .iter()
        .filter(|call| of_socket(call))
        .filter_map(|call| call.result)
        .collect()
}

fn of_socket(call: &SystemCall) -> bool {
    call.descriptor
        .as_deref()
        .is_some_and(|descriptor| descriptor.starts_with("socket:"))
}

/// The server's end of a connection.
fn of_server(socket: &Socket) -> bool {
    socket.local.port() == PORT && socket.remote.port() != 0
}

/// Whether a program still runs.
fn runs(program: &Process) -> Check {
    match program.ended() {
        None => Check::new(true, "it runs"),
        Some(end) => Check::new(false, format_args!("it {}", end.ending)),
    }
}

/// Whether it was killed by SIGSEGV. It may still be running.
fn segfaulted(program: &Process) -> Check {
    program
        .ended()
        .map_or_else(|| !runs(program), |end| end.was_killed_by(Signal::SIGSEGV))
}

/// The lengths of the segments with data from a program.
fn segments(lab: &Lab, program: &Process) -> Vec<usize> {
    lab.packets()
        .from(program)
        .carrying_data()
        .iter()
        .map(|packet| packet.length)
        .collect()
}

fn exactly_full(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = traced_server(
        &host,
        &format!("samplebuffer01 --guard{}", lab.vary("", " --terminate")),
        &["read"],
    )?;
    let client = host.start("chap-18 bufferclient 127.0.0.1 --hostile full")?;
    client.ends()?;
    if lab.is_control() {
        server.ends()?;
    } else {
        server.says("client closed")?;
    }

    lab.claim(
        "all bytes come in one segment",
        equal(segments(lab, &client), [133]),
    );
    let reads = reads(&server);
    lab.claim(
        "the first read returns 128: the buffer is full",
        equal(reads.first(), Some(&Ok(128))),
    );
    lab.central(
        "the next read returns the other five, the one after it the end of file",
        equal(&reads[..], [Ok(128), Ok(5), Ok(0)]),
    );
    lab.central(
        "behind the buffer is a page that the kernel lets nobody touch, and the server runs",
        runs(&server),
    );
    lab.done()
}

fn trailing_nul(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = server(
        &host,
        &format!("samplebuffer01{}", lab.vary(" --sizeof", "")),
    )?;
    let client = sends(&host, "quit")?;
    let end = client.ends()?;
    server.says("client closed")?;

    let answer = lab.packets().from(&server).carrying_data();
    let bytes: Vec<u8> = answer
        .iter()
        .flat_map(|packet| packet.data().to_vec())
        .collect();
    lab.central("the answer has eleven bytes, and the last is 00", {
        Check::new(
            bytes.len() == 11 && bytes.last() == Some(&0),
            bytes.escape_ascii(),
        )
    });
    lab.claim("the first ten are the text", {
        Check::new(bytes.starts_with(b"COMMAND OK"), bytes.escape_ascii())
    });
    lab.central(
        "the client, which compares all that came with the text, ends with an error",
        end.exited_with(1),
    );
    lab.done()
}

fn lying_length(lab: &Lab) -> Outcome {
    let announce = lab.vary("", " --announce 12");
    let host = lab.host()?;
    let lies = || host.start(&format!("chap-18 samplebuffer02 127.0.0.1{announce}"));
    lab.notes("a server that compares the length with its limit");
    let checking = host.start("chap-16 streamserver")?;
    checking.listens()?;
    let first = lies()?;
    if lab.is_control() {
        checking.says("received 12 bytes")?;
    } else {
        checking.complains("a message of 65535 bytes is announced")?;
        first.ends()?;
    }
    first.kill()?;
    checking.kill()?;

    lab.notes("a server that believes every length");
    let believing = host.start("chap-16 streamserver --limit 4294967295")?;
    believing.listens()?;
    let second = lies()?;
    let has_read = |socket: &Socket| {
        of_server(socket)
            && socket.receive_queue == 0
            && socket.info.is_some_and(|info| info.bytes_received == 20)
    };
    lab.until("the server has read all that there is", || {
        host.has(TcpState::Established, has_read)
    })?;
    lab.watches_for(Duration::from_millis(200)); // for an answer, or an error

    let told = first
        .errors()
        .says("read: Connection reset by peer (os error 104)");
    lab.central(
        "the server that checks resets the connection, and the client is told: ECONNRESET",
        lab.packets().from(&checking).has(RST).and(told),
    );
    let silent = believing.output().lacks("received");
    lab.central(
        "the server that believes prints no message and no error",
        silent.and(believing.errors().is_empty()),
    );
    lab.eventually("it has read all 20 bytes and waits in read", || {
        host.has(TcpState::Established, has_read)
            .and(believing.blocks_in(&["read"]))
    });
    lab.eventually("no timer runs at either end: unless the client says more or leaves, nothing will ever wake it", || {
        let sockets = host.sockets().unwrap_or_default();
        let ends = sockets.iter().filter(|socket| socket.state == TcpState::Established);
        equal(ends.map(|socket| socket.timer).collect::<Vec<_>>(), [Timer::None; 2])
    });
    lab.claim(
        "the client runs, too, and waits for an answer",
        runs(&second),
    );
    lab.done()
}

fn line_exactly_fits(lab: &Lab) -> Outcome {
    let line = lab.vary("012345678", "01234567"); // and a newline
    let host = lab.host()?;
    let mut servers = Vec::new();
    let mut alive = Vec::new();
    for (options, note) in [
        ("--version 2 --guard", "version 2, nothing checked"),
        ("--version 2", "version 2, checked by Rust"),
        ("--version 3 --guard", "version 3, nothing checked"),
    ] {
        lab.notes(note);
        let server = server(&host, &format!("samplebuffer03 {options}"))?;
        let client = sends(&host, line)?;
        if lab.is_control() {
            server.says("received 9 bytes")?;
            client.closes_input();
        } else if servers.is_empty() {
            server.ends()?;
        } else {
            server.complains("client 127.0.0.1")?;
        }
        client.ends()?;
        alive.push(runs(&server));
        server.kill()?;
        servers.push(server);
    }

    let [in_c, in_rust, repaired] = &servers[..] else {
        unreachable!("three were started")
    };
    lab.central(
        "version 2, nothing checked: it writes a 0 behind the buffer, and SIGSEGV kills the server",
        segfaulted(in_c),
    );
    lab.central(
        "version 2, checked by Rust: that write is an error of this client",
        in_rust
            .errors()
            .says("caught: a write to byte 10 of a buffer of 10 bytes"),
    );
    lab.central(
        "version 3, nothing checked: the line is too long",
        repaired
            .errors()
            .says("a line does not fit into 10 bytes together with its 0"),
    );
    lab.claim(
        "the second and the third server run on",
        alive[1].clone().and(alive[2].clone()),
    );
    lab.done()
}

fn syscalls_per_line(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let mut counts = Vec::new();
    for version in [1, lab.vary(2, 1), lab.vary(3, 1)] {
        lab.notes(&format!("version {version}"));
        let server = traced_server(
            &host,
            &format!("samplebuffer03 --size 700 --version {version}"),
            &["read"],
        )?;
        let client = host.start("chap-18 bufferclient 127.0.0.1 --hostile long")?;
        server.says("received 600 bytes")?;
        server.says("client closed")?;
        client.ends()?;
        server.kill()?;
        let data: Vec<_> = reads(&server)
            .into_iter()
            .filter(|read| *read != Ok(0))
            .collect();
        counts.push(data);
    }

    lab.claim(
        "version 1 makes 600 reads, each of which returns one byte",
        Check::new(
            counts[0] == [Ok(1); 600],
            format_args!("{} reads", counts[0].len()),
        ),
    );
    for (version, reads) in [("2", &counts[1]), ("3", &counts[2])] {
        lab.central(
            &format!("version {version} makes two: the first returns 512 bytes, the second 88"),
            Check::new(
                reads[..] == [Ok(512), Ok(88)],
                format_args!("{} reads", reads.len()),
            ),
        );
    }
    lab.done()
}

fn read_timeout(lab: &Lab) -> Outcome {
    let time = Duration::from_millis(600);
    let host = lab.host()?;
    let server = traced_server(
        &host,
        &format!("readtimeout --timeout {}", lab.vary("0.6", "0")),
        &["setsockopt", "read"],
    )?;
    let client = host.start("chap-18 bufferclient 127.0.0.1 --hostile silent")?;
    server.says("received 4 bytes")?;
    if lab.is_control() {
        lab.watches_for(time + Duration::from_millis(200));
    } else {
        server.says("read timeout")?;
        client.ends()?;
    }

    let calls = server.calls().named("read");
    let failed = calls
        .iter()
        .find(|call| of_socket(call) && call.failed_with(Errno::EAGAIN));
    let took = failed.and_then(|call| Some(call.ended_at? - call.at));
    lab.central(
        "a read fails with EAGAIN",
        Check::new(failed.is_some(), format_args!("{:?}", reads(&server))),
    );
    lab.central("it has waited 0.6 seconds, or a little longer", {
        // The kernel counts in ticks of at most 10 ms.
        Check::new(
            took >= Some(time - Duration::from_millis(10)),
            format_args!("{took:?}"),
        )
    });
    lab.claim(
        "the client has sent its four bytes, and nothing else",
        equal(segments(lab, &client), [4]),
    );
    lab.central(
        "the server ends the connection",
        lab.packets().from(&server).has(FIN),
    );
    lab.done()
}

/// The time that a call of select has been given, or what is left of it. On most machines the C library calls pselect6.
fn select_time(call: &SystemCall) -> Option<f64> {
    let is_select = matches!(&*call.name, "select" | "pselect6");
    let (_, time) = call
        .decoded
        .strip_suffix(" s)")
        .filter(|_| is_select)?
        .rsplit_once(", ")?;
    time.parse().ok()
}

fn select_timeout(lab: &Lab) -> Outcome {
    let deadline = || Instant::now() + Duration::from_secs(20);
    let host = lab.host()?;
    let server = traced_server(
        &host,
        &format!(
            "readtimeout --by select --timeout 1{}",
            lab.vary(" --keep", "")
        ),
        &["select", "pselect6", "read"],
    )?;
    let client = host.start("chap-18 bufferclient 127.0.0.1")?;
    let calls = server.calls();
    let first = calls.await_call(|call| select_time(call).is_some(), deadline());
    lab.watches_for(Duration::from_millis(100)); // some of the second passes
    client.types("one")?;
    server.says("received 4 bytes")?;
    server.says("read timeout")?;
    client.ends()?;

    let selects = calls.filtered(|call| select_time(call).is_some());
    let returned: Vec<_> = selects.iter().filter_map(|call| call.result).collect();
    lab.claim(
        "the first select returns 1, the second 0",
        equal(returned, [Ok(1), Ok(0)]),
    );
    let given = first.as_ref().and_then(select_time);
    let [left, again] = [selects.first(), selects.last()].map(|call| call.and_then(select_time));
    lab.claim(
        "the first was given a second, and less stands there when it returns",
        Check::new(
            given == Some(1.0) && left < given,
            format_args!("{given:?} and {left:?} seconds"),
        ),
    );
    lab.central(
        "a program that does not fill in the time again waits only for what was left",
        Check::new(
            again < given && again <= left,
            format_args!("{again:?} seconds"),
        ),
    );
    let after = selects.last().map(|call| call.at);
    let reads =
        calls.filtered(|call| call.name == "read" && of_socket(call) && Some(call.at) > after);
    lab.claim(
        "after the 0 there is no read: select alone has told",
        equal(reads.len(), 0),
    );
    lab.done()
}
