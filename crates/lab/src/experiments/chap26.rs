//! Chapter 26: threads.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::available_parallelism;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::net::sock_diag::Socket;
use crate::prelude::*;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "26/lost-updates",
        "two threads count in one place without a lock, and some of their steps are lost",
        lost_updates,
        "there is a lock",
    ),
    Experiment::new(
        "26/hundred-clients",
        "a hundred clients have a thread each, a reset ends one of them, and nothing is left when they have gone",
        hundred_clients,
        "there are four threads for all clients",
    ),
    Experiment::new(
        "26/pool-busy",
        "every thread has a client: the next one is connected and waits, and is served when a thread is free",
        pool_busy,
        "there is a thread more",
    )
    .also(&["chap-36"]),
    Experiment::new(
        "26/queue-full",
        "every thread and every place is taken: the server stops accepting, the kernel's queue fills, and nobody is lost",
        queue_full,
        "there is room for all",
    ),
];

fn server_on(host: &Host, command: &str) -> Result<Process, LabError> {
    let server = host.start(&format!("chap-26 {command}"))?;
    server.listens()?;
    Ok(server)
}

/// Clients of the experiment's own.
fn connect(host: &Host, count: usize) -> Result<Vec<TcpStream>, LabError> {
    let connect = || (0..count).map(|_| TcpStream::connect(("127.0.0.1", PORT)));
    host.enter(|| connect().collect())
}

/// Whether a client gets the answer to what it has asked.
fn answers(mut stream: &TcpStream) -> Result<bool, LabError> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    Ok(&answer == b"nnn\n")
}

fn asks(mut stream: &TcpStream) -> Result<(), LabError> {
    Ok(stream.write_all(b"aaa\n")?)
}

/// What a process has of a kind, in /proc: `task`, its threads, or `fd`, its descriptors.
fn count(process: &Process, what: &str) -> usize {
    let entries = fs::read_dir(format!("/proc/{}/{what}", process.pid()));
    entries.into_iter().flatten().count()
}

/// The server's end of a connection.
fn of_server(socket: &Socket) -> bool {
    socket.local.port() == PORT && socket.remote.port() != 0
}

/// How many connections wait for accept.
fn in_accept_queue(host: &Host) -> Check {
    let sockets = host.sockets().unwrap_or_default();
    let listener = sockets
        .iter()
        .find(|socket| socket.state == TcpState::Listen);
    equal(listener.map(|socket| socket.receive_queue), Some(2))
}

/// To be done between fork and exec: on one processor.
fn on_one_processor() -> std::io::Result<()> {
    let mut one = CpuSet::new();
    one.set(0)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &one)?)
}

fn lost_updates(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let lost = |arguments: &str, prepare: fn() -> std::io::Result<()>| -> Result<u64, LabError> {
        let command = format!("chap-26 thread-helloworld {arguments}");
        let program = host.program(&command).prepared(prepare).start()?;
        let lost = program.says("lost updates: ")?.rest();
        program.ends()?;
        Ok(lost.trim().parse().expect("a number"))
    };
    let anywhere = || Ok(());
    let with = lab.vary("race", "mutex");
    // Two threads that never ran at the same time would have been lucky once more.
    let mut race = 0;
    for _ in 0..20 {
        race = lost(&format!("--with {with} --count 1000000"), anywhere)?;
        if race > 0 {
            break;
        }
    }
    let thousand = lost(&format!("--with {with}"), anywhere)?;
    let one_processor = lost(&format!("--with {with} --count 1000000"), on_one_processor)?;
    let mutex = lost("--with mutex --count 1000000", anywhere)?;
    let atomic = lost("--with atomic --count 1000000", anywhere)?;
    let several = available_parallelism().is_ok_and(|processors| processors.get() > 1);
    lab.central(
        "of two times a million steps, each a read and then a write, some are lost",
        match several {
            true => within(race, 1..=1_999_999),
            false => Check::unseen("there is one processor only, and the threads seldom meet"),
        },
    );
    lab.claim("with a mutex none is lost", equal(mutex, 0));
    lab.claim("nor with an atomic addition", equal(atomic, 0));
    lab.figure("lost of 2000000", race);
    lab.figure("lost of 2000, the course's count", thousand);
    lab.figure("lost of 2000000 on one processor", one_processor);
    lab.done()
}

fn hundred_clients(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    lab.leaves_out(PORT..=PORT);
    let server = server_on(&host, lab.vary("thread01", "thread02"))?;
    let before = count(&server, "fd");
    let mut clients = connect(&host, 100)?;
    let served = lab.vary(100, 4);
    for client in &clients[..served] {
        asks(client)?;
    }
    let mut answered = 0;
    for client in &clients[..served] {
        answered += usize::from(answers(client)?);
    }
    lab.central(
        "a hundred threads are there beside the first",
        equal(count(&server, "task"), 101),
    );
    lab.claim(
        "every client that has a thread is answered",
        equal(answered, served),
    );

    let victim = clients.swap_remove(0);
    drive::reset(victim)?;
    server.complains("Connection reset by peer")?;
    asks(&clients[1])?;
    lab.claim("one resets, and another is answered as before", {
        Check::unless(answers(&clients[1])?, "no answer")
    });
    drop(clients);
    lab.until("all connections are gone", || {
        let open = host.sockets().unwrap_or_default();
        equal(
            open.iter()
                .filter(|socket| of_server(socket) && socket.inode != 0)
                .count(),
            0,
        )
    })?;
    if !lab.is_control() {
        lab.until("the threads have ended", || {
            equal(count(&server, "task"), 1)
        })?;
    }
    lab.central(
        "when they have gone one thread is left",
        equal(count(&server, "task"), 1),
    );
    lab.claim(
        "and as many descriptors as before",
        equal(count(&server, "fd"), before),
    );
    lab.done()
}

fn pool_busy(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = server_on(&host, &format!("thread02 --threads {}", lab.vary(2, 3)))?;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let client = host.start("chap-36 tcpcli-select 127.0.0.1")?;
        client.says("connected: ")?;
        server.says("serves")?;
        host.look();
        client.types("aaa")?;
        client.says("nnn")?;
        clients.push(client);
    }
    let third = host.start("chap-36 tcpcli-select 127.0.0.1")?;
    third.says("connected: ")?;
    server.says("accepted")?;
    host.look();
    third.types("bbb")?;
    if lab.is_control() {
        third.says("ooo")?;
    } else {
        lab.until("its line has arrived", || {
            host.has(TcpState::Established, |s| {
                of_server(s) && s.receive_queue == 4
            })
        })?;
        lab.watches_for(Duration::from_millis(300));
    }
    lab.claim("the third client is connected and accepted", {
        let connected = third.output().says("connected: ");
        connected.and(host.has(TcpState::Established, of_server))
    });
    lab.central(
        "its four bytes lie unread in the kernel",
        host.has(TcpState::Established, |s| {
            of_server(s) && s.receive_queue == 4
        }),
    );
    lab.central("it has no answer", third.output().lacks("ooo"));
    clients[0].closes_input();
    clients[0].ends()?;
    if !lab.is_control() {
        third.says("ooo")?;
    }
    lab.claim(
        "the first leaves, and the third is answered",
        third.output().says("ooo"),
    );
    clients[1].types("ccc")?;
    clients[1].says("ppp")?;
    lab.claim(
        "the second has its thread all the while",
        clients[1].output().says("ppp"),
    );
    lab.done()
}

fn queue_full(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    lab.leaves_out(PORT..=PORT); // whoever is accepted when is what matters
    let server = server_on(
        &host,
        &format!("thread02 --threads 1 --queue {}", lab.vary(1, 10)),
    )?;
    lab.notes("five clients connect, and send a line each");
    let mut clients = Vec::new();
    for number in 1..=5 {
        clients.extend(connect(&host, 1)?);
        if number <= lab.vary(3, 5) {
            server.says("accepted")?;
        }
        if number == 1 {
            server.says("serves")?; // it is out of the queue before the next one goes in
        }
        asks(&clients[number - 1])?;
    }
    if !lab.is_control() {
        lab.until("the main thread waits for room", || {
            server.blocks_in(&["futex"])
        })?;
        lab.watches_for(Duration::from_millis(300));
    }
    lab.central(
        "three are accepted: one has the thread, one the place, one waits for the place",
        equal(server.output().count("accepted"), 3),
    );
    lab.central(
        "the main thread waits for room, not in accept",
        server.blocks_in(&["futex"]),
    );
    lab.central(
        "the last two wait in the kernel's queue",
        in_accept_queue(&host),
    );
    lab.ends_the_ladder();
    let mut answered = 0;
    for client in clients {
        answered += usize::from(answers(&client)?); // and it leaves
    }
    lab.claim(
        "one after the other, all five are answered",
        equal(answered, 5),
    );
    lab.done()
}
