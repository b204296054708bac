//! Chapter 14: connected UDP.

use std::net::UdpSocket;

use nix::errno::Errno;

use crate::net::sock_diag::Socket;
use crate::prelude::*;
use crate::tracer::SystemCall;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "14/refused",
        "a connected client without a server gets ECONNREFUSED from its next call, whichever that is",
        refused,
        "there is a server",
    )
    .also(&["chap-6"]),
    Experiment::new(
        "14/unconnected-sees-no-error",
        "without connect the same ICMP message comes, and nobody is told",
        unconnected_sees_no_error,
        "the socket is connected",
    ),
    Experiment::new(
        "14/second-client-refused",
        "a server that has connected its socket to one client has no port for any other",
        second_client_refused,
        "the server does not connect",
    )
    .also(&["chap-6"]),
    Experiment::new(
        "14/queued-before-connect",
        "what a stranger sent before the connect is still received after it",
        queued_before_connect,
        "the stranger sends after the connect",
    ),
    Experiment::new(
        "14/no-packet",
        "connect on a UDP socket sends nothing and asks nobody",
        no_packet,
        "the socket is a TCP socket",
    )
    .also(&["chap-4"]),
    Experiment::new(
        "14/filters-strangers",
        "a datagram from another address does not reach a connected socket",
        filters_strangers,
        "the client does not connect",
    )
    .also(&["chap-6"]),
    Experiment::new(
        "14/reconnect",
        "connect may be called again, and a connect to no family takes the peer away",
        reconnect,
        "connect is called only once",
    )
    .also(&["chap-6"])
    .isolated(),
    Experiment::new(
        "14/source-address-stays",
        "a second connect keeps the source address of the first, and fails where that does not fit",
        source_address_stays,
        "the first peer is taken away before",
    )
    .isolated(),
    Experiment::new(
        "14/sendto-elsewhere",
        "on a connected socket sendto with another address goes to that address",
        sendto_elsewhere,
        "the address is that of the peer",
    )
    .also(&["chap-6"]),
    Experiment::new(
        "14/cheaper",
        "a connected sender passes no address to the kernel, which has looked up the way before",
        cheaper,
        "the sender is not connected",
    ),
    Experiment::new(
        "14/multicast",
        "a datagram to a group is received by its members, and by nobody else",
        multicast,
        "nobody joins the group",
    )
    .isolated(),
    Experiment::new(
        "14/multicast-connect",
        "a sender that is connected to a group cannot receive the answers of its members",
        multicast_connect,
        "the sender is not connected",
    )
    .isolated(),
    Experiment::new(
        "14/broadcast-needs-option",
        "the kernel lets nobody broadcast who has not asked for it with SO_BROADCAST",
        broadcast_needs_option,
        "the option is set",
    )
    .also(&["chap-6"])
    .isolated(),
];

/// ICMP: destination unreachable, for the reason that nobody has the port (RFC 792); and the same of ICMPv6 (RFC 4443).
const PORT_UNREACHABLE: (u8, u8) = (3, 3);
const PORT_UNREACHABLE_V6: (u8, u8) = (1, 4);

/// The calls in which a program waits for a datagram.
const RECEIVING: &[&str] = &["recvfrom", "recvmsg"];

/// What the ladders show of the system calls.
const DRAWN: &[&str] = &["connect", "sendto", "recvfrom", "recvmsg"];

fn unreachable(lab: &Lab) -> crate::packets::Packets {
    let (kind, code) = PORT_UNREACHABLE;
    lab.packets().icmp(kind, code)
}

/// The last call of this name has failed with this error.
fn last_failed(process: &Process, name: &str, errno: Errno) -> Check {
    let calls = process.calls().named(name);
    let seen: Vec<String> = calls.iter().map(SystemCall::to_string).collect();
    let failed = calls.last().is_some_and(|call| call.failed_with(errno));
    Check::new(failed, format_args!("{seen:?}"))
}

/// The UDP sockets of a host that fit.
fn sockets(host: &Host, fits: impl Fn(&Socket) -> bool) -> Result<Vec<String>, LabError> {
    let sockets = host.udp_sockets()?.into_iter().filter(fits);
    Ok(sockets
        .map(|socket| format!("{} to {}", socket.local, socket.remote))
        .collect())
}

fn refused(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    if lab.is_control() {
        host.start("chap-6 udpserver")?.listens()?;
    }
    let start = |command: &str, name: &str| {
        let program = host.program(command).named(name);
        program.traced_drawing(DRAWN).start()
    };
    let waiting = start("chap-14 udpconnectclient2 127.0.0.1", "client")?;
    waiting.types("g1")?;
    if lab.is_control() {
        waiting.says("Hi, g1")?;
        waiting.closes_input();
    }
    let end = waiting.ends()?;
    let sending = start("chap-14 udpconnectclient2 127.0.0.1 --no-wait", "another")?;
    for line in ["g1", "g2"] {
        sending.types(line)?;
        sending.says("now sending")?;
    }
    if lab.is_control() {
        sending.closes_input();
    }
    sending.ends()?;

    lab.central(
        "the kernel answers that the port is unreachable",
        unreachable(lab).to(&waiting).exactly(1),
    );
    lab.central(
        "the call that waits for the answer fails with ECONNREFUSED",
        last_failed(&waiting, "recvfrom", Errno::ECONNREFUSED).and(end.exited_with(1)),
    );
    lab.central(
        "of a client that does not wait, the next send fails",
        last_failed(&sending, "sendto", Errno::ECONNREFUSED),
    );
    lab.claim(
        "the first send of each succeeds",
        waiting
            .output()
            .says("send bytes: 2")
            .and(sending.output().says("send bytes: 2")),
    );
    if !lab.is_control() {
        lab.claim(
            "what that second send was given does not leave",
            lab.packets().udp().from(&sending).exactly(1),
        );
    }
    lab.done()
}

fn unconnected_sees_no_error(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let client = host
        .program(lab.vary(
            "chap-14 udpconnectclient 127.0.0.1 --no-connect",
            "chap-14 udpconnectclient 127.0.0.1",
        ))
        .traced_drawing(DRAWN)
        .start()?;
    client.types("g1")?;
    client.says("send bytes: 2")?;
    if lab.is_control() {
        client.ends()?;
    } else {
        lab.until("the kernel has answered", || unreachable(lab).some())?;
        lab.until("the client waits", || client.blocks_in(RECEIVING))?;
        lab.watches_for(Duration::from_millis(200));
    }
    lab.central(
        "the client goes on waiting in its receive call",
        client.blocks_in(RECEIVING),
    );
    lab.central("no call of it fails", client.errors().is_empty());
    lab.claim(
        "the kernel answers that the port is unreachable",
        unreachable(lab).to(&client).exactly(1),
    );
    lab.done()
}

fn second_client_refused(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start(lab.vary("chap-14 udpconnectserver", "chap-6 udpserver"))?;
    server.listens()?;
    let clients = [
        host.start("chap-14 udpconnectclient2 127.0.0.1")?,
        host.start("chap-14 udpconnectclient2 127.0.0.1")?,
    ];
    let [first, second] = &clients;
    first.types("g1")?;
    server.says("received 2 bytes: g1")?;
    first.says("Hi, g1")?;
    second.types("g2")?;
    if lab.is_control() {
        second.says("Hi, g2")?;
        second.closes_input();
    }
    let end = second.ends()?;
    first.types("g3")?;
    server.says("received 2 bytes: g3")?;
    first.says("Hi, g3")?;
    let connected = sockets(&host, |socket| {
        socket.local.port() == PORT && socket.remote.port() != 0
    })?;

    lab.central(
        "the second client gets ECONNREFUSED",
        second
            .errors()
            .says("recv: Connection refused (os error 111)")
            .and(end.exited_with(1)),
    );
    lab.central(
        "though there is a server, the kernel answers that the port is unreachable",
        unreachable(lab).to(second).exactly(1),
    );
    lab.central(
        "the server's one socket has a peer",
        equal(connected.len(), 1),
    );
    lab.claim(
        "the first client is served as before",
        first.output().says_exactly("Hi,", &["Hi, g1", "Hi, g3"]),
    );
    lab.done()
}

fn queued_before_connect(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start("chap-14 udpconnectserver")?;
    server.listens()?;
    let [first, second] = [
        host.start("chap-14 udpconnectclient2 127.0.0.1")?,
        host.start("chap-14 udpconnectclient2 127.0.0.1")?,
    ];
    let stranger_asks = || -> Result<(), LabError> {
        second.types("g2")?;
        second.says("send bytes: 2")?;
        Ok(())
    };
    server.halt()?;
    first.types("g1")?;
    first.says("send bytes: 2")?;
    if !lab.is_control() {
        stranger_asks()?;
    }
    server.resume();
    first.says("Hi, g1")?;
    if lab.is_control() {
        stranger_asks()?;
        second.ends()?;
    } else {
        server.complains("ignored 2 bytes")?;
        lab.until("the second client waits", || second.blocks_in(RECEIVING))?;
    }
    first.types("g3")?;
    first.says("Hi, g3")?;

    lab.central(
        "the connected server still receives the stranger's datagram",
        server.errors().says("which came before the connect"),
    );
    lab.central(
        "nobody tells the stranger that it is not served",
        unreachable(lab).none().and(second.blocks_in(RECEIVING)),
    );
    lab.claim(
        "the server has to look at the sender, and answers its client alone",
        first
            .output()
            .says_exactly("Hi,", &["Hi, g1", "Hi, g3"])
            .and(second.output().lacks("Hi,")),
    );
    lab.done()
}

fn no_packet(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let program = host
        .program(lab.vary("chap-14 udpreconnect", "chap-4 connect 127.0.0.1 43211"))
        .traced_drawing(&["connect", "getsockname", "getpeername"])
        .start()?;
    if lab.is_control() {
        program.closes_input();
        program.ends()?;
    } else {
        program.types("connect 127.0.0.1:43211")?;
        program.says("local address 127.0.0.1:")?;
        lab.watches_for(Duration::from_millis(100));
    }
    let connects = program.calls().named("connect");
    let seen: Vec<String> = connects.iter().map(SystemCall::to_string).collect();
    let connected = sockets(&host, |socket| {
        socket.remote.port() == PORT && socket.local.port() != 0
    })?;
    lab.central("no packet passes", lab.packets().none());
    lab.central(
        "connect succeeds, though nobody is there",
        Check::new(
            connects.last().is_some_and(SystemCall::succeeded),
            format_args!("{seen:?}"),
        ),
    );
    lab.central(
        "the socket has a peer, and an address and a port of its own",
        Check::new(connected.len() == 1, format_args!("{connected:?}")),
    );
    lab.done()
}

fn filters_strangers(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start("chap-6 udpserver")?;
    server.listens()?;
    let client = host
        .program(lab.vary(
            "chap-14 udpconnectclient 127.0.0.1",
            "chap-14 udpconnectclient 127.0.0.1 --no-connect",
        ))
        .traced_drawing(&["recvmsg"])
        .start()?;
    client.types("g1")?;
    client.says("Hi, g1")?;
    let requests = lab.packets().udp().from(&client);
    let own = requests.first().map(|packet| packet.source);
    let own = own.ok_or_else(|| LabError::Impossible("packets cannot be captured here".into()))?;
    let stranger = host.program("chap-14 udpreconnect").named("stranger");
    let stranger = stranger.start()?;
    stranger.types(&format!("sendto {own} Hi, thief"))?;
    stranger.says("send bytes: 9")?;
    if !lab.is_control() {
        lab.until("the kernel has answered the stranger", || {
            unreachable(lab).some()
        })?;
    }
    client.types("g2")?;
    client.says("Hi, g2")?;

    let received = client.calls().returned("recvmsg");
    let received = received.iter().filter(|result| result.is_ok()).count();
    lab.central(
        "the kernel tells the stranger that nobody has the port",
        unreachable(lab).to(&stranger).exactly(1),
    );
    lab.central(
        "the client receives two datagrams, both from the server",
        equal(received, 2),
    );
    lab.claim(
        "it is served as before",
        client.output().says_exactly("Hi,", &["Hi, g1", "Hi, g2"]),
    );
    lab.done()
}

fn reconnect(lab: &Lab) -> Outcome {
    let [client_host, server_host] = lab.hosts(["client", "server"])?;
    let serve = |port: u16, name: &str| -> Result<Process, LabError> {
        let command = format!("chap-6 udpserver --bind 10.0.0.2 --port {port}");
        let server = server_host.program(&command).named(name).start()?;
        server.listens()?;
        Ok(server)
    };
    let (one, two) = (serve(PORT, "one")?, serve(PORT + 1, "two")?);
    let client = client_host.start("chap-14 udpreconnect")?;
    client.types("connect 10.0.0.2:43211")?;
    client.types("send g1")?;
    one.says("received 2 bytes: g1")?;
    client.says("Hi, g1")?;
    if !lab.is_control() {
        client.types("connect 10.0.0.2:43212")?;
        client.says("peer 10.0.0.2:43212")?;
    }
    client.types("send g2")?;
    client.says("Hi, g2")?;
    if !lab.is_control() {
        client.types("dissolve")?;
        client.says("no peer")?;
    }
    let before = lab.packets().udp().from(&client).count();
    client.types("send g3")?;
    if lab.is_control() {
        client.says("Hi, g3")?;
    } else {
        client.complains("send: ")?;
    }
    let after = lab.packets().udp().from(&client).count();
    client.types("sendto 10.0.0.2:43211 g4")?;
    client.says("Hi, g4")?;

    lab.central(
        "after the second connect, send goes to the second server",
        two.output().says("received 2 bytes: g2"),
    );
    lab.central(
        "without a peer, send fails with EDESTADDRREQ",
        client
            .errors()
            .says("Destination address required (os error 89)"),
    );
    lab.central("and nothing leaves", equal(after, before));
    lab.central(
        "taking the peer away also takes the address and the port",
        client.output().says("local address 0.0.0.0:0, no peer"),
    );
    lab.claim(
        "sendto works with or without a peer",
        one.output().says("received 2 bytes: g4"),
    );
    let ports = |line: &str| {
        let packets = lab.packets().udp().from(&client);
        let port = packets
            .iter()
            .find(|packet| packet.data() == line.as_bytes());
        port.map(|packet| packet.source.port())
    };
    lab.claim(
        "a second connect does not change the client's port",
        equal(ports("g2"), ports("g1"))
            .and(Check::unless(ports("g1").is_some(), "nothing is sent")),
    );
    lab.done()
}

fn source_address_stays(lab: &Lab) -> Outcome {
    let [client, _server] = lab.hosts(["client", "server"])?;
    let program = client
        .program("chap-14 udpreconnect")
        .traced_drawing(&["connect"])
        .start()?;
    program.types("connect 127.0.0.1:43211")?;
    program.says("local address 127.0.0.1:")?;
    if lab.is_control() {
        program.types("dissolve")?;
        program.says("no peer")?;
    }
    program.types("connect 10.0.0.2:43211")?;
    if lab.is_control() {
        program.says("local address 10.0.0.1:")?;
    } else {
        program.complains("connect 10.0.0.2:43211")?;
    }
    let first = last_failed(&program, "connect", Errno::EINVAL);
    let stayed = sockets(&client, |socket| socket.local.ip().is_loopback())?;
    if !lab.is_control() {
        program.types("dissolve")?;
        program.says("no peer")?;
        program.types("connect 10.0.0.2:43211")?;
        program.says("local address 10.0.0.1:")?;
    }
    lab.central(
        "connect from a peer on this host to one on the wire fails with EINVAL",
        first,
    );
    lab.central(
        "the socket keeps its loopback address",
        Check::new(stayed.len() == 1, format_args!("{stayed:?}")),
    );
    let chosen = sockets(&client, |socket| socket.local.ip() == client.address())?;
    lab.claim(
        "once the peer is taken away, connect chooses the address anew",
        Check::new(chosen.len() == 1, format_args!("{chosen:?}")),
    );
    lab.claim("all this sends no packet", lab.packets().none());
    lab.done()
}

fn sendto_elsewhere(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let serve = |port: u16, name: &str| -> Result<Process, LabError> {
        let command = format!("chap-6 udpserver --port {port}");
        let server = host.program(&command).named(name).start()?;
        server.listens()?;
        Ok(server)
    };
    let (peer, other) = (serve(PORT, "peer")?, serve(PORT + 1, "other")?);
    let client = host.start("chap-14 udpreconnect")?;
    client.types("connect 127.0.0.1:43211")?;
    client.says("local address")?;
    client.types(lab.vary("sendto 127.0.0.1:43212 g1", "sendto 127.0.0.1:43211 g1"))?;
    if lab.is_control() {
        client.says("Hi, g1")?;
    } else {
        other.says("received 2 bytes: g1")?;
        lab.until("the answer is refused", || unreachable(lab).some())?;
    }
    client.types("send g2")?;
    client.says("Hi, g2")?;

    lab.central(
        "the datagram goes to the address in the call, and not to the peer",
        lab.packets()
            .udp()
            .to(&other)
            .exactly(1)
            .and(peer.output().lacks("g1")),
    );
    lab.central(
        "the answer from there is refused: the socket takes only its peer's",
        unreachable(lab)
            .to(&other)
            .exactly(1)
            .and(client.output().lacks("Hi, g1")),
    );
    lab.claim(
        "the peer is what it was, and the next send goes there",
        peer.output().says("received 2 bytes: g2"),
    );
    lab.done()
}

fn cheaper(lab: &Lab) -> Outcome {
    const CONNECTED: (&str, &str) = ("connected", "udpconnectclient2");
    const UNCONNECTED: (&str, &str) = ("unconnected", "udpconnectclient --no-connect");
    const CROWD: u16 = PORT + 1;
    let host = lab.host()?;
    // They never read. What finds no room in their buffers is dropped, and costs the sender the same.
    let _sinks = host.enter(|| {
        let bind = |port| UdpSocket::bind(("127.0.0.1", port));
        Ok([bind(PORT)?, bind(CROWD)?])
    })?;
    host.names_own_hand("receiver");
    lab.leaves_out(CROWD..=CROWD);
    let sends_three = |(name, program): (&str, &str)| -> Result<Process, LabError> {
        let command = format!("chap-14 {program} 127.0.0.1 --no-wait");
        let sender = host.program(&command).named(name);
        let sender = sender.traced_drawing(&["connect", "sendto"]).start()?;
        for line in ["g1", "g2", "g3"] {
            sender.types(line)?;
            sender.says("send bytes: 2")?;
        }
        sender.closes_input();
        sender.ends()?;
        Ok(sender)
    };
    let sender = sends_three(lab.vary(CONNECTED, UNCONNECTED))?;
    let other = sends_three(UNCONNECTED)?;
    // sendto(2): the fifth argument is the address, and none is a null pointer. So is send(2), in system calls.
    let named = |process: &Process, with_address: bool| {
        let calls = process.calls().named("sendto");
        let so = |call: &&SystemCall| (call.arguments[4] != 0) == with_address;
        equal(calls.iter().filter(so).count(), 3)
    };
    lab.central(
        "the connected sender passes no address",
        named(&sender, false),
    );
    lab.claim("the other one passes it each time", named(&other, true));
    let sent = |sender: &Process| {
        let packets = lab.packets().udp().from(sender);
        let sent: Vec<Vec<u8>> = packets
            .iter()
            .map(|packet| packet.data().to_vec())
            .collect();
        sent
    };
    lab.claim(
        "both send the same datagrams",
        equal(sent(&sender), sent(&other))
            .and(Check::unless(!sent(&sender).is_empty(), "nothing is sent")),
    );
    if !lab.is_control() {
        for (name, program) in [CONNECTED, UNCONNECTED] {
            let command = format!("chap-14 {program} 127.0.0.1 --port {CROWD} --flood 20000");
            let sender = host.program(&command).named(name).start()?;
            let cost = sender.says("sends, ")?.rest();
            sender.ends()?;
            lab.figure(
                &format!("processor time of a send, {name}"),
                cost.replace(" of processor time each", ""),
            );
        }
    }
    lab.done()
}

/// A host tells the routers which groups it wants: IGMP, or version 2 of its successor for IPv6 (RFC 3376, RFC 3810). It
/// does so again after a time that it picks at random.
fn is_report(packet: &Packet) -> bool {
    matches!(packet.kind, Kind::Other(2) | Kind::Icmp { kind: 143, .. })
}

fn multicast(lab: &Lab) -> Outcome {
    const GROUP: &str = "239.1.2.3 --interface wire0";
    let [sender_host, member_host, other_host] = lab.hosts(["sender", "member", "other"])?;
    lab.leaves_out_packets(is_report);
    let receive = |host: &Host, name: &str, option: &str| -> Result<Process, LabError> {
        let command = format!("chap-14 multicast receive {GROUP} {option}");
        let program = host.program(&command).named(name).start()?;
        program.listens()?;
        Ok(program)
    };
    let join = lab.vary("", "--stay-out");
    let near = receive(&sender_host, "near member", join)?;
    let far = receive(&member_host, "far member", join)?;
    let outsider = receive(&other_host, "outsider", "--stay-out")?;
    let send = |option: &str, line: &str, heard_by: &[&Process]| -> Result<Process, LabError> {
        let command = format!("chap-14 multicast send {GROUP} {option}");
        let sender = sender_host.program(&command).named("sender").start()?;
        sender.types(line)?;
        sender.says("send bytes")?;
        for member in heard_by.iter().filter(|_| !lab.is_control()) {
            member.says(&format!("received 2 bytes: {line}"))?;
        }
        sender.closes_input();
        sender.ends()?;
        Ok(sender)
    };
    send("", "g1", &[&near, &far])?;
    send("--no-loop", "g2", &[&far])?;
    send("--ttl 0", "g3", &[&near])?;

    let of = |line: &'static str| {
        lab.packets()
            .udp()
            .that(move |packet| packet.data() == line.as_bytes())
    };
    lab.central(
        "a member on another host receives",
        far.output().says("received 2 bytes: g1"),
    );
    lab.central(
        "a member on the sender's own host does too",
        near.output().says("received 2 bytes: g1"),
    );
    lab.claim(
        "the datagram comes by the other host, which takes no notice",
        of("g1")
            .to(&other_host)
            .exactly(1)
            .and(outsider.output().lacks("received")),
    );
    if !lab.is_control() {
        lab.claim(
            "without IP_MULTICAST_LOOP the sender's own host does not receive",
            near.output().says_exactly(
                "received",
                &["received 2 bytes: g1", "received 2 bytes: g3"],
            ),
        );
        lab.claim(
            "with a TTL of 0 the datagram does not leave the host",
            of("g3").none().and(far.output().says_exactly(
                "received",
                &["received 2 bytes: g1", "received 2 bytes: g2"],
            )),
        );
        // The ninth byte of the IPv4 header, RFC 791 section 3.1, behind 14 bytes of Ethernet.
        let lives: Vec<_> = of("g1")
            .iter()
            .map(|packet| packet.frame.get(22).copied())
            .collect();
        lab.claim(
            "where nothing else is said the TTL is 1: no router may pass it on",
            equal(lives, [Some(1), Some(1)]),
        );
        lab.eventually(
            "joining the group is a packet of its own, an IGMP report",
            || {
                lab.packets()
                    .from(&member_host)
                    .that(|it| is_report(it))
                    .some()
            },
        );
    }
    lab.done()
}

fn multicast_connect(lab: &Lab) -> Outcome {
    const GROUP: &str = "ff15::1234 --interface wire0";
    let [sender_host, member_host] = lab.hosts_v6(["sender", "member"])?;
    lab.leaves_out_packets(is_report);
    let receive = format!("chap-14 multicast receive {GROUP} --answer");
    let member = member_host.program(&receive).named("member").start()?;
    member.listens()?;
    let option = lab.vary("--connect", "");
    let send = format!("chap-14 multicast send {GROUP} {option}");
    let sender = sender_host.program(&send).named("sender").start()?;
    sender.types("g1")?;
    member.says("received 2 bytes: g1")?;
    let (kind, code) = PORT_UNREACHABLE_V6;
    let refused = || lab.packets().icmp(kind, code).to(&member_host);
    if lab.is_control() {
        sender.says("Hi, g1")?;
    } else {
        lab.until("the answer is refused", || refused().some())?;
    }
    let answers = lab.packets().udp().from(&member_host);
    lab.claim("the member receives, and answers", answers.exactly(1));
    let from: Vec<_> = answers.iter().map(|packet| packet.source.ip()).collect();
    lab.claim(
        "the answer comes from the member's own address, not from the group's",
        equal(from, [member_host.address()]),
    );
    lab.central(
        "the sender's kernel refuses the answer",
        refused().exactly(1),
    );
    lab.central(
        "the sender does not get it",
        sender.output().lacks("Hi, g1"),
    );
    lab.done()
}

fn broadcast_needs_option(lab: &Lab) -> Outcome {
    let [asker, one, two] = lab.hosts(["asker", "one", "two"])?;
    let listen = |host: &Host| -> Result<Process, LabError> {
        let server = host.start("chap-6 udpserver --bind 0.0.0.0")?;
        server.listens()?;
        Ok(server)
    };
    let (first, second) = (listen(&one)?, listen(&two)?);
    let ask = |option: &str| {
        let command = format!("chap-14 broadcast 10.0.0.255 {option}");
        let program = asker
            .program(&command)
            .traced_drawing(&["setsockopt", "sendto"]);
        program.start()
    };
    let answered = |program: &Process, line: &str| -> Result<(), LabError> {
        let said = || {
            let output = program.output();
            let from =
                |host: &Host| output.says(&format!("from {}:43211: Hi, {line}", host.address()));
            from(&one).and(from(&two))
        };
        lab.until("both have answered", said)?;
        program.closes_input();
        program.ends()?;
        Ok(())
    };
    let refused = ask(lab.vary("", "--allow"))?;
    refused.types("g1")?;
    if lab.is_control() {
        answered(&refused, "g1")?;
    }
    let end = refused.ends()?;
    let before = lab.packets().udp().from(&asker).count();
    let allowed = ask("--allow")?;
    allowed.types("g2")?;
    answered(&allowed, "g2")?;

    lab.central(
        "without the option sendto fails with EACCES",
        last_failed(&refused, "sendto", Errno::EACCES).and(end.exited_with(1)),
    );
    lab.central("nothing leaves", equal(before, 0));
    lab.claim(
        "with the option both hosts receive",
        first
            .output()
            .says("received 2 bytes: g2")
            .and(second.output().says("received 2 bytes: g2")),
    );
    lab.claim(
        "one call has asked both",
        equal(allowed.calls().named("sendto").len(), 1),
    );
    lab.done()
}
