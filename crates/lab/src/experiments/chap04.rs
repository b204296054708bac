//! Chapter 4: the three-way handshake.

use crate::net::sock_diag::Socket;
use crate::packet::Flags;
use crate::prelude::*;
use crate::tracer::SystemCall;

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
    Experiment::new(
        "4/simultaneous-open",
        "two clients that connect to each other at the same time make one connection, without a server",
        simultaneous_open,
        "one of them listens",
    )
    .isolated(),
];

/// A segment that acknowledges and does nothing else.
fn only_ack(packet: &Packet) -> bool {
    packet.length == 0 && packet.tcp().is_some_and(|tcp| tcp.flags == ACK)
}

/// The server's end of a connection.
fn of_server(socket: &Socket) -> bool {
    socket.local.port() == PORT && socket.remote.port() != 0
}

/// The client's end of a connection.
fn of_client(socket: &Socket) -> bool {
    socket.remote.port() == PORT
}

/// When a program's first successful call of this name returned, if it has.
fn returned(program: &Process, call: &str) -> Option<Duration> {
    let first = program
        .calls()
        .named(call)
        .into_iter()
        .find(SystemCall::succeeded)?;
    Some(program.time_of_call(first.ended_at?))
}

/// Both have happened, in this order.
fn in_order(times: [Option<Duration>; 2]) -> Check {
    let [Some(earlier), Some(later)] = times else {
        return Check::new(false, format_args!("{times:?}"));
    };
    Check::new(earlier <= later, format_args!("{earlier:?}, {later:?}"))
}

/// A client that has done with connecting: it keeps the connection, or has failed.
fn connects(host: &Host, arguments: &str) -> Result<Process, LabError> {
    let client = host.start(&format!("chap-4 connect {arguments} --hold"))?;
    if client.says("connected to").is_err() {
        client.ends()?;
    }
    Ok(client)
}

/// What a client says when connect(2) fails, by the error's name.
const REFUSED: &str = "Connection refused (os error 111)";
const RESET: &str = "Connection reset by peer (os error 104)";
const TIMED_OUT: &str = "Connection timed out (os error 110)";
const NETWORK_UNREACHABLE: &str = "Network is unreachable (os error 101)";
const HOST_UNREACHABLE: &str = "No route to host (os error 113)";
const ACCESS: &str = "Permission denied (os error 13)";
const INVALID: &str = "Invalid argument (os error 22)";
const IN_USE: &str = "Address already in use (os error 98)";

fn handshake(lab: &Lab) -> Outcome {
    let [near, far] = lab.hosts(["client", "server"])?;
    let server = far.traces("chap-4 make-socket --bind 10.0.0.2")?;
    server.listens()?;
    if lab.is_control() {
        near.wire().lose_all(only_ack);
    } else {
        near.wire().hold_all(only_ack);
    }
    let client = near.traces("chap-4 connect 10.0.0.2 --hold")?;
    client.says("connected to")?;
    lab.until("the third segment is sent", || {
        lab.packets()
            .from(&client)
            .that(|packet| only_ack(packet))
            .some()
    })?;
    let half = far.has(TcpState::SynReceived, of_server);
    lab.watches_for(Duration::from_millis(100)); // accept would have returned by now
    let early = returned(&server, "accept4");
    if !lab.is_control() {
        near.wire().release();
        server.says("accepted")?;
    }

    // The first of each kind: on a busy machine one may be sent again.
    let segments = lab.packets().tcp().arrived();
    let first = |flags: Flags| {
        segments
            .iter()
            .find(|packet| packet.tcp().is_some_and(|tcp| tcp.flags == flags))
    };
    let [syn, syn_ack, ack] = [SYN, SYN | ACK, ACK].map(first);
    let arrived = |packet: Option<&Passed>| packet?.arrived;
    let adds_one = |pair: [Option<&Passed>; 2]| {
        let [before, after] = pair.map(|packet| packet.and_then(|packet| packet.tcp()));
        after
            .zip(before)
            .is_some_and(|(after, before)| after.acknowledgement == before.sequence.wrapping_add(1))
    };
    let [connected, accepted] = [returned(&client, "connect"), returned(&server, "accept4")];
    lab.central(
        "SYN, SYN ACK, ACK arrive in this order",
        in_order([arrived(syn), arrived(syn_ack)]).and(in_order([arrived(syn_ack), arrived(ack)])),
    );
    lab.claim(
        "each acknowledges the sequence number of the one before, plus one",
        segments.check(adds_one([syn, syn_ack]) && adds_one([syn_ack, ack])),
    );
    lab.claim(
        "connect returns after the second has arrived",
        in_order([arrived(syn_ack), connected]),
    );
    lab.claim(
        "it does not wait for the third to arrive: until then the server's end is SYN-RECEIVED",
        half,
    );
    lab.claim("accept has not returned by then", equal(early, None));
    lab.central(
        "accept returns after the third has arrived",
        in_order([arrived(ack), accepted]),
    );
    lab.done()
}

fn handshake_without_accept(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start(lab.vary("chap-4 make-socket --no-accept", "chap-4 make-socket"))?;
    server.listens()?;
    let client = connects(&host, "127.0.0.1")?;
    client.types("data1")?;
    client.says("now sending")?;
    let sent = |socket: &Socket| {
        of_client(socket)
            && socket.send_queue == 0
            && socket.info.is_some_and(|info| info.bytes_sent == 5)
    };
    lab.until("the data is acknowledged", || {
        host.has(TcpState::Established, sent)
    })?;
    if lab.is_control() {
        server.says("received 5 bytes")?;
    }

    let no_file = |socket: &Socket| of_server(socket) && socket.inode == 0;
    let waits = |socket: &Socket| socket.local.port() == PORT && socket.receive_queue == 1;
    lab.central(
        "the server's end is ESTABLISHED, and no process has a descriptor for it",
        host.has(TcpState::Established, no_file),
    );
    lab.central(
        "one connection waits to be accepted",
        host.has(TcpState::Listen, waits),
    );
    lab.central(
        "the data waits in the server's kernel",
        host.has(TcpState::Established, |socket| {
            of_server(socket) && socket.receive_queue == 5
        }),
    );
    lab.claim(
        "the client's end is ESTABLISHED",
        host.has(TcpState::Established, of_client),
    );
    lab.claim(
        "its data is acknowledged",
        host.has(TcpState::Established, sent),
    );
    lab.done()
}

fn refused(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    if lab.is_control() {
        host.start("chap-4 make-socket --no-accept")?.listens()?;
    }
    let client = connects(&host, "127.0.0.1")?;

    let packets = lab.packets().tcp();
    lab.central(
        "the answer to the SYN is a reset",
        packets.clone().has(RST | ACK),
    );
    lab.central(
        "connect fails with ECONNREFUSED",
        client.errors().says(REFUSED),
    );
    let gap = packets.gaps().first().copied();
    let soon = gap.is_some_and(|gap| gap < Duration::from_millis(100));
    lab.claim("the answer comes within milliseconds", packets.check(soon));
    lab.claim(
        "the SYN is not sent again",
        packets.with(SYN).without(ACK).exactly(1),
    );
    lab.done()
}

fn timeout(lab: &Lab) -> Outcome {
    let [host, _other] = lab.hosts(["client", "other"])?;
    let even = lab.kernel().at_least(6, 5);
    if even {
        host.sets("net.ipv4.tcp_syn_linear_timeouts", 1)?; // 4 unless set
    }
    host.sets("net.ipv4.tcp_syn_retries", 2)?; // 6 unless set; the even ones do not count
    let client = host.start(&format!(
        "chap-4 connect {}",
        lab.vary("10.0.0.99", "10.0.0.2")
    ))?;
    let end = client.ends()?;

    let syns = lab.packets().from(&client).with(SYN);
    let mut pauses = syns.gaps();
    pauses.extend(
        syns.last()
            .map(|last| client.time_of(&end).saturating_sub(last.sent)),
    );
    let pauses: Vec<f64> = pauses.iter().map(Duration::as_secs_f64).collect();
    let like = |expected: &[f64]| {
        // Never early; late when the machine is busy.
        let fits =
            |(pause, expected): (&f64, &f64)| (expected * 0.9..expected * 1.7).contains(pause);
        let all = pauses.len() == expected.len() && pauses.iter().zip(expected).all(fits);
        Check::new(all, format_args!("pauses of {pauses:.3?} seconds"))
    };
    lab.central(
        "the SYN is sent again, though nothing came back",
        syns.exactly(if even { 4 } else { 3 }),
    );
    lab.central(
        "connect fails with ETIMEDOUT",
        client.errors().says(TIMED_OUT),
    );
    let same = |packet: &Passed| (packet.source, packet.tcp().map(|tcp| tcp.sequence));
    lab.claim(
        "it is the same SYN: port and sequence number",
        syns.check(syns.windows(2).all(|p| same(&p[0]) == same(&p[1]))),
    );
    lab.claim_by_kernel([
        (
            Kernel::Since(6, 5),
            "two pauses of a second, then doubling ones: two seconds, and four until the end",
            like(&[1.0, 1.0, 2.0, 4.0]),
        ),
        (
            Kernel::Before(6, 5),
            "doubling pauses: one second, two, and four until the end",
            like(&[1.0, 2.0, 4.0]),
        ),
    ]);
    lab.figure("pauses", format!("{pauses:.3?} seconds"));
    lab.done()
}

fn unreachable(lab: &Lab) -> Outcome {
    let [host, router, _server] = lab.routed(["client", "router", "server"])?;
    router.sets("net.ipv4.icmp_ratemask", 0)?; // three messages at once to one host would be too many
    for (number, route) in [
        (1, Route::Unreachable),
        (2, Route::Prohibit),
        (3, Route::Blackhole),
    ] {
        router.routes([10, 0, 3, number].into(), 32, route)?; // and none to 10.0.3.4
    }
    host.wire().delay(Duration::from_millis(3)); // an ICMP message counts once connect sleeps
    let connect = |host: &Host, to: &'static str| connects(host, lab.vary(to, "10.0.2.2"));
    let [unreachable, prohibited, no_route] = [
        connect(&host, "10.0.3.1")?,
        connect(&host, "10.0.3.2")?,
        connect(&host, "10.0.3.4")?,
    ];
    let here = lab.now();
    let [own_prohibited, own_blackhole, own_no_route] = [
        connect(&router, "10.0.3.2")?,
        connect(&router, "10.0.3.3")?,
        connect(&router, "10.0.3.4")?,
    ];

    let told =
        |client: &Process, code: u8| lab.packets().from(&router).to(client).icmp(3, code).some();
    let code = |client: &Process, code: u8, error: &str| {
        told(client, code).and(client.errors().says(error))
    };
    lab.central("the router has a refusing route: ICMP host unreachable, and connect fails with EHOSTUNREACH", code(&unreachable, 1, HOST_UNREACHABLE));
    lab.central(
        "a prohibiting one: ICMP prohibited, and EHOSTUNREACH as well",
        code(&prohibited, 13, HOST_UNREACHABLE),
    );
    lab.central(
        "no route: ICMP network unreachable, and ENETUNREACH",
        code(&no_route, 0, NETWORK_UNREACHABLE),
    );
    lab.central(
        "a client on the router itself gets EACCES from the prohibiting route",
        own_prohibited.errors().says(ACCESS),
    );
    lab.central(
        "EINVAL from one that is a black hole",
        own_blackhole.errors().says(INVALID),
    );
    lab.central(
        "and ENETUNREACH where there is no route",
        own_no_route.errors().says(NETWORK_UNREACHABLE),
    );
    lab.central(
        "no packet is sent for these three",
        lab.packets().from(&router).since(here).none(),
    );
    lab.done()
}

fn three_resets(lab: &Lab) -> Outcome {
    let [near, far] = lab.hosts(["client", "server"])?;
    let listening = |options: &str| -> Result<Process, LabError> {
        let server = far.start(&format!("chap-4 make-socket --bind 10.0.0.2 {options}"))?;
        server.listens()?;
        Ok(server)
    };
    let early = if lab.is_control() {
        Some(listening("")?)
    } else {
        None
    };
    let first = near.start("chap-4 connect 10.0.0.2")?;
    first.ends()?;
    if let Some(server) = early {
        server.kill()?;
    }

    let server = listening(lab.vary("--no-accept", ""))?;
    let second = connects(&near, "10.0.0.2")?;
    second.types("data1")?;
    if lab.is_control() {
        server.says("received 5 bytes")?;
    }
    lab.until("the server's kernel has the data", || {
        lab.packets()
            .from(&far)
            .to(&second)
            .that(|packet| only_ack(packet))
            .some()
    })?;
    server.kill()?;
    second.ends()?;

    let server = listening("")?;
    let third = connects(&near, "10.0.0.2")?;
    server.says("accepted")?;
    if !lab.is_control() {
        far.crashes()?;
        far.boots()?;
    }
    third.types("data1")?;
    if lab.is_control() {
        server.says("received 5 bytes")?;
    } else {
        third.ends()?;
    }

    let to = |client: &Process| lab.packets().from(&far).to(client);
    lab.central(
        "no listener: the SYN is answered with a reset",
        to(&first).has(RST | ACK),
    );
    lab.central("the server is killed before it has read the data: its kernel aborts the connection with a reset", to(&second).has(RST | ACK));
    lab.central("the server's host has started anew and does not know the connection: data is answered with a reset", to(&third).has(RST));
    lab.claim(
        "this last one acknowledges nothing",
        to(&third)
            .that(|packet| packet.tcp().is_some_and(|tcp| tcp.flags == RST))
            .some(),
    );
    lab.claim(
        "the first client gets ECONNREFUSED",
        first.errors().says(REFUSED),
    );
    lab.claim(
        "the others get ECONNRESET",
        second.errors().says(RESET).and(third.errors().says(RESET)),
    );
    lab.done()
}

fn wildcard(lab: &Lab) -> Outcome {
    // A host with two interfaces, 10.0.1.1 and 10.0.2.1.
    let [left, host, right] = lab.routed(["left", "server", "right"])?;
    host.start(&format!(
        "chap-4 make-socket --no-accept --bind {}",
        lab.vary("0.0.0.0", "10.0.1.1")
    ))?
    .listens()?;
    host.start("chap-4 make-socket 43212 --no-accept --bind 10.0.1.1")?
        .listens()?;
    let to_wildcard = [connects(&left, "10.0.1.1")?, connects(&right, "10.0.2.1")?];
    let to_single = [
        connects(&left, "10.0.1.1 43212")?,
        connects(&right, "10.0.2.1 43212")?,
    ];

    let answer = |client: &Process| lab.packets().to(client);
    lab.claim(
        "the socket on 0.0.0.0 answers on the first address",
        answer(&to_wildcard[0]).has(SYN | ACK),
    );
    lab.central("and on the second", answer(&to_wildcard[1]).has(SYN | ACK));
    let bound = |socket: &Socket| socket.local.port() == PORT && socket.local.ip().is_unspecified();
    lab.central(
        "its own address stays 0.0.0.0",
        host.has(TcpState::Listen, bound),
    );
    let chosen = |socket: &Socket| {
        of_server(socket) && socket.local.ip() == std::net::Ipv4Addr::new(10, 0, 2, 1)
    };
    lab.central(
        "a connection has the one address that its client has named",
        host.has(TcpState::Established, chosen),
    );
    lab.claim(
        "the socket on 10.0.1.1 answers there",
        answer(&to_single[0]).has(SYN | ACK),
    );
    lab.claim(
        "on the second address there is a reset",
        answer(&to_single[1]).has(RST | ACK),
    );
    lab.claim(
        "and connect fails with ECONNREFUSED",
        to_single[1].errors().says(REFUSED),
    );
    lab.done()
}

fn ipv6_wildcard(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.start(&format!(
        "chap-4 make-socket --no-accept --bind :: {}",
        lab.vary("", "--v6only")
    ))?
    .listens()?;
    host.start("chap-4 make-socket 43212 --no-accept --bind :: --v6only")?
        .listens()?;
    let to_both = [connects(&host, "::1")?, connects(&host, "127.0.0.1")?];
    let to_six = [
        connects(&host, "::1 43212")?,
        connects(&host, "127.0.0.1 43212")?,
    ];

    let answer = |client: &Process| lab.packets().to(client);
    lab.claim(
        "the socket on :: answers an IPv6 client",
        answer(&to_both[0]).has(SYN | ACK),
    );
    lab.central("and an IPv4 client", answer(&to_both[1]).has(SYN | ACK));
    let mapped = |socket: &Socket| {
        of_server(socket) && socket.remote.to_string().starts_with("[::ffff:127.0.0.1]:")
    };
    lab.central(
        "which it knows as ::ffff:127.0.0.1",
        host.has(TcpState::Established, mapped),
    );
    lab.claim(
        "with IPV6_V6ONLY it answers an IPv6 client",
        answer(&to_six[0]).has(SYN | ACK),
    );
    lab.claim(
        "and an IPv4 client gets a reset",
        answer(&to_six[1]).has(RST | ACK),
    );
    lab.claim(
        "and connect fails with ECONNREFUSED",
        to_six[1].errors().says(REFUSED),
    );
    lab.done()
}

fn port_zero(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.sets("net.ipv4.ip_local_port_range", "50000 50001")?;
    let mut servers = Vec::new();
    for _ in 0..3 {
        let server = host.start(&format!(
            "chap-4 make-socket {} --no-accept",
            lab.vary(0, PORT)
        ))?;
        if server.listens().is_err() {
            server.ends()?;
        }
        servers.push(server);
    }

    let listening = host
        .sockets()?
        .into_iter()
        .filter(|socket| socket.state == TcpState::Listen);
    let mut ports: Vec<u16> = listening.map(|socket| socket.local.port()).collect();
    ports.sort();
    lab.central(
        "two servers get the two ports of the range, one each",
        equal(ports, [50000, 50001]),
    );
    lab.central("the second is not refused", servers[1].errors().is_empty());
    lab.claim(
        "the third finds none free: EADDRINUSE",
        servers[2].errors().says(IN_USE),
    );
    lab.done()
}

fn client_bind(lab: &Lab) -> Outcome {
    const FROM: ([u8; 4], u16) = ([127, 0, 0, 2], 12345);
    let host = lab.host()?;
    host.start("chap-4 make-socket --no-accept")?.listens()?;
    let first = connects(
        &host,
        lab.vary("127.0.0.1 --from 127.0.0.2:12345", "127.0.0.1"),
    )?;
    let from_there = |packet: &Passed| packet.source == FROM.into();
    lab.central(
        "the SYN comes from the address and port that the client has bound",
        lab.packets().from(&first).with(SYN).that(from_there).some(),
    );
    lab.central(
        "the server's end names them as its peer",
        host.has(TcpState::Established, |socket| {
            of_server(socket) && socket.remote == FROM.into()
        }),
    );

    let second = connects(&host, "127.0.0.1 --from 127.0.0.2:12345")?;
    lab.claim(
        "a second client cannot have them: bind fails with EADDRINUSE",
        second.errors().says(IN_USE),
    );
    lab.claim("and it sends nothing", lab.packets().from(&second).none());
    lab.done()
}

fn simultaneous_open(lab: &Lab) -> Outcome {
    let [left, right] = lab.hosts(["left", "right"])?;
    let wire = left.wire();
    let both_were = |state| {
        all([&left, &right].map(|host| {
            host.look();
            let states = host.states(|_| true);
            Check::new(states.contains(&state), format_args!("{states:?}"))
        }))
    };
    let sent = |number| lab.until("the SYN is on the wire", || equal(wire.kept(), number));
    if !lab.is_control() {
        // Each is kept until the other is sent, on a busy machine too.
        wire.hold_all(|packet| packet.tcp().is_some_and(|tcp| tcp.flags == SYN));
    }
    let one = left.start(lab.vary(
        "chap-4 connect 10.0.0.2 43212 --from 10.0.0.1:43211 --hold",
        "chap-4 make-socket --bind 10.0.0.1",
    ))?;
    match lab.is_control() {
        true => _ = one.listens()?,
        false => sent(1)?,
    }
    let two = right.start("chap-4 connect 10.0.0.1 43211 --from 10.0.0.2:43212 --hold")?;
    if !lab.is_control() {
        sent(2)?;
        lab.until("both ends wait", || both_were(TcpState::SynSent))?;
        wire.delay(Duration::from_millis(800)); // for the answers: long enough to be seen, and shorter than the retransmission timer
        wire.release();
        lab.until("each has the other's SYN", || {
            both_were(TcpState::SynReceived)
        })?;
        wire.delay(Duration::ZERO);
        one.says("connected to 10.0.0.2:43212")?;
    }
    two.says("connected to 10.0.0.1:43211")?;
    lab.until("both know that the other is connected", || {
        let acks = lab
            .packets()
            .tcp()
            .arrived()
            .that(|packet| only_ack(packet));
        equal(acks.count(), lab.vary(2, 1))
    })?;

    let arrived = || lab.packets().tcp().arrived();
    lab.central(
        "each of them sends a SYN, and neither is an answer",
        all([
            arrived().from(&one).with(SYN).without(ACK).exactly(1),
            arrived().from(&two).with(SYN).without(ACK).exactly(1),
        ]),
    );
    lab.central(
        "each answers the other's with SYN ACK",
        all([
            arrived().from(&one).with(SYN | ACK).exactly(1),
            arrived().from(&two).with(SYN | ACK).exactly(1),
        ]),
    );
    lab.central(
        "both ends were SYN-SENT and then SYN-RECEIVED",
        both_were(TcpState::SynSent).and(both_were(TcpState::SynReceived)),
    );
    lab.claim(
        "both are connected, and nobody sends a reset",
        both_were(TcpState::Established).and(lab.packets().lacks(RST)),
    );
    lab.done()
}
