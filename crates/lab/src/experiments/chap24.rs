//! Chapter 24: ten thousand connections.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::prelude::*;
use crate::tracer::SystemCall;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "24/ten-thousand",
        "ten thousand connections on one server, every one served, and what each of them takes",
        ten_thousand,
        "the server may have a thousand descriptors, and three thousand clients come",
    )
    .also(&["chap-29"]),
    Experiment::new(
        "24/emfile",
        "out of descriptors a server neither dies nor spins: the others are served, and new ones when there is room",
        emfile,
        "there are descriptors enough",
    )
    .also(&["chap-29"]),
    Experiment::new(
        "24/models",
        "the same ten clients against every server design of the course: calls, processes, threads, memory, time",
        models,
        "in place of each design there is one reactor in one thread",
    )
    .isolated()
    .also(&["chap-20", "chap-21", "chap-23", "chap-25", "chap-26", "chap-29", "chap-30", "chap-33"]),
];

/// To be done between fork and exec: so many descriptors and no more.
fn with_descriptors(count: u64) -> std::io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let count = count.min(hard);
    Ok(setrlimit(Resource::RLIMIT_NOFILE, count, count)?)
}

/// Kilobytes of a process's own memory: proc_pid_status(5), the pages that it shares with nobody. Sockets are the kernel's and
/// not counted.
fn own_memory(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or_default()
}

/// Processor time that a process has used: proc_pid_schedstat(5).
fn processor_time(pid: i32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let nanoseconds = stat.split(' ').next().and_then(|time| time.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or_default())
}

/// A figure that the client has reported: the number behind a word.
fn reported(client: &Process, word: &str) -> Option<u64> {
    let lines = client.output();
    let line = lines.lines().iter().find_map(|line| line.split_once(word));
    line.and_then(|(_, rest)| {
        rest.split(|c: char| !c.is_ascii_digit())
            .find(|part| !part.is_empty())?
            .parse()
            .ok()
    })
}

fn ten_thousand(lab: &Lab) -> Outcome {
    // In the control most find no descriptor: they wait in the kernel's queue, which has room for four thousand.
    let connections = lab.vary(10_000, 3_000);
    let host = lab.host()?;
    lab.leaves_out(PORT..=PORT);
    let descriptors = lab.vary(20_000, 1000);
    let server = host.program("chap-29 epoll-server-multithreads --threads 2");
    let server = server
        .prepared(move || with_descriptors(descriptors))
        .start()?;
    server.listens()?;
    let before = own_memory(server.pid().as_raw());
    // The client's own limit is its affair: it raises it.
    let timeout = lab.vary(20, 1);
    let command = format!(
        "chap-24 c10k 127.0.0.1 --connections {connections} --messages 20 --timeout {timeout} --hold"
    );
    let client = host.start(&command)?;
    let outcome = || client.output().count("holding") > 0 || client.ended().is_some();
    lab.until("the client has asked everybody", || {
        Check::new(outcome(), "it is still asking")
    })?;
    let sockets = host.sockets()?;
    let established = sockets
        .iter()
        .filter(|socket| {
            socket.state == TcpState::Established
                && socket.local.port() == PORT
                && socket.inode != 0
        })
        .count();
    let after = own_memory(server.pid().as_raw());
    lab.central(
        "the server's process has ten thousand connections",
        equal(established as u64, connections),
    );
    lab.central(
        "every one of them is served",
        equal(reported(&client, "asked once: "), Some(connections)),
    );
    lab.claim(
        "and the server lives",
        Check::unless(server.ended().is_none(), "it has ended"),
    );
    if established > 0 {
        let each = (after.saturating_sub(before)) as f64 * 1024.0 / established as f64;
        lab.claim(
            "each takes less than a kilobyte of the server's own memory",
            within(each, ..1024.0),
        );
        lab.figure(
            "bytes of the server's memory for each connection",
            format!("{each:.0}"),
        );
    }
    client.closes_input();
    client.ends()?;
    lab.done()
}

fn emfile(lab: &Lab) -> Outcome {
    const DESCRIPTORS: u64 = 64;
    let host = lab.host()?;
    lab.leaves_out(PORT..=PORT);
    let server = host.program("chap-29 epoll-server-multithreads --threads 1");
    let descriptors = lab.vary(DESCRIPTORS, 1024);
    let server = server
        .prepared(move || with_descriptors(descriptors))
        .start()?;
    server.listens()?;
    lab.notes("a hundred clients connect");
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(host.enter(|| TcpStream::connect(("127.0.0.1", PORT)))?);
    }
    let held = || {
        let sockets = host.sockets().unwrap_or_default();
        let of_server = |s: &&crate::net::sock_diag::Socket| {
            s.local.port() == PORT && s.remote.port() != 0 && s.inode != 0
        };
        sockets.iter().filter(of_server).count()
    };
    // Those that it can take it takes; the others stay in the kernel's queue.
    let descriptors = || {
        let entries = fs::read_dir(format!("/proc/{}/fd", server.pid()));
        entries.map_or(0, Iterator::count) as u64
    };
    lab.until("the server has taken those that it can", || {
        match lab.is_control() {
            true => equal(held(), 100),
            false => equal(descriptors(), DESCRIPTORS),
        }
    })?;
    let taken = held();
    let receives = |mut client: &TcpStream, patience: Duration| -> Result<bool, LabError> {
        client.set_read_timeout(Some(patience))?;
        let mut answer = [0; 4];
        Ok(client.read_exact(&mut answer).is_ok() && &answer == b"nop\n")
    };
    let asks = |mut client: &TcpStream, patience: Duration| {
        client.write_all(b"abc\n")?;
        receives(client, patience)
    };
    let (began, before) = (Instant::now(), processor_time(server.pid().as_raw()));
    lab.watches_for(Duration::from_secs(1));
    let share = (processor_time(server.pid().as_raw()) - before).as_secs_f64()
        / began.elapsed().as_secs_f64();
    let patient = Duration::from_secs(10);
    let refused = clients.split_off(99).remove(0);
    let first = asks(&clients[0], patient)?;
    let last = asks(&refused, Duration::from_millis(200))?;
    lab.central(
        "the server has as many connections as it has descriptors for, and lives",
        {
            let lives = Check::unless(server.ended().is_none(), "it has ended");
            within(taken as u64, 11..DESCRIPTORS).and(lives)
        },
    );
    lab.claim(
        "it uses less than 5 % of a processor while it waits",
        within(share, ..0.05),
    );
    lab.claim(
        "a connection that it has is served",
        Check::unless(first, "no answer"),
    );
    lab.central(
        "one that it has not is not, though it is connected",
        Check::unless(!last, "it was answered"),
    );
    lab.notes("fifty clients leave");
    clients.drain(10..60);
    let mut served = usize::from(receives(&refused, patient)?);
    for client in &clients {
        served += usize::from(asks(client, patient)?);
    }
    lab.claim(
        "when fifty have left all others are served",
        equal(served, 50),
    );
    lab.figure(
        "share of a processor while it is out of descriptors",
        format!("{:.1} %", share * 100.0),
    );
    lab.done()
}

/// A server design: its name, what starts it, and what is to be counted.
struct Model {
    name: &'static str,
    command: &'static str,
}

const MODELS: &[Model] = &[
    Model {
        name: "one after the other",
        command: "chap-25 prefork --children 1",
    },
    Model {
        name: "fork",
        command: "chap-25 fork01",
    },
    Model {
        name: "pre-fork, 10",
        command: "chap-25 prefork --children 10",
    },
    Model {
        name: "thread",
        command: "chap-26 thread01",
    },
    Model {
        name: "thread pool, 10",
        command: "chap-26 thread02 --threads 10",
    },
    Model {
        name: "select",
        command: "chap-20 selectserver",
    },
    Model {
        name: "poll",
        command: "chap-21 pollserver02",
    },
    Model {
        name: "epoll, level",
        command: "chap-23 epoll01 --quiet --trigger level",
    },
    Model {
        name: "epoll, edge",
        command: "chap-23 epoll01 --quiet --trigger edge",
    },
    Model {
        name: ONE_REACTOR,
        command: "chap-29 epoll-server-multithreads --threads 0",
    },
    Model {
        name: "main and 2 sub reactors",
        command: "chap-29 epoll-server-multithreads --threads 2",
    },
    Model {
        name: "SO_REUSEPORT, 2 loops",
        command: "chap-33 placement --placement reuse-port --threads 2",
    },
    Model {
        name: "io_uring",
        command: "chap-30 uring-echo",
    },
];
const ONE_REACTOR: &str = "one reactor";

/// How many clients there are, and how often each asks.
const CLIENTS: usize = 10;
const QUESTIONS: usize = 20;

/// What a design has come to.
struct Outcomes {
    served: usize,
    calls: f64,
    processes: usize,
    threads: usize,
    memory: u64,
    median: Duration,
}

/// The process and its descendants.
fn family(server: &Process) -> Vec<i32> {
    let mut all = vec![server.pid().as_raw()];
    all.extend(server.children().iter().map(|(pid, _)| pid.as_raw()));
    all
}

/// Each client asks, one after the other: a server that serves them all has one question at a time.
fn conversation(
    clients: &[TcpStream],
    patience: Duration,
) -> Result<(usize, Vec<Duration>), LabError> {
    let mut served = 0;
    let mut times = Vec::new();
    let mut patience = patience;
    for mut client in clients {
        client.set_read_timeout(Some(patience))?;
        client.set_nodelay(true)?;
        let mut answers = 0;
        for _ in 0..QUESTIONS {
            let began = Instant::now();
            client.write_all(b"a question of 32 bytes, newline\n")?;
            let mut answer = [0; 32];
            if client.read_exact(&mut answer).is_err() {
                patience = Duration::from_millis(50); // nobody is served behind one who is not
                break;
            }
            times.push(began.elapsed());
            answers += 1;
        }
        served += usize::from(answers == QUESTIONS);
    }
    times.sort_unstable();
    Ok((served, times))
}

/// Runs a design, with its system calls on record or at full speed.
fn runs(host: &Host, command: &str, port: u16, traced: bool) -> Result<Outcomes, LabError> {
    let command = format!("{command} --port {port}");
    let launch = host.program(&command);
    let server = if traced {
        launch.traced_drawing(&[]).start()?
    } else {
        launch.start()?
    };
    server.listens()?;
    let connect = || (0..CLIENTS).map(|_| TcpStream::connect(("127.0.0.1", port)));
    let clients: Vec<TcpStream> = host.enter(|| connect().collect())?;
    // One round first: connections are accepted, children made, buffers there.
    let patience = Duration::from_millis(if traced { 700 } else { 300 });
    conversation(&clients[..], patience)?;
    let before = Instant::now();
    let (served, times) = conversation(&clients, patience)?;
    let own = family(&server);
    let counted =
        |call: &SystemCall| call.at > before && call.result.is_some() && call.name != "futex";
    let calls = server.calls().filtered(counted).len();
    let threads = own
        .iter()
        .map(|pid| fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count));
    let outcomes = Outcomes {
        served,
        calls: calls as f64 / (served.max(1) * QUESTIONS) as f64,
        processes: own.len(),
        threads: threads.sum(),
        memory: own.iter().map(|pid| own_memory(*pid)).sum(),
        median: times.get(times.len() / 2).copied().unwrap_or_default(),
    };
    drop(clients);
    server.signal(Signal::SIGTERM);
    for (child, _) in server.children() {
        let _ = nix::sys::signal::kill(child, Signal::SIGTERM);
    }
    if server.ends().is_err() {
        server.kill()?;
    }
    Ok(outcomes)
}

fn models(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    lab.leaves_out(PORT..=PORT + 2 * MODELS.len() as u16);
    // No client may have by chance the port of a server that is still to come.
    host.sets("net.ipv4.ip_local_port_range", "50000 60999")?;
    lab.ends_the_ladder();
    let mut rows = Vec::new();
    let mut all = Vec::new();
    let reactor = MODELS
        .iter()
        .find(|model| model.name == ONE_REACTOR)
        .map_or("", |model| model.command);
    let mut port = PORT;
    for model in MODELS {
        let command = lab.vary(model.command, reactor);
        let counted = runs(&host, command, port, true)?;
        let timed = runs(&host, command, port + 1, false)?;
        port += 2;
        rows.push(vec![
            model.name.to_string(),
            counted.processes.to_string(),
            counted.threads.to_string(),
            format!("{} of {CLIENTS}", timed.served),
            timed.memory.to_string(),
            format!("{:.0}", timed.median.as_secs_f64() * 1e6),
            format!("{:.1}", counted.calls),
        ]);
        all.push((model.name, counted));
    }
    let of = |name: &str| {
        all.iter()
            .find(|(model, _)| *model == name)
            .map(|(_, outcomes)| outcomes)
    };
    let processes = |name| of(name).map(|outcomes| outcomes.processes);
    let threads = |name| of(name).map(|outcomes| outcomes.threads);
    let calls = |name| of(name).map_or(f64::NAN, |outcomes| outcomes.calls);
    lab.central(
        "one after the other, one of ten clients is served",
        equal(of("one after the other").map(|one| one.served), Some(1)),
    );
    lab.central(
        "with fork there are eleven processes for ten clients",
        equal(processes("fork"), Some(11)),
    );
    lab.central(
        "with a thread for each client, eleven threads",
        equal(threads("thread"), Some(11)),
    );
    lab.claim(
        "one reactor has one thread for all of them",
        equal(threads(ONE_REACTOR), Some(1)),
    );
    lab.central(
        "main and two sub reactors have three",
        equal(threads("main and 2 sub reactors"), Some(3)),
    );
    lab.central(
        "a thread that blocks makes two calls for a question: read and send",
        within(calls("thread"), 1.9..2.3),
    );
    lab.claim(
        "a reactor makes three: wait, read and send",
        within(calls(ONE_REACTOR), 2.9..3.3),
    );
    lab.central("io_uring makes one", within(calls("io_uring"), 0.9..1.3));
    let head = [
        "design",
        "processes",
        "threads",
        "served",
        "KiB",
        "µs",
        "calls",
    ];
    lab.table(&head, rows, 6);
    lab.done()
}
