//! Chapter 23: epoll.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

use nix::sys::resource::{Resource, getrlimit};

use crate::net::proc;
use crate::net::sock_diag::Socket;
use crate::prelude::*;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "23/rot13",
        "five connections that come in one wake-up are all taken, and five questions that come in one are all answered",
        rot13,
        "the server takes one connection and serves one client for each wake-up, as the course's does",
    ),
    Experiment::new(
        "23/edge-once",
        "edge-triggered, epoll tells of unread data once",
        edge_once,
        "the server is level-triggered",
    ),
    Experiment::new(
        "23/level-storm",
        "level-triggered, epoll tells of unread data again and again, without end",
        level_storm,
        "the server is edge-triggered",
    ),
    Experiment::new(
        "23/edge-partial-read",
        "edge-triggered, epoll does not tell of what a read has left, until more arrives",
        edge_partial_read,
        "the server is level-triggered",
    ),
    Experiment::new(
        "23/rdhup",
        "a half-close is EPOLLRDHUP, a reset is EPOLLERR and EPOLLHUP as well, and EPOLLHUP can come with data unread",
        rdhup,
        "the clients send one more byte where they ended",
    ),
    Experiment::new(
        "23/oneshot",
        "with EPOLLONESHOT epoll tells of a client once, and then not again until EPOLL_CTL_MOD",
        oneshot,
        "the server does without EPOLLONESHOT",
    ),
    Experiment::new(
        "23/exclusive",
        "one connection wakes all of eight waiters, and with EPOLLEXCLUSIVE one or two of them",
        exclusive,
        "nobody asks for EPOLLEXCLUSIVE",
    ),
    Experiment::new(
        "23/cloexec",
        "an epoll descriptor that is not marked close-on-exec is inherited by the next program",
        cloexec,
        "neither descriptor is marked",
    ),
    Experiment::new(
        "23/scaling",
        "one ready descriptor among 10 000: epoll takes hardly longer than among 10, select and poll hundreds of times as long",
        scaling,
        "all of them are ready",
    ),
];

/// A server of this lesson, ready and sleeping. The kernel's answers to its waits are watched; its own lines say the
/// same, so the ladder shows those.
fn server(lab: &Lab, host: &Host, command: &str) -> Result<Process, LabError> {
    host.names_own_hand("client");
    let server = host
        .program(&format!("chap-23 {command}"))
        .traced_drawing(&[])
        .start()?;
    server.listens()?;
    sleeps(lab, &server)?;
    Ok(server)
}

fn sleeps(lab: &Lab, server: &Process) -> Result<(), LabError> {
    lab.until("the server sleeps in epoll_wait", || {
        server.blocks_in(WAITS)
    })
}

fn ends(server: &Process) -> Outcome {
    server.types_ctrl_c();
    server.ends()?;
    Ok(())
}

/// epoll_wait(2), and what it is on machines that have only the general call.
const WAITS: &[&str] = &["epoll_wait", "epoll_pwait"];

/// What epoll_wait returned each time, in words, and how many events that was.
fn waits(server: &Process) -> Vec<(String, i64)> {
    let calls = server
        .calls()
        .filtered(|call| WAITS.contains(&&*call.name) && call.succeeded());
    let counted = calls.into_iter().map(|call| {
        let count = call.result.and_then(Result::ok).unwrap_or_default();
        (call.decoded, count)
    });
    counted.collect()
}

/// What epoll_wait told of a descriptor, each time that it did: `EPOLLIN|EPOLLRDHUP`.
fn told(server: &Process, fd: &str) -> Vec<String> {
    let waits = waits(server);
    let events = waits
        .iter()
        .filter_map(|(words, _)| words.split(['[', ']']).nth(1))
        .flat_map(|events| events.split(", "));
    let told = events.filter_map(|event| event.strip_prefix(fd)?.strip_prefix(": "));
    told.map(String::from).collect()
}

/// A client connects, and the server's descriptor for it.
fn connects(host: &Host, server: &Process) -> Result<(TcpStream, String), LabError> {
    let client = host.enter(|| {
        let client = TcpStream::connect(("127.0.0.1", PORT))?;
        client.set_nodelay(true)?;
        Ok(client)
    })?;
    let accepted = server.says("accepted ")?.rest();
    let fd = accepted.rsplit(' ').next().unwrap_or_default().to_string();
    Ok((client, fd))
}

fn sends(host: &Host, mut client: &TcpStream, data: &[u8]) -> Result<(), LabError> {
    host.enter(|| client.write_all(data))
}

/// How many bytes wait unread in the server's socket.
fn unread(host: &Host) -> u32 {
    let sockets = host.sockets().unwrap_or_default();
    let of_server = |socket: &&Socket| socket.local.port() == PORT && socket.remote.port() != 0;
    let queues = sockets.iter().filter(of_server);
    queues.map(|socket| socket.receive_queue).sum()
}

fn rot13(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    lab.leaves_out(PORT..=PORT);
    let server = server(lab, &host, lab.vary("epoll01", "epoll01 --careless"))?;
    server.halt()?;
    lab.notes("five clients connect");
    let clients = host.enter(|| {
        let time = Some(lab.vary(Duration::from_secs(10), Duration::from_millis(100)));
        let connect = |_| {
            let client = TcpStream::connect(("127.0.0.1", PORT))?;
            client.set_read_timeout(time)?;
            Ok(client)
        };
        (0..5).map(connect).collect::<Result<Vec<_>, _>>()
    })?;
    server.resume();
    for _ in 0..lab.vary(5, 1) {
        server.says("accepted ")?;
    }
    sleeps(lab, &server)?;
    let taken = server.calls().returned("accept4");
    let connecting = waits(&server).len();
    server.halt()?;
    lab.notes("each of them sends data1");
    for client in &clients {
        sends(&host, client, b"data1")?;
    }
    server.resume();
    let answered = |mut client: &TcpStream| {
        let mut answer = [0; 5];
        host.enter(|| client.read_exact(&mut answer)).is_ok() && answer == *b"qngn1"
    };
    let answered = clients.iter().filter(|client| answered(client)).count();
    let most = waits(&server).iter().map(|(_, count)| *count).max();
    ends(&server)?;

    lab.central(
        "the five connections are taken",
        equal(taken.iter().flatten().count(), 5),
    );
    lab.central(
        "epoll_wait tells of five clients at once",
        equal(most, Some(5)),
    );
    lab.central("and all five are answered", equal(answered, 5));
    lab.claim(
        "for the connections the server was woken once",
        equal(connecting, 1),
    );
    lab.done()
}

fn edge_once(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = server(lab, &host, lab.vary("epoll02", "epoll03"))?;
    let (client, fd) = connects(&host, &server)?;
    sends(&host, &client, b"asfafas\n")?;
    server.says("get event")?;
    lab.watches_for(Duration::from_millis(300));
    let (first, left) = (told(&server, &fd), unread(&host));
    sends(&host, &client, b"more\n")?;
    server.says("get event")?;
    lab.watches_for(Duration::from_millis(300));

    lab.central("epoll tells of the line once", equal(first, ["EPOLLIN"]));
    lab.claim("its eight bytes are still unread", equal(left, 8));
    lab.central(
        "when more arrives, it tells once more",
        equal(told(&server, &fd).len(), 2),
    );
    lab.claim("and nothing has been read", equal(unread(&host), 13));
    lab.done()
}

fn level_storm(lab: &Lab) -> Outcome {
    const MANY: usize = 2000;
    let host = lab.host()?;
    let server = server(lab, &host, lab.vary("epoll03", "epoll02"))?;
    let (client, _) = connects(&host, &server)?;
    sends(&host, &client, b"asfafas\n")?;
    let woken = || {
        WAITS
            .iter()
            .map(|name| server.calls().count_of(name))
            .sum::<usize>()
    };
    let start = Instant::now();
    let stormed = lab.until("the server has been woken many times", || {
        within(woken(), MANY..)
    });
    let (count, took, left) = (woken(), start.elapsed(), unread(&host));
    server.types("read 100")?;
    server.says("read returns 8")?;
    sleeps(lab, &server)?;
    let before = waits(&server).len();
    lab.watches_for(Duration::from_millis(300));
    let after = waits(&server).len();
    ends(&server)?; // before the client, whose end would be told without end, too

    lab.central(
        "the server is woken two thousand times",
        Check::new(stormed.is_ok(), format_args!("{count} times")),
    );
    lab.claim("all that for the same eight bytes", equal(left, 8));
    lab.claim("once they are read, it sleeps", equal(after, before));
    if !lab.is_control() {
        let rate = count as f64 / took.as_secs_f64();
        lab.figure(
            "wake-ups in a second, while each is watched",
            format!("{rate:.0}"),
        );
    }
    lab.done()
}

fn edge_partial_read(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = server(lab, &host, lab.vary("epoll02", "epoll03"))?;
    let (client, fd) = connects(&host, &server)?;
    sends(&host, &client, b"1234567890")?;
    server.says("get event")?;
    server.types("read 4")?;
    server.says("read returns 4")?;
    lab.watches_for(Duration::from_millis(300));
    let (silent, left) = (told(&server, &fd).len(), unread(&host));
    sends(&host, &client, b"ab")?;
    server.says("get event")?;
    lab.until("the two bytes are there", || equal(unread(&host), 8))?;
    server.types("read 100")?;
    server.says("read returns 8")?;

    lab.central("after the half read epoll is silent", equal(silent, 1));
    lab.claim("though six bytes are left", equal(left, 6));
    lab.central(
        "when two more arrive, it tells once",
        equal(told(&server, &fd).len(), 2),
    );
    let reads = server.calls().returned("read");
    lab.claim(
        "and then all eight can be read",
        Check::new(reads.contains(&Ok(8)), format_args!("{reads:?}")),
    );
    lab.done()
}

fn rdhup(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = server(lab, &host, "epoll02")?;
    let ends = |client: &TcpStream| match lab.is_control() {
        false => host.enter(|| client.shutdown(Shutdown::Write)),
        true => sends(&host, client, b"x"),
    };

    let (half_closes, closed) = connects(&host, &server)?;
    ends(&half_closes)?;
    server.says("get event")?;

    let (resets, reset) = connects(&host, &server)?;
    match lab.is_control() {
        false => host.enter(|| drive::reset(resets))?,
        true => sends(&host, &resets, b"x")?,
    }
    server.says("get event")?;

    let (client, both) = connects(&host, &server)?;
    sends(&host, &client, b"data3")?;
    server.says("get event")?;
    ends(&client)?;
    server.says("get event")?;
    server.types("shutdown")?;
    server.says("get event")?;
    server.types("read 100")?;
    server.says("read returns")?;
    if !lab.is_control() {
        server.types("read 100")?;
        server.says("client closed")?;
    }

    // The kernel wakes twice for a FIN, and for a reset: for what there is to read, and for the connection's new state.
    // Edge-triggered, a loop that is quick enough is told of both.
    let once = |fd: &str| {
        let mut told = told(&server, fd);
        told.dedup();
        told
    };
    lab.central(
        "a half-close is told as readable and RDHUP",
        equal(once(&closed), ["EPOLLIN|EPOLLRDHUP"]),
    );
    lab.central(
        "a reset as readable, RDHUP, HUP and ERR",
        equal(once(&reset), ["EPOLLIN|EPOLLERR|EPOLLHUP|EPOLLRDHUP"]),
    );
    let last = told(&server, &both).pop().unwrap_or_default();
    lab.central(
        "when both sides have ended, it is HUP, with data unread",
        equal(last, "EPOLLIN|EPOLLHUP|EPOLLRDHUP"),
    );
    let reads = server.calls().returned("read");
    lab.central(
        "which can still be read",
        Check::new(reads.contains(&Ok(5)), format_args!("{reads:?}")),
    );
    lab.done()
}

fn oneshot(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = server(lab, &host, lab.vary("epoll03 --oneshot", "epoll03"))?;
    let (client, fd) = connects(&host, &server)?;
    sends(&host, &client, b"data1")?;
    server.says("get event")?;
    sends(&host, &client, b"data2")?;
    lab.until("both messages are there", || equal(unread(&host), 10))?;
    lab.watches_for(Duration::from_millis(300));
    let first = told(&server, &fd).len();
    server.types("rearm")?;
    server.says("get event")?;
    lab.watches_for(Duration::from_millis(100));

    lab.central("epoll tells of the client once", equal(first, 1));
    lab.central(
        "EPOLL_CTL_MOD brings one more",
        equal(told(&server, &fd).len(), 2),
    );
    lab.claim(
        "all that time two messages lie unread",
        equal(unread(&host), 10),
    );
    lab.done()
}

/// The threads of the program but for the first.
fn waiters(server: &Process) -> Vec<i32> {
    let first = server.pid().as_raw();
    let mut threads = proc::threads(first);
    threads.retain(|thread| *thread != first);
    threads
}

fn slept(threads: &[i32]) -> Vec<u64> {
    threads.iter().copied().filter_map(proc::slept).collect()
}

/// How many of eight waiters one connection wakes.
fn woken(lab: &Lab, host: &Host, name: &str, options: &str) -> Result<usize, LabError> {
    let server = host.program(&format!("chap-23 waiters {options}"));
    let server = server.named(name).start()?;
    server.listens()?;
    let sleeping = || {
        let threads = waiters(&server).into_iter();
        let calls = threads.filter_map(|id| proc::system_call_name(proc::blocked_in(id)?.0));
        equal(calls.filter(|call| WAITS.contains(call)).count(), 8)
    };
    lab.until("eight threads sleep in epoll_wait", sleeping)?;
    let threads = waiters(&server);
    let before = slept(&threads);
    lab.notes("a client connects");
    let client = host.enter(|| TcpStream::connect(("127.0.0.1", PORT)))?;
    server.says(" accepted ")?;
    lab.until("eight threads sleep again", sleeping)?;
    let after = slept(&threads);
    drop(client);
    ends(&server)?;
    Ok(before
        .iter()
        .zip(&after)
        .filter(|(before, after)| before < after)
        .count())
}

fn exclusive(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    lab.leaves_out(PORT..=PORT);
    let all = woken(lab, &host, "waiters", "")?;
    let few = woken(lab, &host, "exclusive waiters", lab.vary("--exclusive", ""))?;
    lab.claim("one connection wakes all eight threads", equal(all, 8));
    lab.central(
        "with EPOLLEXCLUSIVE it wakes one, or at most two",
        within(few, 1..=2),
    );
    lab.done()
}

/// The epoll descriptors of a program: whether each is marked close-on-exec, proc_pid_fdinfo(5).
fn epoll_descriptors(program: &Process) -> Vec<bool> {
    let directory = format!("/proc/{}", program.pid());
    let entries = std::fs::read_dir(format!("{directory}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    let epoll = entries.filter(|entry| {
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        target.as_os_str() == "anon_inode:[eventpoll]"
    });
    let marked = epoll.map(|entry| {
        let info = directory.clone() + "/fdinfo/" + &entry.file_name().to_string_lossy();
        let info = std::fs::read_to_string(info).unwrap_or_default();
        let mut lines = info.lines();
        let flags =
            lines.find_map(|line| i32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
        flags.unwrap_or_default() & nix::libc::O_CLOEXEC != 0
    });
    marked.collect()
}

fn cloexec(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let unmarked = host.start("chap-23 inherit")?;
    unmarked.says("inherited")?;
    let marked = host.start(lab.vary("chap-23 inherit --cloexec", "chap-23 inherit"))?;
    marked.says(lab.vary("no epoll descriptor", "inherited"))?;

    lab.claim(
        "the program that was started has an epoll descriptor, which is not marked",
        equal(epoll_descriptors(&unmarked), [false]),
    );
    lab.central(
        "made with EPOLL_CLOEXEC, it is closed when the next program starts",
        equal(epoll_descriptors(&marked).len(), 0),
    );
    for program in [unmarked, marked] {
        program.types_ctrl_d();
        program.ends()?;
    }
    lab.done()
}

fn scaling(lab: &Lab) -> Outcome {
    let (_, limit) = getrlimit(Resource::RLIMIT_NOFILE).map_err(std::io::Error::from)?;
    if limit < 10_100 {
        return Err(LabError::Impossible(format!(
            "a process may have {limit} descriptors here, not 10 100"
        )));
    }
    let host = lab.host()?;
    let program = host.start(lab.vary("chap-23 scaling", "chap-23 scaling --ready 10000"))?;
    let end = program.ends()?;
    let output = program.output();
    let row = |count: &str| -> Vec<f64> {
        let mut rows = output.lines().iter().map(|line| line.split_whitespace());
        let row = rows.find_map(|mut row| (row.next() == Some(count)).then_some(row));
        row.into_iter()
            .flatten()
            .filter_map(|time| time.parse().ok())
            .collect()
    };
    let growth: Vec<f64> = row("10000")
        .iter()
        .zip(row("10"))
        .map(|(many, few)| many / few)
        .collect();
    let growth = |which: usize| growth.get(which).copied().unwrap_or(f64::NAN);

    lab.claim(
        "select takes more than 50 times as long",
        within(growth(0), 50.0..),
    );
    lab.claim("so does poll", within(growth(1), 50.0..));
    lab.central(
        "epoll takes less than five times as long",
        within(growth(2), ..5.0),
    );
    lab.claim(
        "each call has found the ready descriptor",
        end.exited_with(0),
    );
    lab.done()
}
