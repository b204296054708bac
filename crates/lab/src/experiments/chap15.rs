//! Chapter 15: address in use.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

use crate::net::route::set_multicast;
use crate::net::sock_diag::{Socket, destroy};
use crate::prelude::*;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "15/client-closes-first",
        "the client ends first, and the server can be started again at once, without any option",
        client_closes_first,
        "the server ends first",
    )
    .isolated(),
    Experiment::new(
        "15/server-closes-first",
        "the server ends first, and what is left of its connection forbids its start",
        server_closes_first,
        "the client ends first",
    )
    .isolated(),
    Experiment::new(
        "15/reuseaddr",
        "with SO_REUSEADDR in the server before and in the one after, TIME-WAIT forbids nothing",
        reuseaddr,
        "the server before has no option",
    )
    .isolated(),
    Experiment::new(
        "15/two-servers",
        "SO_REUSEADDR does not let two servers listen: a socket in LISTEN forbids what no other state does",
        two_servers,
        "the first server closes its listening socket and keeps its client",
    )
    .isolated(),
    Experiment::new(
        "15/same-four-tuple",
        "a SYN with the addresses and ports of a connection in TIME-WAIT makes a new connection",
        same_four_tuple,
        "the SYN is that of the old connection, once more",
    )
    .isolated(),
    Experiment::new(
        "15/one-port-three-addresses",
        "a port on several addresses of one host: what Linux allows, and who gets the client",
        one_port_three_addresses,
        "the first of the three has SO_REUSEADDR in place of SO_REUSEPORT",
    )
    .isolated(),
    Experiment::new(
        "15/reuseport",
        "two listeners share a port with SO_REUSEPORT; one that closes loses its own queue",
        reuseport,
        "the kernel may hand a queue on: tcp_migrate_req",
    )
    .isolated(),
    Experiment::new(
        "15/udp-reuseaddr",
        "two UDP sockets on one port: multicast goes to both of them, unicast to the later one",
        udp_reuseaddr,
        "the second socket does without SO_REUSEADDR",
    )
    .isolated()
    .also(&["chap-6"]),
    Experiment::new(
        "15/not-tw-reuse",
        "tcp_tw_reuse does not help a server to bind, and SO_REUSEADDR not a client to connect",
        not_tw_reuse,
        "each time the other end closes first",
    )
    .isolated(),
];

const IN_USE: &str = "Address already in use (os error 98)";
const NOT_AVAILABLE: &str = "Cannot assign requested address (os error 99)";

/// The server's end of a connection on this port.
fn at(port: u16) -> impl Fn(&Socket) -> bool {
    move |socket| socket.local.port() == port && socket.remote.port() != 0
}

/// The client's end of one.
fn towards(port: u16) -> impl Fn(&Socket) -> bool {
    move |socket| socket.remote.port() == port
}

fn listens_on(port: u16) -> impl Fn(&Socket) -> bool {
    move |socket| socket.local.port() == port && socket.remote.port() == 0
}

/// Starts a server that listens, or is refused and ends.
fn starts(host: &Host, command: &str) -> Result<Process, LabError> {
    let server = host.start(&format!("chap-15 {command}"))?;
    if server.listens().is_err() {
        server.ends()?;
    }
    Ok(server)
}

/// Starts a client that connects, or fails and ends.
fn connects(host: &Host, arguments: &str) -> Result<Process, LabError> {
    let client = host.start(&format!("chap-15 lines {arguments}"))?;
    if client.says("connected from").is_err() {
        client.ends()?;
    }
    Ok(client)
}

/// Who sends the first FIN.
#[derive(Clone, Copy, PartialEq)]
enum First {
    Client,
    Server,
}

/// A server with a client that has sent a line, and their end. One of the two is in TIME-WAIT then.
fn a_server_and_its_end(
    host: &Host,
    lab: &Lab,
    first: First,
    server: &str,
    client: &str,
    port: u16,
) -> Result<(), LabError> {
    let server = starts(host, &format!("{server} --port {port}"))?;
    let client = connects(host, &format!("{client} --port {port}"))?;
    client.types("data1")?;
    server.says("received 5 bytes")?; // a server that ends with unread input sends RST, and there is no TIME-WAIT
    match first {
        First::Client => client.types_ctrl_d(),
        First::Server => server.types_ctrl_c(),
    }
    server.ends()?;
    client.ends()?;
    lab.until("one end is in TIME-WAIT", || {
        host.has(TcpState::TimeWait, |s| at(port)(s) || towards(port)(s))
    })
}

fn client_closes_first(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let first = lab.vary(First::Client, First::Server);
    a_server_and_its_end(&host, lab, first, "addressused", "127.0.0.1", PORT)?;
    starts(&host, "addressused")?;

    lab.central(
        "the server listens again at once",
        host.has(TcpState::Listen, listens_on(PORT)),
    );
    lab.central(
        "nothing in TIME-WAIT has the server's port as its own",
        !host.has(TcpState::TimeWait, at(PORT)),
    );
    lab.claim(
        "the client's end is in TIME-WAIT, on the client's port",
        host.has(TcpState::TimeWait, towards(PORT)),
    );
    lab.done()
}

fn server_closes_first(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let first = lab.vary(First::Server, First::Client);
    a_server_and_its_end(&host, lab, first, "addressused", "127.0.0.1", PORT)?;
    let second = starts(&host, "addressused")?;
    let sockets = host.sockets()?;
    let left: Vec<&Socket> = sockets
        .iter()
        .filter(|s| at(PORT)(s) || listens_on(PORT)(s))
        .collect();
    lab.central(
        "the second server is refused: bind fails with EADDRINUSE",
        second.errors().says(IN_USE),
    );
    lab.central(
        "one socket has the port, in TIME-WAIT, and no process has it",
        equal(
            left.iter().map(|s| (s.state, s.inode)).collect::<Vec<_>>(),
            [(TcpState::TimeWait, 0)],
        ),
    );
    if lab.is_control() {
        return lab.done();
    }
    lab.notes("the socket in TIME-WAIT is taken away");
    for socket in left {
        host.enter(|| destroy(socket))?;
    }
    starts(&host, "addressused")?;
    lab.claim(
        "without this socket the server starts",
        host.has(TcpState::Listen, listens_on(PORT)),
    );
    lab.done()
}

fn reuseaddr(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    lab.leaves_out(PORT + 1..=PORT + 2); // the connections of the second and third look like that of the first
    let restarts = |port: u16, before: &str, after: &str| -> Result<Process, LabError> {
        a_server_and_its_end(&host, lab, First::Server, before, "127.0.0.1", port)?;
        starts(&host, &format!("{after} --port {port}"))
    };
    restarts(
        PORT,
        lab.vary("addressused02", "addressused"),
        "addressused02",
    )?;
    let before_only = restarts(PORT + 1, "addressused02", "addressused")?;
    let after_only = restarts(PORT + 2, "addressused", "addressused02")?;

    lab.central(
        "with the option in both servers the second one listens",
        host.has(TcpState::Listen, listens_on(PORT)),
    );
    lab.claim(
        "the TIME-WAIT of the first is still there",
        host.has(TcpState::TimeWait, at(PORT)),
    );
    lab.claim(
        "in the server before alone it does not help: EADDRINUSE",
        before_only.errors().says(IN_USE),
    );
    lab.claim(
        "nor in the server after alone: EADDRINUSE",
        after_only.errors().says(IN_USE),
    );
    lab.done()
}

fn two_servers(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let with_client = |options: &str, port: u16| -> Result<(), LabError> {
        let server = starts(&host, &format!("addressused02 --port {port} {options}"))?;
        let client = connects(&host, &format!("127.0.0.1 --port {port}"))?;
        client.types("data1")?;
        server.says("received 5 bytes")?;
        Ok(())
    };
    with_client(lab.vary("", "--close-listener"), PORT)?;
    let second = starts(&host, "addressused02")?;
    with_client("--close-listener", PORT + 1)?;
    starts(&host, &format!("addressused02 --port {}", PORT + 1))?;

    lab.central(
        "the second server is refused, though both have the option: EADDRINUSE",
        second.errors().says(IN_USE),
    );
    let listening = |port| host.has(TcpState::Listen, listens_on(port));
    let connected = |port| host.has(TcpState::Established, at(port));
    lab.claim(
        "the first goes on with its client",
        listening(PORT).and(connected(PORT)),
    );
    lab.claim(
        "where the first has closed its listening socket, the second may listen beside the ESTABLISHED connection",
        listening(PORT + 1).and(connected(PORT + 1)),
    );
    lab.done()
}

fn same_four_tuple(lab: &Lab) -> Outcome {
    const FROM: ([u8; 4], u16) = ([10, 0, 0, 1], 40000);
    let [near, far] = lab.hosts(["client", "server"])?;
    // A FIN that a busy machine repeats may be answered with a reset, which would end TIME-WAIT: RFC 1337.
    far.sets("net.ipv4.tcp_rfc1337", 1)?;
    let server = starts(&far, "addressused02 --bind 10.0.0.2")?;
    let client = connects(&near, "10.0.0.2 --from 10.0.0.1:40000")?;
    client.types("data1")?;
    server.says("received 5 bytes")?;
    server.types_ctrl_c();
    server.ends()?;
    client.ends()?;
    let waits = || far.has(TcpState::TimeWait, at(PORT));
    lab.until("the server's end is in TIME-WAIT", waits)?;
    let server = starts(&far, "addressused02 --bind 10.0.0.2")?;
    lab.claim("the old connection is in TIME-WAIT", waits());

    let syns = || lab.packets().from(&near).with(SYN);
    let old = syns();
    let begun = lab.now();
    if lab.is_control() {
        let first = old
            .first()
            .ok_or(LabError::Impossible("no packets are seen".into()))?;
        near.wire().inject(first);
        lab.until("it is answered", || {
            lab.packets().from(&far).since(begun).some()
        })?;
    } else {
        let again = connects(&near, "10.0.0.2 --from 10.0.0.1:40000")?;
        again.types("data2")?;
        server.says("received 5 bytes: data2")?;
    }
    let new = syns().since(begun);
    lab.central(
        "the new SYN is answered with SYN ACK",
        lab.packets().from(&far).since(begun).has(SYN | ACK),
    );
    lab.central(
        "the same four-tuple is ESTABLISHED now, and no longer in TIME-WAIT",
        far.has(TcpState::Established, |s| {
            at(PORT)(s) && s.remote == FROM.into()
        })
        .and(!waits()),
    );
    let tcp = |packets: &[Passed]| packets.first().and_then(|packet| packet.tcp().copied());
    let ends = |packets: &[Passed]| {
        packets
            .first()
            .map(|packet| (packet.source, packet.destination))
    };
    lab.claim(
        "both SYNs have the same addresses and ports",
        new.check(ends(&old).is_some() && ends(&old) == ends(&new)),
    );
    let higher = tcp(&old).zip(tcp(&new)).is_some_and(|(old, new)| {
        // The numbers go round: "higher" is less than half of the way ahead (RFC 9293, section 3.4).
        (new.sequence.wrapping_sub(old.sequence) as i32) > 0
    });
    lab.central(
        "the new one has the higher sequence number",
        new.check(higher),
    );
    let later = tcp(&old).zip(tcp(&new)).is_some_and(|(old, new)| {
        let times = old.timestamps.zip(new.timestamps);
        times.is_some_and(|(old, new)| (new.0.wrapping_sub(old.0) as i32) > 0)
    });
    lab.central("and the later timestamp", new.check(later));
    lab.done()
}

fn one_port_three_addresses(lab: &Lab) -> Outcome {
    const LEFT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
    const RIGHT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let host = lab.host()?;
    let listening = || -> Result<HashSet<IpAddr>, LabError> {
        let sockets = host
            .sockets()?
            .into_iter()
            .filter(|s| s.state == TcpState::Listen);
        Ok(sockets.map(|socket| socket.local.ip()).collect())
    };
    // Named by its address, so that those that follow it there stand below it.
    let starts_at = |program: &str, address: IpAddr| -> Result<Process, LabError> {
        let command = format!("chap-15 {program} --bind {address}");
        let server = host.program(&command).named(&address.to_string()).start()?;
        if server.listens().is_err() {
            server.ends()?;
        }
        Ok(server)
    };
    // Both are tried, and ended when it is clear who listens.
    let pair = |program: &str, addresses: [IpAddr; 2]| -> Result<HashSet<IpAddr>, LabError> {
        let servers = addresses.map(|address| starts_at(program, address));
        let found = listening();
        for server in servers {
            server?.kill()?;
        }
        found
    };
    lab.notes("two addresses, no option");
    let two = pair("addressused", [LEFT, RIGHT])?;
    lab.notes("one address and then all of them, SO_REUSEADDR");
    let wildcard_last = pair("addressused02", [LEFT, ANY])?;
    lab.notes("all of them and then one, SO_REUSEADDR");
    let wildcard_first = pair("addressused02", [ANY, LEFT])?;

    lab.notes("three servers, SO_REUSEPORT");
    const SHARED: &str = "reuseport --servers 1 --no-accept";
    for (program, address) in [
        (lab.vary(SHARED, "addressused02"), LEFT),
        (SHARED, RIGHT),
        (SHARED, ANY),
    ] {
        starts_at(program, address)?;
    }
    let all = listening()?;
    for address in ["127.0.0.1", "127.0.0.2", "127.0.0.3"] {
        connects(&host, address)?;
    }
    let queues = host
        .sockets()?
        .into_iter()
        .filter(|s| s.state == TcpState::Listen);
    let mut queues: Vec<_> = queues.map(|s| (s.local.ip(), s.receive_queue)).collect();
    queues.sort();

    lab.claim(
        "two single addresses: both listen, without any option",
        equal(two, HashSet::from([LEFT, RIGHT])),
    );
    lab.claim(
        "0.0.0.0 beside a single address: refused, though both have SO_REUSEADDR",
        equal(wildcard_last, HashSet::from([LEFT])),
    );
    lab.claim(
        "a single address beside 0.0.0.0: refused as well",
        equal(wildcard_first, HashSet::from([ANY])),
    );
    lab.central(
        "with SO_REUSEPORT all three listen",
        equal(all, HashSet::from([LEFT, RIGHT, ANY])),
    );
    lab.central(
        "each single address gets its own client, and 0.0.0.0 the one for 127.0.0.3",
        equal(queues, [(ANY, 1), (LEFT, 1), (RIGHT, 1)]),
    );
    lab.done()
}

fn reuseport(lab: &Lab) -> Outcome {
    const CLIENTS: u32 = 48;
    let host = lab.host()?;
    host.sets("net.ipv4.ip_local_port_range", "50000 50999")?;
    if lab.is_control() {
        host.sets("net.ipv4.tcp_migrate_req", 1)?; // Linux 5.14
    }
    lab.leaves_out(50000..=50999);
    let server = starts(&host, "reuseport --servers 2 --no-accept")?;
    let client = host.start(&format!("chap-15 lines 127.0.0.1 --connections {CLIENTS}"))?;
    for _ in 0..CLIENTS {
        client.says("connected from")?;
    }
    // By the number of the listening socket: how many connections wait to be accepted.
    let queues = || -> HashMap<u32, u32> {
        let sockets = host.sockets().unwrap_or_default().into_iter();
        let listening = sockets.filter(|socket| socket.state == TcpState::Listen);
        listening
            .map(|socket| (socket.inode, socket.receive_queue))
            .collect()
    };
    lab.until("all of them wait", || {
        equal(queues().values().sum::<u32>(), CLIENTS)
    })?;
    let before = queues();
    server.types("close 1")?;
    server.says("server 1: closed")?;
    lab.until("one listener is left", || equal(queues().len(), 1))?;
    let after = queues();
    let kept: u32 = after.keys().filter_map(|inode| before.get(inode)).sum();

    lab.claim(
        "each of the two listeners has some of the 48 clients in its queue",
        equal(before.len(), 2).and(all(before.values().map(|&waiting| within(waiting, 1..)))),
    );
    let resets = || {
        let resets = lab
            .packets()
            .with(RST)
            .that(|packet| packet.source.port() == PORT);
        let clients: HashSet<_> = resets.iter().map(|packet| packet.destination).collect();
        equal(clients.len() as u32, CLIENTS - kept)
    };
    if !lab.is_control() {
        lab.until("the resets are out", resets)?;
    }
    lab.central(
        "when one is closed, every connection in its queue is reset",
        resets(),
    );
    lab.central(
        "the other keeps its own queue, and gets nothing of it",
        equal(after.values().sum::<u32>(), kept),
    );
    let mut shares: Vec<u32> = before.into_values().collect();
    shares.sort();
    lab.figure("clients in the two queues", format!("{shares:?}"));
    lab.done()
}

fn udp_reuseaddr(lab: &Lab) -> Outcome {
    const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 1, 2, 3));
    let host = lab.host()?;
    lab.leaves_out(0..=0); // IGMP, which has no ports, tells a network who is a member; here there is none
    host.enter(|| set_multicast("lo", true))?;
    host.routes(GROUP, 32, Route::Device("lo".into()))?;
    let receiver = |options: &str| {
        starts(
            &host,
            &format!("udpreuse --bind 0.0.0.0 --group {GROUP} {options}"),
        )
    };
    let [first, second] = [receiver("")?, receiver(lab.vary("", "--no-reuse"))?];
    let both = host
        .udp_sockets()?
        .into_iter()
        .filter(|socket| socket.local.port() == PORT)
        .count();
    let sends = |address: &str, line: &str| -> Result<(), LabError> {
        let sender = host.start(&format!("chap-6 udpclient {address} --no-wait"))?;
        sender.types(line)?;
        sender.closes_input();
        sender.ends()?;
        Ok(())
    };
    sends("127.0.0.1", "one")?;
    sends("239.1.2.3", "all")?;
    for receiver in [&first, &second].into_iter().take(lab.vary(2, 1)) {
        receiver.says("received 3 bytes: all")?;
    }

    lab.central("both sockets are bound to the port", equal(both, 2));
    lab.central(
        "the unicast datagram goes to the socket that was bound later",
        second.output().says("one"),
    );
    lab.central("and not to the other", first.output().lacks("one"));
    lab.central(
        "the multicast datagram goes to both",
        second.output().says("all"),
    );
    lab.claim("to the first as well", first.output().says("all"));
    lab.done()
}

fn not_tw_reuse(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.sets("net.ipv4.tcp_tw_reuse", 1)?;
    let first = lab.vary(First::Server, First::Client);
    a_server_and_its_end(&host, lab, first, "addressused", "127.0.0.1", PORT)?;
    let refused = starts(&host, "addressused")?;
    lab.central(
        "tcp_tw_reuse is 1, and the server's bind fails with EADDRINUSE",
        refused.errors().says(IN_USE),
    );

    const OTHER: u16 = PORT + 1;
    host.sets("net.ipv4.tcp_tw_reuse", 0)?;
    host.sets("net.ipv4.ip_local_port_range", "50000 50000")?;
    let first = lab.vary(First::Client, First::Server);
    let client = "127.0.0.1 --reuseaddr";
    a_server_and_its_end(&host, lab, first, "addressused02", client, OTHER)?;
    starts(&host, &format!("addressused02 --port {OTHER}"))?;
    let again = connects(&host, &format!("{client} --port {OTHER}"))?;
    lab.central(
        "it is 0: with SO_REUSEADDR, and one port to pick from, a client's connect fails with EADDRNOTAVAIL",
        again.errors().says(NOT_AVAILABLE),
    );

    // Where the program has bound the port itself, and both connections have timestamps, the kernel lets it have the
    // four-tuple at once, whatever tcp_tw_reuse says (tcp_twsk_unique in net/ipv4/tcp_ipv4.c).
    let bound = format!("127.0.0.1 --from 127.0.0.1:50000 --port {OTHER}");
    let without = connects(&host, &bound)?;
    connects(&host, &format!("{bound} --reuseaddr"))?;
    lab.claim(
        "a client that binds this port itself is refused by bind: EADDRINUSE",
        without
            .errors()
            .says(&format!("bind 127.0.0.1:50000: {IN_USE}")),
    );
    lab.claim(
        "with SO_REUSEADDR it may bind, and connects: it has the four-tuple that was in TIME-WAIT",
        host.has(TcpState::Established, |s| {
            towards(OTHER)(s) && s.local.port() == 50000
        }),
    );
    lab.done()
}
