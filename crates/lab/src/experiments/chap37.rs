//! Chapter 37: a process per connection, and two people chatting.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::net::proc;
use crate::prelude::*;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "37/echo",
        "two clients at once are served by two processes, each with one connection",
        echo,
        "the second client calls after the first has left",
    ),
    Experiment::new(
        "37/reuseaddr",
        "a server is started again at once while a child of the old one still serves its client",
        reuseaddr,
        "SO_REUSEADDR is left off",
    ),
    Experiment::new(
        "37/chat",
        "two people type at the same time, and every line arrives whole",
        chat,
        "the process at the server's keyboard is gone",
    ),
    Experiment::new(
        "37/one-side-leaves",
        "when one side leaves the other ends, and no process is left on either side",
        one_side_leaves,
        "nobody leaves",
    ),
    Experiment::new(
        "37/second-client-refused",
        "once the listener is closed a second caller is refused",
        second_client_refused,
        "the first server keeps its listener",
    ),
    Experiment::new(
        "37/listen-queue",
        "a client is connected before the server has accepted",
        listen_queue,
        "the server does not run",
    ),
];

/// The processes that a program has made.
fn children(program: &Process) -> Vec<i32> {
    let children = program.children().into_iter();
    children.map(|(pid, _)| pid.as_raw()).collect()
}

fn echo(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start("chap-37 echo-server")?;
    server.listens()?;
    let first = host.start("chap-37 echo-client 127.0.0.1")?;
    first.types("data1")?;
    first.says("data1")?;
    if lab.is_control() {
        first.closes_input();
        first.ends()?;
        lab.until("its process has ended", || {
            equal(children(&server).len(), 0)
        })?;
    }
    let second = host.start("chap-37 echo-client 127.0.0.1")?;
    second.types("data2")?;
    second.says("data2")?;

    let children = children(&server);
    lab.central("two processes serve", equal(children.len(), 2));
    let sockets = host.sockets()?;
    let connections = sockets
        .iter()
        .filter(|socket| socket.state == TcpState::Established && socket.local.port() == PORT);
    let inodes: Vec<u32> = connections.map(|socket| socket.inode).collect();
    let owners: BTreeSet<i32> = children
        .iter()
        .filter(|child| {
            proc::owners(&[**child])
                .keys()
                .filter(|inode| inodes.contains(inode))
                .count()
                == 1
        })
        .copied()
        .collect();
    lab.central("each of them holds one connection", equal(owners.len(), 2));
    let listener = sockets
        .iter()
        .find(|socket| socket.state == TcpState::Listen)
        .map_or(0, |socket| socket.inode);
    let listens = children
        .iter()
        .filter(|child| proc::owners(&[**child]).contains_key(&listener))
        .count();
    lab.claim("none of them holds the listener", equal(listens, 0));
    let parent = fs::read_dir(format!("/proc/{}/fd", server.pid()))
        .into_iter()
        .flatten()
        .flatten();
    let sockets_of_parent = parent.filter(|fd| {
        fs::read_link(fd.path()).is_ok_and(|link| link.to_string_lossy().starts_with("socket:"))
    });
    lab.claim(
        "the parent holds nothing else",
        equal(sockets_of_parent.count(), 1),
    );
    lab.done()
}

fn reuseaddr(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let start = || {
        host.start(&format!(
            "chap-37 echo-server {}",
            lab.vary("", "--no-reuseaddr")
        ))
    };
    let server = start()?;
    server.listens()?;
    let client = host.start("chap-37 echo-client 127.0.0.1")?;
    client.types("data1")?;
    client.says("data1")?;
    server.kill()?;
    let again = start()?;
    if lab.is_control() {
        again.ends()?;
    } else {
        again.listens()?;
    }

    lab.central(
        "the new server listens at once",
        host.has(TcpState::Listen, |socket| socket.local.port() == PORT),
    );
    lab.central(
        "its bind was not refused",
        again.errors().lacks("Address already in use (os error 98)"),
    );
    lab.claim(
        "the old connection is there all the while",
        host.has(TcpState::Established, |s| s.remote.port() == PORT),
    );
    client.types("data2")?;
    client.says("data2")?;
    lab.claim(
        "and the old child still serves it",
        client.output().says("data2"),
    );
    lab.done()
}

/// A server and a client that have found each other, and the process at each one's keyboard.
fn two_people(lab: &Lab) -> Result<(Host, [Process; 2], [i32; 2]), LabError> {
    let host = lab.host()?;
    let server = host.start("chap-37 p2p-server")?;
    server.listens()?;
    let client = host.start("chap-37 p2p-client 127.0.0.1")?;
    client.says("connected to")?;
    server.says("connected to")?;
    let people = [server, client];
    lab.until("both have their second process", || {
        all(people.iter().map(|person| equal(children(person).len(), 1)))
    })?;
    let keyboards = [children(&people[0])[0], children(&people[1])[0]];
    Ok((host, people, keyboards))
}

fn chat(lab: &Lab) -> Outcome {
    let (_host, [server, client], keyboards) = two_people(lab)?;
    if lab.is_control() {
        kill(Pid::from_raw(keyboards[0]), Signal::SIGKILL).map_err(std::io::Error::from)?;
    }
    for number in 1..=3 {
        client.types(&format!("c{number}"))?;
        server.types(&format!("s{number}"))?;
    }
    server.says("c3")?;
    if lab.is_control() {
        lab.watches_for(Duration::from_millis(200));
    } else {
        client.says("s3")?;
    }
    lab.central(
        "the client reads each line of the server, whole and in order",
        client.output().says_exactly("s", &["s1", "s2", "s3"]),
    );
    lab.claim(
        "the server reads each line of the client",
        server.output().says_exactly(
            "c",
            &[
                &format!(
                    "connected to {}",
                    lab.packets()
                        .from(&client)
                        .first()
                        .map_or(String::new(), |packet| packet.source.to_string())
                ),
                "c1",
                "c2",
                "c3",
            ],
        ),
    );
    if !lab.is_control() {
        let reads = |pid: i32, keyboard: bool| {
            let call = proc::blocked_in(pid);
            let seen =
                call.map(|(number, arguments)| (proc::system_call_name(number), arguments[0]));
            let fits = seen.is_some_and(|(name, fd)| name == Some("read") && (fd == 0) == keyboard);
            Check::new(fits, format!("{seen:?}"))
        };
        lab.eventually(
            "one process of each side waits for the keyboard, the other for the connection",
            || {
                let people = [&server, &client].map(|person| reads(person.pid().as_raw(), false));
                all(people
                    .into_iter()
                    .chain(keyboards.map(|pid| reads(pid, true))))
            },
        );
    }
    lab.done()
}

fn one_side_leaves(lab: &Lab) -> Outcome {
    let (_host, [server, client], keyboards) = two_people(lab)?;
    if lab.is_control() {
        lab.watches_for(Duration::from_millis(200));
    } else {
        client.closes_input();
        client.ends()?;
        server.ends()?;
    }
    let left = keyboards
        .iter()
        .filter(|pid| Path::new(&format!("/proc/{pid}")).exists())
        .count();
    lab.central(
        "the other side ends too",
        Check::new(
            server.ended().is_some(),
            format!("{:?}", server.ended().map(|end| end.ending)),
        ),
    );
    lab.central("no process is left at either keyboard", equal(left, 0));
    let packets = lab.packets();
    let fins = all([
        packets.clone().from(&client).has(FIN),
        packets.clone().from(&server).has(FIN),
    ]);
    lab.claim("both directions are ended by FIN", fins);
    lab.claim("and nobody sends a reset", packets.lacks(RST));
    lab.done()
}

fn second_client_refused(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start(lab.vary("chap-37 p2p-server", "chap-37 echo-server"))?;
    server.listens()?;
    let first = host.start("chap-37 p2p-client 127.0.0.1")?;
    first.says("connected to")?;
    server.says(lab.vary("connected to", "has process"))?;
    let second = host.start("chap-37 p2p-client 127.0.0.1")?;
    if lab.is_control() {
        second.says("connected to")?;
    } else {
        second.ends()?;
    }
    lab.central(
        "connect fails with ECONNREFUSED",
        second.errors().says("Connection refused (os error 111)"),
    );
    lab.central(
        "its SYN is answered with a reset",
        lab.packets().has(RST | ACK),
    );
    lab.central(
        "nobody listens on the port any more",
        !host.has(TcpState::Listen, |socket| socket.local.port() == PORT),
    );
    first.types("data1")?;
    server.says("data1")?;
    lab.claim(
        "the first connection is not disturbed",
        server.output().says("data1"),
    );
    lab.done()
}

fn listen_queue(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start("chap-37 echo-server")?;
    server.listens()?;
    if lab.is_control() {
        server.kill()?;
    } else {
        server.halt()?;
    }
    let client = host.start("chap-37 p2p-client 127.0.0.1")?;
    if lab.is_control() {
        client.ends()?;
    } else {
        client.says("connected to")?;
    }
    lab.central(
        "the client's end is ESTABLISHED",
        host.has(TcpState::Established, |s| s.remote.port() == PORT),
    );
    let waiting = host
        .sockets()?
        .iter()
        .find(|s| s.state == TcpState::Listen)
        .map(|listener| listener.receive_queue);
    lab.central(
        "the connection waits in the listener's queue",
        equal(waiting, Some(1)),
    );
    if !lab.is_control() {
        server.resume();
        server.says("has process")?;
    }
    let waiting = host
        .sockets()?
        .iter()
        .find(|s| s.state == TcpState::Listen)
        .map(|listener| listener.receive_queue);
    lab.claim(
        "accept takes it out of there",
        equal(waiting.unwrap_or(0), 0),
    );
    lab.done()
}
