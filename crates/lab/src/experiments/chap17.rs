//! Chapter 17: TCP is not always reliable.

use crate::net::route::remove_route;
use crate::net::sock_diag::Socket;
use crate::packets::Packets;
use crate::prelude::*;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "17/read-sees-fin",
        "the server is killed while the client waits for the answer: its read returns 0, or fails with ECONNRESET",
        read_sees_fin,
        "the first server, too, has not read what was sent to it",
    ),
    Experiment::new(
        "17/write-then-read",
        "the server is killed first: the client's send succeeds, a reset comes back, and its read returns 0",
        write_then_read,
        "the server is not killed",
    ),
    Experiment::new(
        "17/write-until-error",
        "writing on: after a FIN one send succeeds and the rest fail with EPIPE, after a reset ECONNRESET comes first",
        write_until_error,
        "the servers are not killed",
    ),
    Experiment::new(
        "17/sigpipe-kills",
        "the same, and SIGPIPE has its default action",
        sigpipe_kills,
        "SIGPIPE is ignored",
    ),
    Experiment::new(
        "17/network-cut",
        "the wire is cut: the data is sent again and again, at growing intervals, and in the end read fails with ETIMEDOUT",
        network_cut,
        "the wire is not cut",
    )
    .isolated(),
    Experiment::new(
        "17/after-timeout",
        "after that ETIMEDOUT the connection is gone: the next send fails with EPIPE",
        after_timeout,
        "the wire is not cut",
    )
    .isolated(),
    Experiment::new(
        "17/network-cut-idle",
        "the wire is cut while nothing is under way: a read does not return, unless it has a timeout",
        network_cut_idle,
        "the wire is whole, and the servers are killed",
    )
    .isolated(),
    Experiment::new(
        "17/host-crash-reboot",
        "the server's host crashes and comes back: it answers the next retransmission with a reset",
        host_crash_reboot,
        "the host stays down",
    )
    .isolated(),
    Experiment::new(
        "17/icmp-unreachable",
        "a router says that the host is unreachable: TCP goes on trying, and only a program that asks is told at once",
        icmp_unreachable,
        "the router drops the packets without a word",
    )
    .isolated(),
    Experiment::new(
        "17/acked-but-not-read",
        "data that the other kernel has acknowledged is lost with its host, and nobody tells the sender",
        acked_but_not_read,
        "the server is not stopped before the data comes",
    )
    .isolated(),
    Experiment::new(
        "17/retries-default",
        "unless told otherwise, the kernel gives up after 15 retransmissions, a quarter of an hour",
        retries_default,
        "tcp_retries2 is 3",
    )
    .isolated()
    .slow(),
];

const RESET: &str = "Connection reset by peer (os error 104)";
const BROKEN_PIPE: &str = "Broken pipe (os error 32)";
const TIMED_OUT: &str = "Connection timed out (os error 110)";

/// The port of a second server on the same host.
const SECOND: u16 = 43212;

/// The server's end of a connection.
fn of_server(socket: &Socket) -> bool {
    socket.local.port() == PORT && socket.remote.port() != 0
}

/// The client's end of a connection.
fn of_client(socket: &Socket) -> bool {
    socket.remote.port() == PORT
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A server and a client on one host, connected.
fn on_one_host(host: &Host, server: &str, client: &str) -> Result<(Process, Process), LabError> {
    let server = host.start(&format!("chap-17 {server}"))?;
    server.listens()?;
    let client = host.start(&format!("chap-17 {client}"))?;
    Ok((server, client))
}

/// A server that answers at once on one host, a client on the other, and one line that was answered.
fn over_a_wire(lab: &Lab, options: &str) -> Result<(Host, Host, Process, Process), LabError> {
    let [near, far] = lab.hosts(["client", "server"])?;
    let server = far.start("chap-17 reliable-server01 --bind 10.0.0.2 --pause 0")?;
    server.listens()?;
    let client = near.start(&format!("chap-17 reliable-client01 10.0.0.2 {options}"))?;
    client.types("good")?;
    client.says("good")?;
    server.says("send bytes: 4")?;
    Ok((near, far, server, client))
}

/// Waits until so many bytes lie unread at the server.
fn unread(lab: &Lab, host: &Host, bytes: u32) -> Result<(), LabError> {
    let waits = |socket: &Socket| of_server(socket) && socket.receive_queue == bytes;
    lab.until("the data waits unread", || {
        host.has(TcpState::Established, waits)
    })
}

/// Waits until the client's kernel has the server's FIN.
fn fin_has_come(lab: &Lab, host: &Host) -> Result<(), LabError> {
    lab.until("the FIN has come", || {
        host.has(TcpState::CloseWait, of_client)
    })
}

/// Whether a program has ended with this code.
fn exited(program: &Process, code: i32) -> Check {
    let running = || Check::new(false, "it still runs");
    program
        .ended()
        .map_or_else(running, |end| end.exited_with(code))
}

/// The client types no more and ends.
fn finishes(client: &Process) -> Result<(), LabError> {
    client.closes_input();
    client.ends()?;
    Ok(())
}

fn read_sees_fin(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let connected = || {
        on_one_host(
            &host,
            "reliable-server01 --pause 600",
            "reliable-client01 127.0.0.1",
        )
    };
    let stopped = || -> Result<_, LabError> {
        let (server, client) = connected()?;
        server.halt()?;
        client.types("good")?;
        unread(lab, &host, 4)?;
        Ok((server, client))
    };
    let (server, client) = if lab.is_control() {
        stopped()?
    } else {
        let (server, client) = connected()?;
        client.types("good")?;
        server.says("received 4 bytes: good")?;
        (server, client)
    };
    server.kill()?;
    client.ends()?;
    let of_server = lab.packets().from(&server);
    lab.central(
        "the server has read everything and dies: its kernel sends FIN",
        of_server.clone().has(FIN).and(of_server.lacks(RST)),
    );
    lab.central(
        "the client's read returns 0, as if the server had closed",
        client
            .output()
            .says("peer connection closed")
            .and(exited(&client, 0)),
    );

    let (server, client) = stopped()?;
    server.kill()?;
    client.ends()?;
    lab.claim(
        "with unread data it sends RST",
        lab.packets().from(&server).has(RST),
    );
    lab.claim(
        "and the client's read fails with ECONNRESET",
        client.errors().says(RESET),
    );
    lab.done()
}

fn write_then_read(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let (server, client) = on_one_host(
        &host,
        "reliable-server01 --pause 0",
        "reliable-client01 127.0.0.1",
    )?;
    client.types("bad")?;
    client.says("bad")?;
    if !lab.is_control() {
        server.kill()?;
        fin_has_come(lab, &host)?;
    }
    let here = lab.now();
    client.types("bad2")?;
    if lab.is_control() {
        client.says("bad2")?;
    } else {
        client.ends()?;
    }

    let since = lab.packets().since(here);
    lab.claim(
        "the send succeeds: four bytes go out",
        since.clone().from(&client).carrying_data().exactly(1),
    );
    lab.central("a reset comes back", since.from(&server).has(RST));
    lab.central(
        "and yet the read returns 0: the FIN came first, and is all that a reader gets to see",
        client
            .output()
            .says("peer connection closed")
            .and(exited(&client, 0)),
    );
    lab.done()
}

/// A client that sends when a line is typed, and a server that has read its first 19 bytes, or is stopped before that.
fn sending(
    lab: &Lab,
    host: &Host,
    stopped: bool,
    options: &str,
) -> Result<(Process, Process), LabError> {
    let command = format!("reliable-client02 127.0.0.1 --typed {options}");
    let (server, client) = on_one_host(host, "reliable-server02 --pause 0", &command)?;
    if stopped {
        server.halt()?;
    }
    client.types("1")?;
    client.says("send into buffer 19")?;
    if stopped {
        unread(lab, host, 19)?;
    } else {
        server.says("read 1: 19 bytes")?;
    }
    Ok((server, client))
}

/// The server is killed, having read everything; the client sends once more, and is answered with a reset.
fn sends_to_the_dead(
    lab: &Lab,
    host: &Host,
    server: &Process,
    client: &Process,
) -> Result<(), LabError> {
    server.kill()?;
    fin_has_come(lab, host)?;
    client.types("2")?;
    client.says("send into buffer 19")?;
    lab.until("the reset has come", || lab.packets().from(server).has(RST))
}

fn write_until_error(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let (server, first) = sending(lab, &host, false, "--errors 2")?;
    if !lab.is_control() {
        sends_to_the_dead(lab, &host, &server, &first)?;
    }
    first.types("3")?;
    first.types("4")?;
    finishes(&first)?;
    if lab.is_control() {
        server.ends()?;
    }
    let of_first = lab.packets().from(&server);

    let (server, second) = sending(lab, &host, true, "--errors 2")?;
    if lab.is_control() {
        server.resume();
    } else {
        server.kill()?;
        lab.until("the reset has come", || {
            lab.packets().from(&server).has(RST)
        })?;
    }
    second.types("2")?;
    second.types("3")?;
    finishes(&second)?;

    lab.claim(
        "after the FIN one send succeeds",
        first.output().says("send into buffer 19"),
    );
    lab.central(
        "its data is answered with a reset",
        of_first.clone().has(FIN).and(of_first.has(RST)),
    );
    let [broken, last] = [
        format!("send: {BROKEN_PIPE}"),
        format!("Error: send: {BROKEN_PIPE}"),
    ];
    let errors = |client: &Process, expected: [&str; 2]| equal(client.errors().lines(), expected);
    lab.central(
        "the next one fails with EPIPE, and so does the one after it",
        errors(&first, [&broken, &last]),
    );
    let of_second = lab.packets().from(&server);
    lab.central(
        "a server that dies with unread data sends a reset and no FIN",
        of_second.clone().has(RST).and(of_second.lacks(FIN)),
    );
    lab.central(
        "then the first send fails with ECONNRESET, and only the next one with EPIPE",
        errors(&second, [&format!("send: {RESET}"), &last]),
    );
    lab.done()
}

fn sigpipe_kills(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let (server, client) = sending(
        lab,
        &host,
        false,
        lab.vary("--sigpipe default", "--sigpipe ignore"),
    )?;
    sends_to_the_dead(lab, &host, &server, &client)?;
    client.types("3")?;
    let end = client.ends()?;

    lab.claim(
        "the first send to the dead server succeeds",
        equal(client.output().count("send into buffer 19"), 2),
    );
    lab.central(
        "the second one kills the client, by signal 13",
        end.was_killed_by(Signal::SIGPIPE),
    );
    lab.central("it dies without a word", client.errors().is_empty());
    lab.done()
}

/// The client's data from a moment on: the original and what was sent again.
fn attempts(lab: &Lab, client: &Process, since: Duration) -> Packets {
    lab.packets().from(client).carrying_data().since(since)
}

/// Each time is about twice the one before, as far as a busy machine allows.
fn doubling(gaps: &[Duration]) -> Check {
    let doubles = |pair: &[Duration]| {
        let ratio = pair[1].as_secs_f64() / pair[0].as_secs_f64();
        (1.5..2.8).contains(&ratio)
    };
    Check::new(
        gaps.len() > 1 && gaps.windows(2).all(doubles),
        format_args!("{gaps:.3?}"),
    )
}

fn network_cut(lab: &Lab) -> Outcome {
    let (near, far, _, client) = over_a_wire(lab, "")?;
    near.sets("net.ipv4.tcp_retries2", 2)?;
    if !lab.is_control() {
        lab.notes("the wire is cut");
        near.wire().cut();
    }
    let probes = || near.counter("TcpExt", "TCPLossProbes");
    let (here, before) = (lab.now(), probes()?);
    client.types("bad")?;
    if lab.is_control() {
        client.says("bad")?;
        finishes(&client)?;
    } else {
        client.ends()?;
    }

    let attempts = attempts(lab, &client, here);
    lab.claim(
        "the send succeeds",
        equal(client.output().count("send bytes"), 2),
    );
    // Three times in 1.4 seconds from an interval of 200 ms on; a busy machine has measured a longer one.
    let probes = probes()? - before;
    lab.central(
        "the data goes out once, once more as a tail loss probe, and two or three times because of the retransmission timer",
        equal(probes, 1).and(within(attempts.count(), 4..=5)),
    );
    lab.central(
        "from the probe on, each interval is twice the one before",
        doubling(attempts.gaps().get(1..).unwrap_or_default()),
    );
    lab.central(
        "then the client's read fails with ETIMEDOUT",
        client.errors().says(&format!("read: {TIMED_OUT}")),
    );
    let lasted = client
        .ended()
        .zip(attempts.get(2))
        .map(|(end, first)| client.time_of(&end).saturating_sub(first.sent));
    lab.central(
        "not before 1.4 seconds after the first retransmission: that is the time that a tcp_retries2 of 2 stands for",
        Check::new(lasted >= Some(seconds(1.38)), format_args!("{lasted:.3?}")),
    );
    if lab.is_control() {
        lab.until("the server's end is told of the client's", || {
            !far.has(TcpState::Established, of_server)
        })?;
    }
    lab.central(
        "the server's end is ESTABLISHED: nobody has told it",
        far.has(TcpState::Established, of_server),
    );
    lab.done()
}

fn after_timeout(lab: &Lab) -> Outcome {
    let (near, _, _, client) = over_a_wire(lab, "--errors 2")?;
    near.sets("net.ipv4.tcp_retries2", 1)?;
    if !lab.is_control() {
        lab.notes("the wire is cut");
        near.wire().cut();
    }
    client.types("bad")?;
    if lab.is_control() {
        client.says("bad")?;
    } else {
        client.complains("read: ")?;
    }
    let here = lab.now();
    let connected = near.has(TcpState::Established, of_client);
    client.types("bad2")?;
    if lab.is_control() {
        client.says("bad2")?;
        finishes(&client)?;
    } else {
        client.ends()?;
    }

    let (timed_out, broken) = (
        format!("read: {TIMED_OUT}"),
        format!("Error: send: {BROKEN_PIPE}"),
    );
    lab.central(
        "a read fails with ETIMEDOUT",
        client.errors().says(&timed_out),
    );
    lab.central(
        "after that the kernel has no such connection any more",
        !connected,
    );
    lab.central(
        "the next send fails with EPIPE",
        client.errors().says(&broken),
    );
    lab.central(
        "and nothing goes out",
        lab.packets().from(&client).since(here).none(),
    );
    lab.done()
}

fn network_cut_idle(lab: &Lab) -> Outcome {
    let [near, far] = lab.hosts(["client", "server"])?;
    let waits = |port: u16, options: &str| -> Result<(Process, Process), LabError> {
        let server = far.start(&format!(
            "chap-17 reliable-server01 --bind 10.0.0.2 --port {port} --pause 600"
        ))?;
        server.listens()?;
        let client = near.start(&format!(
            "chap-17 reliable-client01 10.0.0.2 --port {port} {options}"
        ))?;
        client.types("good")?;
        server.says("received 4 bytes")?;
        let acknowledged = |socket: &Socket| socket.remote.port() == port && socket.send_queue == 0;
        lab.until("all is acknowledged", || {
            near.has(TcpState::Established, acknowledged)
        })?;
        Ok((server, client))
    };
    let (one, first) = waits(PORT, "")?;
    let (two, second) = waits(SECOND, "--timeout 2")?;
    let here = lab.now();
    if lab.is_control() {
        one.kill()?;
        two.kill()?;
        first.ends()?;
    } else {
        lab.notes("the wire is cut");
        near.wire().cut();
    }
    second.ends()?;

    let packets = lab.packets().since(here);
    lab.central(
        "not a packet of the first connection passes after that",
        packets
            .clone()
            .from(&first)
            .none()
            .and(packets.to(&first).none()),
    );
    lab.central(
        "the first client's read does not return",
        first.blocks_in(&["read"]),
    );
    lab.central(
        "the second one's has a timeout, and returns",
        second.errors().says("read: no answer within 2 s"),
    );
    lab.central(
        "to the kernels the first connection is as good as ever: ESTABLISHED at both ends",
        near.has(TcpState::Established, of_client)
            .and(far.has(TcpState::Established, of_server)),
    );
    lab.done()
}

fn host_crash_reboot(lab: &Lab) -> Outcome {
    let (_, far, _, client) = over_a_wire(lab, "")?;
    let here = lab.now();
    far.crashes()?;
    client.types("bad")?;
    lab.until("the data is sent again", || {
        within(attempts(lab, &client, here).count(), 2..)
    })?;
    if lab.is_control() {
        lab.watches_for(seconds(1.0));
    } else {
        far.boots()?;
        client.ends()?;
    }

    let since = lab.packets().since(here);
    let resets = since.clone().from(&far).with(RST);
    let lost = attempts(lab, &client, here).lost();
    let last = lost.last().map(|packet| packet.sent);
    lab.claim(
        "the crash sends neither FIN nor RST, and what goes to the dead host is lost",
        since.from(&far).with(FIN).none().and(lost.some()),
    );
    lab.central(
        "a retransmission reaches the new kernel, which knows of no connection: it answers with a reset",
        resets.check(resets.first().is_some_and(|reset| Some(reset.sent) > last)),
    );
    lab.central(
        "the client's read fails with ECONNRESET",
        client.errors().says(&format!("read: {RESET}")),
    );
    lab.done()
}

fn icmp_unreachable(lab: &Lab) -> Outcome {
    let [near, router, far] = lab.routed(["client", "router", "server"])?;
    router.sets("net.ipv4.icmp_ratemask", 0)?; // one answer for each packet
    near.wire().delay(Duration::from_millis(3)); // the answer comes when the client sleeps in read
    let connected = |options: &str| -> Result<(Process, Process), LabError> {
        let server = far.start("chap-17 reliable-server01 --bind 10.0.2.2 --pause 0")?;
        server.listens()?;
        let client = near.start(&format!("chap-17 reliable-client01 10.0.2.2 {options}"))?;
        lab.until("they are connected", || {
            far.has(TcpState::Established, of_server)
        })?;
        Ok((server, client))
    };
    let silent = |route: Route| lab.vary(route, Route::Blackhole);
    let told = |client: &Process, code: u8| lab.packets().to(client).icmp(3, code);

    let (server, asking) = connected("--recverr --errors 2")?;
    router.routes(far.address(), 32, silent(Route::Throw))?;
    asking.types("bad")?;
    if lab.is_control() {
        lab.watches_for(seconds(0.7));
    } else {
        asking.complains("read: ")?;
    }
    let heard = asking.errors();
    lab.notes("there is a route again");
    router.enter(|| remove_route((far.address(), 32), silent(Route::Throw)))?;
    server.says("send bytes: 3")?;
    if !lab.is_control() {
        asking.types("read")?;
    }
    asking.says("bad")?;
    asking.closes_input();
    server.ends()?;
    lab.central(
        "a program that asks for it is told: its read fails with ENETUNREACH, as the router says",
        heard
            .says("read: Network is unreachable (os error 101)")
            .and(told(&asking, 0).some()),
    );
    lab.claim(
        "the connection lives on: when there is a route again, the answer comes",
        asking.output().says("bad"),
    );

    let (_server, plain) = connected("")?;
    near.sets("net.ipv4.tcp_retries2", 1)?;
    router.routes(far.address(), 32, silent(Route::Unreachable))?;
    let here = lab.now();
    plain.types("bad")?;
    if !lab.is_control() {
        lab.until("the router has said it twice", || {
            within(told(&plain, 1).arrived().count(), 2..)
        })?;
        lab.claim(
            "another program is not: the router says it again and again, and read does not return",
            plain.blocks_in(&["read"]),
        );
    }
    plain.ends()?;
    let sent = attempts(lab, &plain, here);
    lab.central(
        "what it sends is answered with: host unreachable",
        within(told(&plain, 1).count(), 3..),
    );
    lab.central(
        "in the end its read fails with EHOSTUNREACH, where it would be ETIMEDOUT",
        plain.errors().says("read: No route to host (os error 113)"),
    );
    lab.central(
        "the intervals do not double: an answer shows that the network is not congested",
        !doubling(sent.gaps().get(1..).unwrap_or_default()),
    );
    lab.done()
}

fn acked_but_not_read(lab: &Lab) -> Outcome {
    let [near, far] = lab.hosts(["client", "server"])?;
    let server = far.start("chap-17 reliable-server01 --bind 10.0.0.2 --pause 0")?;
    server.listens()?;
    let client = near.start("chap-17 reliable-client01 10.0.0.2")?;
    lab.until("they are connected", || {
        far.has(TcpState::Established, of_server)
    })?;
    if !lab.is_control() {
        server.halt()?;
    }
    client.types("good")?;
    // The counter begins with the SYN, which takes one number of the sequence.
    let acknowledged = |socket: &Socket| {
        of_client(socket)
            && socket.send_queue == 0
            && socket.info.is_some_and(|info| info.bytes_acked == 1 + 4)
    };
    lab.until("the data is acknowledged", || {
        near.has(TcpState::Established, acknowledged)
    })?;
    if lab.is_control() {
        client.says("good")?;
    }
    let here = lab.now();
    far.crashes()?;
    lab.watches_for(seconds(0.4)); // more than a retransmission takes

    lab.claim(
        "the other kernel acknowledges all four bytes, and the client's send buffer is empty",
        near.has(TcpState::Established, acknowledged),
    );
    lab.central(
        "the server's program never sees them",
        server.output().lacks("received"),
    );
    let telling = |packet: &Passed| {
        packet.length > 0
            || packet
                .tcp()
                .is_some_and(|tcp| tcp.flags.has(FIN) || tcp.flags.has(RST))
    };
    lab.central(
        "the client hears nothing: no answer, no FIN, no RST",
        lab.packets().to(&client).that(telling).none(),
    );
    lab.claim(
        "its send has succeeded, and its kernel sends nothing again",
        {
            let again = attempts(lab, &client, here);
            again.none().and(client.output().says("send bytes: 4"))
        },
    );
    lab.done()
}

fn retries_default(lab: &Lab) -> Outcome {
    let (near, _, _, client) = over_a_wire(lab, "")?;
    if lab.is_control() {
        near.sets("net.ipv4.tcp_retries2", 3)?;
    }
    lab.notes("the wire is cut");
    near.wire().cut();
    let here = lab.now();
    client.types("bad")?;
    while client.ended().is_none() && lab.now() < seconds(1200.0) {
        lab.watches_for(seconds(0.05));
    }

    // The original, a tail loss probe, and then what the retransmission timer sends.
    let attempts = attempts(lab, &client, here);
    let gaps = attempts.gaps();
    lab.central(
        "tcp_retries2 is 15",
        equal(near.variable("net.ipv4.tcp_retries2")?, "15"),
    );
    lab.central(
        "the retransmission timer sends the data 15 times",
        within(attempts.count(), 16..=18),
    );
    lab.central(
        "the intervals grow to 120 seconds and no further",
        within(
            gaps.iter().max().copied().unwrap_or_default(),
            seconds(118.0)..seconds(123.0),
        ),
    );
    let lasted = client
        .ended()
        .zip(attempts.get(2))
        .map(|(end, first)| client.time_of(&end).saturating_sub(first.sent));
    lab.central(
        "from the first retransmission to the end it takes 924.6 seconds or a little more, and not 9 minutes",
        within(lasted.unwrap_or_default(), seconds(924.0)..seconds(1050.0)),
    );
    lab.claim(
        "the read fails with ETIMEDOUT",
        client.errors().says(&format!("read: {TIMED_OUT}")),
    );
    lab.figure(
        "retransmissions by the timer",
        attempts.count().saturating_sub(2),
    );
    lab.figure(
        "from the first of them to the end",
        format!("{:.1} s", lasted.unwrap_or_default().as_secs_f64()),
    );
    lab.done()
}
