//! Chapter 6: UDP.

use crate::prelude::*;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "6/client-alone",
        "a client without a server sends, is told by ICMP that nobody is there, and waits all the same",
        client_alone,
        "there is a server",
    ),
    Experiment::new(
        "6/two-clients",
        "the requests of two clients come in turn through one socket, and each gets its own answers",
        two_clients,
        "both lines are typed into the first client",
    ),
    Experiment::new(
        "6/server-restart",
        "after the server was stopped and started again, the same clients go on",
        server_restart,
        "the server is not started again",
    ),
    Experiment::new(
        "6/timeout",
        "with a receive timeout the client gets EAGAIN in time, and may send again",
        timeout,
        "no timeout is set",
    ),
    Experiment::new(
        "6/largest",
        "a datagram carries at most 65507 bytes over IPv4 and 65527 over IPv6",
        largest,
        "one byte less than what is refused",
    ),
    Experiment::new(
        "6/truncated",
        "what does not fit into the reader's buffer is lost, and the next read gives the next datagram",
        truncated,
        "the buffer is large enough",
    ),
    Experiment::new(
        "6/lost",
        "a full receive buffer drops datagrams, and the sender hears nothing of it",
        lost,
        "the receive buffer is large enough",
    )
    .isolated(),
    Experiment::new(
        "6/reliable",
        "over a wire that loses, doubles and swaps datagrams each line is delivered once and in order",
        reliable,
        "plain UDP takes the same wire",
    )
    .isolated(),
];

/// The calls in which a program waits for a datagram.
const RECEIVING: &[&str] = &["recvfrom", "recvmsg"];

/// ICMP: destination unreachable, for the reason that nobody has the port (RFC 792).
const PORT_UNREACHABLE: (u8, u8) = (3, 3);

fn client_alone(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    if lab.is_control() {
        host.start("chap-6 udpserver")?.listens()?;
    }
    let client = host.start("chap-6 udpclient 127.0.0.1")?;
    client.types("g1")?;
    client.says("send bytes: 2")?;
    let (kind, code) = PORT_UNREACHABLE;
    if lab.is_control() {
        client.says("Hi, g1")?;
        client.closes_input();
        client.ends()?;
    } else {
        lab.until("the kernel has answered", || lab.packets().icmp(kind, code).some())?;
        lab.until("the client waits", || client.blocks_in(RECEIVING))?;
        lab.watches_for(Duration::from_millis(200));
    }
    lab.central("the kernel answers that the port is unreachable", lab.packets().icmp(kind, code).exactly(1));
    lab.central("the client waits in its receive call all the same", client.blocks_in(RECEIVING));
    lab.claim("its send call had succeeded", client.output().says("send bytes: 2"));
    lab.claim("no error was reported", client.errors().is_empty());
    lab.done()
}

fn two_clients(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start("chap-6 udpserver")?;
    server.listens()?;
    let clients = [host.start("chap-6 udpclient 127.0.0.1")?, host.start("chap-6 udpclient 127.0.0.1")?];
    for (line, number) in [("g1", 0), ("g2", 1), ("g3", 0), ("g4", 1)] {
        clients[lab.vary(number, 0)].types(line)?;
        server.says(&format!("received 2 bytes: {line}"))?;
        clients[lab.vary(number, 0)].says(&format!("Hi, {line}"))?;
    }
    let [first, second] = &clients;
    lab.central("the first has the answers to its own lines", first.output().says_exactly("Hi,", &["Hi, g1", "Hi, g3"]));
    lab.central("so has the second", second.output().says_exactly("Hi,", &["Hi, g2", "Hi, g4"]));
    let heard = ["g1", "g2", "g3", "g4"].map(|line| format!("received 2 bytes: {line}"));
    let heard: Vec<&str> = heard.iter().map(String::as_str).collect();
    lab.claim("the server had them through one socket, in turn", server.output().says_exactly("received", &heard));
    let sockets = host.udp_sockets()?.into_iter().filter(|socket| socket.local.port() == PORT).count();
    lab.claim("it has one socket, however many clients", equal(sockets, 1));
    lab.done()
}

fn server_restart(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start("chap-6 udpserver")?;
    server.listens()?;
    let client = host.start("chap-6 udpclient 127.0.0.1 --timeout 0.3")?;
    client.types("g1")?;
    client.says("Hi, g1")?;
    server.signal(Signal::SIGINT);
    let end = server.ends()?;
    if !lab.is_control() {
        host.start("chap-6 udpserver")?.listens()?;
    }
    client.types("g2")?;
    if lab.is_control() {
        client.complains("no answer in time")?;
    } else {
        client.says("Hi, g2")?;
    }

    lab.central("the client goes on with the new server", client.output().says("Hi, g2"));
    let ports: std::collections::BTreeSet<u16> =
        lab.packets().udp().from(&client).iter().map(|packet| packet.source.port()).collect();
    lab.claim("from the port it had before", equal(ports.len(), 1));
    lab.claim("the first server says how much it had received", server.output().says("received 1 datagrams"));
    lab.claim("and ends in good order", end.exited_with(0));
    lab.done()
}

fn timeout(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let client = host.start(lab.vary("chap-6 udpclient 127.0.0.1 --timeout 0.2", "chap-6 udpclient 127.0.0.1"))?;
    client.types("g1")?;
    let sent = client.says("send bytes: 2")?.line.at;
    if lab.is_control() {
        lab.watches_for(Duration::from_millis(400));
        lab.central("the client is not blocked for good", !client.blocks_in(RECEIVING));
        lab.central("it gets EAGAIN", client.errors().says("(os error 11)"));
        return lab.done();
    }
    let complaint = client.complains("Resource temporarily unavailable (os error 11)")?;
    let waited = complaint.line.at.duration_since(sent);
    host.start("chap-6 udpserver")?.listens()?;
    client.types("g2")?;
    client.says("Hi, g2")?;

    lab.central("the client is not blocked for good", client.output().says("Hi, g2"));
    lab.central("it gets EAGAIN", client.errors().says("(os error 11)"));
    // The two lines are read by two threads; what they differ by in that is far less than the margin.
    lab.claim("not before its time", within(waited, Duration::from_millis(150)..));
    lab.claim("the kernel had reported the missing server all the same", lab.packets().icmp(3, 3).some());
    lab.done()
}

fn largest(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let send = |to: &str, size: u32| -> Result<Process, LabError> {
        let client = host.start(&format!("chap-6 udpclient {to} --no-wait --size {size}"))?;
        client.ends()?;
        Ok(client)
    };
    for (to, largest) in [("127.0.0.1", 65_507), ("::1", 65_527)] {
        let server = host.start(&format!("chap-6 udpserver --bind {to}"))?;
        server.listens()?;
        send(to, largest)?;
        server.says(&format!("received {largest} bytes"))?;
        let refused = send(to, lab.vary(largest + 1, largest))?;
        lab.claim(&format!("{largest} bytes to {to} arrive"), server.output().says(&format!("received {largest} bytes")));
        let error = refused.errors().says("Message too long (os error 90)");
        lab.central(&format!("one more is refused: EMSGSIZE from sendto to {to}"), error);
        let larger = lab.packets().udp().that(|packet| packet.length > largest as usize);
        lab.claim("and nothing of it is sent", larger.none());
        server.kill()?;
    }
    lab.done()
}

fn truncated(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start(&format!("chap-6 udpserver --buffer {}", lab.vary("4", "64")))?;
    server.listens()?;
    let client = host.start("chap-6 udpclient 127.0.0.1")?;
    for line in ["0123456789", "abc"] {
        client.types(line)?;
        client.says("Hi, ")?;
    }
    let received = server.output();
    lab.central("four bytes of ten are read", received.says("received 4 bytes: 0123"));
    lab.central("MSG_TRUNC says that it was cut", received.says("cut: the datagram had 10 bytes, 6 are lost"));
    lab.claim("the next read gives the next datagram, not the rest", received.says("received 3 bytes: abc"));
    let sizes: Vec<_> = lab.packets().udp().from(&client).iter().map(|packet| packet.length).collect();
    lab.claim("all ten had been sent", equal(sizes, [10, 3]));
    lab.done()
}

fn lost(lab: &Lab) -> Outcome {
    const SENT: u64 = 50;
    let host = lab.host()?;
    host.sets("net.core.rmem_max", 4_000_000)
        .or_else(|_| Ok::<_, LabError>(()))?; // not every kernel has it per namespace; 208 KiB will do then
    let buffer = lab.vary(4096, 200_000);
    let server = host.start(&format!("chap-6 udpserver --rcvbuf {buffer} --pause 600"))?;
    server.listens()?;
    let client = host.start("chap-6 udpclient 127.0.0.1 --no-wait")?;
    for number in 1..=SENT {
        client.types(&format!("line {number}"))?;
    }
    client.closes_input();
    let end = client.ends()?;
    let drops = host.counter("Udp", "RcvbufErrors")?;
    server.signal(Signal::SIGINT);
    server.ends()?;

    lab.central("the kernel has dropped some of them", within(drops, 1..SENT));
    lab.central("the receiver can ask how many", server.output().says(&format!("dropped by the kernel: {drops} datagrams")));
    lab.claim("every send call had succeeded", equal(client.output().count("send bytes: "), SENT as usize));
    lab.claim("the sender ends without an error", end.exited_with(0).and(client.errors().is_empty()));
    let packets = lab.packets();
    lab.claim("nothing was sent back", packets.udp().from(&server).none());
    lab.done()
}

fn reliable(lab: &Lab) -> Outcome {
    let lines: Vec<String> = (1..=12).map(|number| format!("line {number}")).collect();
    let [client_host, server_host] = lab.hosts(["client", "server"])?;
    let (server, client) = if lab.is_control() {
        let server = server_host.start("chap-6 udpserver --bind 10.0.0.2")?;
        server.listens()?;
        (server, client_host.start("chap-6 udpclient 10.0.0.2 --no-wait")?)
    } else {
        let server = server_host.start("chap-6 udp-reliable server --bind 10.0.0.2")?;
        server.listens()?;
        (server, client_host.start("chap-6 udp-reliable client 10.0.0.2")?)
    };
    let wire = client_host.wire();
    let to_server = |packet: &Packet| packet.destination.port() == PORT;
    wire.lose(2, to_server);
    wire.double(4, to_server);
    wire.swap(6, to_server);
    wire.lose(3, |packet| packet.source.port() == PORT); // an acknowledgement
    client.types(&lines.join("\n"))?;
    client.closes_input();
    let end = client.ends()?;
    lab.until("the last line has come", || server.output().says("line 12"))?;

    let delivered: Vec<String> = server.output().lines().iter().filter_map(|line| Some(line.split_once("line ")?.1.to_string())).collect();
    let wanted: Vec<String> = (1..=12).map(|number| number.to_string()).collect();
    lab.central("every line is delivered once and in order", equal(delivered, wanted));
    lab.claim("the wire had lost some", within(lab.packets().udp().lost().count(), 1..));
    if !lab.is_control() {
        lab.claim("the client sent something again", client.output().says("again, try 2"));
        lab.claim("the server threw a double away", server.errors().says("again"));
        lab.claim("the client knows that all was received", end.exited_with(0));
    }
    lab.done()
}
