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
        "all four lines are typed into the first client",
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
    ),
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
        lab.until("the kernel has answered", || {
            lab.packets().icmp(kind, code).some()
        })?;
        lab.until("the client waits", || client.blocks_in(RECEIVING))?;
        lab.watches_for(Duration::from_millis(200));
    }
    lab.central(
        "the kernel answers that the port is unreachable",
        lab.packets().icmp(kind, code).exactly(1),
    );
    lab.central(
        "the client waits in its receive call all the same",
        client.blocks_in(RECEIVING),
    );
    lab.claim(
        "its send call had succeeded",
        client.output().says("send bytes: 2"),
    );
    lab.claim("no error was reported", client.errors().is_empty());
    lab.done()
}

fn two_clients(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start("chap-6 udpserver")?;
    server.listens()?;
    let clients = [
        host.start("chap-6 udpclient 127.0.0.1")?,
        host.start("chap-6 udpclient 127.0.0.1")?,
    ];
    for (line, number) in [("g1", 0), ("g2", 1), ("g3", 0), ("g4", 1)] {
        clients[lab.vary(number, 0)].types(line)?;
        server.says(&format!("received 2 bytes: {line}"))?;
        clients[lab.vary(number, 0)].says(&format!("Hi, {line}"))?;
    }
    let [first, second] = &clients;
    lab.central(
        "the first client has the answers to its own lines",
        first.output().says_exactly("Hi,", &["Hi, g1", "Hi, g3"]),
    );
    lab.central(
        "so has the second",
        second.output().says_exactly("Hi,", &["Hi, g2", "Hi, g4"]),
    );
    let heard = ["g1", "g2", "g3", "g4"].map(|line| format!("received 2 bytes: {line}"));
    let heard: Vec<&str> = heard.iter().map(String::as_str).collect();
    lab.claim(
        "the server has had the four lines in turn",
        server.output().says_exactly("received", &heard),
    );
    let sockets = host
        .udp_sockets()?
        .into_iter()
        .filter(|socket| socket.local.port() == PORT)
        .count();
    lab.claim("it has one socket, however many clients", equal(sockets, 1));
    lab.done()
}

fn server_restart(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start("chap-6 udpserver")?;
    server.listens()?;
    let client = || host.start("chap-6 udpclient 127.0.0.1 --timeout 0.4");
    let clients = [client()?, client()?];
    let exchange = |client: &Process, server: &Process, line: &str| -> Result<(), LabError> {
        client.types(line)?;
        server.says(&format!("received 2 bytes: {line}"))?;
        client.says(&format!("Hi, {line}"))?;
        Ok(())
    };
    for (client, line) in clients.iter().zip(["g1", "g2"]) {
        exchange(client, &server, line)?;
    }
    server.signal(Signal::SIGINT);
    let end = server.ends()?;
    if lab.is_control() {
        for (client, line) in clients.iter().zip(["g3", "g4"]) {
            client.types(line)?;
            client.complains("no answer in time")?;
        }
    } else {
        let server = host.start("chap-6 udpserver")?;
        server.listens()?;
        for (client, line) in clients.iter().zip(["g3", "g4"]) {
            exchange(client, &server, line)?;
        }
    }

    let [first, second] = &clients;
    let answers = first
        .output()
        .says("Hi, g3")
        .and(second.output().says("Hi, g4"));
    lab.central("both clients have answers from the new server", answers);
    let ports = |client: &Process| {
        let sent = lab.packets().udp().from(client);
        let ports: std::collections::BTreeSet<u16> =
            sent.iter().map(|packet| packet.source.port()).collect();
        sent.check(sent.count() == 2 && ports.len() == 1)
    };
    lab.claim(
        "each asks from the port that it had before",
        ports(first).and(ports(second)),
    );
    lab.claim(
        "the first server says how much it had received",
        server.output().says("received 2 datagrams"),
    );
    lab.claim("and ends in good order", end.exited_with(0));
    lab.done()
}

fn timeout(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let client = host.start(lab.vary(
        "chap-6 udpclient 127.0.0.1 --timeout 0.2",
        "chap-6 udpclient 127.0.0.1",
    ))?;
    client.types("g1")?;
    let sent = client.says("send bytes: 2")?.line.at;
    if lab.is_control() {
        lab.watches_for(Duration::from_millis(400));
        lab.central(
            "the client is not blocked for good",
            !client.blocks_in(RECEIVING),
        );
        lab.central("it gets EAGAIN", client.errors().says("(os error 11)"));
        return lab.done();
    }
    let complaint = client.complains("Resource temporarily unavailable (os error 11)")?;
    let waited = complaint.line.at.duration_since(sent);
    host.start("chap-6 udpserver")?.listens()?;
    client.types("g2")?;
    client.says("Hi, g2")?;

    lab.central(
        "the client is not blocked for good",
        client.output().says("Hi, g2"),
    );
    lab.central("it gets EAGAIN", client.errors().says("(os error 11)"));
    // The two lines are read by two threads; what they differ by in that is far less than the margin.
    lab.claim(
        "and not before the time is up",
        within(waited, Duration::from_millis(150)..),
    );
    lab.claim(
        "the kernel had reported the missing server all the same",
        lab.packets().icmp(3, 3).some(),
    );
    lab.done()
}

fn largest(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    // It reads eight bytes, so as not to fill the screen, and the kernel tells it how many there were.
    let server = host.start("chap-6 udpserver --bind :: --buffer 8")?;
    server.listens()?;
    let send = |to: &str, size: u32| -> Result<Process, LabError> {
        let client = host.start(&format!("chap-6 udpclient {to} --size {size}"))?;
        client.ends()?;
        Ok(client)
    };
    for (to, largest) in [("127.0.0.1", 65_507), ("::1", 65_527)] {
        let allowed = send(to, largest)?;
        let before = lab.packets().to(&server).count();
        let refused = send(to, lab.vary(largest + 1, largest))?;
        let after = lab.packets().to(&server).count();
        let arrived = server
            .output()
            .says(&format!("the datagram had {largest} bytes"));
        lab.claim(
            &format!("{largest} bytes to {to} arrive"),
            arrived.and(allowed.errors().is_empty()),
        );
        let error = refused.errors().says("Message too long (os error 90)");
        lab.central(
            &format!("sendto refuses {} bytes to {to} with EMSGSIZE", largest + 1),
            error,
        );
        lab.central(
            &format!("nothing of them is sent to {to}"),
            equal(after, before),
        );
    }
    lab.done()
}

fn truncated(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start(&format!(
        "chap-6 udpserver --buffer {}",
        lab.vary("4", "64")
    ))?;
    server.listens()?;
    let client = host.start("chap-6 udpclient 127.0.0.1")?;
    for line in ["0123456789", "abc"] {
        client.types(line)?;
        server.says("received ")?;
        client.says("Hi, ")?;
    }
    let received = server.output();
    lab.central(
        "four bytes of ten are read",
        received.says("received 4 bytes: 0123"),
    );
    lab.central(
        "MSG_TRUNC says that it was cut",
        received.says("cut: the datagram had 10 bytes, 6 are lost"),
    );
    lab.claim(
        "the next read gives the next datagram, not the rest",
        received.says("received 3 bytes: abc"),
    );
    let sizes: Vec<_> = lab
        .packets()
        .udp()
        .from(&client)
        .iter()
        .map(|packet| packet.length)
        .collect();
    lab.claim("all ten had been sent", equal(sizes, [10, 3]));
    lab.done()
}

fn lost(lab: &Lab) -> Outcome {
    const SENT: usize = 8;
    let host = lab.host()?;
    let server = host.start(&format!(
        "chap-6 udpserver --rcvbuf {}",
        lab.vary(2304, 100_000)
    ))?;
    server.listens()?;
    server.halt()?;
    let client = host.start("chap-6 udpclient 127.0.0.1 --no-wait")?;
    let lines: Vec<String> = (1..=SENT).map(|number| format!("g{number}")).collect();
    for line in &lines {
        client.types(line)?;
        client.says("send bytes: 2")?;
    }
    // What a socket has dropped, by its own counter: sock_diag(7).
    let sockets = host
        .udp_sockets()?
        .into_iter()
        .filter(|socket| socket.local.port() == PORT);
    let dropped: usize = sockets
        .filter_map(|socket| socket.memory)
        .map(|memory| memory.drops as usize)
        .sum();
    let held = &lines[..SENT.saturating_sub(dropped)];
    server.resume();
    for line in held {
        server.says(&format!("received 2 bytes: {line}"))?;
    }
    server.signal(Signal::SIGINT);
    server.ends()?;

    let received: Vec<_> = held
        .iter()
        .map(|line| format!("received 2 bytes: {line}"))
        .collect();
    let received: Vec<&str> = received.iter().map(String::as_str).collect();
    lab.central(
        "the kernel drops what finds no room",
        within(dropped, 1..SENT),
    );
    lab.central(
        "the last line never comes",
        server.output().lacks("received 2 bytes: g8"),
    );
    lab.claim(
        "the server has the first ones, in order",
        server.output().says_exactly("received 2 bytes", &received),
    );
    let counted = server
        .output()
        .says(&format!("dropped by the kernel: {dropped} datagrams"));
    lab.claim("it can ask how many were lost", counted);
    let sent = client.output();
    lab.claim(
        "every send call succeeds",
        equal(sent.count("send bytes: 2"), SENT).and(client.errors().is_empty()),
    );
    let told = lab
        .packets()
        .to(&client)
        .that(|packet| packet.kind != Kind::Udp);
    lab.claim("no packet tells the sender of it", told.none());
    lab.done()
}

fn reliable(lab: &Lab) -> Outcome {
    const LINES: [&str; 6] = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot"];
    let [client_host, server_host] = lab.hosts(["client", "server"])?;
    let server = server_host.start(lab.vary(
        "chap-6 udp-reliable server --bind 10.0.0.2",
        "chap-6 udpserver --bind 10.0.0.2",
    ))?;
    server.listens()?;
    let client = client_host.start(lab.vary(
        "chap-6 udp-reliable client 10.0.0.2 --timeout 0.3",
        "chap-6 udpclient 10.0.0.2 --no-wait",
    ))?;
    let wire = client_host.wire();
    let of = |line: &'static str| move |packet: &Packet| packet.data().ends_with(line.as_bytes());
    wire.lose(1, of("bravo"));
    wire.double(1, of("delta"));
    wire.swap(1, of("echo"));
    // The first answer to bravo: behind its kind and session it has the number of the line.
    wire.lose(1, |packet| {
        packet.source.port() == PORT && packet.data().get(8..16) == Some(&1_u64.to_be_bytes())
    });
    for line in LINES {
        client.types(line)?;
    }
    client.closes_input();
    let end = client.ends()?;
    lab.until("the last line has come", || server.output().says("foxtrot"))?;

    let delivered = server.output();
    let delivered = delivered
        .lines()
        .iter()
        .filter(|line| line.starts_with("received "));
    let delivered: Vec<_> = delivered
        .filter_map(|line| Some(line.split_once(": ")?.1))
        .collect();
    lab.central(
        "every line is delivered once and in order",
        equal(delivered, LINES),
    );
    let lost = |to: &Process| lab.packets().udp().to(to).lost();
    lab.claim("the wire has lost one line", lost(&server).exactly(1));
    if !lab.is_control() {
        lab.claim("and one answer", lost(&client).exactly(1));
        let again = client.output();
        let again = again
            .says("sending 1 again, try 2")
            .and(again.says("sending 1 again, try 3"));
        lab.claim(
            "for either of them the client sends the line once more",
            again,
        );
        let twice = |line: &str| {
            let said = server.errors();
            let fits = |said: &String| said.starts_with(line) && said.ends_with("came again");
            equal(said.lines().iter().any(fits), true)
        };
        lab.eventually("the server throws away what comes twice", || {
            twice("line 1 ").and(twice("line 3 "))
        });
        lab.claim(
            "in the end the client knows that all was received",
            end.exited_with(0),
        );
    }
    lab.done()
}
