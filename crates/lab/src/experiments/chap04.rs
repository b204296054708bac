//! Chapter 4: the three-way handshake.

use crate::net::proc::{blocked_in, system_call_name};
use crate::net::sock_diag::Socket;
use crate::prelude::*;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "4/handshake",
        "SYN, SYN ACK, ACK: connect returns after the second, accept after the third",
        handshake,
        "the third segment is lost, however often it is sent",
    )
    .isolated(),
    Experiment::new(
        "4/handshake-without-accept",
        "the kernel makes the connection and takes data for it, though accept is never called",
        handshake_without_accept,
        "the server calls accept",
    ),
    Experiment::new(
        "4/refused",
        "nobody listens: a reset comes back, and connect fails at once",
        refused,
        "a server listens",
    ),
    Experiment::new(
        "4/timeout",
        "a silent address: the SYN is sent again after even pauses, then after doubling ones, then connect gives up",
        timeout,
        "a host has the address, and no server",
    )
    .isolated(),
    Experiment::new(
        "4/unreachable",
        "who has no route says so: the host's own kernel with an error, a router with an ICMP message",
        unreachable,
        "all of them connect to an address that has a route",
    )
    .isolated(),
    Experiment::new(
        "4/three-resets",
        "no listener, an aborted connection, a segment for an unknown connection: each is answered with a reset",
        three_resets,
        "the causes are taken away: somebody listens, everything was read, the server's host does not fail",
    )
    .isolated(),
    Experiment::new(
        "4/wildcard",
        "a socket on 0.0.0.0 answers on every address of its host, one on a single address on that alone",
        wildcard,
        "the first socket is bound to a single address, too",
    )
    .isolated(),
    Experiment::new(
        "4/ipv6-wildcard",
        "a socket on :: takes IPv4 clients as well, unless it has IPV6_V6ONLY",
        ipv6_wildcard,
        "the first socket has IPV6_V6ONLY, too",
    ),
    Experiment::new(
        "4/port-zero",
        "who binds port 0 gets a free port out of the kernel's range, never one that another socket has",
        port_zero,
        "all of them ask for port 43211",
    )
    .isolated(),
    Experiment::new(
        "4/client-bind",
        "a client may bind before it connects, and its SYN comes from there",
        client_bind,
        "the client does not bind",
    ),
];

/// The server's end of a connection.
fn of_server(socket: &Socket) -> bool {
    socket.local.port() == PORT && socket.remote.port() != 0
}

/// The client's end of a connection.
fn of_client(socket: &Socket) -> bool {
    socket.remote.port() == PORT
}

/// A program sleeps in this system call.
fn sleeps_in(program: &Process, call: &str) -> Check {
    let found = blocked_in(program.pid().as_raw()).map(|(number, _)| system_call_name(number).unwrap_or("another call"));
    Check::new(found == Some(call), format_args!("it sleeps in {}", found.unwrap_or("no call")))
}

/// A client that stays connected, as soon as it is.
fn connected(host: &Host, arguments: &str) -> Result<Process, LabError> {
    let client = host.start(&format!("chap-4 connect {arguments} --hold"))?;
    client.says("connected to")?;
    Ok(client)
}

/// A client that does not stay, at its end.
fn attempt(host: &Host, arguments: &str) -> Result<Process, LabError> {
    let client = host.start(&format!("chap-4 connect {arguments}"))?;
    client.ends()?;
    Ok(client)
}

/// A client that has failed with this error of connect(2).
fn failed(client: &Process, error: &str) -> Check {
    client.errors().says(": connect ").and(client.errors().says(error))
}

fn handshake(lab: &Lab) -> Outcome {
    let [near, far] = lab.hosts(["client", "server"])?;
    let server = far.start("chap-4 make-socket --bind 10.0.0.2")?;
    server.listens()?;
    let third = |packet: &Packet| packet.tcp().is_some_and(|tcp| tcp.flags == ACK);
    if lab.is_control() {
        near.wire().lose_all(third);
    }
    near.wire().delay(Duration::from_millis(300)); // less than the second after which a SYN would be sent again
    let client = near.start("chap-4 connect 10.0.0.2 --hold")?;

    lab.until("the SYN is on its way", || near.has(TcpState::SynSent, of_client))?;
    let first = sleeps_in(&client, "connect").and(sleeps_in(&server, "accept4"));
    lab.until("connect has returned", || sleeps_in(&client, "poll"))?;
    let returned = lab.now();
    let second = far.has(TcpState::SynReceived, of_server).and(sleeps_in(&server, "accept4"));
    let looked = lab.now();
    if !lab.is_control() {
        lab.until("accept has returned", || sleeps_in(&server, "read"))?;
    }
    let _ = (first, second, returned, looked);
    lab.done()
}

fn handshake_without_accept(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start(lab.vary("chap-4 make-socket --no-accept", "chap-4 make-socket"))?;
    server.listens()?;
    let client = connected(&host, "127.0.0.1")?;
    client.types("data1")?;
    lab.until("the data is acknowledged", || {
        let queued = |socket: &Socket| of_client(socket) && socket.send_queue == 0;
        host.has(TcpState::Established, queued).and(lab.packets().from(&client).carrying_data().some())
    })?;
    if lab.is_control() {
        server.says("received 5 bytes")?;
    }

    let waits = |socket: &Socket| of_server(socket) && socket.inode == 0 && socket.receive_queue == 5;
    lab.central("the server's end is ESTABLISHED and holds the data, and no file of a process is behind it", host.has(TcpState::Established, waits));
    lab.central("one connection waits to be accepted", host.has(TcpState::Listen, |s| s.local.port() == PORT && s.receive_queue == 1));
    lab.claim("the client's end is ESTABLISHED", host.has(TcpState::Established, of_client));
    lab.claim("the server's kernel has acknowledged the data", lab.packets().from(&server).with(ACK).without(SYN).some());
    lab.done()
}

fn refused(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    if lab.is_control() {
        host.start("chap-4 make-socket")?.listens()?;
    }
    let client = attempt(&host, "127.0.0.1")?;

    let first_two = lab.packets().tcp();
    lab.central("the answer to the SYN is a reset", first_two.clone().has(RST | ACK));
    lab.central("connect fails with ECONNREFUSED", failed(&client, "Connection refused (os error 111)"));
    lab.claim("the answer comes within milliseconds", within(first_two.gaps().first().copied().unwrap_or(Duration::MAX), ..Duration::from_millis(100)));
    lab.claim("the client sends one SYN and no other", lab.packets().from(&client).with(SYN).exactly(1));
    lab.done()
}

fn timeout(lab: &Lab) -> Outcome {
    let [host, _] = lab.hosts(["client", "other"])?;
    let linear = lab.kernel().at_least(6, 5);
    if linear {
        host.sets("net.ipv4.tcp_syn_linear_timeouts", 1)?;
    }
    host.sets("net.ipv4.tcp_syn_retries", 2)?;
    let client = attempt(&host, lab.vary("10.0.0.99", "10.0.0.2"))?;
    let syns = lab.packets().from(&client).with(SYN);
    let ms = |time: Duration| time.as_millis();
    let gaps: Vec<_> = syns.gaps().into_iter().map(ms).collect();
    let end = client.ends()?;
    lab.figure("gaps", format!("{gaps:?} end {:?} at {:?}", end, client.time_of(&end)));
    lab.central("ETIMEDOUT", failed(&client, "Connection timed out (os error 110)"));
    lab.done()
}

fn unreachable(lab: &Lab) -> Outcome {
    let [client, router, _] = lab.routed(["client", "router", "server"])?;
    if std::env::var_os("MASK").is_some() {
        router.sets("net.ipv4.icmp_ratemask", 0)?;
    }
    let at = |host: u8| std::net::IpAddr::from([10, 0, 3, host]);
    router.routes(at(1), 32, Route::Unreachable)?;
    router.routes(at(2), 32, Route::Prohibit)?;
    router.routes(at(3), 32, Route::Blackhole)?;
    client.wire().delay(Duration::from_millis(20));
    for (host, n) in [(&client, [1, 2, 4].as_slice()), (&router, &[1, 2, 3, 4])] {
        for n in n {
            attempt(host, &format!("10.0.3.{n}"))?;
        }
    }
    lab.done()
}

fn three_resets(lab: &Lab) -> Outcome {
    let _ = lab;
    lab.done()
}

fn wildcard(lab: &Lab) -> Outcome {
    lab.done()
}

fn ipv6_wildcard(lab: &Lab) -> Outcome {
    lab.done()
}

fn port_zero(lab: &Lab) -> Outcome {
    lab.done()
}

fn client_bind(lab: &Lab) -> Outcome {
    lab.done()
}
