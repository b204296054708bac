//! Chapter 28: main and sub reactors.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use nix::unistd::Pid;

use crate::packet::Packet;
use crate::prelude::*;
use crate::tracer::SystemCall;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "28/waker",
        "the main thread hands a connection over, and wakes the loop that gets it through a descriptor made for that",
        waker,
        "there is one loop, which has nobody to hand it to",
    )
    .also(&["chap-36"]),
    Experiment::new(
        "28/round-robin",
        "five connections go to Thread-1, 2, 3, 4 and 1; the main thread accepts, and does nothing else",
        round_robin,
        "there is one loop, which does everything",
    ),
    Experiment::new(
        "28/one-thread-per-connection",
        "a connection is read, answered and closed by one thread, from first to last",
        one_thread_per_connection,
        "the client makes a new connection for each question",
    ),
    Experiment::new(
        "28/slow-compute",
        "one loop, two clients, and a question that takes long to compute: with workers, only the client that asked it waits",
        slow_compute,
        "there are no workers",
    ),
];

const SERVER: &str = "chap-28 poll-server-multithreads";

/// A server whose system calls are watched. The ladder shows what follows from them.
fn server(host: &Host, options: &str) -> Result<Process, LabError> {
    host.names_own_hand("client");
    let server = host.program(&format!("{SERVER} {options}"));
    let server = server.traced_drawing(&[]).start()?;
    server.listens()?;
    Ok(server)
}

fn connect(host: &Host) -> Result<TcpStream, LabError> {
    let client = host.enter(|| TcpStream::connect(("127.0.0.1", PORT)))?;
    client.set_read_timeout(Some(Duration::from_secs(10)))?;
    client.set_nodelay(true)?;
    Ok(client)
}

/// Sends a question, and reads the answer.
fn asks(mut client: &TcpStream, question: &str, answer: &str) -> Result<(), LabError> {
    client.write_all(question.as_bytes())?;
    hears(client, answer)
}

fn hears(mut client: &TcpStream, answer: &str) -> Result<(), LabError> {
    let mut found = vec![0; answer.len()];
    client.read_exact(&mut found)?;
    match found == answer.as_bytes() {
        true => Ok(()),
        false => Err(LabError::Impossible(format!(
            "another answer than {answer:?}"
        ))),
    }
}

/// The client ends, and waits until the server has ended too.
fn leaves(mut client: TcpStream) -> Result<(), LabError> {
    client.shutdown(Shutdown::Write)?;
    let _ = client.read(&mut [0; 8])?;
    Ok(())
}

/// The names of a program's threads, proc_pid_task(5). The first has the program's.
fn thread_names(program: &Process) -> Result<BTreeMap<Pid, String>, LabError> {
    let mut names = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{}/task", program.pid()))? {
        let task = task?;
        let tid: i32 = task
            .file_name()
            .to_string_lossy()
            .parse()
            .unwrap_or_default();
        let name = fs::read_to_string(task.path().join("comm"))?;
        names.insert(Pid::from_raw(tid), name.trim().to_string());
    }
    Ok(names)
}

/// Writes down which thread has read the last question.
fn notes_reader(lab: &Lab, server: &Process) -> Result<(), LabError> {
    let (names, reads) = (thread_names(server)?, on_sockets(server, READ));
    let reader = reads.last().and_then(|call| names.get(&call.tid));
    lab.notes(&format!(
        "read by {}",
        reader.map_or("nobody", String::as_str)
    ));
    Ok(())
}

fn is_about(call: &SystemCall, kind: &str) -> bool {
    call.descriptor
        .as_deref()
        .unwrap_or_default()
        .starts_with(kind)
}

/// What may be done to a connection, by whichever of the calls for it.
const READ: &[&str] = &["read", "recvfrom"];
const SEND: &[&str] = &["write", "sendto"];
const ACCEPT: &[&str] = &["accept4"];
const CLOSE: &[&str] = &["close"];

/// The calls that did this to a connection, or to the listener.
fn on_sockets(server: &Process, names: &[&str]) -> Vec<SystemCall> {
    let fits = |call: &SystemCall| names.contains(&&*call.name) && call.succeeded();
    let calls = server.calls();
    calls.filtered(|call| fits(call) && is_about(call, "socket:"))
}

/// The connections in the order in which each was first read from, and the threads that have read from it.
fn readers(server: &Process) -> Vec<BTreeSet<Pid>> {
    let mut connections: Vec<(String, BTreeSet<Pid>)> = Vec::new();
    for call in on_sockets(server, READ) {
        let socket = call.descriptor.unwrap_or_default();
        match connections.iter_mut().find(|(known, _)| *known == socket) {
            Some((_, threads)) => drop(threads.insert(call.tid)),
            None => connections.push((socket, BTreeSet::from([call.tid]))),
        }
    }
    connections
        .into_iter()
        .map(|(_, threads)| threads)
        .collect()
}

fn waker(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = server(&host, &format!("--threads {}", lab.vary(1, 0)))?;
    let threads = server.pid();
    let client = host.start("chap-36 tcpcli-select 127.0.0.1")?;
    client.says("connected: ")?;
    server.says("connection completed")?;
    host.look();
    let names = thread_names(&server)?;
    client.types("fasfas")?;
    client.says("snfsnf")?;
    server.says("write completed")?;

    const WAKER: &str = "anon_inode:[eventfd]";
    let fds = fs::read_dir(format!("/proc/{}/fd", server.pid()))?;
    let targets = fds.flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
    let wakers = targets.filter(|target| target.as_os_str() == WAKER).count();
    let calls = server.calls();
    let on_waker = calls.filtered(|call| {
        matches!(&*call.name, "read" | "write") && call.succeeded() && is_about(call, WAKER)
    });
    let of = |name: &str, first: bool| {
        on_waker
            .iter()
            .find(|call| call.name == name && (call.tid == threads) == first)
    };
    let accepted = calls.returned("accept4");
    let accepted = accepted.first().copied();
    lab.claim(
        "each loop has an eventfd: the main thread's and Thread-1's",
        equal(wakers, lab.vary(2, 1)),
    );
    let (wakes, woken) = (of("write", true), of("read", false));
    lab.central(
        "the main thread, which has accepted, writes 8 bytes to an eventfd",
        Check::new(
            wakes.is_some_and(|call| call.result == Some(Ok(8)))
                && accepted.is_some_and(|fd| fd.is_ok()),
            wakes.map_or("nobody writes to one".into(), ToString::to_string),
        ),
    );
    lab.central(
        "Thread-1 reads them",
        Check::new(
            woken.is_some_and(|call| {
                names.get(&call.tid).is_some_and(|name| name == "Thread-1")
                    && wakes.is_some_and(|wakes| wakes.arguments[0] == call.arguments[0])
            }),
            woken.map_or("nobody reads from one".into(), ToString::to_string),
        ),
    );
    let first_read = on_sockets(&server, READ).into_iter().next();
    lab.central(
        "and only then does it read from the connection",
        Check::unless(
            woken.zip(first_read.as_ref()).is_some_and(|(woken, read)| {
                woken.tid == read.tid && woken.ended_at.is_some_and(|woken| woken <= read.at)
            }),
            "another order",
        ),
    );
    lab.done()
}

fn round_robin(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let options = format!("--quiet --threads {}", lab.vary(4, 0));
    let server = server(&host, &options)?;
    let mut clients = Vec::new();
    for _ in 0..5 {
        let client = connect(&host)?;
        asks(&client, "aaa\n", "nnn\n")?;
        notes_reader(lab, &server)?;
        clients.push(client);
    }
    host.look();
    lab.ends_the_ladder();

    let names = thread_names(&server)?;
    let name = |tid: &Pid| names.get(tid).cloned().unwrap_or_default();
    let threads: Vec<_> = readers(&server)
        .iter()
        .map(|threads| threads.iter().map(name).collect::<Vec<_>>().join(", "))
        .collect();
    lab.central(
        "the connections are read by Thread-1, Thread-2, Thread-3, Thread-4, and Thread-1 again",
        equal(
            threads,
            ["Thread-1", "Thread-2", "Thread-3", "Thread-4", "Thread-1"],
        ),
    );
    let main = server.pid();
    let accepts = on_sockets(&server, ACCEPT);
    lab.claim(
        "the main thread accepts all five",
        equal(accepts.iter().filter(|call| call.tid == main).count(), 5),
    );
    let others = [READ, SEND]
        .map(|names| on_sockets(&server, names))
        .concat();
    lab.central(
        "it reads nothing and sends nothing",
        equal(others.iter().filter(|call| call.tid == main).count(), 0),
    );
    let accepted_elsewhere = accepts.iter().any(|call| call.tid != main);
    lab.claim(
        "no other thread accepts",
        Check::unless(!accepted_elsewhere, "another thread accepts"),
    );
    lab.done()
}

fn one_thread_per_connection(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = server(&host, "--quiet")?;
    let other = connect(&host)?;
    asks(&other, "b", "o")?;
    let mut client = connect(&host)?;
    for round in 0..3 {
        if round > 0 && lab.is_control() {
            leaves(std::mem::replace(&mut client, connect(&host)?))?;
        }
        asks(&client, "aaa\n", "nnn\n")?;
        notes_reader(lab, &server)?;
        asks(&other, "b", "o")?; // another is served in between, by another thread
    }
    leaves(client)?;
    lab.until("the connection is closed", || {
        let closed = on_sockets(&server, CLOSE).len();
        equal(closed, lab.vary(1, 3))
    })?;
    host.look();
    lab.ends_the_ladder();

    let names = thread_names(&server)?;
    let name = |tid: &Pid| names.get(tid).cloned().unwrap_or_default();
    // Ours are the questions and answers of four bytes.
    let ours = |names: &[&str]| {
        let calls = on_sockets(&server, names).into_iter();
        calls
            .filter(|call| call.result == Some(Ok(4)))
            .collect::<Vec<_>>()
    };
    let tids = |calls: &[SystemCall]| calls.iter().map(|call| call.tid).collect::<Vec<_>>();
    let (reads, sends) = (tids(&ours(READ)), tids(&ours(SEND)));
    let closes = tids(&on_sockets(&server, CLOSE));
    let readers: BTreeSet<_> = reads.iter().map(name).collect();
    lab.central(
        "the client's three questions are read by one thread, the second",
        equal(&reads.len(), &3).and(equal(readers, BTreeSet::from(["Thread-2".to_string()]))),
    );
    lab.central(
        "that thread closes the connection",
        Check::new(
            closes.len() == 1 && closes.first() == reads.first(),
            format_args!("{:?}", closes.iter().map(name).collect::<Vec<_>>()),
        ),
    );
    lab.claim(
        "each answer is sent by the thread that has read the question",
        equal(&sends, &reads),
    );
    lab.claim(
        "none of it is done by the thread that has accepted",
        Check::unless(!reads.contains(&server.pid()), "the main thread reads"),
    );
    lab.done()
}

/// The text of a packet from the server.
fn says(packet: &Packet, text: &str) -> bool {
    packet.data().starts_with(text.as_bytes())
}

fn slow_compute(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let options = format!(
        "--quiet --threads 1 --compute 0.025 --workers {}",
        lab.vary(2, 0)
    );
    let server = server(&host, &options)?;
    let (slow, quick) = (connect(&host)?, connect(&host)?);
    let long = "a".repeat(60);
    let reads = |count: usize| {
        lab.until("the question is read", || {
            within(on_sockets(&server, READ).len(), count..)
        })
    };
    lab.notes("the slow client asks: 60 bytes, a second and a half of work");
    (&slow).write_all(long.as_bytes())?;
    reads(1)?;
    lab.notes("it asks again: 2 bytes");
    (&slow).write_all(b"bb")?;
    if !lab.is_control() {
        reads(2)?;
    }
    lab.notes("the quick client asks: 3 bytes");
    asks(&quick, "ccc", "ppp")?;
    hears(&slow, &"n".repeat(60))?;
    hears(&slow, "oo")?;
    host.look();
    lab.ends_the_ladder();

    let from_server = lab.packets().from(&server).carrying_data();
    let place = |text: &str| from_server.iter().position(|packet| says(packet, text));
    let (slow_answer, quick_answer) = (place("nnn"), place("ppp"));
    lab.central(
        "the quick client, on the same loop, is answered before the slow one",
        Check::new(
            quick_answer.is_some() && quick_answer < slow_answer,
            format_args!("answers {quick_answer:?} and {slow_answer:?}"),
        ),
    );
    let names = thread_names(&server)?;
    let sleeps = server.calls().filtered(|call| {
        matches!(&*call.name, "nanosleep" | "clock_nanosleep") && call.succeeded()
    });
    let workers: BTreeSet<_> = sleeps
        .iter()
        .filter_map(|call| names.get(&call.tid))
        .filter(|name| name.starts_with("Worker-"))
        .collect();
    lab.central(
        "two workers compute, and the loop reads and sends",
        equal(workers.len(), 2).and(equal(
            on_sockets(&server, SEND)
                .iter()
                .map(|call| call.tid)
                .collect::<BTreeSet<_>>()
                .len(),
            1,
        )),
    );
    let ends: Vec<_> = sleeps.iter().filter_map(|call| call.ended_at).collect();
    lab.central(
        "the slow client's second question is computed before its first",
        Check::new(
            ends.len() == 3 && ends[1] < ends[0],
            format_args!("{} computations", ends.len()),
        ),
    );
    let of_slow: Vec<u8> = from_server
        .iter()
        .filter(|packet| !says(packet, "ppp"))
        .flat_map(|packet| packet.data().to_vec())
        .collect();
    lab.claim(
        "and its two answers come in the order of its questions",
        equal(
            String::from_utf8_lossy(&of_slow).into_owned(),
            format!("{}oo", "n".repeat(60)),
        ),
    );
    lab.done()
}
