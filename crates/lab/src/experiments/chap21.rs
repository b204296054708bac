//! Chapter 21: poll.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::net::sock_diag::Socket;
use crate::prelude::*;
use crate::tracer::SystemCall;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "21/two-clients",
        "two clients whose lines wait at the same time get each their own back; one leaves, and the other does not notice",
        two_clients,
        "the server has one place",
    )
    .also(&["chap-20"]),
    Experiment::new(
        "21/full",
        "the client for whom there is no place is told and closed; when another has left, the next is served",
        full,
        "the server's array grows",
    )
    .also(&["chap-20"]),
    Experiment::new(
        "21/grows",
        "the array grows: two thousand clients are there at once, and all are served",
        grows,
        "the array has its fixed size",
    ),
    Experiment::new(
        "21/reset",
        "a reset is told by poll unasked and by read with its name, and ends one client only",
        reset,
        "the client closes in the usual way",
    )
    .also(&["chap-10", "chap-20"]),
    Experiment::new(
        "21/slow-reader",
        "a client that sends eight megabytes and reads nothing delays nobody, and the server keeps next to nothing of it",
        slow_reader,
        "the server waits in send, as the course's does",
    )
    .also(&["chap-20"])
    .isolated(),
    Experiment::new(
        "21/negative-fd",
        "an entry with a negative number is passed over, and its answer is 0",
        negative_fd,
        "every entry has the number of the descriptor",
    ),
    Experiment::new(
        "21/revents-only",
        "errors, hang-ups and bad numbers are told even to a program that has asked for nothing",
        revents_only,
        "poll is asked about another connection, on which nothing happens",
    ),
];

/// Calls of poll(2) that have returned. The C library may make them ppoll.
fn polls(program: &Process) -> Vec<SystemCall> {
    let calls = program.calls();
    calls.filtered(|call| is_poll(call) && call.result.is_some())
}

fn is_poll(call: &SystemCall) -> bool {
    matches!(&*call.name, "poll" | "ppoll")
}

/// The server's end of a connection.
fn of_server(socket: &Socket) -> bool {
    socket.local.port() == PORT && socket.remote.port() != 0
}

/// How many bytes wait unread at the server.
fn unread(host: &Host) -> u32 {
    let sockets = host.sockets().unwrap_or_default();
    let of_server = sockets.iter().filter(|socket| of_server(socket));
    of_server.map(|socket| socket.receive_queue).sum()
}

/// How many connections the server has accepted and not closed.
fn served(host: &Host) -> usize {
    let sockets = host.sockets().unwrap_or_default();
    let accepted = |socket: &&Socket| of_server(socket) && socket.inode != 0;
    sockets.iter().filter(accepted).count()
}

fn client(host: &Host) -> Result<Process, LabError> {
    host.start("chap-20 select01 127.0.0.1")
}

fn connects(host: &Host, server: &Process) -> Result<Process, LabError> {
    let client = client(host)?;
    server.says("client connected")?;
    host.look();
    Ok(client)
}

/// What a client has printed beside what it says of its own sending.
fn heard(client: &Process) -> Vec<String> {
    let output = client.output();
    let heard = output.lines().iter().filter(|line| {
        let own = line.starts_with("now sending ") || line.starts_with("send bytes: ");
        !own
    });
    heard.cloned().collect()
}

/// Types a line and waits for its echo.
fn echoes(client: &Process, line: &str) -> Result<(), LabError> {
    client.types(line)?;
    client.says("send bytes: ")?;
    client.says(line)?;
    Ok(())
}

fn two_clients(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start(&format!("chap-21 pollserver --places {}", lab.vary(2, 1)))?;
    server.listens()?;
    let first = connects(&host, &server)?;
    let second = client(&host)?;
    if lab.is_control() {
        second.ends()?;
    } else {
        server.says("client connected")?;
        host.look();
    }

    server.halt()?;
    first.types("aaaaaaaaaaa")?;
    first.says("send bytes: ")?;
    if !lab.is_control() {
        second.types("bbbbbbb")?;
        second.says("send bytes: ")?;
    }
    let bytes = lab.vary(18, 11);
    lab.until("what they send waits at the server", || {
        equal(unread(&host), bytes)
    })?;
    let (waiting, both) = (unread(&host), served(&host));
    server.resume();
    first.says("aaaaaaaaaaa")?;
    if !lab.is_control() {
        second.says("bbbbbbb")?;
    }
    lab.central(
        "both lines wait at the server at the same time",
        equal((waiting, both), (18, 2)),
    );
    let apart = equal(heard(&first), ["aaaaaaaaaaa"]).and(equal(heard(&second), ["bbbbbbb"]));
    lab.central("each client gets its own back, and nothing else", apart);

    first.types_ctrl_d();
    let end = first.ends()?;
    lab.until("the first one's connection is closed", || {
        within(served(&host), ..=1)
    })?;
    if !lab.is_control() {
        echoes(&second, "bbb")?;
    }
    lab.claim("the first leaves in good order", end.exited_with(0));
    lab.central(
        "the second is answered as before",
        equal(heard(&second), ["bbbbbbb", "bbb"]),
    );
    lab.done()
}

fn full(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start(lab.vary("chap-21 pollserver --places 1", "chap-21 pollserver02"))?;
    server.listens()?;
    let first = connects(&host, &server)?;
    let second = client(&host)?;
    if lab.is_control() {
        server.says("client connected")?;
        host.look();
        echoes(&second, "data2")?;
    } else {
        second.ends()?;
    }
    lab.central(
        "the second client is told that there is no place",
        second.output().says("no place left, try again later"),
    );
    lab.central(
        "and the server closes its connection: FIN",
        lab.packets()
            .that(|packet| packet.source.port() == PORT)
            .has(FIN),
    );
    echoes(&first, "data1")?;
    lab.claim(
        "the first, who has the place, is served",
        equal(heard(&first), ["data1"]),
    );

    first.types_ctrl_d();
    first.ends()?;
    server.says("client closed")?;
    let third = connects(&host, &server)?;
    echoes(&third, "data3")?;
    lab.claim(
        "it leaves, and the next that comes has its place",
        equal(heard(&third), ["data3"]),
    );
    lab.central("the server has one client", equal(served(&host), 1));
    lab.done()
}

/// How many clients there are in a crowd.
const CROWD: usize = 2000;

fn grows(lab: &Lab) -> Outcome {
    let (_, limit) = getrlimit(Resource::RLIMIT_NOFILE).map_err(std::io::Error::from)?;
    if limit < 2 * CROWD as u64 {
        return Err(LabError::Impossible(format!(
            "a process may have {limit} descriptors here, not {}",
            2 * CROWD
        )));
    }
    setrlimit(Resource::RLIMIT_NOFILE, limit, limit).map_err(std::io::Error::from)?;
    let host = lab.host()?;
    lab.leaves_out(PORT..=PORT);
    let server = host.start(lab.vary("chap-21 pollserver02", "chap-21 pollserver"))?;
    server.listens()?;
    lab.notes("2000 clients connect");
    let connect = || (0..CROWD).map(|_| TcpStream::connect(("127.0.0.1", PORT)));
    let mut clients: Vec<_> = host.enter(|| connect().collect::<Result<_, _>>())?;
    let expected = lab.vary(CROWD, 128);
    lab.until("the server has seen them all", || {
        equal(served(&host), expected)
    })?;
    lab.central("they are all there at once", equal(served(&host), CROWD));

    lab.notes("each sends its number");
    let asks = |(number, client): (usize, &mut TcpStream)| client.write_all(&four(number)).is_ok();
    clients.iter_mut().enumerate().map(asks).for_each(drop); // who was refused may find that out here
    let mut answered = 0;
    for (number, client) in clients.iter_mut().enumerate() {
        client.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut answer = [0; 4];
        let read = client.read_exact(&mut answer);
        answered += usize::from(read.is_ok() && answer == four(number));
    }
    lab.central(
        "each of the two thousand gets its own number back",
        equal(answered, CROWD),
    );
    lab.notes("they leave");
    drop(clients);
    lab.until("they are gone", || equal(served(&host), 0))?;
    lab.eventually("when all have left, the server waits for the next", || {
        server.blocks_in(&["poll", "ppoll"])
    });
    lab.figure("answered", answered);
    lab.done()
}

fn four(number: usize) -> [u8; 4] {
    (number as u32).to_be_bytes()
}

fn reset(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host
        .program("chap-21 pollserver")
        .traced_drawing(&["poll", "ppoll", "read"])
        .start()?;
    server.listens()?;
    let other = connects(&host, &server)?;
    let ending = lab.vary("--linger 0", "--close-first");
    let client = host.start(&format!("chap-10 client 127.0.0.1 --typed {ending}"))?;
    server.says("client connected")?;
    host.look();
    client.types_ctrl_d();
    client.ends()?;
    if lab.is_control() {
        server.says("client closed")?;
    } else {
        server.complains("client 127.0.0.1:")?;
    }
    let calls = polls(&server);
    let unasked = calls
        .iter()
        .find(|call| call.decoded.contains("POLLERR|POLLHUP"));
    lab.central(
        "poll is asked for POLLIN, and tells of POLLERR and POLLHUP as well",
        Check::new(
            unasked.is_some(),
            unasked.map_or("no such answer", |call| &call.decoded),
        ),
    );
    let failed = |call: &SystemCall| call.name == "read" && call.failed_with(Errno::ECONNRESET);
    lab.central(
        "read fails with ECONNRESET",
        equal(server.calls().filtered(failed).len(), 1),
    );
    echoes(&other, "data2")?;
    lab.claim(
        "the other client is answered as before",
        equal(heard(&other), ["data2"]),
    );
    lab.claim("the server has one client left, and listens", {
        equal(served(&host), 1)
            .and(host.has(TcpState::Listen, |socket| socket.local.port() == PORT))
    });
    lab.done()
}

/// How much the slow reader sends.
const LOAD: usize = 8 << 20;

/// Sends until nothing more is taken for a while, and returns how much was.
fn sends_until_refused(stream: &mut TcpStream, load: &[u8]) -> Result<usize, LabError> {
    stream.set_nonblocking(true)?;
    let (mut sent, mut last) = (0, Instant::now());
    while sent < load.len() && last.elapsed() < Duration::from_millis(300) {
        match stream.write(&load[sent..]) {
            Ok(count) => (sent, last) = (sent + count, Instant::now()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
            Err(error) => return Err(error.into()),
        }
    }
    stream.set_nonblocking(false)?;
    Ok(sent)
}

/// The memory that a process has in use, in KiB: proc_pid_status(5).
fn memory(process: &Process) -> i64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(-1)
}

/// Sends the rest, and reads all that comes back meanwhile.
fn reads_at_last(mut stream: TcpStream, load: &[u8], sent: usize) -> Result<Vec<u8>, LabError> {
    let mut reader = stream.try_clone()?;
    reader.set_read_timeout(Some(Duration::from_secs(20)))?;
    thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut back = vec![0; LOAD];
            reader.read_exact(&mut back).map(|()| back)
        });
        stream.write_all(&load[sent..])?;
        let back = reading.join();
        let back = back.unwrap_or_else(|_| Err(ErrorKind::Other.into()));
        Ok(back?)
    })
}

fn slow_reader(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    // What the kernel holds is not to grow beyond this, or it holds all of it.
    host.sets("net.ipv4.tcp_wmem", "4096 65536 262144")?;
    host.sets("net.ipv4.tcp_rmem", "4096 65536 262144")?;
    let server = host.start(lab.vary("chap-21 pollserver", "chap-21 pollserver --blocking"))?;
    server.listens()?;
    let other = connects(&host, &server)?;
    echoes(&other, "data1")?;

    let mut slow = host.enter(|| TcpStream::connect(("127.0.0.1", PORT)))?;
    let port = slow.local_addr()?.port();
    lab.leaves_out(port..=port);
    server.says("client connected")?;
    lab.notes("another client sends, and does not read");
    let load: Vec<u8> = (0..LOAD).map(|number| (number % 251) as u8).collect();
    let before = memory(&server);
    let sent = sends_until_refused(&mut slow, &load)?;
    lab.until("the server sleeps", || {
        server.blocks_in(&["poll", "ppoll", "sendto"])
    })?;
    lab.notes("nothing more is taken from it");
    let grown = memory(&server) - before;

    other.types("data2")?;
    if lab.is_control() {
        lab.watches_for(Duration::from_millis(300));
    } else {
        other.says("send bytes: ")?;
        other.says("data2")?;
    }
    lab.central(
        "the other client is answered as before",
        equal(heard(&other), ["data1", "data2"]),
    );
    lab.central(
        "the server sleeps in poll, and not in send",
        server.blocks_in(&["poll", "ppoll"]),
    );
    lab.claim(
        "what the slow one sends stays in the kernel's buffers, and when they are full, with the client",
        within(sent, 1..LOAD).and(within(unread(&host), 1..)),
    );
    lab.claim(
        "the server's own memory has not grown by a megabyte",
        within(grown, ..1024),
    );
    lab.figure("KiB taken from it", sent / 1024);
    lab.figure("KiB of them unread", unread(&host) / 1024);
    lab.figure("KiB more in the server", grown);
    lab.ends_the_ladder();
    let back = reads_at_last(slow, &load, sent)?;
    lab.claim(
        "when it reads at last, all eight megabytes come back",
        Check::new(back == load, format_args!("{} bytes", back.len())),
    );
    lab.done()
}

fn negative_fd(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let program = host
        .program(lab.vary(
            "chap-21 probe negative-fd",
            "chap-21 probe negative-fd --positive",
        ))
        .named("probe")
        .traced_drawing(&[])
        .start()?;
    program.ends()?;
    let polls = polls(&program);
    let [.., first, second] = &polls[..] else {
        return Err(LabError::Impossible(format!(
            "{} calls of poll",
            polls.len()
        )));
    };
    lab.central(
        "of four entries one is ready",
        equal(first.result, Some(Ok(1))),
    );
    lab.central(
        "it is the one whose number is a descriptor's",
        Check::new(
            first.decoded.starts_with("poll([3: POLLIN]")
                || first.decoded.starts_with("ppoll([3: POLLIN]"),
            &first.decoded,
        ),
    );
    lab.central(
        "the answers of the others are made 0, though something else stood there",
        equal(program.output().count("revents 0"), 3),
    );
    let waited = second
        .ended_at
        .map_or(Duration::ZERO, |end| end - second.at);
    lab.central(
        "without a single descriptor poll waits until its time is up, and returns 0",
        equal(second.result, Some(Ok(0))).and(within(waited, Duration::from_millis(200)..)),
    );
    lab.done()
}

/// A line of the table of who asks for nothing, from the system calls of the program that prints it.
struct Look {
    /// What poll told who asked for nothing, and who asked for all.
    told: [String; 2],
    /// What read, or write, then returned.
    then: Option<Result<i64, Errno>>,
}

/// The table: what stands first in each line, and what was seen. Each line is some calls of poll, of which the last two
/// are the questions, then the read or write, then the write of the line itself.
struct Table(Vec<(String, Look)>);

impl Table {
    fn of(program: &Process) -> Self {
        let mut looks = Vec::new();
        let (mut told, mut then) = (Vec::new(), None);
        for call in &program.calls().all() {
            let printed = call.name == "write" && call.arguments[0] == 1;
            match &*call.name {
                _ if is_poll(call) => told.push(came(call)),
                _ if printed => {
                    let everything = told.pop().unwrap_or_default();
                    let nothing = told.pop().unwrap_or_default();
                    looks.push(Look {
                        told: [nothing, everything],
                        then,
                    });
                }
                "read" | "write" => then = call.result,
                _ => {}
            }
        }
        let output = program.output();
        let names = output.lines().iter().map(|line| {
            let name: String = line.chars().take(26).collect();
            name.trim().to_string()
        });
        Self(names.zip(looks).collect())
    }

    /// poll says this to who asks for nothing, and read or write returns that.
    fn says(&self, situation: &str, unasked: &str, then: Result<i64, Errno>) -> Check {
        let Some((_, look)) = self.0.iter().find(|(name, _)| name == situation) else {
            return Check::new(false, format_args!("no line for {situation}"));
        };
        let seen = format!("{situation}: {:?}, then {:?}", look.told[0], look.then);
        Check::new(look.told[0] == unasked && look.then == Some(then), seen)
    }

    /// poll says this to who asks for all that can be asked for.
    fn asked(&self, situation: &str, expected: &str) -> Check {
        let look = self.0.iter().find(|(name, _)| name == situation);
        let told = look.map(|(_, look)| &*look.told[1]);
        equal(told, Some(expected))
    }
}

/// What came of one entry: `POLLERR|POLLHUP`.
fn came(call: &SystemCall) -> String {
    let entries = call.decoded.split_once('[').map(|(_, rest)| rest);
    let entry = entries.and_then(|rest| rest.split_once(']'));
    let words = entry.and_then(|(entry, _)| entry.split_once(": "));
    match call.result {
        Some(Ok(1..)) => words.map_or(String::new(), |(_, words)| words.to_string()),
        _ => String::new(), // the log shows what was asked
    }
}

fn revents_only(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    lab.leaves_out(1..=u16::MAX); // the connections of the program to itself
    let program = host
        .program(lab.vary(
            "chap-21 probe revents-only",
            "chap-21 probe revents-only --elsewhere",
        ))
        .named("probe")
        .traced_drawing(&[])
        .start()?;
    program.ends()?;
    let table = Table::of(&program);
    let reset = "the peer has reset (RST)";
    lab.central(
        "a reset is told unasked, as POLLERR and POLLHUP; read gives its name",
        table.says(reset, "POLLERR|POLLHUP", Err(Errno::ECONNRESET)),
    );
    lab.central(
        "POLLHUP alone: both directions have ended, and read returns 0",
        table.says("both have ended", "POLLHUP", Ok(0)),
    );
    lab.central(
        "or there is data left, which read returns first",
        table.says("both, with data unread", "POLLHUP", Ok(5)),
    );
    lab.central(
        "or the socket was never connected",
        table.says("never connected", "POLLHUP", Err(Errno::ENOTCONN)),
    );
    lab.central(
        "a pipe without a writer is POLLHUP, one without a reader POLLERR",
        table
            .says("a pipe, and no writer", "POLLHUP", Ok(0))
            .and(table.says("a pipe, and no reader", "POLLERR", Err(Errno::EPIPE))),
    );
    lab.central(
        "a number that is not open is POLLNVAL, and read fails with EBADF",
        table.says("not open", "POLLNVAL", Err(Errno::EBADF)),
    );
    let (data, ended) = ("data has come", "the peer has ended (FIN)");
    let (five, end) = lab.vary((Ok(5), Ok(0)), (Err(Errno::EAGAIN), Err(Errno::EAGAIN)));
    lab.claim(
        "data, and a FIN alone, are not told unasked",
        table.says(data, "", five).and(table.says(ended, "", end)),
    );
    lab.central(
        "asked for, the FIN is told as POLLIN, and on Linux as POLLRDHUP",
        table.asked(ended, "POLLIN|POLLOUT|POLLRDHUP"),
    );
    lab.done()
}
