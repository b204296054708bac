//! Chapter 39: an accept thread and worker threads.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::pty::{PtyMaster, grantpt, posix_openpt, unlockpt};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;

use crate::net::sock_diag::Socket;
use crate::packet::Packet;
use crate::prelude::*;
use crate::tracer::SystemCall;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "39/reply",
        "each line is answered with the time and the line, and five workers answer five clients at the same time",
        reply,
        "there is one worker",
    )
    .also(&["chap-36"]),
    Experiment::new(
        "39/seven-steps",
        "the main thread waits, a worker reads, another may send, and while one has the connection epoll is silent about it",
        seven_steps,
        "the server does without EPOLLONESHOT",
    ),
    Experiment::new(
        "39/daemon",
        "a daemon has a session of its own and no terminal, and outlives the one that it was started in",
        daemon,
        "the server stays in the foreground",
    )
    .also(&["chap-36"]),
    Experiment::new(
        "39/graceful",
        "told to stop, the server accepts nobody any more, finishes the answer that it is at, and exits with code 0",
        graceful,
        "the server is killed",
    )
    .also(&["chap-36"]),
    Experiment::new(
        "39/backlog-of-writes",
        "a client that reads nothing is read from no more, and costs the server no more than the answers to one read",
        backlog_of_writes,
        "the server asks for both directions all the time, and reads whatever waits to be sent",
    )
    .isolated(),
    Experiment::new(
        "39/close-after-send",
        "send has taken the answer and the server has closed; not a byte has arrived, and the kernel delivers it all",
        close_after_send,
        "something lies unread when the server closes",
    )
    .also(&["chap-36"])
    .isolated(),
    Experiment::new(
        "39/no-lost-wakeup",
        "ten thousand clients, and each gets its answer: no wake-up is lost between the threads",
        no_lost_wakeup,
        "the workers sleep before they have looked into the queue",
    ),
];

/// The port of this lesson's server.
const SERVER: u16 = 12345;

/// The stamp before an answer.
const STAMP: usize = "[2026-01-02 03:04:05]server reply: ".len();

/// The server's end of a connection.
fn of_server(socket: &Socket) -> bool {
    socket.local.port() == SERVER && socket.remote.port() != 0
}

fn server_on(host: &Host, options: &str) -> Result<Process, LabError> {
    let server = host.start(&format!("chap-39 reactor-server {options}"))?;
    server.listens()?;
    Ok(server)
}

/// A server whose system calls are watched. Its own lines tell the story, so none is drawn.
fn watched_server(host: &Host, options: &str) -> Result<Process, LabError> {
    let server = host
        .program(&format!("chap-39 reactor-server {options}"))
        .traced_drawing(&[])
        .start()?;
    server.listens()?;
    Ok(server)
}

/// A client program that the server has taken.
fn comes(host: &Host, server: &Process, port: u16) -> Result<Process, LabError> {
    let command = format!("chap-36 tcpcli-select 127.0.0.1 --port {port}");
    let client = host.start(&command)?;
    client.says("connected: ")?;
    server.says("new client connected")?;
    host.look();
    Ok(client)
}

/// Clients of the experiment's own.
fn connect(host: &Host, count: usize) -> Result<Vec<TcpStream>, LabError> {
    let connect = || {
        let client = TcpStream::connect(("127.0.0.1", SERVER))?;
        client.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(client)
    };
    host.enter(|| (0..count).map(|_| connect()).collect())
}

/// Whether a client hears a line with this text, and a stamp before it.
fn hears(mut client: &TcpStream, text: &str) -> bool {
    let mut answer = vec![0; STAMP + text.len()];
    client.read_exact(&mut answer).is_ok()
        && answer[STAMP - 14..STAMP] == *b"server reply: "
        && answer[STAMP..] == *text.as_bytes()
}

fn asks(mut client: &TcpStream, text: &str) -> Result<(), LabError> {
    Ok(client.write_all(text.as_bytes())?)
}

/// Reads of connections that have brought something.
fn read_something(call: &SystemCall) -> bool {
    let of_socket = call
        .descriptor
        .as_deref()
        .is_some_and(|name| name.starts_with("socket:"));
    call.name == "read" && of_socket && matches!(call.result, Some(Ok(1..)))
}

/// The local time of day, as date(1) tells it.
fn date() -> Result<String, LabError> {
    let output = Command::new("date").arg("+[%F %T]").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().into())
}

fn reply(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let workers = lab.vary(5, 1);
    let server = watched_server(&host, &format!("--pause 1 --workers {workers}"))?;
    let client = comes(&host, &server, SERVER)?;
    let before = date()?;
    client.types("hello")?;
    let answer = client.says("server reply: ")?;
    let after = date()?;
    server.says("send bytes: 41")?;
    lab.ends_the_ladder();
    lab.claim(
        "the answer ends with the line",
        equal(answer.rest(), "hello"),
    );
    let stamp: String = answer.line.text.chars().take(before.len()).collect();
    lab.claim(
        "and begins with the server's local time",
        Check::new(before <= stamp && stamp <= after, &stamp),
    );

    server.halt()?;
    let clients = connect(&host, 5)?;
    for client in &clients {
        let port = client.local_addr()?.port();
        lab.leaves_out(port..=port);
        asks(client, "at the same time\n")?;
    }
    let done = |call: &SystemCall| call.name == "epoll_ctl" && call.decoded.contains("EPOLLOUT");
    let (reads, earlier) = (
        server.calls().filtered(read_something).len(),
        server.calls().filtered(done).len(),
    );
    server.resume();
    lab.until("one of the answers is made", || {
        within(server.calls().filtered(done).len(), earlier + 1..)
    })?;
    let calls = server.calls().all();
    let first = calls.iter().filter(|call| done(call)).nth(earlier);
    let before_it = |call: &&SystemCall| first.is_none_or(|first| call.at < first.at);
    let read: Vec<_> = calls
        .iter()
        .filter(|call| read_something(call))
        .skip(reads)
        .filter(before_it)
        .collect();
    let mut readers: Vec<Pid> = read.iter().map(|call| call.tid).collect();
    readers.sort();
    readers.dedup();
    lab.central(
        "five clients ask at the same time: all five lines are read before one of the answers is made",
        equal(read.len(), 5),
    );
    lab.central("by five threads", equal(readers.len(), 5));
    if !lab.is_control() {
        let answered = clients
            .iter()
            .filter(|client| hears(client, "at the same time\n"));
        lab.claim(
            "and each of the five is answered",
            equal(answered.count(), 5),
        );
    }
    lab.done()
}

/// epoll_wait(2), and what it is on machines that have only the general call.
const WAITS: &[&str] = &["epoll_wait", "epoll_pwait"];

/// The number by which epoll and the server name the first client.
const FIRST_CLIENT: &str = "3: ";

/// What an epoll_wait told of the first client, if it did.
fn told(call: &SystemCall) -> Option<String> {
    let events = call.decoded.split(['[', ']']).nth(1)?;
    let mut events = events.split(", ");
    let event = events.find_map(|event| event.strip_prefix(FIRST_CLIENT))?;
    (WAITS.contains(&&*call.name) && call.succeeded()).then(|| event.into())
}

/// Who did what about the first client, in order: `main: told EPOLLIN`, `worker: read`.
fn steps(server: &Process) -> Vec<(String, Pid)> {
    let calls = server.calls().all();
    let accepted = calls
        .iter()
        .find(|call| call.name == "accept4" && call.succeeded());
    let Some(accepted) = accepted else {
        return Vec::new();
    };
    let fd = accepted.result.and_then(Result::ok).unwrap_or(-1) as u64;
    let who = |tid: Pid| match tid {
        tid if tid == server.pid() => "main",
        tid if tid == accepted.tid => "accept thread",
        _ => "worker",
    };
    let mut steps = Vec::new();
    for call in &calls {
        // A wait counts from when it tells something, everything else from when it begins.
        let (at, what) = match &*call.name {
            "read" | "sendto"
                if call.arguments[0] == fd && matches!(call.result, Some(Ok(1..))) =>
            {
                (call.at, call.name.to_string())
            }
            "accept4" if call.succeeded() => (call.at, "accept4".into()),
            "epoll_ctl" if call.arguments[2] == fd => {
                let events = call.decoded.rsplit(", ").next().unwrap_or_default();
                (call.at, format!("watch {}", events.trim_end_matches(')')))
            }
            _ => match (told(call), call.ended_at) {
                (Some(events), Some(at)) => (at, format!("told {events}")),
                _ => continue,
            },
        };
        if at < accepted.at {
            continue;
        }
        steps.push((at, format!("{}: {what}", who(call.tid)), call.tid));
    }
    steps.sort_by_key(|(at, ..)| *at);
    steps
        .into_iter()
        .map(|(_, what, tid)| (what, tid))
        .collect()
}

fn seven_steps(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.names_own_hand("client");
    let server = watched_server(
        &host,
        lab.vary("--pause 1", "--pause 1 --mistake level-triggered"),
    )?;
    let client = connect(&host, 1)?.remove(0);
    server.says("new client connected")?;
    asks(&client, "one\n")?;
    server.says("received 4 bytes")?;
    asks(&client, "two\n")?;
    lab.until("the next line has arrived", || {
        host.has(TcpState::Established, |s| {
            of_server(s) && s.receive_queue == 4
        })
    })?;
    let first = hears(&client, "one\n");
    let second = hears(&client, "two\n");
    server.says("send bytes")?;
    server.says("send bytes")?;
    lab.ends_the_ladder();
    lab.until("the connection is watched again", || {
        within(steps(&server).len(), 14..)
    })?;

    let all = steps(&server);
    let of_first = all.iter().map(|(what, _)| &**what);
    let of_first: Vec<_> = of_first
        .take_while(|what| !what.contains("sendto"))
        .collect();
    let accepts = |what: &[&str]| matches!(what, ["accept thread: accept4", watch, ..] if watch.starts_with("accept thread: watch EPOLLIN"));
    lab.claim(
        "the accept thread accepts, and has epoll watch the connection",
        Check::new(accepts(&of_first), format_args!("{of_first:?}")),
    );
    let between = of_first
        .iter()
        .skip_while(|what| **what != "worker: read")
        .skip(1);
    let between: Vec<_> = between
        .take_while(|what| !what.starts_with("worker: watch"))
        .collect();
    lab.central(
        "from a worker's read to its next word to epoll, epoll says nothing of the connection, though a line has arrived",
        Check::new(between.is_empty(), format_args!("{} times", between.len())),
    );
    let expected = [
        "main: told EPOLLIN",
        "worker: read",
        "worker: watch EPOLLOUT|EPOLLONESHOT",
        "main: told EPOLLOUT",
        "worker: sendto",
        "worker: watch EPOLLIN|EPOLLONESHOT",
    ];
    let turns: Vec<_> = all.iter().skip(2).map(|(what, _)| &**what).collect();
    lab.central(
        "the main thread is told of a line, a worker reads and asks for room; the main thread is told of room, a worker sends",
        Check::new(turns.starts_with(&expected), format_args!("{:?}", &turns[..turns.len().min(8)])),
    );
    lab.central(
        "the second line goes the same way, after the first",
        equal(turns.get(6..12).unwrap_or_default(), expected),
    );
    lab.claim(
        "neither the main thread nor the accept thread reads or sends",
        {
            let others = all.iter().filter(|(what, _)| !what.starts_with("worker"));
            let any = others.filter(|(what, _)| what.ends_with("read") || what.ends_with("sendto"));
            equal(any.count(), 0)
        },
    );
    lab.claim(
        "both lines are answered, in order",
        Check::unless(first && second, "an answer is missing"),
    );

    lab.leaves_out(SERVER + 1..=SERVER + 2);
    let wake_ups = |options: &str, port: u16| -> Result<usize, LabError> {
        let server = watched_server(&host, &format!("--quiet -p {port} {options}"))?;
        let client = host.enter(|| TcpStream::connect(("127.0.0.1", port)))?;
        for _ in 0..10 {
            asks(&client, "x\n")?;
            hears(&client, "x\n");
        }
        Ok(server.calls().all().iter().filter_map(told).count())
    };
    if !lab.is_control() {
        let seven = wake_ups("", SERVER + 1)?;
        let write_first = wake_ups("--write-first", SERVER + 2)?;
        lab.claim(
            "ten answers take twenty wake-ups of the main thread; ten, if a worker tries to send before it asks",
            equal((seven, write_first), (20, 10)),
        );
    }
    lab.done()
}

/// A terminal of the experiment's own: what it shows nobody reads.
fn terminal() -> Result<(PtyMaster, OwnedFd), LabError> {
    let refused =
        |error: Errno| LabError::Impossible(format!("no terminal can be made here: {error}"));
    let master =
        posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).map_err(refused)?;
    grantpt(&master)
        .and_then(|()| unlockpt(&master))
        .map_err(refused)?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the descriptor is open, and the argument of this request is a number, ioctl_tty(2).
    let slave = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) };
    let slave = Errno::result(slave).map_err(refused)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok((master, unsafe { OwnedFd::from_raw_fd(slave) }))
}

/// A field of proc_pid_stat(5), counted as there.
fn stat(pid: Pid, field: usize) -> Result<i32, LabError> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let found = fields
        .split(' ')
        .nth(field - 3)
        .and_then(|field| field.parse().ok());
    found.ok_or_else(|| LabError::Impossible("stat has another form here".into()))
}

const SESSION: usize = 6;
const TERMINAL: usize = 7;

fn daemon(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let (master, slave) = terminal()?;
    let of_child = slave.as_raw_fd();
    let into_terminal = move || {
        nix::unistd::setsid()?;
        // SAFETY: the descriptor is open in the child, too; ioctl_tty(2).
        Errno::result(unsafe { libc::ioctl(of_child, libc::TIOCSCTTY, 0) })?;
        Ok::<(), io::Error>(())
    };
    let server = host
        .program(lab.vary("chap-39 reactor-server --daemon", "chap-39 reactor-server"))
        .prepared(into_terminal)
        .start()?;
    server.listens()?;
    drop(slave);
    let pid = match lab.is_control() {
        true => server.pid(),
        false => {
            let said = server.says("process ")?.rest();
            let number = said
                .split(' ')
                .next()
                .and_then(|number| number.parse().ok());
            Pid::from_raw(number.expect("the number of a process"))
        }
    };
    if !lab.is_control() {
        server.goes_on_as(pid);
        server.ends()?;
    }
    lab.central("the process that was started ends, with exit code 0", {
        let running = || Check::new(false, "it still runs");
        server
            .ended()
            .map_or_else(running, |end| end.exited_with(0))
    });
    lab.central(
        "the one that goes on leads another session",
        Check::new(
            stat(pid, SESSION)? == pid.as_raw() && pid != server.pid(),
            stat(pid, SESSION)?,
        ),
    );
    lab.central("which has no terminal", equal(stat(pid, TERMINAL)?, 0));
    let streams = (0..3).map(|fd| fs::read_link(format!("/proc/{pid}/fd/{fd}")));
    let streams: Vec<_> = streams
        .filter_map(|target| Some(target.ok()?.display().to_string()))
        .collect();
    lab.central(
        "its three standard streams are /dev/null",
        equal(streams, ["/dev/null"; 3]),
    );

    lab.notes("the terminal is closed");
    drop(master);
    if lab.is_control() {
        server.ends()?;
    } else {
        let client = host.start("chap-36 tcpcli-select 127.0.0.1 --port 12345")?;
        client.says("connected: ")?;
        client.types("hello")?;
        client.says("server reply: hello")?;
        client.types_ctrl_d();
        client.ends()?;
    }
    lab.central(
        "the terminal is closed, which kills what belongs to it, and it listens all the same",
        host.has(TcpState::Listen, |socket| socket.local.port() == SERVER),
    );
    if !lab.is_control() {
        lab.ends_the_ladder();
        nix::sys::signal::kill(pid, Signal::SIGTERM).map_err(io::Error::from)?;
        let listens = || host.has(TcpState::Listen, |socket| socket.local.port() == SERVER);
        lab.eventually("SIGTERM ends it", || !listens());
    }
    lab.done()
}

fn graceful(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let stopped = |signal: Signal, port: u16| -> Result<(Process, Process, Check), LabError> {
        let server = server_on(&host, &format!("--pause 1 -p {port}"))?;
        let client = comes(&host, &server, port)?;
        client.types("hello")?;
        server.says("received 6 bytes")?;
        lab.notes(&format!("the server is sent {signal}"));
        server.signal(signal);
        lab.until("the listener is closed", || {
            !host.has(TcpState::Listen, |socket| socket.local.port() == port)
        })?;
        let late = host.start(&format!("chap-36 tcpcli-select 127.0.0.1 --port {port}"))?;
        late.ends()?;
        let refused = late.errors().says("Connection refused");
        client.ends()?;
        server.ends()?;
        Ok((server, client, refused))
    };
    let answered = |client: &Process| client.output().says("server reply: hello");
    let code = |server: &Process| {
        let running = || Check::new(false, "it still runs");
        server
            .ended()
            .map_or_else(running, |end| end.exited_with(0))
    };
    let (server, client, refused) = stopped(lab.vary(Signal::SIGTERM, Signal::SIGKILL), SERVER)?;
    let of_client = |packet: &Passed| {
        client
            .output()
            .lines()
            .iter()
            .any(|line| line.contains(&packet.destination.to_string()))
    };
    let resets = lab.packets().that(of_client).lacks(RST);
    lab.ends_the_ladder();
    lab.central("the answer that a worker was at arrives", answered(&client));
    lab.central("the server's exit code is 0", code(&server));
    lab.claim(
        "another client is refused as soon as the signal has come",
        refused,
    );
    lab.claim("the connection ends without a reset", resets);
    if !lab.is_control() {
        let other = SERVER + 1;
        lab.leaves_out(other..=other);
        let (server, client, _) = stopped(Signal::SIGINT, other)?;
        lab.claim(
            "with SIGINT, Ctrl-C, it is the same",
            answered(&client).and(code(&server)),
        );
    }
    lab.done()
}

const LINES: usize = 1000;
const LINE: usize = 1000;

/// A line of a thousand bytes that says its number.
fn line(number: usize) -> String {
    format!("{number:0>width$}\n", width = LINE - 1)
}

/// The most that a server had read and answered in its memory and not yet sent, from its reads and sends of one connection.
fn most_held(server: &Process) -> usize {
    let (mut read, mut sent, mut most) = (0, 0, 0_usize);
    for call in server.calls().all() {
        let of_socket = call
            .descriptor
            .as_deref()
            .is_some_and(|name| name.starts_with("socket:"));
        let Some(Ok(count @ 1..)) = call.result else {
            continue;
        };
        match &*call.name {
            "read" if of_socket => read += count as usize,
            "sendto" => sent += count as usize,
            _ => continue,
        }
        let answers = read + read.div_ceil(LINE) * STAMP;
        most = most.max(answers - sent);
    }
    most
}

fn backlog_of_writes(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    lab.leaves_out(SERVER..=SERVER);
    for buffers in ["net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"] {
        host.sets(buffers, "4096 16384 65536")?;
    }
    let mistake = lab.vary("", "--mistake both-directions");
    let server = watched_server(&host, &format!("--quiet {mistake}"))?;
    let client = connect(&host, 1)?.remove(0);
    lab.notes("a client sends a thousand lines, and reads nothing");
    let taken = AtomicUsize::new(0);
    let end = |ours: bool| {
        let sockets = host.sockets().unwrap_or_default();
        let end = sockets.into_iter().find(|socket| {
            of_server(socket) == ours && socket.info.is_some() && socket.remote.port() != 0
        });
        end.map_or((0, 0), |socket| (socket.receive_queue, socket.send_queue))
    };
    let mut unread = 0;
    let mut stopped_at = 0;
    let mut in_order = 0;
    let mut held = Ok(());
    thread::scope(|scope| {
        let writes = scope.spawn(|| {
            for number in 0..LINES {
                if (&client).write_all(line(number).as_bytes()).is_err() {
                    break;
                }
                taken.fetch_add(1, Ordering::Relaxed);
            }
        });
        // In the control it is the server that takes everything.
        held = lab.until("nothing moves any more", || {
            let before = (end(true), end(false), taken.load(Ordering::Relaxed));
            lab.watches_for(Duration::from_millis(200));
            let after = (end(true), end(false), taken.load(Ordering::Relaxed));
            let full = after.0.1 > 0 && (lab.is_control() || after.1.1 > 0);
            Check::new(before == after && full, format_args!("{after:?}"))
        });
        unread = end(true).0;
        stopped_at = taken.load(Ordering::Relaxed);
        lab.notes("the client reads");
        let mut answers = BufReader::new(&client);
        let mut answer = Vec::new();
        for number in 0..LINES {
            answer.clear();
            let read = answers.read_until(b'\n', &mut answer);
            if read.is_err() || answer.get(STAMP..) != Some(line(number).as_bytes()) {
                break;
            }
            in_order += 1;
        }
        let _ = writes.join();
    });
    held?;
    lab.claim(
        "a thousand answers arrive in the end, in the order of the questions",
        equal(in_order, LINES),
    );
    lab.central(
        "while an answer waits nothing is read: questions pile up in the server's socket",
        within(unread, LINE as u32..),
    );
    lab.central(
        "and in the client's, whose send has to wait",
        within(stopped_at, 1..LINES),
    );
    let most = most_held(&server);
    lab.central(
        "the server itself holds no more than the answers to one read of 4096 bytes",
        within(most, 1..=4096 + 5 * STAMP),
    );
    let waits = || {
        let calls = server.calls();
        WAITS
            .iter()
            .map(|name| calls.returned(name).len())
            .sum::<usize>()
    };
    let before = waits();
    lab.watches_for(Duration::from_millis(300));
    lab.central(
        "when all has gone out nothing wakes the main thread",
        within(waits() - before, ..=1),
    );
    let asked = server.calls().filtered(|call| call.name == "epoll_ctl");
    let last = asked
        .last()
        .map(|call| call.decoded.clone())
        .unwrap_or_default();
    lab.central(
        "its last word to epoll is that it waits for input alone",
        Check::new(last.contains("EPOLLIN|EPOLLONESHOT"), last),
    );
    let samples = host.samples(|tuple| tuple.local.port() == SERVER && tuple.remote.port() != 0);
    lab.gauge(
        "questions unread in the server's socket",
        "bytes",
        &samples,
        |sample| sample.socket.receive_queue.into(),
    );
    lab.gauge(
        "answers not yet taken by the client",
        "bytes",
        &samples,
        |sample| sample.socket.send_queue.into(),
    );
    lab.figure("most that the server itself held, in bytes", most);
    lab.done()
}

fn close_after_send(lab: &Lab) -> Outcome {
    let [near, far] = lab.hosts(["client", "server"])?;
    let server = far
        .program("chap-39 reactor-server --bind 10.0.0.2 --pause 1 --mistake close-at-once")
        .traced_drawing(&["sendto"])
        .start()?;
    server.listens()?;
    let client = near.start("chap-36 tcpcli-select 10.0.0.2 --port 12345")?;
    client.says("connected: ")?;
    server.says("new client connected")?;
    near.look();
    client.types("hello")?;
    server.says("received 6 bytes")?;
    let says = |packet: &Packet| packet.source.port() == SERVER && packet.length > 0;
    let ends = |packet: &Packet| {
        packet
            .tcp()
            .is_some_and(|tcp| tcp.flags.has(FIN) || tcp.flags.has(RST))
    };
    far.wire().lose(1, says);
    far.wire()
        .hold_all(move |packet| says(packet) || packet.source.port() == SERVER && ends(packet));
    lab.notes("the wire loses the answer, and holds what comes behind it");
    if lab.is_control() {
        client.types("goodbye")?;
        lab.until("the second line lies unread", || {
            far.has(TcpState::Established, |s| {
                of_server(s) && s.receive_queue == 8
            })
        })?;
    }
    server.says("closed: ")?;
    let orphan = |socket: &Socket| of_server(socket) && socket.inode == 0 && socket.send_queue > 0;
    if !lab.is_control() {
        lab.until("the process has closed", || {
            far.has(TcpState::FinWait1, orphan)
        })?;
    }
    let taken = server.calls().returned("sendto");
    lab.claim(
        "send returns the length of the whole answer",
        equal(taken, [Ok((STAMP + "hello\n".len()) as i64)]),
    );
    lab.claim("not one byte of it has arrived", {
        lab.packets().from(&server).carrying_data().arrived().none()
    });
    lab.central(
        "no process has the connection any more, and the kernel still has the answer",
        far.has(TcpState::FinWait1, orphan),
    );
    lab.notes("the wire lets through what it holds");
    far.wire().release();
    client.ends()?;
    lab.central(
        "the kernel has sent it again, and the client hears it whole",
        client.output().says("server reply: hello"),
    );
    lab.central("the connection ends without a reset", {
        lab.packets().from(&server).lacks(RST)
    });
    lab.done()
}

/// How many clients at a time, and how often.
const CROWD: usize = 1000;
const ROUNDS: usize = 10;

fn no_lost_wakeup(lab: &Lab) -> Outcome {
    let (_, limit) = getrlimit(Resource::RLIMIT_NOFILE).map_err(io::Error::from)?;
    if limit < 2 * CROWD as u64 {
        let needed = 2 * CROWD;
        return Err(LabError::Impossible(format!(
            "a process may have {limit} descriptors here, not {needed}"
        )));
    }
    setrlimit(Resource::RLIMIT_NOFILE, limit, limit).map_err(io::Error::from)?;
    let host = lab.host()?;
    lab.leaves_out(SERVER..=SERVER);
    let wake = host.start("chap-39 wake")?;
    wake.ends()?;
    lab.claim("what wakes a thread before it sleeps is not lost: with a pipe, an eventfd and a socket pair", {
        equal(wake.output().count("before the wait: it returns at once"), 3)
    });
    let server = server_on(&host, lab.vary("--quiet", "--quiet --mistake sleep-first"))?;
    lab.notes("ten thousand clients come, a thousand at a time, and each asks once");
    let (mut answered, mut clients) = (0, Vec::new());
    for _ in 0..lab.vary(ROUNDS, 1) {
        clients = connect(&host, CROWD)?;
        for client in &clients {
            asks(client, "wake up\n")?;
        }
        if lab.is_control() {
            for client in &clients {
                client.set_read_timeout(Some(Duration::from_millis(500)))?;
            }
        }
        for client in &clients {
            if !hears(client, "wake up\n") {
                break;
            }
            answered += 1;
        }
    }
    lab.central(
        "ten thousand clients are answered",
        equal(answered, CROWD * ROUNDS),
    );
    let waiting = |socket: &Socket| match socket.state {
        TcpState::Listen => socket.local.port() == SERVER && socket.receive_queue > 0,
        _ => of_server(socket) && socket.receive_queue > 0,
    };
    // The end of a client that has just left counts as one byte to be read, for a moment.
    lab.eventually(
        "nobody waits to be accepted, and no question lies unread",
        || {
            let sockets = host.sockets().unwrap_or_default();
            equal(sockets.iter().filter(|socket| waiting(socket)).count(), 0)
        },
    );
    drop(clients);
    lab.eventually("the main thread sleeps", || server.blocks_in(WAITS));
    lab.done()
}
