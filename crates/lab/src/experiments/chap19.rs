//! Chapter 19: answers to part two.

use std::collections::HashSet;
use std::net::UdpSocket;

use crate::net::sock_diag::Socket;
use crate::observe::Tuple;
use crate::prelude::*;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "19/four-way-close",
        "one end closes, then the other: two FINs, two acknowledgements, and the states between them",
        four_way_close,
        "the server closes first",
    )
    .isolated(),
    Experiment::new(
        "19/simultaneous-close",
        "both ends close before either has the other's FIN: both pass CLOSING, both end in TIME-WAIT",
        simultaneous_close,
        "the server closes after the client's FIN has come",
    )
    .isolated(),
    Experiment::new(
        "19/backlog",
        "one connection more than the backlog may wait; what happens to the others depends on how far they have come",
        backlog,
        "the backlog is 16",
    )
    .isolated()
    .also(&["chap-4"]),
    Experiment::new(
        "19/somaxconn-caps",
        "a backlog above somaxconn is cut to it, and listen says nothing",
        somaxconn_caps,
        "somaxconn is 200",
    )
    .isolated()
    .also(&["chap-4"]),
    Experiment::new(
        "19/udp-without-connect",
        "a UDP socket without connect gets the answers, and whatever else is sent to its port",
        udp_without_connect,
        "the client's socket is connected to the server",
    )
    .isolated()
    .also(&["chap-6"]),
];

/// The client's end of a connection.
fn of_client(socket: &Socket) -> bool {
    socket.remote.port() == PORT
}

fn only_ack(packet: &Packet) -> bool {
    packet.length == 0 && packet.tcp().is_some_and(|tcp| tcp.flags == ACK)
}

/// A connection over a wire that takes a while: the short states last as long as a segment is on its way.
struct Dance {
    near: Host,
    far: Host,
    client: Process,
    server: Process,
}

impl Dance {
    fn begin(lab: &Lab) -> Result<Self, LabError> {
        let [near, far] = lab.hosts(["client", "server"])?;
        near.wire().delay(Duration::from_millis(150)); // from the start: the kernel measures it for its timeouts
        let server = far
            .program("chap-19 close-dance --bind 10.0.0.2")
            .named("server")
            .start()?;
        server.listens()?;
        let client = near
            .program("chap-19 close-dance 10.0.0.2")
            .named("client")
            .start()?;
        server.says("accepted")?;
        Ok(Self {
            near,
            far,
            client,
            server,
        })
    }

    /// The states that the two ends have gone through up to now, in order.
    fn states(&self) -> [Vec<TcpState>; 2] {
        self.near.look();
        self.far.look();
        let client = self
            .near
            .states(|tuple: &Tuple| tuple.remote.port() == PORT);
        let server = self
            .far
            .states(|tuple: &Tuple| tuple.local.port() == PORT && tuple.remote.port() != 0);
        [client, server]
    }

    /// Both ends were seen in these states.
    fn have_been(&self, client: TcpState, server: TcpState) -> Check {
        let [of_client, of_server] = self.states();
        passed(&of_client, &[client]).and(passed(&of_server, &[server]))
    }

    /// The next FINs are kept on the wire: their senders stay in the state of waiting for the acknowledgement.
    fn holds_fins(&self) {
        self.near
            .wire()
            .hold_all(|packet| packet.tcp().is_some_and(|tcp| tcp.flags.has(FIN)));
    }
}

/// These states were seen, in this order.
fn passed(states: &[TcpState], expected: &[TcpState]) -> Check {
    let mut rest = states.iter();
    let all = expected.iter().all(|state| rest.any(|seen| seen == state));
    Check::new(all, format_args!("{states:?}"))
}

fn four_way_close(lab: &Lab) -> Outcome {
    use TcpState::*;
    let dance = Dance::begin(lab)?;
    let Dance { client, server, .. } = &dance;
    let (first, second) = lab.vary((client, server), (server, client));
    let both = |of_first, of_second| {
        let (client, server) = lab.vary((of_first, of_second), (of_second, of_first));
        dance.have_been(client, server)
    };
    dance.holds_fins();
    first.types("close")?;
    lab.until("the first FIN is sent", || both(FinWait1, Established))?;
    lab.until("it is on the wire", || equal(dance.near.wire().kept(), 1))?;
    dance.near.wire().release();
    second.says(lab.vary("client closed", "server terminated"))?;
    lab.until("the first FIN is acknowledged", || {
        both(FinWait2, CloseWait)
    })?;
    lab.watches_for(Duration::from_millis(100));
    let [of_client, of_server] = dance.states();
    let waits = equal(of_client.last(), Some(lab.vary(&FinWait2, &CloseWait))).and(equal(
        of_server.last(),
        Some(lab.vary(&CloseWait, &FinWait2)),
    ));
    dance.holds_fins();
    second.types("close")?;
    lab.until("the second FIN is sent", || both(FinWait2, LastAck))?;
    lab.until("it is on the wire", || equal(dance.near.wire().kept(), 1))?;
    dance.near.wire().release();
    lab.until("the second FIN is acknowledged", || both(TimeWait, Closed))?;

    let [of_client, of_server] = dance.states();
    lab.central(
        "the client's end passes FIN-WAIT-1 and FIN-WAIT-2",
        passed(&of_client, &[FinWait1, FinWait2]),
    );
    lab.central(
        "and stays in TIME-WAIT",
        equal(of_client.last(), Some(&TimeWait)),
    );
    lab.central(
        "the server's end passes CLOSE-WAIT and LAST-ACK",
        passed(&of_server, &[CloseWait, LastAck]),
    );
    lab.claim(
        "between the two closes one end waits in FIN-WAIT-2, the other in CLOSE-WAIT",
        waits,
    );
    let packets = lab.packets().tcp();
    lab.claim("each end sends one FIN", {
        let numbers = |end: &Process| {
            let fins = packets.clone().from(end).with(FIN);
            fins.iter()
                .filter_map(|fin| fin.tcp())
                .map(|tcp| tcp.sequence)
                .collect::<HashSet<_>>()
                .len()
        };
        equal([client, server].map(numbers), [1, 1]) // one sent again, on a busy machine, is the same one
    });
    lab.claim("after each FIN comes an acknowledgement of its own", {
        let fins = packets.clone().with(FIN);
        let acknowledged = |fin: &Passed| {
            let next = fin.tcp().map(|tcp| tcp.sequence.wrapping_add(1));
            packets.iter().any(|packet| {
                only_ack(packet)
                    && packet.sent > fin.sent
                    && packet.tcp().map(|tcp| tcp.acknowledgement) == next
            })
        };
        fins.check(fins.iter().all(acknowledged))
    });
    lab.claim("nobody sends a reset", packets.lacks(RST));
    lab.done()
}

fn simultaneous_close(lab: &Lab) -> Outcome {
    use TcpState::*;
    let dance = Dance::begin(lab)?;
    let Dance {
        near,
        client,
        server,
        ..
    } = &dance;
    if lab.is_control() {
        client.types("close")?;
        server.says("client closed")?;
        server.types("close")?;
        lab.until("both FINs are acknowledged", || {
            dance.have_been(TimeWait, Closed)
        })?;
    } else {
        dance.holds_fins(); // both are sent before either arrives, on a busy machine too
        client.types("close")?;
        server.types("close")?;
        lab.until("both FINs are sent", || dance.have_been(FinWait1, FinWait1))?;
        lab.until("both are on the wire", || equal(near.wire().kept(), 2))?;
        near.wire().delay(Duration::from_millis(300)); // for the acknowledgements
        near.wire().release();
        lab.until("both FINs have arrived", || {
            dance.have_been(Closing, Closing)
        })?;
        lab.until("both FINs are acknowledged", || {
            dance.have_been(TimeWait, TimeWait)
        })?;
    }

    let [client, server] = dance.states();
    lab.central(
        "the client's end passes FIN-WAIT-1 and CLOSING",
        passed(&client, &[FinWait1, Closing]),
    );
    lab.central(
        "so does the server's end",
        passed(&server, &[FinWait1, Closing]),
    );
    lab.central(
        "the server's end is in TIME-WAIT at last",
        equal(server.last(), Some(&TimeWait)),
    );
    lab.claim(
        "and the client's end is in TIME-WAIT as well",
        equal(client.last(), Some(&TimeWait)),
    );
    lab.claim("nobody sends a reset", lab.packets().lacks(RST));
    lab.done()
}

fn backlog(lab: &Lab) -> Outcome {
    let [near, far] = lab.hosts(["client", "server"])?;
    far.sets("net.ipv4.tcp_abort_on_overflow", 1)?;
    let server = far.start(&format!(
        "chap-19 backlog {} --bind 10.0.0.2",
        lab.vary(2, 16)
    ))?;
    server.listens()?;
    let client = |number| {
        near.program("chap-4 connect 10.0.0.2 --hold")
            .named(&format!("client {number}"))
            .start()
    };
    let waiting = || {
        let sockets = far.sockets().unwrap_or_default();
        let listener = sockets
            .into_iter()
            .find(|socket| socket.state == TcpState::Listen);
        listener.map(|listener| listener.receive_queue)
    };
    let one = client(1)?;
    one.says("connected to")?;
    let two = client(2)?;
    two.says("connected to")?;
    lab.until("two connections wait", || equal(waiting(), Some(2)))?;

    // One place is free. Two SYNs come while it is, and two third segments after that.
    near.wire().hold_all(only_ack);
    let three = client(3)?;
    three.says("connected to")?;
    let four = client(4)?;
    four.says("connected to")?;
    let third_segment = |client: &Process| {
        lab.packets()
            .from(client)
            .that(|packet| only_ack(packet))
            .some()
    };
    lab.until("both third segments are sent", || {
        third_segment(&three).and(third_segment(&four))
    })?;
    let ready = lab.now();
    near.wire().release();
    lab.until("both third segments are dealt with", || {
        let refused = lab.packets().since(ready).from(&far).has(RST);
        equal(waiting(), Some(4)).or(equal(waiting(), Some(3)).and(refused))
    })?;

    let five = client(5)?;
    let syns = || lab.packets().from(&five).with(SYN);
    lab.until("the SYN is sent again, or answered", || {
        within(syns().count(), 2..).or(five.output().says("connected to"))
    })?;

    lab.central(
        "three connections wait: one more than the backlog",
        equal(waiting(), Some(3)),
    );
    let resets = |client: &Process| lab.packets().to(client).with(RST).count();
    lab.central(
        "of the two clients whose third segments meet one free place, one gets a reset",
        equal(resets(&three) + resets(&four), 1),
    );
    lab.central(
        "a SYN that finds the queue full gets no answer at all, though resets are switched on",
        lab.packets().to(&five).none(),
    );
    lab.central(
        "that client hangs in SYN-SENT",
        near.has(TcpState::SynSent, of_client),
    );
    let connected = |client: &Process| client.output().says("connected to");
    lab.claim(
        "connect has succeeded in all of the first four",
        all([&one, &two, &three, &four].map(connected)),
    );
    lab.claim(
        "the server has accepted nobody",
        server.output().lacks("accepted"),
    );
    lab.done()
}

fn somaxconn_caps(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.sets("net.core.somaxconn", lab.vary(1, 200))?;
    let server = host.start("chap-19 backlog 100")?;
    server.listens()?;
    let client = |number| {
        host.program("chap-4 connect 127.0.0.1 --hold")
            .named(&format!("client {number}"))
            .start()
    };
    client(1)?.says("connected to")?;
    client(2)?.says("connected to")?;
    let third = client(3)?;
    let syns = || lab.packets().from(&third).with(SYN);
    lab.until("the SYN is sent again, or answered", || {
        within(syns().count(), 2..).or(third.output().says("connected to"))
    })?;

    lab.central(
        "the kernel keeps a backlog of 1, not of 100",
        host.has(TcpState::Listen, |s| s.send_queue == 1),
    );
    lab.central(
        "the third client's SYN gets no answer",
        lab.packets().to(&third).none(),
    );
    lab.central(
        "it hangs in SYN-SENT",
        host.has(TcpState::SynSent, of_client),
    );
    lab.claim("two connections are made", {
        let made = |sockets: Vec<Socket>| {
            sockets
                .iter()
                .filter(|s| of_client(s) && s.state == TcpState::Established)
                .count()
        };
        within(host.sockets().map(made).unwrap_or_default(), 2..)
    });
    lab.claim("listen has reported no error", server.errors().is_empty());
    lab.done()
}

fn udp_without_connect(lab: &Lab) -> Outcome {
    let [host, far, other] = lab.hosts(["client", "server", "stranger"])?;
    host.names_own_hand("client");
    let server = far.start("chap-6 udpserver --bind 10.0.0.2")?;
    server.listens()?;
    let client = host.enter(|| {
        let socket = UdpSocket::bind("10.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        if lab.is_control() {
            socket.connect(("10.0.0.2", PORT))?;
            socket.send(b"data1")?;
        } else {
            socket.send_to(b"data1", ("10.0.0.2", PORT))?;
        }
        Ok(socket)
    })?;
    let port = host.enter(|| Ok(client.local_addr()?.port()))?;
    let receive = || {
        let mut answer = [0; 64];
        let length = client.recv(&mut answer)?;
        Ok(answer[..length].to_vec())
    };
    let answer = host.enter(receive)?;

    let stranger = other
        .program(&format!(
            "chap-6 udpclient 10.0.0.1 --port {port} --no-wait"
        ))
        .named("stranger")
        .start()?;
    stranger.types("hello")?;
    lab.until("the stranger's datagram is sent", || {
        lab.packets().udp().from(&stranger).some()
    })?;
    let refused = || lab.packets().icmp(3, 3).some();
    let queued = || {
        host.udp_sockets().map(|all| {
            all.iter()
                .any(|s| s.local.port() == port && s.receive_queue > 0)
        })
    };
    lab.until("it is taken or refused", || {
        equal(queued().unwrap_or_default(), true).or(refused())
    })?;

    lab.central("the kernel has no peer for the client's socket", {
        let sockets = host.udp_sockets().unwrap_or_default();
        let peer = sockets
            .iter()
            .find(|s| s.local.port() == port)
            .map(|s| s.remote.port());
        equal(peer, Some(0))
    });
    lab.claim(
        "the server's answer arrives",
        Check::new(answer == b"Hi, data1", String::from_utf8_lossy(&answer)),
    );
    lab.central(
        "so does the datagram of a stranger",
        equal(queued().unwrap_or_default(), true),
    );
    lab.central("nobody is told that it is unwanted", !refused());
    lab.done()
}
