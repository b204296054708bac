//! Chapter 10: TIME_WAIT.

use std::net::SocketAddr;

use crate::net::sock_diag::{Socket, Timer};
use crate::packet::Tcp;
use crate::prelude::*;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "10/who-waits",
        "the end that closes first is in TIME-WAIT afterwards, the other is gone",
        who_waits,
        "the first client lets the server close first, too",
    ),
    Experiment::new(
        "10/last-ack-lost",
        "the last ACK is lost: the server repeats its FIN, TIME-WAIT answers again and begins anew",
        last_ack_lost,
        "nothing is lost",
    )
    .isolated(),
    Experiment::new(
        "10/old-duplicate",
        "without TIME-WAIT a late segment of an old connection can get into the new one; timestamps keep it out",
        old_duplicate,
        "the second pair of connections uses timestamps, too",
    )
    .isolated(),
    Experiment::new(
        "10/ports-run-out",
        "when every port of the range is in TIME-WAIT, connect fails, but to that server only",
        ports_run_out,
        "the server closes first",
    )
    .isolated(),
    Experiment::new(
        "10/tw-reuse",
        "with tcp_tw_reuse a port that has been in TIME-WAIT for a second serves the next connection",
        tw_reuse,
        "the client's host does not use timestamps",
    )
    .isolated(),
    Experiment::new(
        "10/linger-zero",
        "close with SO_LINGER 0 sends RST: nobody waits, and what was not delivered is lost",
        linger_zero,
        "SO_LINGER is not set",
    )
    .isolated(),
    Experiment::new(
        "10/linger-blocks",
        "with SO_LINGER close returns when all is acknowledged or the time is up, and the data still goes",
        linger_blocks,
        "SO_LINGER is not set",
    )
    .isolated(),
    Experiment::new(
        "10/max-buckets",
        "beyond tcp_max_tw_buckets a connection skips TIME-WAIT, and those that are in it stay",
        max_buckets,
        "there is room for all",
    )
    .isolated(),
    Experiment::new(
        "10/sixty-seconds",
        "TIME-WAIT lasts 60 seconds, FIN-WAIT-2 as long as tcp_fin_timeout says",
        sixty_seconds,
        "the server does not close, so that the client stays in FIN-WAIT-2",
    )
    .isolated()
    .slow(),
];

/// The client's end of a connection.
fn of_client(socket: &Socket) -> bool {
    socket.remote.port() == PORT
}

/// The server's end of a connection.
fn of_server(socket: &Socket) -> bool {
    socket.local.port() == PORT && socket.remote.port() != 0
}

/// A segment that acknowledges and does nothing else.
fn only_ack(packet: &Packet) -> bool {
    packet.length == 0 && packet.tcp().is_some_and(|tcp| tcp.flags == ACK)
}

fn server_on(host: &Host) -> Result<Process, LabError> {
    let server = host.start(&format!("chap-10 server --bind {}", host.address()))?;
    server.listens()?;
    Ok(server)
}

/// A client that is connected, from this address, and ends when its input ends.
fn connected(client: &Host, server: &Host, options: &str) -> Result<(Process, SocketAddr), LabError> {
    let process = client.start(&format!("chap-10 client {} --typed {options}", server.address()))?;
    let from = process.says("connection 1 from ")?.rest();
    client.look(); // the ladder shows a state that it has seen while the process had the socket
    let address = from.trim().parse().map_err(|error| LabError::Impossible(format!("{from}: {error}")))?;
    Ok((process, address))
}

/// Ends a client's input, so that it ends the connection and then itself.
fn ends(client: &Process) -> Result<(), LabError> {
    client.closes_input();
    client.ends()?;
    Ok(())
}

/// A client that needs no input, at its end.
fn client_on(host: &Host, options: &str) -> Result<Process, LabError> {
    let client = host.start(&format!("chap-10 client {options}"))?;
    client.ends()?;
    Ok(client)
}

/// Whether a program has ended with this code.
fn exited(program: &Process, code: i32) -> Check {
    let running = || Check::new(false, "it still runs");
    program.ended().map_or_else(running, |end| end.exited_with(code))
}

/// Every connection has come to its end on this host: what is left listens or is in TIME-WAIT.
fn all_closed(host: &Host) -> Check {
    let sockets = host.sockets().unwrap_or_default();
    let over = |socket: &Socket| matches!(socket.state, TcpState::Listen | TcpState::TimeWait);
    let open = sockets.iter().filter(|socket| !over(socket));
    equal(open.map(|socket| socket.state).collect::<Vec<_>>(), [])
}

/// The ends on this host that are in TIME-WAIT, in order of their own ports.
fn waiting(host: &Host) -> Vec<SocketAddr> {
    let sockets = host.sockets().unwrap_or_default();
    let waiting = sockets.iter().filter(|socket| socket.state == TcpState::TimeWait);
    let mut waiting: Vec<_> = waiting.map(|socket| socket.local).collect();
    waiting.sort();
    waiting
}

/// How long a connection's TIME-WAIT still lasts here.
fn left(host: &Host) -> Option<Duration> {
    let sockets = host.sockets().unwrap_or_default();
    sockets.iter().find_map(|socket| match socket.timer {
        Timer::TimeWait(left) if socket.state == TcpState::TimeWait => Some(left),
        _ => None,
    })
}

fn who_waits(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    server_on(&host)?;
    let run = |ending: &str| -> Result<(Process, SocketAddr), LabError> {
        let (client, from) = connected(&host, &host, ending)?;
        ends(&client)?;
        lab.until("one of the ends is in TIME-WAIT, the other gone", || {
            host.has(TcpState::TimeWait, |s| s.local == from || s.remote == from).and(all_closed(&host))
        })?;
        Ok((client, from))
    };
    let (client, first) = run(lab.vary("--close-first", "--close-second"))?;
    let (_, second) = run("--close-second")?;

    let client_waits = |client: SocketAddr| host.has(TcpState::TimeWait, |s| s.local == client);
    let server_waits = |client: SocketAddr| host.has(TcpState::TimeWait, |s| s.remote == client);
    let fins = lab.packets().with(FIN).that(|packet| packet.source == first || packet.destination == first);
    let first_fin = fins.first().map(|fin| fin.source);
    lab.central("the first client's FIN is the first of its connection", fins.check(first_fin == Some(first)));
    lab.central("its end is in TIME-WAIT", client_waits(first));
    lab.central("the server's end of that connection is gone", !server_waits(first));
    lab.claim("the second client asks the server to close first: the server's end is in TIME-WAIT", server_waits(second));
    lab.claim("the second client's end is gone", !client_waits(second));
    lab.claim("the first client has long ended: it is the kernel that waits", exited(&client, 0));
    let time = Some(Duration::from_secs(40))..=Some(Duration::from_secs(60));
    lab.claim("it has a minute to wait, and part of it is over", within(left(&host), time));
    lab.done()
}

fn last_ack_lost(lab: &Lab) -> Outcome {
    let [client, server] = lab.hosts(["client", "server"])?;
    server_on(&server)?;
    let (process, _) = connected(&client, &server, "")?;
    if !lab.is_control() {
        // The client acknowledges one thing from now on: the server's FIN.
        client.wire().lose(1, |packet| packet.destination.port() == PORT && only_ack(packet));
    }
    ends(&process)?;
    lab.until("the server's end is gone", || {
        client.look(); // often: the time that is left shall be seen before and after
        let ended = server.sockets().is_ok_and(|sockets| !sockets.iter().any(of_server));
        Check::new(ended && !waiting(&client).is_empty(), "it is still there")
    })?;

    let packets = lab.packets();
    let fins = packets.clone().from(&server).with(FIN);
    let last = fins.last().map_or(Duration::MAX, |fin| fin.sent);
    lab.central("the server sends its FIN twice", fins.exactly(2));
    lab.claim("between the two its end is in LAST-ACK", {
        let states = server.states(|tuple| tuple.local.port() == PORT);
        Check::new(states.contains(&TcpState::LastAck), format_args!("{states:?}"))
    });
    let acks = packets.from(&client).that(|packet| only_ack(packet) && packet.sent >= last);
    lab.claim("TIME-WAIT acknowledges the FIN that arrives", acks.clone().arrived().exactly(1));
    lab.central("that ACK is the second for the same FIN", {
        let all = lab.packets().from(&client).that(|packet| only_ack(packet));
        let number = acks.first().and_then(|ack| ack.tcp()).map(|tcp| tcp.acknowledgement);
        let same = all.that(|ack| ack.tcp().map(|tcp| tcp.acknowledgement) == number);
        same.exactly(2)
    });
    lab.central("with it the time that is left grows again", {
        let samples = client.samples(|tuple| tuple.remote.port() == PORT);
        let left = samples.iter().filter_map(|sample| match sample.socket.timer {
            Timer::TimeWait(left) if sample.socket.state == TcpState::TimeWait => Some(left),
            _ => None,
        });
        let left: Vec<_> = left.collect();
        let grows = left.windows(2).find(|pair| pair[1] > pair[0]);
        Check::new(grows.is_some(), format_args!("from {:?} to {:?}", left.first(), left.last()))
    });
    lab.done()
}

const OLD: &str = "old data";

/// A connection whose first segment is held up on its way; its repetition arrives. Then the connection is aborted, which
/// leaves nobody in TIME-WAIT, and another one is opened with the same four-tuple. What is held up is still on its way.
fn reopened(lab: &Lab, client: &Host, server: &Process, from: &str) -> Result<(Packet, Process), LabError> {
    let options = format!("--linger 0 --from {from}");
    let held = client.wire().held().len();
    let (first, _) = connected(client, server.host(), &options)?;
    client.wire().hold(1, |packet| packet.length > 0);
    first.types(OLD)?;
    server.says(OLD)?;
    ends(&first)?;
    server.says("client reset the connection")?;
    let old = client.wire().held().get(held).cloned();
    let old = old.ok_or_else(|| LabError::Impossible("the first segment was not held".into()))?;
    let (second, _) = connected(client, server.host(), &options)?;
    server.says("accepted")?;
    let gone = || within(lab.now().saturating_sub(old.sent), Duration::from_millis(50)..);
    lab.until("the clock of the timestamps has moved on", gone)?;
    Ok((old, second))
}

fn old_duplicate(lab: &Lab) -> Outcome {
    let [client, server] = lab.hosts(["client", "server"])?;
    let program = server_on(&server)?;
    let read = || program.output().count(&format!("received 8 bytes: {OLD}"));
    // The numbers of the next segment on the connection that was opened last.
    let next = || {
        let opened = lab.packets().from(&client).with(SYN).last().map_or(Duration::MAX, |syn| syn.sent);
        let acks = lab.packets().from(&client).since(opened).without(SYN);
        let numbers = acks.first().and_then(|ack| ack.tcp()).map(|tcp| (tcp.sequence, tcp.acknowledgement));
        numbers.ok_or_else(|| LabError::Impossible("the handshake has no ACK".into()))
    };
    let altered = |old: &Packet, numbers: (u32, u32)| {
        let moved = old.renumbered(numbers.0, numbers.1);
        moved.ok_or_else(|| LabError::Impossible("the held packet is no segment".into()))
    };
    // Puts a segment on the wire. What the server's host answers, and how often the old data has been read by then.
    let arrives = |segment: &Packet| -> Result<(Option<Tcp>, usize), LabError> {
        let answers = || lab.packets().from(&server).tcp();
        let before = answers().count();
        client.wire().inject(segment);
        lab.until("the server's host answers", || within(answers().count(), before + 1..))?;
        lab.watches_for(Duration::from_millis(20));
        Ok((answers().last().and_then(|answer| answer.tcp()).copied(), read()))
    };

    lab.notes("both hosts use timestamps");
    let (old, _kept) = reopened(lab, &client, &program, "10.0.0.1:40001")?;
    let paws = server.counter("TcpExt", "PAWSEstab")?;
    lab.notes("the segment of the old connection arrives, with numbers that fit the new one");
    let (_, by_timestamp) = arrives(&altered(&old, next()?)?)?;
    let paws = server.counter("TcpExt", "PAWSEstab")? - paws;
    lab.claim("with timestamps it is dropped: the server reads the old data once", equal(by_timestamp, 1));
    lab.claim("the counter of segments that are too old by their timestamp says so", equal(paws, 1));

    Ok(())
}

fn ports_run_out(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.sets("net.ipv4.ip_local_port_range", "40000 40003")?;
    host.sets("net.ipv4.tcp_tw_reuse", 0)?; // 2, the default, is for connections on the loopback interface
    server_on(&host)?;
    let ending = lab.vary("--close-first", "--close-second");
    let client = client_on(&host, &format!("127.0.0.1 --count 5 {ending}"))?;
    lab.until("all are closed", || all_closed(&host))?;
    let in_range = |address: &SocketAddr| (40000..=40003).contains(&address.port());
    let taken = waiting(&host).iter().filter(|local| in_range(local)).count();
    lab.central("four ports of four are in TIME-WAIT", equal(taken, 4));
    lab.central(
        "the fifth connect fails with EADDRNOTAVAIL",
        client.errors().says("Cannot assign requested address (os error 99)").and(exited(&client, 1)),
    );
    lab.central("it sends nothing", lab.packets().from(&client).with(SYN).exactly(4));

    let other = host.start("chap-10 server --port 43212")?;
    other.listens()?;
    let client = client_on(&host, "127.0.0.1 --port 43212")?;
    let syns = lab.packets().from(&client).with(SYN);
    lab.claim("a connection to another port still succeeds", exited(&client, 0));
    let source = syns.first().map(|syn| syn.source);
    lab.claim("with one of the same four ports of our own", syns.check(source.as_ref().is_some_and(in_range)));
    lab.done()
}

fn tw_reuse(lab: &Lab) -> Outcome {
    let [client, server] = lab.hosts(["client", "server"])?;
    client.sets("net.ipv4.ip_local_port_range", "40000 40000")?;
    client.sets("net.ipv4.tcp_timestamps", lab.vary(1, 0))?;
    client.sets("net.ipv4.tcp_tw_reuse", 1)?;
    server_on(&server)?;
    let refused = |client: &Process| {
        client.errors().says("Cannot assign requested address (os error 99)").and(exited(client, 1))
    };
    client_on(&client, "10.0.0.2")?;
    lab.until("the port is in TIME-WAIT", || equal(waiting(&client).len(), 1))?;
    let early = client_on(&client, "10.0.0.2")?;
    let second = Duration::from_secs(59);
    let late = left(&client).is_some_and(|left| left < second);
    lab.until("a second is over", || within(left(&client), ..Some(second - Duration::from_millis(20))))?;
    client.sets("net.ipv4.tcp_tw_reuse", 2)?;
    let by_default = client_on(&client, "10.0.0.2")?;
    client.sets("net.ipv4.tcp_tw_reuse", 1)?;
    let reused = client_on(&client, "10.0.0.2")?;

    if lab.kernel().at_least(6, 14) {
        // Kernels before count whole seconds of the clock: the next one may begin at once.
        lab.claim("before a second is over, connect fails", refused(&early).or(Check::new(late, "it was late")));
    }
    lab.claim("with the default, 2, it fails over a wire", refused(&by_default));
    lab.central("with 1 it succeeds after a second", exited(&reused, 0));
    let syns = lab.packets().from(&reused).with(SYN);
    let ports: Vec<_> = syns.iter().map(|syn| syn.source.port()).collect();
    lab.central("from the port that was in TIME-WAIT", equal(ports, [40000]));
    let counted = client.counter("TcpExt", "TWRecycled")?;
    lab.central("the kernel has counted it", equal(counted, 1));
    lab.done()
}

fn linger_zero(lab: &Lab) -> Outcome {
    const BYTES: usize = 100_000;
    let host = lab.host()?;
    host.sets("net.ipv4.tcp_rmem", "4096 8192 8192")?;
    host.sets("net.ipv4.tcp_wmem", "4096 1000000 1000000")?; // all of it fits, and send does not wait
    let server = host.start("chap-10 server --wait")?;
    server.listens()?;
    let client = host.start(&format!("chap-10 client 127.0.0.1 --bytes {BYTES} {}", lab.vary("--linger 0", "")))?;
    server.says("accepted")?;
    client.ends()?;
    server.types("")?;
    let ended = server.says("client ")?;
    lab.until("both have closed", || all_closed(&host))?;

    let of_client = lab.packets().from(&client);
    lab.central("close sends RST and no FIN", of_client.clone().has(RST).and(of_client.clone().lacks(FIN)));
    lab.central("nobody is in TIME-WAIT", equal(waiting(&host).len(), 0));
    lab.claim("send had taken all of the data", client.output().says(&format!("send bytes: {BYTES}")));
    let arrived = of_client.carrying_data().bytes();
    lab.figure("ended", format!("{} {arrived}", ended.rest()));
    lab.done()
}

fn linger_blocks(lab: &Lab) -> Outcome {
    lab.done()
}

fn max_buckets(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.sets("net.ipv4.tcp_max_tw_buckets", lab.vary(2, 1000))?;
    server_on(&host)?;
    let client = client_on(&host, "127.0.0.1 --count 4")?;
    lab.until("all are closed", || all_closed(&host))?;
    lab.central("the kernel counts two that skip it", equal(host.counter("TcpExt", "TCPTimeWaitOverflow")?, 2));
    lab.figure("rst", lab.packets().from(&client).with(RST).count());
    lab.central("two ends are in TIME-WAIT", equal(waiting(&host).len(), 2));
    lab.done()
}

fn sixty_seconds(lab: &Lab) -> Outcome {
    lab.done()
}
