//! Chapter 22: non-blocking I/O.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;

use nix::errno::Errno;

use crate::net::sock_diag::Socket;
use crate::prelude::*;
use crate::tracer::SystemCall;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "22/rot13",
        "several clients in one thread, and lines of any length come back whole from a buffer of 1024 bytes",
        rot13,
        "the server drops what does not fit into its buffer, as the course's does",
    ),
    Experiment::new(
        "22/reset-before-accept",
        "a client resets its connection between select and accept: on Linux accept gives it out, and the first read fails",
        reset_before_accept,
        "the client ends in good order",
    ),
    Experiment::new(
        "22/blocked-listener",
        "another process takes the connection between select and accept: an accept that waits stops the whole server",
        blocked_listener,
        "the listening socket is non-blocking",
    )
    .also(&["chap-20"]),
    Experiment::new(
        "22/partial-write",
        "a large write on a non-blocking socket takes a part, then nothing, and more once the reader has read",
        partial_write,
        "everything fits",
    ),
    Experiment::new(
        "22/read-write-table",
        "read and write on a blocking and on a non-blocking socket, situation by situation",
        read_write_table,
        "the socket is blocking in both columns",
    ),
    Experiment::new(
        "22/write-to-closed-peer",
        "the first write after the peer has closed counts its bytes, the next one fails",
        write_to_closed_peer,
        "the peer ends only its own direction, with the same FIN",
    ),
    Experiment::new(
        "22/connect-in-progress",
        "three connects are under way at once, and SO_ERROR tells success, refusal and time-out apart",
        connect_in_progress,
        "the sockets block",
    )
    .isolated(),
];

/// The second server of an experiment.
const OTHER_PORT: u16 = PORT + 1;

/// Of the server's end of each connection.
fn of_server(socket: &Socket) -> bool {
    socket.local.port() == PORT && socket.remote.port() != 0
}

fn connect(host: &Host, port: u16) -> Result<TcpStream, LabError> {
    host.enter(|| {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(stream)
    })
}

fn asks(mut stream: &TcpStream, data: &[u8]) -> Result<(), LabError> {
    Ok(stream.write_all(data)?)
}

/// The next bytes of an answer, as many as `expected` has.
fn answers(mut stream: &TcpStream, expected: &[u8]) -> Result<Check, LabError> {
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer)?;
    Ok(Check::new(
        answer == expected,
        String::from_utf8_lossy(&answer).escape_debug(),
    ))
}

/// What a program made of its sockets, with these calls.
fn on_sockets(program: &Process, names: &[&str]) -> Vec<SystemCall> {
    program.calls().filtered(|call| {
        let socket = call.descriptor.as_deref().unwrap_or_default();
        names.contains(&&*call.name) && socket.starts_with("socket:")
    })
}

fn results(calls: &[SystemCall]) -> Vec<Result<i64, Errno>> {
    calls.iter().filter_map(|call| call.result).collect()
}

/// The C library may make the first of them the second.
const SELECT: &[&str] = &["select", "pselect6"];

fn is_select(call: &SystemCall) -> bool {
    SELECT.contains(&&*call.name)
}

fn waits_in_select(lab: &Lab, server: &Process) -> Result<(), LabError> {
    lab.until("the server waits in select", || server.blocks_in(SELECT))
}

fn rot13(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.names_own_hand("clients");
    let command = "chap-22 nonblockingserver --accept-delay 0";
    let careless = format!("{command} --careless");
    let server = host
        .program(lab.vary(command, &careless))
        .traced_drawing(&["recvfrom", "sendto"])
        .start()?;
    server.listens()?;
    let first = connect(&host, PORT)?;
    server.says("client connected")?;
    waits_in_select(lab, &server)?;
    let second = connect(&host, PORT)?;
    server.says("client connected")?;
    host.look();
    asks(&first, b"Hello, ")?;
    lab.until("the first piece is read", || {
        within(results(&on_sockets(&server, &["recvfrom"])).len(), 2..)
    })?;
    asks(&second, b"data2\n")?;
    let of_second = answers(&second, b"qngn2\n")?;
    asks(&first, b"world\n")?;
    let of_first = answers(&first, b"Uryyb, jbeyq\n")?;
    lab.claim(
        "each client gets its own answer, though the lines came in turns",
        of_first.and(of_second),
    );
    let reads = on_sockets(&server, &["recvfrom"]);
    lab.claim(
        "the server reads until EAGAIN, and goes back to select",
        equal(
            reads
                .iter()
                .filter(|call| call.failed_with(Errno::EAGAIN))
                .count(),
            3,
        ),
    );
    waits_in_select(lab, &server)?;
    lab.ends_the_ladder();
    lab.claim("a line of 1024 bytes comes back whole", whole(&host, 1024)?);
    lab.central("so does a line of 1025 bytes", whole(&host, 1025)?);
    lab.central("and a line of 100 000 bytes", whole(&host, 100_000)?);
    lab.done()
}

/// Whether a line of this length, with its newline, comes back letter for letter.
fn whole(host: &Host, length: usize) -> Result<Check, LabError> {
    let mut stream = connect(host, PORT)?;
    let mut writer = stream.try_clone()?;
    let writing = thread::spawn(move || {
        let line = [vec![b'a'; length - 1], vec![b'\n']].concat();
        writer.write_all(&line)?;
        writer.shutdown(Shutdown::Write)
    });
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let written = writing.join().unwrap_or(Ok(()));
    written?;
    let line = [vec![b'n'; length - 1], vec![b'\n']].concat();
    Ok(Check::new(
        answer == line,
        format_args!("{} bytes", answer.len()),
    ))
}

/// How many connections wait for accept, and how many of the server's are not closed.
fn waiting(host: &Host) -> (Option<u32>, usize) {
    let sockets = host.sockets().unwrap_or_default();
    let listener = sockets
        .iter()
        .find(|socket| socket.state == TcpState::Listen);
    let queue = listener.map(|socket| socket.receive_queue);
    (queue, sockets.iter().filter(|s| of_server(s)).count())
}

/// A server, and a client that has gone when the server accepts.
fn gone_before_accept(lab: &Lab, host: &Host, options: &str) -> Result<Process, LabError> {
    let command = format!("chap-22 nonblockingserver --accept-delay 1 {options}");
    let server = host
        .program(&command)
        .traced_drawing(&["accept4", "recvfrom"])
        .start()?;
    server.listens()?;
    let command = "chap-22 nonblockingclient 127.0.0.1 --hold";
    let fin = format!("{command} --fin");
    let client = host.start(lab.vary(command, &fin))?;
    server.says("listening socket readable")?;
    client.types_ctrl_d();
    client.ends()?;
    lab.until("the server's kernel knows", || {
        equal(waiting(host), (Some(1), lab.vary(0, 1)))
    })?;
    lab.until("the server has read", || {
        within(results(&on_sockets(&server, &["recvfrom"])).len(), 1..)
    })?;
    Ok(server)
}

fn reset_before_accept(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let blocking = gone_before_accept(lab, &host, "--blocking-listener")?;
    let accepted = |server: &Process| {
        let accepted = server.calls().returned("accept4");
        Check::new(
            matches!(accepted.first(), Some(Ok(_))),
            format_args!("{accepted:?}"),
        )
    };
    let first_read = |server: &Process| {
        let reads = results(&on_sockets(server, &["recvfrom"]));
        equal(reads.first().copied(), Some(Err(Errno::ECONNRESET)))
    };
    lab.claim(
        "with a blocking listener accept returns a connection",
        accepted(&blocking),
    );
    lab.central(
        "the first read on it fails with ECONNRESET",
        first_read(&blocking),
    );
    lab.eventually("the server sleeps in select again", || {
        blocking.blocks_in(SELECT)
    });
    lab.ends_the_ladder();
    blocking.types_ctrl_c();
    blocking.ends()?;

    let other = gone_before_accept(lab, &host, "")?;
    lab.claim(
        "with a non-blocking listener it returns a connection, too",
        accepted(&other),
    );
    lab.central(
        "and the first read fails in the same way",
        first_read(&other),
    );
    lab.done()
}

/// What waits unread at the server's end of a connection.
fn unread(host: &Host) -> u32 {
    let sockets = host.sockets().unwrap_or_default();
    let of_server = sockets.iter().filter(|socket| of_server(socket));
    of_server.map(|socket| socket.receive_queue).sum()
}

/// A client connects, the server sees it, and the other process takes it.
fn taken_by_the_other(host: &Host, server: &Process, port: u16) -> Result<Process, LabError> {
    let client = host.start(&format!(
        "chap-22 nonblockingclient 127.0.0.1 --port {port} --hold"
    ))?;
    client.says("connected to")?;
    server.says("listening socket readable")?;
    server.types("take")?;
    server.says("the other process takes")?;
    Ok(client)
}

fn blocked_listener(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let command = "chap-22 nonblockingserver --rival --accept-delay 1";
    let blocking = format!("{command} --blocking-listener");
    let server = host
        .program(lab.vary(&blocking, command))
        .traced_drawing(&["accept4"])
        .start()?;
    server.listens()?;
    let client = host.start("chap-20 select01 127.0.0.1")?;
    server.says("client connected")?;
    client.types("data1")?;
    client.says("qngn1")?;

    taken_by_the_other(&host, &server, PORT)?;
    let waits_in = lab.vary(&["accept4"][..], SELECT);
    lab.until("the server waits", || {
        let calls = server.calls().of_pid(server.pid());
        let tried = calls.iter().filter(|call| call.name == "accept4").count();
        server.blocks_in(waits_in).and(within(tried, 2..))
    })?;
    lab.notes(lab.vary("the server waits in accept", "the server waits in select"));
    client.types("data2")?;
    if lab.is_control() {
        client.says("qngn2")?;
    } else {
        lab.until("the line has arrived", || equal(unread(&host), 5))?;
        lab.watches_for(Duration::from_millis(200));
    }
    lab.central(
        "the server sleeps in accept",
        server.blocks_in(&["accept4"]),
    );
    lab.central(
        "a line of a client that it has served stays unread",
        equal(unread(&host), 5),
    );
    let next = host.start("chap-22 nonblockingclient 127.0.0.1 --hold")?;
    next.says("connected to")?;
    lab.eventually("it is answered when the next connection comes", || {
        client.output().says("qngn2")
    });
    server.says("client connected")?;
    host.look();
    lab.ends_the_ladder();
    server.types_ctrl_c();
    server.ends()?;

    let server = host
        .program(command)
        .arg("--port")
        .arg(OTHER_PORT.to_string())
        .traced_drawing(&[])
        .start()?;
    server.listens()?;
    taken_by_the_other(&host, &server, OTHER_PORT)?;
    let own = || {
        let calls = server.calls().of_pid(server.pid());
        let accepts: Vec<_> = calls
            .into_iter()
            .filter(|call| call.name == "accept4")
            .collect();
        results(&accepts)
    };
    lab.eventually(
        "on a non-blocking socket the same accept fails with EAGAIN",
        || equal(own(), [Err(Errno::EAGAIN)]),
    );
    lab.eventually("and the server goes back to select", || {
        server.blocks_in(SELECT)
    });
    lab.done()
}

fn partial_write(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    lab.leaves_out(1..=u16::MAX); // the connection of the program to itself
    let program = host
        .program(lab.vary(
            "chap-22 probe partial-write",
            "chap-22 probe partial-write --bytes 1000",
        ))
        .named("writer")
        .traced_drawing(&[])
        .start()?;
    let end = program.ends()?;

    let writes = on_sockets(&program, &["write"]);
    let first = results(&writes).first().copied();
    lab.central(
        "the first write takes a part of the million bytes, and returns",
        Check::new(
            matches!(first, Some(Ok(1..1_000_000))) && writes.len() > 1,
            format_args!("{first:?}"),
        ),
    );
    let [.., refused, last] = &writes[..] else {
        lab.central("then a write takes nothing: EAGAIN", equal(writes.len(), 2));
        lab.central("more fits once the reader has read", equal(writes.len(), 2));
        return lab.done();
    };
    lab.central(
        "then a write takes nothing: EAGAIN",
        equal(refused.result, Some(Err(Errno::EAGAIN))),
    );
    let selects = program.calls().filtered(is_select);
    let [.., not_yet, _] = &selects[..] else {
        return Err(LabError::Impossible("select was not called".into()));
    };
    lab.claim(
        "select does not call the socket writable",
        equal(not_yet.result, Some(Ok(0))),
    );
    let reads = on_sockets(&program, &["read"]);
    let writable = selects.last();
    lab.claim(
        "it does once the reader has read",
        equal(writable.and_then(|call| call.result), Some(Ok(1))).and(Check::new(
            reads.last().map(|read| read.at) < writable.map(|call| call.at) && !reads.is_empty(),
            format_args!("{} reads", reads.len()),
        )),
    );
    lab.central(
        "more fits once the reader has read",
        Check::new(
            matches!(last.result, Some(Ok(1..))),
            format_args!("{:?}", last.result),
        )
        .and(end.exited_with(0)),
    );
    lab.done()
}

/// A cell of the table, from the system calls.
#[derive(Debug, PartialEq)]
struct Cell {
    result: Result<i64, Errno>,
    /// The other end did something while the call slept.
    waited: bool,
}

/// The cells in the order in which they were made: the calls of the first thread that it makes by these names on sockets.
/// All other calls are made by other names, or by another thread.
fn cells(program: &Process) -> Vec<Cell> {
    let by_first = |call: &SystemCall| call.tid == program.pid();
    let attempts = on_sockets(program, &["read", "write"]);
    let mut help = on_sockets(program, &["read", "sendto"]);
    help.retain(|call| !by_first(call));
    let cell = |call: SystemCall| {
        let during = |help: &SystemCall| help.at > call.at && Some(help.at) < call.ended_at;
        Some(Cell {
            result: call.result?,
            waited: help.iter().any(during),
        })
    };
    let attempts = attempts.into_iter().filter(by_first);
    attempts.filter_map(cell).collect()
}

fn read_write_table(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    lab.leaves_out(1..=u16::MAX);
    let columns = lab.vary("", "blocking blocking");
    let program = host
        .program(&format!("chap-22 probe read-write {columns}"))
        .named("probe read-write")
        .traced_drawing(&[])
        .start()?;
    program.ends()?;
    let cells = cells(&program);
    let at = |row: usize, column: usize| cells.get(2 * row + column);
    let (blocking, non_blocking) = (0, 1);
    let returns =
        |row, column, result, waited| equal(at(row, column), Some(&Cell { result, waited }));

    lab.claim(
        "where there is data, read returns it at once, also when it asked for more",
        returns(0, blocking, Ok(5), false).and(returns(0, non_blocking, Ok(5), false)),
    );
    lab.claim(
        "where there is none, a blocking read waits for it",
        returns(1, blocking, Ok(5), true),
    );
    lab.central(
        "a non-blocking read fails at once with EAGAIN",
        returns(1, non_blocking, Err(Errno::EAGAIN), false),
    );
    lab.claim(
        "where there is room, write returns at once and has taken everything",
        returns(2, blocking, Ok(5), false).and(returns(2, non_blocking, Ok(5), false)),
    );
    lab.claim(
        "where there is room for a part, a blocking write waits until all is taken",
        returns(3, blocking, Ok(1_000_000), true),
    );
    let part = at(3, non_blocking);
    lab.central(
        "a non-blocking write takes the part and returns at once",
        Check::new(
            part.is_some_and(|cell| matches!(cell.result, Ok(1..1_000_000)) && !cell.waited),
            format_args!("{part:?}"),
        ),
    );
    lab.claim(
        "where there is no room, a blocking write waits for it",
        returns(4, blocking, Ok(5), true),
    );
    lab.central(
        "a non-blocking write fails at once with EAGAIN",
        returns(4, non_blocking, Err(Errno::EAGAIN), false),
    );
    lab.done()
}

fn write_to_closed_peer(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    lab.leaves_out(1..=u16::MAX);
    let program = host
        .program(lab.vary(
            "chap-22 probe closed-peer",
            "chap-22 probe closed-peer --half",
        ))
        .named("probe closed-peer")
        .traced_drawing(&[])
        .start()?;
    program.ends()?;
    let after = on_sockets(&program, &["write"]);
    lab.claim(
        "before and after the peer has ended, write takes all of its 5 bytes",
        equal(&results(&after)[..2.min(after.len())], [Ok(5), Ok(5)]),
    );
    let resets = lab.packets().with(RST);
    let reset = resets.first().map(|packet| packet.sent);
    let last = after.last().map(|call| program.time_of_call(call.at));
    lab.central(
        "the peer's kernel answers the second of them with a reset",
        resets.check(reset.is_some() && reset < last),
    );
    lab.central(
        "the third write fails with EPIPE",
        equal(results(&after).last().copied(), Some(Err(Errno::EPIPE))),
    );

    let waiting = host
        .program("chap-22 probe closed-peer --waiting")
        .named("probe closed-peer --waiting")
        .traced_drawing(&[])
        .start()?;
    waiting.ends()?;
    let writes = results(&on_sockets(&waiting, &["write"]));
    lab.claim(
        "a blocking write that waits while the peer closes returns less than was asked for, and no error",
        Check::new(
            matches!(writes.first(), Some(Ok(1..1_000_000))),
            format_args!("{writes:?}"),
        ),
    );
    lab.claim(
        "the next one fails with ECONNRESET, the one after it with EPIPE",
        equal(
            writes.get(1..),
            Some(&[Err(Errno::ECONNRESET), Err(Errno::EPIPE)][..]),
        ),
    );
    lab.done()
}

fn connect_in_progress(lab: &Lab) -> Outcome {
    let [client, server, _closed, silent] = lab.hosts(["client", "server", "closed", "silent"])?;
    if lab.kernel().at_least(6, 5) {
        client.sets("net.ipv4.tcp_syn_linear_timeouts", 0)?;
    }
    client.sets("net.ipv4.tcp_syn_retries", 1)?; // 6 unless set
    let address = silent.address();
    client
        .wire()
        .lose_all(move |packet| packet.destination.ip() == address);
    let listening = server.start("chap-22 nonblockingserver --bind 10.0.0.2 --accept-delay 0")?;
    listening.listens()?;
    let option = lab.vary("", "--blocking");
    let program = client
        .program(&format!(
            "chap-22 nonblockingconnect 10.0.0.4 10.0.0.3 10.0.0.2 {option}"
        ))
        .traced_drawing(&["connect", "getsockopt"])
        .start()?;
    let end = program.ends()?;
    listening.says("client closed")?;

    let calls = program.calls();
    lab.central(
        "connect returns EINPROGRESS, three times",
        equal(calls.returned("connect"), [Err(Errno::EINPROGRESS); 3]),
    );
    let asked = calls.named("getsockopt");
    let syns = lab.packets().from(&program).with(SYN);
    let mut under_way: Vec<SocketAddr> = syns
        .iter()
        .filter(|syn| {
            asked
                .first()
                .is_some_and(|call| syn.sent < program.time_of_call(call.at))
        })
        .map(|syn| syn.destination)
        .collect();
    under_way.sort();
    under_way.dedup();
    lab.central(
        "all three SYNs are under way before the first outcome is asked for",
        equal(under_way.len(), 3),
    );
    // getsockopt(3, SO_ERROR, ETIMEDOUT) = 0
    let outcome = |call: &SystemCall| {
        let (_, told) = call.decoded.rsplit_once(", ")?;
        Some(told.trim_end_matches(')').to_string())
    };
    let mut outcomes: Vec<_> = asked.iter().filter_map(outcome).collect();
    outcomes.sort();
    lab.central(
        "SO_ERROR is 0, ECONNREFUSED and ETIMEDOUT",
        equal(outcomes, ["0", "ECONNREFUSED", "ETIMEDOUT"]),
    );
    lab.claim(
        "only the silent host is asked again, and its SYNs are lost",
        syns.lost().exactly(2),
    );
    let connected = lab.packets().from(&program).to(&listening).with(FIN);
    lab.claim(
        "one of three has become a connection",
        connected.some().and(end.exited_with(1)),
    );
    lab.done()
}
