//! Chapter 32: the framework's design.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use nix::errno::Errno;
use nix::unistd::Pid;

use crate::prelude::*;
use crate::tracer::SystemCall;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "32/select-dispatcher",
        "one server three times: each of its threads waits in a call of its own, and the answers are the same",
        select_dispatcher,
        "the first one waits with poll, too",
    ),
    Experiment::new(
        "32/channel-map-grows",
        "from one channel to five thousand: all are served, memory grows with them, and is given back",
        channel_map_grows,
        "the server waits with select",
    )
    .also(&["chap-24"]),
    Experiment::new(
        "32/stale-event",
        "three events in one round: the second reuses the descriptor that the first has closed, and the third is for the old one",
        stale_event,
        "a channel is found by the number of its descriptor",
    ),
];

fn connect(host: &Host, port: u16) -> Result<TcpStream, LabError> {
    let client = host.enter(|| TcpStream::connect(("127.0.0.1", port)))?;
    client.set_read_timeout(Some(Duration::from_secs(10)))?;
    client.set_nodelay(true)?;
    Ok(client)
}

/// Sends a line, and reads what comes back: nothing, if the connection has ended.
fn asks(mut client: &TcpStream, question: &str) -> Result<String, LabError> {
    client.write_all(question.as_bytes())?;
    let mut answer = vec![0; question.len()];
    let answered = client.read_exact(&mut answer).is_ok();
    Ok(if answered {
        String::from_utf8_lossy(&answer).into_owned()
    } else {
        String::new()
    })
}

/// What waits for descriptors, all of its kind: the C library may use another one than it is asked for.
fn family(call: &str) -> Option<&'static str> {
    match call {
        "select" | "pselect6" => Some("select"),
        "poll" | "ppoll" => Some("poll"),
        call if call.starts_with("epoll_") => Some("epoll"),
        _ => None,
    }
}

fn select_dispatcher(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let list = lab.vary("select,poll,epoll", "poll,poll,epoll");
    let server = host
        .program(&format!("chap-32 dispatchers --dispatchers {list}"))
        .traced_drawing(&["select", "pselect6", "poll", "ppoll", "epoll_wait"])
        .start()?;
    for _ in 0..3 {
        server.listens()?;
    }
    // Each loop's first wait, which its client ends, is drawn. The fourth thread waits for a signal.
    let calls = server.calls();
    let waiting = |call: &SystemCall| call.tid != server.pid() && family(&call.name).is_some();
    lab.until("all of them wait", || {
        within(
            calls.blocked().iter().filter(|call| waiting(call)).count(),
            4..,
        )
    })?;
    server.draws_no_more_calls();
    host.names_own_hand("client");
    let mut answers = Vec::new();
    let mut clients = Vec::new();
    for port in PORT..PORT + 3 {
        let client = connect(&host, port)?;
        answers.push(asks(
            &client, "fafaf
",
        )?);
        clients.push(client);
    }
    lab.ends_the_ladder();
    // The loops' threads in the order in which they were started; the one that waits for a signal comes last.
    let mut waits: Vec<(Pid, BTreeSet<&str>)> = Vec::new();
    for call in calls.all().iter().filter(|call| call.tid != server.pid()) {
        if waits.iter().all(|(tid, _)| *tid != call.tid) {
            waits.push((call.tid, BTreeSet::new()));
        }
        let of_thread = waits.iter_mut().find(|(tid, _)| *tid == call.tid);
        if let (Some((_, found)), Some(family)) = (of_thread, family(&call.name)) {
            found.insert(family);
        }
    }
    let waits = waits.into_iter().take(3);
    let waits: Vec<Vec<&str>> = waits
        .map(|(_, found)| found.into_iter().collect())
        .collect();
    lab.central(
        "the first thread waits in select, and makes no call of poll or epoll",
        equal(waits.first(), Some(&vec!["select"])),
    );
    lab.claim(
        "the second has poll alone, and the third the calls of epoll",
        equal(waits.get(1..), Some(&[vec!["poll"], vec!["epoll"]][..])),
    );
    lab.claim("the answers are the same", equal(answers, ["snsns\n"; 3]));
    lab.done()
}

/// Kilobytes of a process's own memory: proc_pid_status(5).
fn own_memory(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid()));
    let status = status.unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}

/// How many descriptors a process has.
fn descriptors(process: &Process) -> usize {
    let entries = fs::read_dir(format!("/proc/{}/fd", process.pid()));
    entries.into_iter().flatten().count()
}

fn channel_map_grows(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    lab.leaves_out(PORT..=PORT);
    let kind = lab.vary("epoll", "select");
    let server = host.program(&format!("chap-32 dispatchers --dispatchers {kind}"));
    let server = server.named("server").start()?;
    server.listens()?;
    lab.notes("one client connects, then 999 more, then 4000 more");
    lab.ends_the_ladder();
    let few = descriptors(&server);
    let at_first = own_memory(&server);
    let connects = |count: usize| -> Result<(Process, usize), LabError> {
        let client = host.start(&format!(
            "chap-24 c10k 127.0.0.1 --connections {count} --messages 0 --timeout {} --hold",
            lab.vary(20, 1),
        ))?;
        client.says("holding ")?;
        let lines = client.output();
        let served = lines
            .lines()
            .iter()
            .find_map(|line| line.strip_prefix("asked once: "));
        let served = served.and_then(|rest| rest.split(' ').next()?.parse().ok());
        Ok((client, served.unwrap_or(0)))
    };
    let leave = |clients: Vec<(Process, usize)>| -> Result<(), LabError> {
        for (client, _) in clients {
            client.closes_input();
            client.ends()?;
        }
        lab.until("the server has closed them", || {
            equal(descriptors(&server), few)
        })
    };
    let (mut clients, mut memory) = (Vec::new(), vec![at_first]);
    for more in [1, 999, 4000] {
        clients.push(connects(more)?);
        memory.push(own_memory(&server));
    }
    let open = descriptors(&server) - few;
    let served: Vec<usize> = clients.iter().map(|(_, served)| *served).collect();
    leave(clients)?;
    memory.push(own_memory(&server));
    lab.central(
        "five thousand connections are open in the server",
        equal(open, 5000),
    );
    lab.central("each of them is served", equal(served, [1, 999, 4000]));
    if !lab.is_control() {
        let second = connects(5000)?;
        memory.push(own_memory(&server));
        leave(vec![second])?;
        let grown = |index: usize| memory[index].saturating_sub(at_first);
        lab.claim(
            "five times as many take about five times as much memory",
            within(grown(3) as f64 / grown(2) as f64, 3.0..7.0),
        );
        lab.claim(
            "each takes less than half a kilobyte",
            within(grown(3) * 1024 / 5000, 1..512),
        );
        // What malloc keeps of the connections differs. The table is large enough to be mapped by itself: it shrinks for certain.
        lab.claim(
            "when all have gone, the memory of the table at least is given back",
            within(grown(4) + 64, ..grown(3)),
        );
        lab.claim(
            "another five thousand take no more than the first",
            within(grown(5), ..grown(3) * 5 / 4),
        );
        let names = ["0", "1", "1000", "5000", "0 again", "5000 again"];
        let rows = names.iter().zip(&memory);
        let rows = rows.map(|(name, memory)| vec![name.to_string(), memory.to_string()]);
        lab.table(
            &["channels", "KiB of the server's own memory"],
            rows.collect(),
            1,
        );
    }
    lab.done()
}

/// Whether a program of one thread sleeps, and is not just held by the one who traces it: proc_pid_stat(5).
fn is_asleep(process: &Process) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.pid()));
    stat.is_ok_and(|stat| {
        stat.rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('S'))
    })
}

fn stale_event(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.names_own_hand("clients");
    let map = lab.vary("token", "descriptor");
    let server = host
        .program(&format!("chap-32 stale-event --map {map}"))
        .traced_drawing(&["accept4", "close", "read", "recvfrom"])
        .start()?;
    server.listens()?;
    let first = connect(&host, PORT)?;
    asks(&first, "one\n")?;
    let second = connect(&host, PORT)?;
    asks(&second, "two\n")?;
    let calls = server.calls();
    // Asleep in its wait, it has looked at all that was ready before: what comes now, comes in this order.
    lab.until("the server waits", || {
        let waits = calls.blocked().iter().any(|call| call.name == "epoll_wait");
        Check::new(waits && is_asleep(&server), "it is busy")
    })?;
    let before = calls.all().len();
    lab.notes("the server is stopped; the first client kicks, a third connects, the second asks");
    server.halt()?;
    (&first).write_all(b"kick\n")?;
    let third = connect(&host, PORT)?;
    (&second).write_all(b"aaa\n")?;
    server.resume();
    lab.until("all has been dealt with", || {
        let waits = calls.blocked().iter().any(|call| call.name == "epoll_wait");
        let accepted = calls.all()[before..]
            .iter()
            .any(|call| call.name == "accept4" && call.succeeded());
        Check::new(waits && accepted, "not yet")
    })?;
    let round = calls.all().split_off(before);
    let answer = asks(&third, "bbb\n").unwrap_or_default();
    lab.ends_the_ladder();

    let results = |name: &str| {
        let named = round.iter().filter(|call| call.name == name);
        named
            .filter_map(|call| call.result?.ok())
            .collect::<Vec<_>>()
    };
    lab.claim(
        "one wait brings all three events",
        Check::new(
            results("epoll_wait").contains(&3),
            format_args!("{:?}", results("epoll_wait")),
        ),
    );
    let accepted = results("accept4").first().copied();
    let is_close = |call: &&SystemCall| call.name == "close" && call.succeeded();
    let closed = round
        .iter()
        .find(is_close)
        .map(|call| call.arguments[0] as i64);
    lab.claim(
        "the third client's connection gets the number of the second's, which was closed just before",
        Check::new(closed.is_some() && closed == accepted, format_args!("{closed:?}, then {accepted:?}")),
    );
    let after = round
        .iter()
        .skip_while(|call| !(call.name == "accept4" && call.succeeded()));
    let stale = after.filter(|call| {
        matches!(&*call.name, "read" | "recvfrom")
            && Some(call.arguments[0] as i64) == accepted
            && call.failed_with(Errno::EAGAIN)
    });
    lab.central(
        "nobody reads from it for the sake of the old event",
        equal(stale.count(), 0),
    );
    lab.central(
        "the third client asks, and is answered",
        equal(answer, "ooo\n"),
    );
    lab.done()
}
