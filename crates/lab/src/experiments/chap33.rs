//! Chapter 33: the framework's threads.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

use crate::prelude::*;
use crate::tracer::SystemCall;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "33/start-handshake",
        "one of four loops is slow to start: nobody listens until it runs, and a client who comes before is refused",
        start_handshake,
        "each loop has a listening socket of its own",
    ),
    Experiment::new(
        "33/wakers",
        "a thread is woken a thousand times before it looks: a pipe and a pair count bytes, an eventfd adds",
        wakers,
        "it is woken once",
    ),
    Experiment::new(
        "33/wake",
        "a thousand tasks are queued for a loop in another thread: a burst of them costs one wake-up",
        wake,
        "each is queued when the one before has run",
    ),
    Experiment::new(
        "33/placement",
        "every fourth of forty clients stays: taking turns gives all of those to one loop, counting spreads them",
        placement,
        "every client stays",
    )
    .isolated(),
    Experiment::new(
        "33/threads",
        "as many messages are under way as there are loops: more loops than processors help a handler that sleeps",
        threads,
        "there are two loops, as many as here are processors",
    )
    .also(&["chap-24"]),
];

fn is_about(call: &SystemCall, kind: &str) -> bool {
    let descriptor = call.descriptor.as_deref().unwrap_or_default();
    descriptor.starts_with(kind)
}

const EVENTFD: &str = "anon_inode:[eventfd]";

fn start_handshake(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let how = lab.vary("round-robin", "reuse-port");
    let server = host
        .program(&format!(
            "chap-33 placement --placement {how} --slow-start 1.5"
        ))
        .traced_drawing(&["epoll_create1", "clock_nanosleep", "listen"])
        .start()?;
    let calls = server.calls();
    let asleep = || {
        let blocked = calls.blocked();
        blocked.iter().any(|call| call.name == "clock_nanosleep")
    };
    lab.until("the last loop is slow", || {
        Check::new(asleep(), "nobody sleeps")
    })?;
    host.names_own_hand("client");
    let early = host.enter(|| Ok(TcpStream::connect(("127.0.0.1", PORT))))?;
    let was_asleep = asleep();
    server.listens()?;
    let late = host.enter(|| TcpStream::connect(("127.0.0.1", PORT)));

    lab.claim(
        "while the last loop is not there, a client knocks",
        Check::unless(was_asleep, "it has started already"),
    );
    lab.central(
        "the client is refused",
        equal(
            early.map_err(|error| error.kind()).err(),
            Some(std::io::ErrorKind::ConnectionRefused),
        ),
    );
    let all = calls.all();
    let place = |name: &str| all.iter().position(|call| call.name == name);
    let loops = all
        .iter()
        .filter(|call| call.name == "epoll_create1")
        .count();
    let last_loop = all.iter().rposition(|call| call.name == "epoll_create1");
    lab.claim(
        "there are five loops, the main thread's and four others",
        equal(loops, 5),
    );
    lab.central(
        "listen is called after the last loop has its epoll instance",
        Check::unless(place("listen") > last_loop, "it is called before"),
    );
    lab.claim(
        "a client who comes after that is let in",
        Check::new(late.is_ok(), format_args!("{late:?}")),
    );
    lab.done()
}

fn wakers(lab: &Lab) -> Outcome {
    const KINDS: [(&str, &str, &str, &str); 3] = [
        ("pipe", "pipe2", "pipe:", "2"),
        ("socketpair", "socketpair", "socket:", "2"),
        ("eventfd", "eventfd2", EVENTFD, "1"),
    ];
    let host = lab.host()?;
    let command = format!("chap-33 wakers --wake-ups {}", lab.vary(1000, 1));
    let program = host.program(&command).traced_drawing(&[]).start()?;
    program.ends()?;
    lab.ends_the_ladder();
    let full = host.start("chap-33 wakers --wake-ups 1 --until-full")?;
    full.ends()?;
    let calls = program.calls();
    let (mut made, mut taken, mut reads, mut rows) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (name, makes, about, descriptors) in KINDS {
        made.push(
            calls
                .named(makes)
                .iter()
                .filter(|call| call.succeeded())
                .count(),
        );
        let on_it = calls.filtered(|call| {
            let in_or_out = matches!(&*call.name, "read" | "write");
            in_or_out && call.arguments[0] > 2 && is_about(call, about)
        });
        // It is cleared twice, until a read finds nothing: of one wake-up, and of the many.
        let mut rounds = on_it.split(|call| call.name == "read" && !call.succeeded());
        let many = rounds.nth(1).unwrap_or_default();
        let of = |name: &'static str| {
            let fits = move |call: &&SystemCall| call.name == name && call.succeeded();
            many.iter().filter(fits).count()
        };
        taken.push(of("write"));
        reads.push(of("read"));
        let full = full.output();
        let mut said = full
            .lines()
            .iter()
            .filter_map(|line| line.split_once(": full after "));
        let room = said.find(|(kind, _)| *kind == name);
        let room = room
            .and_then(|(_, rest)| rest.split(' ').next())
            .unwrap_or_default();
        let [writes, reads] = [of("write"), of("read")].map(|count| count.to_string());
        rows.push(vec![
            name.into(),
            descriptors.into(),
            writes,
            reads,
            room.into(),
        ]);
    }
    lab.claim(
        "each is made by one system call: pipe2, socketpair, eventfd2",
        equal(made, [1, 1, 1]),
    );
    lab.central(
        "a thousand wake-ups in a pipe are a thousand bytes, and as many reads of one byte",
        equal(reads[0], 1000),
    );
    lab.central(
        "a pair of sockets is full before that: some wake-ups are refused",
        within(taken[1], 2..1000),
    );
    lab.claim(
        "an eventfd has added all of them up, and one read takes the sum",
        equal((taken[2], reads[2]), (lab.vary(1000, 1), 1)),
    );
    let head = [
        "waker",
        "descriptors",
        "wake-ups taken",
        "reads",
        "full after",
    ];
    lab.table(&head, rows, 3);
    lab.done()
}

fn wake(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let runs = |options: &str| -> Result<(usize, usize), LabError> {
        let command = format!("chap-33 tasks {options}");
        let program = host
            .program(&command)
            .traced_drawing(&["write", "read"])
            .start()?;
        program.says("1000 tasks have run")?;
        program.ends()?;
        let calls = program.calls();
        let on_eventfd = |name: &str| {
            let fits = |call: &SystemCall| call.name == name && call.succeeded();
            calls
                .filtered(|call| fits(call) && is_about(call, EVENTFD))
                .len()
        };
        Ok((on_eventfd("write"), on_eventfd("read")))
    };
    let busy = runs(lab.vary("--loop busy", "--one-by-one"))?;
    // The same with a connection for a task: it is handed over, and served.
    let server = host
        .program("chap-33 placement --threads 1")
        .traced_drawing(&[])
        .start()?;
    server.listens()?;
    let calls = server.calls();
    let of_loop = |call: &&SystemCall| call.tid != server.pid();
    lab.until("the loop waits", || {
        let blocked = calls.blocked();
        let waits = |call: &SystemCall| call.name == "epoll_wait" && of_loop(&call);
        Check::new(blocked.iter().any(waits), "it does not wait")
    })?;
    let begun = Instant::now();
    host.names_own_hand("client");
    let mut client = host.enter(|| TcpStream::connect(("127.0.0.1", PORT)))?;
    asks(&mut client)?;
    lab.ends_the_ladder();
    let idle = runs("--loop idle")?;
    let all = calls.all();
    let wait = all.iter().find(|call| {
        call.name == "epoll_wait" && of_loop(call) && call.ended_at.is_some_and(|at| at > begun)
    });
    let names: Vec<_> = all
        .iter()
        .filter(of_loop)
        .filter(|call| call.at > begun)
        .collect();
    let names: Vec<&str> = names.iter().map(|call| &*call.name).take(5).collect();

    lab.central(
        "while the loop is busy, a thousand tasks are one write to its eventfd, and one for the task before them",
        equal(busy.0, 2),
    );
    lab.central("the loop reads its eventfd twice", equal(busy.1, 2));
    lab.claim(
        "a loop that waits for a connection waits without a limit of time",
        equal(wait.map(|call| call.arguments[3] as i32), Some(-1)),
    );
    lab.claim(
        "woken, it takes the wake-ups, adds the connection, waits, and reads from it",
        equal(
            names
                .iter()
                .filter(|name| !name.starts_with("futex"))
                .take(4)
                .copied()
                .collect::<Vec<_>>(),
            ["read", "epoll_ctl", "epoll_wait", "recvfrom"],
        ),
    );
    let row = |name: &str, (writes, reads): (usize, usize)| {
        vec![name.to_string(), writes.to_string(), reads.to_string()]
    };
    lab.table(
        &["the loop", "writes", "reads"],
        vec![
            row(
                lab.vary("is busy meanwhile", "has run the one before"),
                busy,
            ),
            row("waits at first", idle),
        ],
        1,
    );
    lab.done()
}

/// Sends a line, and reads the answer.
fn asks(client: &mut TcpStream) -> Result<(), LabError> {
    client.set_read_timeout(Some(Duration::from_secs(10)))?;
    client.write_all(b"aaa\n")?;
    let mut answer = [0; 4];
    Ok(client.read_exact(&mut answer)?)
}

/// How many sockets each epoll instance of a program watches, in the order in which they were made: proc_pid_fdinfo(5).
fn watched(program: &Process) -> Result<Vec<usize>, LabError> {
    let process = format!("/proc/{}", program.pid());
    let mut instances = BTreeSet::new();
    let target = |fd: i32| fs::read_link(format!("{process}/fd/{fd}"));
    for entry in fs::read_dir(format!("{process}/fd"))? {
        let fd: i32 = entry?
            .file_name()
            .to_string_lossy()
            .parse()
            .unwrap_or_default();
        if target(fd).is_ok_and(|name| name.as_os_str() == "anon_inode:[eventpoll]") {
            instances.insert(fd);
        }
    }
    let mut counts = Vec::new();
    for fd in instances {
        let info = fs::read_to_string(format!("{process}/fdinfo/{fd}"))?;
        let watched = info.lines().filter_map(|line| line.strip_prefix("tfd:"));
        let numbers = watched.filter_map(|rest| rest.split_whitespace().next()?.parse().ok());
        let is_socket =
            |fd: i32| target(fd).is_ok_and(|name| name.to_string_lossy().starts_with("socket:"));
        counts.push(numbers.filter(|&fd| is_socket(fd)).count());
    }
    Ok(counts)
}

fn placement(lab: &Lab) -> Outcome {
    const CLIENTS: usize = 40;
    let host = lab.host()?;
    lab.leaves_out(PORT..=PORT + 3);
    host.sets("net.ipv4.ip_local_port_range", "50000 60999")?; // no client has by chance a later server's port
    let mut rows = Vec::new();
    let mut loops = Vec::new();
    let hows = [
        "round-robin",
        "least-connections",
        "peer-hash",
        "reuse-port",
    ];
    for (port, how) in (PORT..).zip(hows) {
        if how == "reuse-port" {
            lab.ends_the_ladder(); // whom the kernel chooses depends on the clients' ports
        }
        let command = format!("chap-33 placement --placement {how} --port {port}");
        let server = host.program(&command).named(how).start()?;
        server.listens()?;
        let mut clients = Vec::new();
        for number in 0..CLIENTS {
            let mut client = host.enter(|| TcpStream::connect(("127.0.0.1", port)))?;
            asks(&mut client)?;
            if number % 4 == 0 || lab.is_control() {
                clients.push(client);
            } else {
                // It is not counted any more when the server's end has come.
                client.shutdown(Shutdown::Write)?;
                let _ = client.read(&mut [0])?;
            }
        }
        server.types("")?;
        server.says("Thread-1: ")?;
        // The first instance is the main thread's, which has the listener, and each loop has its eventfd, which is no socket.
        let counts = watched(&server)?;
        let counts: Vec<_> = counts.iter().skip(1).take(4).copied().collect();
        // A loop of reuse-port has a listener, too.
        let listeners = usize::from(how == "reuse-port");
        let counts: Vec<_> = counts.iter().map(|count| count - listeners).collect();
        let least = counts.iter().min().copied().unwrap_or_default();
        let most = counts.iter().max().copied().unwrap_or_default();
        let row = counts.iter().map(usize::to_string);
        rows.push(
            [
                vec![how.to_string()],
                row.collect(),
                vec![(most - least).to_string()],
            ]
            .concat(),
        );
        loops.push((counts, most - least));
        server.kill()?;
    }
    let [turns, least, hash, _] = &loops[..] else {
        return Err(LabError::Impossible("there are four servers".into()));
    };
    lab.central(
        "taking turns, one loop has all ten that stay, and three have none",
        equal(&turns.0, &[10, 0, 0, 0]),
    );
    lab.claim(
        "by counting, no loop has two more than another",
        within(least.1, ..=1),
    );
    lab.central(
        "so counting is more even than taking turns",
        Check::new(
            least.1 < turns.1,
            format_args!("differences of {} and {}", least.1, turns.1),
        ),
    );
    lab.claim(
        "by the client's address, all of one host meet in one loop",
        equal(hash.0.iter().filter(|&&count| count > 0).count(), 1),
    );
    let head = [
        "placement",
        "Thread-1",
        "Thread-2",
        "Thread-3",
        "Thread-4",
        "difference",
    ];
    lab.table(&head, rows, 5);
    lab.done()
}

/// Processor time of all threads of a process, in nanoseconds: proc_pid_schedstat(5).
fn processor_time(process: &Process) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", process.pid()));
    let stats = tasks.into_iter().flatten().flatten();
    let stats = stats.filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
    stats
        .filter_map(|stat| stat.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// Lets clients ask some times, and returns the best of their answers a second, and the least of the server's processor time for
/// an answer in microseconds: others have worked on this machine, too.
fn measures(host: &Host, options: &str, clients: u32, messages: u32) -> Result<[u64; 2], LabError> {
    let (mut best, mut least) = (0, u64::MAX);
    for _ in 0..2 {
        let server = host.start(&format!("chap-33 placement {options}"))?;
        server.listens()?;
        let before = processor_time(&server);
        let client = host.start(&format!(
            "chap-24 c10k 127.0.0.1 --connections {clients} --active {clients} --messages {messages}"
        ))?;
        client.ends()?;
        let used = processor_time(&server) - before;
        server.kill()?;
        let lines = client.output();
        let rate = lines
            .lines()
            .iter()
            .find(|line| line.starts_with("asked again"));
        let rate = rate.and_then(|line| line.rsplit(' ').nth(2)?.parse().ok());
        best = best.max(rate.unwrap_or_default());
        least = least.min(used / u64::from(clients * (messages + 1)) / 1000);
    }
    Ok([best, least])
}

/// The most calls that were under way at one time.
fn most_at_once(calls: &[SystemCall]) -> usize {
    let under_way = |at: Instant| {
        let began = calls.iter().filter(|call| call.at <= at);
        began
            .filter(|call| call.ended_at.is_none_or(|end| end > at))
            .count()
    };
    calls
        .iter()
        .map(|call| under_way(call.at))
        .max()
        .unwrap_or_default()
}

fn threads(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    lab.leaves_out(PORT..=PORT);
    let loops = lab.vary(8, 2);
    let server = host
        .program(&format!("chap-33 placement --threads {loops} --block 0.02"))
        .traced_drawing(&[])
        .start()?;
    server.listens()?;
    lab.notes("32 clients ask three times each");
    lab.ends_the_ladder();
    let client = host.start("chap-24 c10k 127.0.0.1 --connections 32 --active 32 --messages 2")?;
    client.ends()?;
    let sleeps = server.calls().named("clock_nanosleep");
    server.kill()?;
    let most = most_at_once(&sleeps);

    let mut rows = Vec::new();
    if !lab.is_control() {
        for loops in [1, 2, 4, 16] {
            let options = format!("--threads {loops}");
            let [quick, each] = measures(&host, &options, 64, 60)?;
            let [sleepy, _] = measures(&host, &format!("{options} --block 0.005"), 32, 1)?;
            rows.push(
                [loops, quick, each, sleepy]
                    .map(|number| number.to_string())
                    .into(),
            );
        }
    }
    lab.claim(
        "32 clients ask three times each, and the handler sleeps for each",
        equal(sleeps.len(), 96),
    );
    lab.central(
        "with eight loops more than two messages are under way at once",
        within(most, 3..),
    );
    lab.claim(
        "never are there more than there are loops",
        within(most, 1..=loops),
    );
    if !rows.is_empty() {
        let head = [
            "loops",
            "answers/s",
            "processor µs each",
            "answers/s, 5 ms of sleep each",
        ];
        lab.table(&head, rows, 3);
    }
    lab.done()
}
