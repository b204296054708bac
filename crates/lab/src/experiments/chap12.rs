//! Chapter 12: keep-alive and heartbeat.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::net::sock_diag::{Socket, Timer};
use crate::packets::Packets;
use crate::prelude::*;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "12/dead",
        "a server that answers too late: the client sends three PINGs and gives up, though TCP finds nothing wrong",
        dead,
        "the server answers at once",
    ),
    Experiment::new(
        "12/alive",
        "a server that answers late, but in time: each PONG makes the client begin to count anew",
        alive,
        "the server answers too late",
    ),
    Experiment::new(
        "12/reconnect",
        "a client that connects again finds the server that was started again, and goes on",
        reconnect,
        "the client is not told to connect again",
    ),
    Experiment::new(
        "12/in-pieces",
        "a PING in two segments is answered once, two PINGs in one segment are answered twice",
        in_pieces,
        "one byte is missing in the first PING",
    ),
    Experiment::new(
        "12/keepalive-defaults",
        "unless told otherwise, the kernel asks after two hours and gives up after 11 minutes more",
        keepalive_defaults,
        "the host's three variables are set to other values",
    )
    .isolated(),
    Experiment::new(
        "12/keepalive-healthy",
        "on a silent connection probes go out and are answered, and no program sees anything of it",
        keepalive_healthy,
        "keep-alive is off, as it is unless asked for",
    )
    .isolated(),
    Experiment::new(
        "12/keepalive-dead-host",
        "the wire is cut: two probes stay without an answer, and the read that waits fails",
        keepalive_dead_host,
        "the wire is not cut",
    )
    .isolated(),
    Experiment::new(
        "12/keepalive-rebooted-host",
        "the other host has crashed and is back: it answers the first probe with a reset",
        keepalive_rebooted_host,
        "the other host stays down",
    )
    .isolated(),
    Experiment::new(
        "12/udp-heartbeat",
        "the same PINGs and PONGs in datagrams find a dead host, too",
        udp_heartbeat,
        "the host does not crash",
    )
    .isolated(),
];

/// The size of a message: its type, then 1024 bytes.
const MESSAGE: usize = 4 + 1024;

/// A PING as the wire has it.
fn ping() -> Vec<u8> {
    let mut ping = vec![0; MESSAGE];
    ping[3] = 1;
    ping
}

/// The server's end of a connection.
fn of_server(socket: &Socket) -> bool {
    socket.local.port() == PORT && socket.remote.port() != 0
}

/// The client's end of a connection.
fn of_client(socket: &Socket) -> bool {
    socket.remote.port() == PORT
}

/// Whether a program has ended with an error. It may still be running.
fn failed(program: &Process) -> Check {
    let running = || Check::new(false, "it still runs");
    program
        .ended()
        .map_or_else(running, |end| end.exited_with(1))
}

/// Whether a program ended at least this long after a packet.
fn ended_after(program: &Process, first: Option<&Passed>, least: Duration) -> Check {
    let end = program.ended().map(|end| program.time_of(&end));
    let Some((end, first)) = end.zip(first) else {
        return Check::new(false, "it still runs");
    };
    let time = end.saturating_sub(first.sent);
    // The clock of packets and that of programs may differ by a little.
    Check::new(
        time + Duration::from_millis(20) >= least,
        format_args!("after {time:.3?}"),
    )
}

/// The bytes of the first packet of each kind on an Ethernet, without what the hardware adds.
fn bytes(kinds: [&Packets; 2]) -> String {
    let [one, other] = kinds.map(|packets| packets.first().map_or(0, |first| first.frame.len()));
    format!("{one} + {other} bytes")
}

fn dead(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start(lab.vary("chap-12 pingserver 60", "chap-12 pingserver 0"))?;
    server.listens()?;
    let client = host.start("chap-12 pingclient 127.0.0.1 --idle 0.6 --interval 0.3 --probes 3")?;
    if lab.is_control() {
        (0..4).try_for_each(|_| client.says("received heartbeat").map(drop))?;
    } else {
        client.ends()?;
    }

    let packets = lab.packets();
    let pings = packets.clone().from(&client).carrying_data();
    let whole = pings.iter().all(|ping| ping.length == MESSAGE);
    lab.central(
        "the client sends exactly three PINGs",
        pings.exactly(3).and(pings.check(whole)),
    );
    lab.central("then it ends with an error", failed(&client));
    let opened = packets.clone().from(&client).with(ACK).without(SYN);
    lab.claim(
        "that is 0.6 seconds and three times 0.3 after it connected, or a little later",
        ended_after(&client, opened.first(), Duration::from_millis(1500)),
    );
    lab.central(
        "no byte comes back",
        packets.clone().from(&server).carrying_data().none(),
    );
    let last = pings.last().and_then(|ping| ping.tcp());
    let end = last.map(|tcp| tcp.sequence.wrapping_add(MESSAGE as u32));
    let acknowledges = |packet: &Passed| {
        packet.tcp().zip(end).is_some_and(|(tcp, end)| {
            // Up to the end of the last PING, or the FIN behind it.
            tcp.acknowledgement.wrapping_sub(end) <= 1
        })
    };
    lab.claim(
        "the server's kernel acknowledges all of them: the connection is well, it is the program that is stuck",
        packets.from(&server).that(acknowledges).some(),
    );
    lab.done()
}

fn alive(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start(lab.vary("chap-12 pingserver 0.35", "chap-12 pingserver 60"))?;
    server.listens()?;
    let client =
        host.start("chap-12 pingclient 127.0.0.1 --idle 0.6 --interval 0.25 --probes 3")?;
    let of = |program| lab.packets().from(program).carrying_data();
    client.says("sending heartbeat #1")?;
    if lab.is_control() {
        client.ends()?;
    } else {
        client.says("received heartbeat")?;
        client.says("received heartbeat")?;
        client.says("sending heartbeat #1")?;
        lab.until("the next PING goes out", || {
            let last = of(&server).last().map(|pong| pong.sent);
            of(&client).since(last.unwrap_or_default()).some()
        })?;
    }

    let (pings, pongs) = (of(&client), of(&server));
    lab.central("the PONGs come", within(pongs.count(), 2..));
    let late = pings
        .first()
        .zip(pongs.first())
        .map(|(ping, pong)| pong.sent.saturating_sub(ping.sent));
    lab.claim(
        "the first comes later than the interval after its PING: by then there was another PING",
        Check::new(
            late > Some(Duration::from_millis(250)),
            format_args!("after {late:.3?}"),
        ),
    );
    lab.central(
        "the client goes on: the connection is ESTABLISHED",
        host.has(TcpState::Established, of_client),
    );
    let output = client.output();
    let anew = |pair: &[String]| {
        !pair[0].starts_with("received") || !pair[1].contains('#') || pair[1].ends_with("#1")
    };
    lab.claim(
        "a PING that follows a PONG has number 1 again",
        Check::new(
            output.lines().windows(2).all(anew),
            output.lines().join(", "),
        ),
    );
    let acks = |program| {
        let segments = lab.packets().from(program);
        segments.that(|p| p.length == 0 && p.tcp().is_some_and(|tcp| tcp.flags == ACK))
    };
    lab.figure("a PING and its ACK", bytes([&pings, &acks(&server)]));
    lab.figure("a PONG and its ACK", bytes([&pongs, &acks(&client)]));
    lab.done()
}

fn reconnect(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let first = host.start("chap-12 pingserver 0")?;
    first.listens()?;
    let again = lab.vary(" --reconnect", "");
    let client = host.start(&format!(
        "chap-12 pingclient 127.0.0.1 --idle 0.4 --interval 0.3{again}"
    ))?;
    client.says("received heartbeat")?;
    first.kill()?;
    if lab.is_control() {
        client.ends()?;
    } else {
        client.complains("Connection refused")?; // nobody is there yet
    }
    let second = host.start("chap-12 pingserver 0")?;
    second.listens()?;
    if !lab.is_control() {
        client.says("received heartbeat")?;
    }

    let packets = lab.packets();
    let of_second = packets.clone().from(&second);
    lab.central(
        "the client opens a second connection",
        of_second.clone().with(SYN | ACK).exactly(1),
    );
    let syns = packets.clone().from(&client).with(SYN);
    let [opened, last] = [syns.first(), syns.last()].map(|syn| syn.map(|syn| syn.source));
    lab.central(
        "it is a new one, with another port",
        syns.check(opened != last),
    );
    lab.central(
        "the new server answers a PING there",
        of_second.carrying_data().some(),
    );
    let refused = packets.to(&client).with(RST);
    lab.claim(
        "an attempt in between, when nobody listened, was answered with a reset",
        refused.some(),
    );
    lab.done()
}

fn in_pieces(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.names_own_hand("client");
    let server = host.start("chap-12 pingserver 0.2")?;
    server.listens()?;
    let mut client = host.enter(|| {
        let client = TcpStream::connect(("127.0.0.1", PORT))?;
        client.set_nodelay(true)?;
        client.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(client)
    })?;
    let write = |mut client: &TcpStream, bytes: &[u8]| host.enter(move || client.write_all(bytes));
    let first = 600;
    write(&client, &ping()[..first])?;
    let read = |socket: &Socket| {
        let arrived = socket.info.map(|info| info.bytes_received);
        of_server(socket) && arrived == Some(first as u64) && socket.receive_queue == 0
    };
    lab.until("the server has read the first piece", || {
        host.has(TcpState::Established, read)
    })?;
    write(&client, &ping()[first..lab.vary(MESSAGE, MESSAGE - 1)])?;
    let mut pong = [0; MESSAGE];
    if !lab.is_control() {
        host.enter(|| client.read_exact(&mut pong))?; // otherwise the server waits for one more byte
    }
    write(&client, &[ping(), ping()].concat())?;
    // In the control the second of these is a reset.
    let read_two = host.enter(|| (0..2).try_for_each(|_| client.read_exact(&mut pong)));
    let connected = host.has(TcpState::Established, of_server);
    drop(client);
    if read_two.is_ok() {
        server.says("client closed")?;
    }

    let pieces = lab.packets().to(&server).carrying_data();
    let lengths: Vec<_> = pieces.iter().map(|piece| piece.length).collect();
    lab.claim(
        "the first PING comes in two segments, the other two in one",
        equal(lengths, [first, MESSAGE - first, 2 * MESSAGE]),
    );
    let pongs = lab.packets().from(&server).carrying_data();
    lab.central(
        "three PONGs come back",
        equal(pongs.bytes(), 3 * MESSAGE).and(pongs.exactly(3)),
    );
    lab.central("and the connection is as it was", connected);
    lab.done()
}

/// What the kernel does by default, by the variables and by the socket.
fn keepalive_defaults(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let names = ["time", "intvl", "probes"].map(|name| format!("net.ipv4.tcp_keepalive_{name}"));
    if lab.is_control() {
        for (name, value) in names.iter().zip([60, 5, 4]) {
            host.sets(name, value)?;
        }
    }
    let server = host.program("chap-12 keepalive server --off");
    let server = server.named("keepalive server").start()?;
    server.listens()?;
    let client = host.program("chap-12 keepalive client 127.0.0.1");
    let client = client.named("keepalive client").start()?;
    client.says("a dead peer is noticed")?;
    server.says("a dead peer is never")?;

    let mut values = Vec::new();
    for name in &names {
        values.push(host.variable(name)?);
    }
    lab.central(
        "the variables of the host are 7200 seconds, 75 seconds and 9 probes",
        equal(values, ["7200", "75", "9"]),
    );
    let sockets = host.sockets()?;
    let timer = |end: fn(&Socket) -> bool| {
        sockets
            .iter()
            .find(|socket| end(socket))
            .map(|socket| socket.timer)
    };
    let two_hours = Duration::from_secs(7140)..=Duration::from_secs(7200);
    let (asked, silent) = (timer(of_client), timer(of_server));
    lab.central(
        "the client's socket has a timer of two hours",
        Check::new(
            matches!(asked, Some(Timer::KeepAlive(left)) if two_hours.contains(&left)),
            format_args!("{asked:?}"),
        ),
    );
    lab.claim(
        "the server's, where nobody asked for it, has none",
        equal(silent, Some(Timer::None)),
    );
    lab.central(
        "7200 seconds and 9 times 75 are 2 hours, 11 minutes and 15 seconds",
        client.output().says("after 7875 s: 2 h 11 min 15 s"),
    );
    lab.done()
}

/// Two programs that say nothing, on two hosts. The client's kernel asks after a second, and then each second.
fn silent(lab: &Lab, options: &str) -> Result<(Host, Host, Process), LabError> {
    let [near, far] = lab.hosts(["client", "server"])?;
    let server = far.program("chap-12 keepalive server --bind 10.0.0.2 --off");
    let server = server.named("keepalive server").start()?;
    server.listens()?;
    let command = format!("chap-12 keepalive client 10.0.0.2 --idle 1 --interval 1 {options}");
    let client = near.program(&command).named("keepalive client").start()?;
    client.says("a dead peer is")?;
    server.says("a dead peer is")?;
    Ok((near, far, client))
}

/// The probes that a client's kernel has sent. The client has never written, so the next byte that it could send has the
/// sequence number of its SYN plus one; a probe has the one below, which the other side has acknowledged long ago.
fn probes(lab: &Lab, client: &Process) -> Packets {
    let segments = lab.packets().from(client).tcp();
    let header = |packet: &Passed| packet.tcp().copied().unwrap_or_default();
    let syn = segments.clone().with(SYN).first().map(header);
    let sequence = syn.map_or(0, |syn| syn.sequence);
    segments.that(|packet| {
        packet.length == 0 && header(packet).flags == ACK && header(packet).sequence == sequence
    })
}

/// What has come to the client since its first probe.
fn answers(lab: &Lab, client: &Process) -> Packets {
    let first = probes(lab, client).first().map(|probe| probe.sent);
    lab.packets()
        .to(client)
        .tcp()
        .since(first.unwrap_or(Duration::MAX))
}

fn keepalive_healthy(lab: &Lab) -> Outcome {
    let (near, _, client) = silent(lab, lab.vary("--probes 2", "--probes 2 --off"))?;
    if lab.is_control() {
        lab.watches_for(Duration::from_millis(2300));
    } else {
        lab.until("two probes are answered", || {
            within(answers(lab, &client).count(), 2..)
        })?;
    }

    let (probes, answers) = (probes(lab, &client), answers(lab, &client));
    lab.central(
        "after a second of silence a segment without news goes out, and one more each second",
        within(probes.count(), 2..).and(
            probes.check(
                probes
                    .gaps()
                    .iter()
                    .all(|gap| *gap > Duration::from_millis(900)),
            ),
        ),
    );
    let only_ack = |packet: &Passed| packet.tcp().is_some_and(|tcp| tcp.flags == ACK);
    lab.central(
        "each is answered with an ACK",
        within(answers.count(), 2..).and(answers.check(answers.iter().all(only_ack))),
    );
    let unread = |socket: &Socket| {
        of_client(socket) && socket.info.is_some_and(|info| info.bytes_received == 0)
    };
    lab.claim(
        "neither brings a byte that could be read, and the connection is ESTABLISHED",
        near.has(TcpState::Established, unread),
    );
    lab.claim(
        "the client's read has not returned",
        client.output().lacks("read returned"),
    );
    lab.figure("a probe and its answer", bytes([&probes, &answers]));
    lab.done()
}

fn keepalive_dead_host(lab: &Lab) -> Outcome {
    let (near, far, client) = silent(lab, "--probes 2")?;
    if lab.is_control() {
        lab.watches_for(Duration::from_millis(3500));
    } else {
        lab.notes("the wire is cut");
        near.wire().cut();
        client.ends()?;
    }

    let probes = probes(lab, &client);
    lab.central(
        "two probes go out, and nothing comes back",
        probes.exactly(2).and(answers(lab, &client).none()),
    );
    lab.central(
        "the client's read fails with ETIMEDOUT",
        client
            .errors()
            .says("read: Connection timed out (os error 110)"),
    );
    let answer = lab.packets().to(&client).with(SYN | ACK);
    lab.claim(
        "it does so a second of silence and two more after the last sign of life, or a little later",
        ended_after(&client, answer.first(), Duration::from_secs(3)),
    );
    lab.central(
        "its kernel's last word is a reset, which the wire loses as well",
        lab.packets().from(&client).lost().has(RST),
    );
    lab.claim(
        "the server's end is ESTABLISHED: nobody has told it",
        far.has(TcpState::Established, of_server),
    );
    lab.done()
}

fn keepalive_rebooted_host(lab: &Lab) -> Outcome {
    let (_, far, client) = silent(lab, "--probes 3")?;
    far.crashes()?;
    if !lab.is_control() {
        far.boots()?;
    }
    client.ends()?;

    let packets = lab.packets();
    let probe = probes(lab, &client).first().map(|probe| probe.sent);
    lab.claim(
        "the crash itself sends nothing: neither FIN nor RST comes before the first probe",
        Check::new(probe.is_some(), format_args!("{probe:?}")).and({
            let before = packets
                .clone()
                .to(&client)
                .that(|packet| Some(packet.sent) < probe);
            before.clone().lacks(FIN).and(before.lacks(RST))
        }),
    );
    lab.central(
        "a probe is answered with a reset",
        packets.to(&client).with(RST).exactly(1),
    );
    lab.central(
        "the client's read fails with ECONNRESET",
        client
            .errors()
            .says("read: Connection reset by peer (os error 104)"),
    );
    lab.done()
}

fn udp_heartbeat(lab: &Lab) -> Outcome {
    let [near, far] = lab.hosts(["client", "server"])?;
    let server = far.start("chap-12 pingserver 0 --udp --bind 10.0.0.2")?;
    server.listens()?;
    let client = near.start("chap-12 pingclient 10.0.0.2 --udp --idle 0.4 --interval 0.3")?;
    client.says("received heartbeat")?;
    if lab.is_control() {
        (0..4).try_for_each(|_| client.says("received heartbeat").map(drop))?;
    } else {
        far.crashes()?;
        client.ends()?;
    }

    let packets = lab.packets();
    let [pings, pongs] =
        [&client, &server].map(|program| packets.clone().from(program).carrying_data());
    let last = pongs.last().map_or(Duration::MAX, |pong| pong.sent);
    let unanswered = pings.clone().since(last);
    lab.claim("as long as the host is up, a PONG comes", pongs.some());
    lab.central(
        "then three PINGs stay without an answer",
        unanswered.exactly(3),
    );
    lab.central("the client ends with an error", failed(&client));
    lab.claim(
        "nothing but datagrams has passed: there is no connection that could be lost",
        packets.check(packets.iter().all(|packet| packet.kind == Kind::Udp)),
    );
    lab.figure("a PING and its PONG", bytes([&pings, &pongs]));
    lab.done()
}
