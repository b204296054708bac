//! Chapter 30: asynchronous I/O.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use nix::errno::Errno;

use crate::net::proc;
use crate::prelude::*;
use crate::tracer::SystemCall;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "30/aio",
        "a file is written and read back by asynchronous calls: it holds 512 times fa",
        aio,
        "the process may make files of 256 bytes only",
    ),
    Experiment::new(
        "30/aio-suspend",
        "while the server keeps both waiting, one program asks without end, the other one sleeps until it is told",
        aio_suspend,
        "the second program asks without end, too",
    ),
    Experiment::new(
        "30/glibc-threads",
        "POSIX aio is threads in user space: the C library makes one, and it waits in an ordinary read",
        glibc_threads,
        "the program calls write and read itself",
    ),
    Experiment::new(
        "30/aio-on-a-socket",
        "aio on a socket works on Linux: the C library tries it as a file, is refused, and calls write and read",
        aio_on_a_socket,
        "it is a file",
    ),
    Experiment::new(
        "30/uring-echo",
        "a proactor serves a hundred clients and makes no call that reads or writes: the kernel does it",
        uring_echo,
        "the server is a reactor",
    ),
    Experiment::new(
        "30/reactor-or-proactor",
        "for a message a reactor makes three system calls, a proactor one, and under load far fewer",
        reactor_or_proactor,
        "both servers are reactors",
    ),
];

/// The calls that move data, by whatever name.
const TRANSFERS: [&str; 12] = [
    "read", "write", "readv", "writev", "pread64", "pwrite64", "recvfrom", "sendto", "recvmsg",
    "sendmsg", "recvmmsg", "sendmmsg",
];

/// What a reader of the ladder is to see of a program that uses POSIX aio.
const OF_AIO: &[&str] = &["clone", "clone3", "pread64", "pwrite64", "read", "write"];

/// Leaves the experiment where io_uring cannot be used, and says why.
fn needs_io_uring() -> Result<(), LabError> {
    // struct io_uring_params, 120 bytes
    let parameters = [0_u64; 15];
    // SAFETY: the kernel fills in one structure of that size.
    let made = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_ptr()) };
    match Errno::result(made) {
        Ok(ring) => {
            // SAFETY: made above, and nobody else has it.
            unsafe { libc::close(ring as i32) };
            Ok(())
        }
        Err(errno) => {
            let setting = fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
            let setting = setting.map_or("unknown".into(), |setting| setting.trim().to_string());
            Err(LabError::Impossible(format!(
                "io_uring cannot be used here: {}; kernel.io_uring_disabled is {setting}",
                io::Error::from(errno)
            )))
        }
    }
}

/// An echo server that is stopped: it takes its time.
fn slow_server(host: &Host) -> Result<Process, LabError> {
    let server = host.start("chap-30 epoll-echo")?;
    server.listens()?;
    server.halt()?;
    Ok(server)
}

/// The threads of a process, and the system call that each one sleeps in.
fn threads(program: &Process) -> Vec<&'static str> {
    let tasks = fs::read_dir(format!("/proc/{}/task", program.pid()))
        .into_iter()
        .flatten()
        .flatten();
    let mut ids: Vec<i32> = tasks
        .filter_map(|task| task.file_name().to_str()?.parse().ok())
        .collect();
    ids.sort();
    let call = |id| {
        let (number, _) = proc::blocked_in(id)?;
        proc::system_call_name(number)
    };
    ids.into_iter()
        .map(|id| call(id).unwrap_or("none"))
        .collect()
}

/// Waits until a thread of the program sleeps in read, and the first one sleeps, too.
fn reads_in_vain(lab: &Lab, program: &Process) -> Result<(), LabError> {
    lab.until("a thread waits in read, and the first waits for it", || {
        let threads = threads(program);
        let first = threads
            .first()
            .is_some_and(|first| matches!(*first, "futex" | "read"));
        Check::new(
            first && threads.contains(&"read"),
            format_args!("{threads:?}"),
        )
    })
}

/// The processor time of all threads of a program, proc_pid_schedstat(5).
fn processor_time(program: &Process) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{}/task", program.pid()))
        .into_iter()
        .flatten()
        .flatten();
    let stats = tasks.filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
    let times = stats.filter_map(|stat| stat.split(' ').next()?.parse::<u64>().ok());
    Duration::from_nanos(times.sum())
}

/// The calls of this name that the first thread has not made.
fn elsewhere(program: &Process, name: &str) -> Vec<SystemCall> {
    let calls = program.calls();
    calls.filtered(|call| call.name == name && call.tid != call.pid)
}

fn aio(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let mut launch = host
        .program("chap-30 aio02 aio_test")
        .traced_drawing(OF_AIO);
    if lab.is_control() {
        launch = launch.prepared(|| {
            let small = libc::rlimit {
                rlim_cur: 256,
                rlim_max: 256,
            };
            // SAFETY: a valid structure; a plain system call.
            Errno::result(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &small) })?;
            Ok(())
        });
    }
    let program = launch.start()?;
    let end = program.ends()?;

    let bytes = fs::read(lab.shared.directory.join("aio_test")).unwrap_or_default();
    lab.central("the file holds 512 bytes, each of them fa", {
        let all = bytes.iter().all(|&byte| byte == 0xfa);
        Check::new(
            all && bytes.len() == 512,
            format_args!("{} bytes", bytes.len()),
        )
    });
    lab.central("they were read back and are equal", end.exited_with(0));
    let of_file = |call: &SystemCall| {
        let descriptor = call.descriptor.as_deref().unwrap_or_default();
        descriptor.ends_with("/aio_test")
    };
    let calls = program.calls().filtered(of_file);
    let results = |name: &str| -> Vec<_> {
        let named = calls.iter().filter(|call| call.name == name);
        named.filter_map(|call| call.result).collect()
    };
    lab.central(
        "one call has written 512 bytes, another one has read 512",
        equal(
            (results("pwrite64"), results("pread64")),
            (vec![Ok(512)], vec![Ok(512)]),
        ),
    );
    lab.claim("neither was made by the thread that asked for it", {
        let by_the_first = calls
            .iter()
            .filter(|call| call.tid == call.pid && TRANSFERS.contains(&&*call.name));
        equal(by_the_first.count(), 0)
    });
    lab.done()
}

fn aio_suspend(lab: &Lab) -> Outcome {
    const MUCH: Duration = Duration::from_millis(60);
    let host = lab.host()?;
    let server = slow_server(&host)?;
    let asks = host.start("chap-30 aio01 --connect 127.0.0.1")?;
    asks.says("reading...")?;
    let sleeps = host.start(lab.vary(
        "chap-30 aio02 --connect 127.0.0.1",
        "chap-30 aio01 --connect 127.0.0.1",
    ))?;
    sleeps.says("reading...")?;
    lab.until("it has come to its wait", || {
        sleeps
            .blocks_in(&["futex"])
            .or(Check::new(lab.is_control(), "it asks"))
    })?;
    let before = processor_time(&sleeps);
    lab.until("the first has kept a processor busy", || {
        within(processor_time(&asks), MUCH..)
    })?;
    if lab.is_control() {
        lab.until("and so has the second", || {
            within(processor_time(&sleeps) - before, MUCH..)
        })?;
    }
    let (busy, idle) = (processor_time(&asks), processor_time(&sleeps) - before);
    let asleep = sleeps.blocks_in(&["futex"]);
    server.resume();
    let ends = [asks.ends()?, sleeps.ends()?];

    lab.claim(
        "the program that asks uses a processor all the time",
        within(busy, MUCH..),
    );
    lab.central(
        "the program that sleeps uses next to none",
        within(idle, ..MUCH / 4),
    );
    lab.central(
        "it sleeps in a futex: aio_suspend is a call of the C library, not of the kernel",
        asleep,
    );
    lab.claim(
        "both get their 512 bytes when the server goes on",
        all(ends.map(|end| end.exited_with(0))),
    );
    let millis = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    lab.figure("processor time of the one that asks", millis(busy));
    lab.figure("of the one that sleeps", millis(idle));
    lab.done()
}

fn glibc_threads(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = slow_server(&host)?;
    let command = format!(
        "chap-30 aio02 --connect 127.0.0.1{}",
        lab.vary("", " --sync")
    );
    let program = host
        .program(&command)
        .traced_drawing(&["clone", "clone3"])
        .start()?;
    program.says("512 bytes written")?;
    reads_in_vain(lab, &program)?;
    let threads = threads(&program);
    let made = program
        .calls()
        .filtered(|call| matches!(&*call.name, "clone" | "clone3"));
    server.resume();
    let end = program.ends()?;

    lab.central(
        "while the answer is awaited, the process has two threads",
        Check::new(threads.len() == 2, format_args!("{threads:?}")),
    );
    lab.central(
        "the first sleeps in a futex, the second in read",
        equal(threads, ["futex", "read"]),
    );
    lab.central(
        "the second was made by a call that the program itself does not contain",
        Check::new(
            made.len() == 1 && made[0].succeeded(),
            format_args!("{} such calls", made.len()),
        ),
    );
    lab.claim("the answer comes, and is equal", end.exited_with(0));
    lab.done()
}

fn aio_on_a_socket(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = slow_server(&host)?;
    let what = lab.vary("--connect 127.0.0.1", "aio_test");
    let program = host
        .program(&format!("chap-30 aio02 {what}"))
        .traced_drawing(OF_AIO)
        .start()?;
    program.says("reading...")?;
    if !lab.is_control() {
        reads_in_vain(lab, &program)?;
    }
    let waits = elsewhere(&program, "read").iter().any(SystemCall::blocks);
    server.resume();
    let end = program.ends()?;

    let refused = |name| {
        elsewhere(&program, name)
            .iter()
            .any(|call| call.failed_with(Errno::ESPIPE))
    };
    lab.central(
        "pwrite and pread fail with ESPIPE: a socket has no position",
        Check::unless(refused("pwrite64") && refused("pread64"), "no such failure"),
    );
    lab.central(
        "the C library then calls write and read, and a thread waits in read for as long as it takes",
        Check::unless(waits, "no thread waits in read"),
    );
    lab.central("512 bytes go to the server and come back", {
        let packets = lab.packets();
        let there = packets.clone().from(&program).bytes();
        equal((there, packets.from(&server).bytes()), (512, 512))
    });
    lab.claim("the program has what it wanted", end.exited_with(0));
    lab.done()
}

/// Connections that the ladder does not show.
fn crowd(lab: &Lab, host: &Host, count: usize) -> Result<Vec<TcpStream>, LabError> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let client = client(host)?;
        let port = client.local_addr()?.port();
        lab.leaves_out(port..=port);
        clients.push(client);
    }
    Ok(clients)
}

fn client(host: &Host) -> Result<TcpStream, LabError> {
    host.names_own_hand("clients");
    host.enter(|| {
        let client = TcpStream::connect(("127.0.0.1", PORT))?;
        client.set_nodelay(true)?;
        client.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(client)
    })
}

/// What a client says in a round: as long for all, and different for each.
fn message(client: usize, round: usize) -> String {
    format!("{client:>4} says {round:>4}\n")
}

fn say_all(clients: &mut [TcpStream], round: usize) -> io::Result<()> {
    let mut all = clients.iter_mut().enumerate();
    all.try_for_each(|(number, client)| client.write_all(message(number, round).as_bytes()))
}

/// How many hear what they have said.
fn hear_all(clients: &mut [TcpStream], round: usize) -> io::Result<usize> {
    let mut right = 0;
    for (number, client) in clients.iter_mut().enumerate() {
        let mut answer = message(number, round).into_bytes();
        answer.fill(0);
        client.read_exact(&mut answer)?;
        right += usize::from(answer == message(number, round).as_bytes());
    }
    Ok(right)
}

/// Rounds in which all speak, and then all listen.
fn rounds(clients: &mut [TcpStream], count: usize) -> io::Result<usize> {
    (0..count).try_fold(0, |right, round| {
        say_all(clients, round)?;
        Ok(right + hear_all(clients, round)?)
    })
}

/// The calls that a reader of the ladder is to see of a server.
const OF_SERVER: &[&str] = &[
    "io_uring_enter",
    "epoll_wait",
    "epoll_pwait",
    "accept4",
    "read",
    "sendto",
];

/// A server whose calls are watched, and a client that comes, says something twice and goes: all that the ladder shows.
fn shown_with_one(host: &Host, command: &str) -> Result<Process, LabError> {
    let server = host.program(command).traced_drawing(OF_SERVER).start()?;
    server.listens()?;
    let one = client(host)?;
    server.says("client connected")?;
    rounds(&mut [one], 2)?;
    server.says("client closed")?;
    server.draws_no_more_calls();
    Ok(server)
}

fn uring_echo(lab: &Lab) -> Outcome {
    const CLIENTS: usize = 100;
    const ROUNDS: usize = 3;
    needs_io_uring()?;
    let host = lab.host()?;
    let server = shown_with_one(&host, lab.vary("chap-30 uring-echo", "chap-30 epoll-echo"))?;
    lab.notes("a hundred clients, each of which says something three times");
    let mut clients = crowd(lab, &host, CLIENTS)?;
    let right = rounds(&mut clients, ROUNDS)?;
    drop(clients);
    for _ in 0..CLIENTS {
        server.says("client closed")?;
    }

    lab.claim(
        "all of the 300 answers are what was sent",
        equal(right, ROUNDS * CLIENTS),
    );
    let moves = |call: &SystemCall| {
        let descriptor = call.descriptor.as_deref().unwrap_or_default();
        descriptor.starts_with("socket:") && TRANSFERS.contains(&&*call.name)
    };
    let calls = server.calls();
    lab.central(
        "the server calls nothing that reads from or writes to a socket",
        equal(calls.filtered(moves).len(), 0),
    );
    lab.central(
        "and nothing that accepts",
        equal(calls.count_of("accept4") + calls.count_of("accept"), 0),
    );
    let happened = (ROUNDS + 2) * CLIENTS + 4;
    let enters = calls.count_of("io_uring_enter");
    lab.central(
        "it calls io_uring_enter, at most once for each thing that happens",
        within(enters, 1..=happened + 10),
    );
    lab.figure("connections, messages and ends", happened);
    lab.figure("calls of io_uring_enter", enters);
    lab.done()
}

/// What a server called while something happened.
fn called(
    server: &Process,
    happens: impl FnOnce() -> Result<(), LabError>,
) -> Result<BTreeMap<String, usize>, LabError> {
    let before = server.calls().counts();
    happens()?;
    let mut calls = server.calls().counts();
    for (name, count) in before {
        calls.entry(name).and_modify(|all| *all -= count);
    }
    calls.retain(|_, count| *count > 0);
    Ok(calls)
}

/// How many calls a server makes for a message: one client after the other, and all at once.
fn cost(lab: &Lab, host: &Host, program: &str) -> Result<[BTreeMap<String, usize>; 2], LabError> {
    const CLIENTS: usize = 100;
    lab.notes(program);
    let server = shown_with_one(host, &format!("chap-30 {program}"))?;
    let mut clients = crowd(lab, host, CLIENTS)?;
    for _ in 0..CLIENTS {
        server.says("client connected")?;
    }
    rounds(&mut clients, 1)?;
    let alone = called(&server, || {
        rounds(&mut clients[..1], CLIENTS)?;
        Ok(())
    })?;
    // While it stands still all of them speak: what a server sees that has much to do.
    server.halt()?;
    say_all(&mut clients, 1)?;
    let together = called(&server, || {
        server.resume();
        hear_all(&mut clients, 1)?;
        Ok(())
    })?;
    server.kill()?;
    Ok([alone, together])
}

fn reactor_or_proactor(lab: &Lab) -> Outcome {
    needs_io_uring()?;
    let host = lab.host()?;
    let reactor = cost(lab, &host, "epoll-echo")?;
    let proactor = cost(lab, &host, lab.vary("uring-echo", "epoll-echo"))?;
    let count = |calls: &BTreeMap<String, usize>| calls.values().sum::<usize>();
    let check = |calls: &BTreeMap<String, usize>, range: std::ops::RangeInclusive<usize>| {
        Check::new(range.contains(&count(calls)), format_args!("{calls:?}"))
    };
    lab.claim(
        "for a hundred messages, one after the other, the reactor makes about 300 calls",
        check(&reactor[0], 290..=310),
    );
    lab.central(
        "the proactor makes about 100",
        check(&proactor[0], 90..=110),
    );
    lab.claim(
        "for a hundred messages that are all there, the reactor makes a little more than 200",
        check(&reactor[1], 200..=300),
    );
    lab.central(
        "the proactor makes fewer than 50",
        check(&proactor[1], 1..=49),
    );
    for (name, [alone, together]) in [("reactor", &reactor), ("proactor", &proactor)] {
        let counts = format!("{} and {}", count(alone), count(together));
        lab.figure(
            &format!("the {name}'s calls for a hundred messages, one by one and all at once"),
            counts,
        );
    }
    lab.done()
}
