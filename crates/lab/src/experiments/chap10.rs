//! Chapter 10: TIME_WAIT.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;

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
        "the server does not close the second connection, so that it stays in FIN-WAIT-2",
    )
    .isolated()
    .slow(),
];

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
fn connected(
    client: &Host,
    server: &Host,
    options: &str,
) -> Result<(Process, SocketAddr), LabError> {
    let process = client.start(&format!(
        "chap-10 client {} --typed {options}",
        server.address()
    ))?;
    let from = process.says("connection 1 from ")?.rest();
    client.look(); // the ladder shows a state that it has seen while the process had the socket
    let address = from
        .trim()
        .parse()
        .map_err(|error| LabError::Impossible(format!("{from}: {error}")))?;
    Ok((process, address))
}

/// Ends a client's input, so that it ends the connection and then itself.
fn ends(client: &Process) -> Result<(), LabError> {
    client.closes_input();
    client.ends()?;
    Ok(())
}

/// A connection from its beginning to its end, at both ends.
fn connection(
    lab: &Lab,
    client: &Host,
    server: &Process,
    options: &str,
) -> Result<(Process, SocketAddr), LabError> {
    let (process, from) = connected(client, server.host(), options)?;
    server.says("accepted")?;
    ends(&process)?;
    lab.until("both have closed", || {
        all_closed(client).and(all_closed(server.host()))
    })?;
    Ok((process, from))
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
    program
        .ended()
        .map_or_else(running, |end| end.exited_with(code))
}

/// A client's connect failed because no port was left.
fn not_available(client: &Process) -> Check {
    client
        .errors()
        .says("Cannot assign requested address (os error 99)")
        .and(exited(client, 1))
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
    let waiting = sockets
        .iter()
        .filter(|socket| socket.state == TcpState::TimeWait);
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
    let server = server_on(&host)?;
    let (client, first) = connection(
        lab,
        &host,
        &server,
        lab.vary("--close-first", "--close-second"),
    )?;
    let (_, second) = connection(lab, &host, &server, "--close-second")?;

    let client_waits = |client: SocketAddr| host.has(TcpState::TimeWait, |s| s.local == client);
    let server_waits = |client: SocketAddr| host.has(TcpState::TimeWait, |s| s.remote == client);
    let fins = lab
        .packets()
        .with(FIN)
        .that(|packet| packet.source == first || packet.destination == first);
    let first_fin = fins.first().map(|fin| fin.source);
    lab.central(
        "the first client's FIN is the first of its connection",
        fins.check(first_fin == Some(first)),
    );
    lab.central("its end is in TIME-WAIT", client_waits(first));
    lab.central(
        "the server's end of that connection is gone",
        !server_waits(first),
    );
    lab.claim(
        "the second client asks the server to close first: the server's end is in TIME-WAIT",
        server_waits(second),
    );
    lab.claim("the second client's end is gone", !client_waits(second));
    lab.claim(
        "the first client has long ended: it is the kernel that waits",
        exited(&client, 0),
    );
    let time = Some(Duration::from_secs(40))..=Some(Duration::from_secs(60));
    lab.claim(
        "it has a minute to wait, and part of it is over",
        within(left(&host), time),
    );
    lab.done()
}

/// When TIME-WAIT will be over, in the time of the experiment. Between the two looks at the clock there is next to none.
fn ends_at(lab: &Lab, host: &Host) -> Duration {
    loop {
        let before = lab.now();
        let left = left(host).unwrap_or_default();
        if lab.now() - before < Duration::from_millis(20) {
            return before + left;
        }
    }
}

fn last_ack_lost(lab: &Lab) -> Outcome {
    let [client, server] = lab.hosts(["client", "server"])?;
    let program = server_on(&server)?;
    let (process, _) = connected(&client, &server, "")?;
    program.says("accepted")?;
    if !lab.is_control() {
        // The client acknowledges one thing from now on: the server's FIN.
        client.wire().lose(1, |packet| {
            packet.destination.port() == PORT && only_ack(packet)
        });
    }
    // Should we be slow, the second FIN waits until we have looked at the clock. The third and later ones are lost: one
    // that arrives when the server's end is gone would bring a reset on TIME-WAIT, RFC 1337.
    let fins_from = |first: u32| {
        let before = AtomicU32::new(0);
        move |packet: &Packet| {
            let of_server = packet.source.port() == PORT;
            let fin = of_server && packet.tcp().is_some_and(|tcp| tcp.flags.has(FIN));
            fin && before.fetch_add(1, Ordering::Relaxed) + 1 >= first
        }
    };
    client.wire().lose_all(fins_from(3));
    client.wire().hold_all(fins_from(2));
    ends(&process)?;
    lab.until("the client's end is in TIME-WAIT", || {
        equal(waiting(&client).len(), 1)
    })?;
    if lab.is_control() {
        lab.until("the last ACK arrives", || all_closed(&server))?;
    }
    let last_ack = server.has(TcpState::LastAck, |socket| socket.remote.port() != 0);
    let first = ends_at(lab, &client);
    client.wire().release();
    lab.until("the server's end is gone", || all_closed(&server))?;
    let second = ends_at(lab, &client);
    client.look();

    let packets = lab.packets();
    let fins = packets.clone().from(&server).with(FIN);
    lab.central(
        "the server, in LAST-ACK, sends its FIN again",
        fins.check(fins.count() > 1).and(last_ack),
    );
    lab.central("TIME-WAIT acknowledges it again", {
        let acks = packets.from(&client).that(|packet| only_ack(packet));
        let number = acks
            .last()
            .and_then(|ack| ack.tcp())
            .map(|tcp| tcp.acknowledgement);
        let same = acks.that(|ack| ack.tcp().map(|tcp| tcp.acknowledgement) == number);
        let lost_and_found = same
            .clone()
            .lost()
            .some()
            .and(same.clone().arrived().some());
        same.check(same.count() > 1).and(lost_and_found)
    });
    lab.central("TIME-WAIT begins anew: its end is put off", {
        let later = second.saturating_sub(first);
        within(later, Duration::from_millis(100)..)
    });
    lab.claim(
        "with that ACK the server's end is gone",
        all_closed(&server),
    );
    lab.done()
}

const OLD: &str = "old data";

/// A connection whose first segment is held up on its way; its repetition arrives. Then the connection is aborted, which
/// leaves nobody in TIME-WAIT, and another one is opened with the same four-tuple. What is held up is still on its way.
fn reopened(
    lab: &Lab,
    client: &Host,
    server: &Process,
    from: &str,
) -> Result<(Packet, Process), LabError> {
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
    let gone = || {
        within(
            lab.now().saturating_sub(old.sent),
            Duration::from_millis(50)..,
        )
    };
    lab.until("the clock of the timestamps has moved on", gone)?;
    Ok((old, second))
}

fn old_duplicate(lab: &Lab) -> Outcome {
    let [client, server] = lab.hosts(["client", "server"])?;
    let program = server_on(&server)?;
    let read = || program.output().count(&format!("received 8 bytes: {OLD}"));
    // The numbers of the next segment on the connection that was opened last.
    let next = || {
        let opened = lab
            .packets()
            .from(&client)
            .with(SYN)
            .last()
            .map_or(Duration::MAX, |syn| syn.sent);
        let acks = lab.packets().from(&client).since(opened).without(SYN);
        let numbers = acks
            .first()
            .and_then(|ack| ack.tcp())
            .map(|tcp| (tcp.sequence, tcp.acknowledgement));
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
        lab.until("the server's host answers", || {
            within(answers().count(), before + 1..)
        })?;
        lab.watches_for(Duration::from_millis(20));
        Ok((
            answers().last().and_then(|answer| answer.tcp()).copied(),
            read(),
        ))
    };

    lab.notes("both hosts use timestamps");
    let (old, last) = reopened(lab, &client, &program, "10.0.0.1:40001")?;
    let paws = server.counter("TcpExt", "PAWSEstab")?;
    lab.notes("the old segment arrives, with numbers that fit the new connection");
    let (_, by_timestamp) = arrives(&altered(&old, next()?)?)?;
    let paws = server.counter("TcpExt", "PAWSEstab")? - paws;
    lab.claim(
        "with timestamps it is dropped: the server reads the old data once",
        equal(by_timestamp, 1),
    );
    lab.claim(
        "the counter of segments that are too old by their timestamp says so",
        equal(paws, 1),
    );
    ends(&last)?;

    client.sets("net.ipv4.tcp_timestamps", lab.vary(0, 1))?;
    lab.notes("the client's host does without");
    let (old, _last) = reopened(lab, &client, &program, "10.0.0.1:40002")?;
    let (sequence, acknowledgement) = next()?;
    let before = read();
    let refused = |(answer, count): (Option<Tcp>, usize)| {
        equal(
            (answer.map(|answer| answer.acknowledgement), count),
            (Some(sequence), before),
        )
    };
    lab.notes("the old segment arrives, as it was");
    let as_it_was = arrives(&old)?;
    lab.notes("again, with a sequence number that fits");
    let number = old.tcp().map_or(0, |tcp| tcp.acknowledgement);
    let half = arrives(&altered(&old, (sequence, number))?)?;
    lab.notes("again, and it also acknowledges what fits");
    let (answer, _) = arrives(&altered(&old, (sequence, acknowledgement))?)?;
    let acknowledged = answer.map(|answer| answer.acknowledgement);
    let end = sequence.wrapping_add(OLD.len() as u32);
    if acknowledged == Some(end) {
        program.says(OLD)?; // what the kernel has taken, the program reads
    }
    lab.claim(
        "without timestamps and as it was, it is outside the window: not acknowledged, not read",
        refused(as_it_was),
    );
    lab.claim(
        "with a sequence number inside, its ACK gives it away: not acknowledged, not read",
        refused(half),
    );
    lab.central(
        "with both numbers inside, it is acknowledged",
        equal(acknowledged, Some(end)),
    );
    lab.central(
        "the server reads what nobody has sent on this connection",
        equal(read(), before + 1),
    );
    lab.done()
}

fn ports_run_out(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.sets("net.ipv4.ip_local_port_range", "40000 40001")?;
    host.sets("net.ipv4.tcp_tw_reuse", 0)?; // 2, the default, is for connections on the loopback interface
    let server = server_on(&host)?;
    let ending = lab.vary("--close-first", "--close-second");
    for _ in 0..2 {
        connection(lab, &host, &server, ending)?;
    }
    let third = client_on(&host, "127.0.0.1")?;
    let in_range = |address: &SocketAddr| [40000, 40001].contains(&address.port());
    let taken = waiting(&host)
        .iter()
        .filter(|local| in_range(local))
        .count();
    lab.central("both ports are in TIME-WAIT", equal(taken, 2));
    lab.central(
        "the third connect fails with EADDRNOTAVAIL",
        not_available(&third),
    );
    lab.central(
        "it sends nothing",
        lab.packets().from(&host).with(SYN).without(ACK).exactly(2),
    );

    let other = host.start("chap-10 server --port 43212")?;
    other.listens()?;
    let (fourth, from) = connection(lab, &host, &other, "--port 43212")?;
    lab.claim(
        "a connection to another port of the same server succeeds",
        exited(&fourth, 0),
    );
    lab.claim(
        "and its own port is one of the two",
        Check::new(in_range(&from), from),
    );
    lab.done()
}

fn tw_reuse(lab: &Lab) -> Outcome {
    let [client, server] = lab.hosts(["client", "server"])?;
    client.sets("net.ipv4.ip_local_port_range", "40000 40000")?;
    client.sets("net.ipv4.tcp_timestamps", lab.vary(1, 0))?;
    client.sets("net.ipv4.tcp_tw_reuse", 1)?;
    let program = server_on(&server)?;
    let began = lab.now();
    connection(lab, &client, &program, "")?;
    let early = client_on(&client, "10.0.0.2")?;
    let second = Duration::from_secs(59);
    let late = lab.now() - began >= Duration::from_secs(1);
    lab.until("a second is over", || {
        within(left(&client), ..Some(second - Duration::from_millis(20)))
    })?;
    client.sets("net.ipv4.tcp_tw_reuse", 2)?;
    lab.notes("a second is over; tcp_tw_reuse is 2, the default");
    let by_default = client_on(&client, "10.0.0.2")?;
    client.sets("net.ipv4.tcp_tw_reuse", 1)?;
    lab.notes("tcp_tw_reuse is 1");
    let changed = lab.now();
    let reused = client.start("chap-10 client 10.0.0.2 --typed")?;
    if !lab.is_control() {
        reused.says("connection 1 from ")?;
        client.look();
    }
    ends(&reused)?;
    lab.until("both have closed", || {
        all_closed(&client).and(all_closed(&server))
    })?;

    if lab.kernel().at_least(6, 14) {
        // Kernels before count whole seconds of the clock: the next one may begin at once.
        lab.claim(
            "before a second is over, connect fails",
            not_available(&early).or(Check::new(late, "it was late")),
        );
    }
    lab.claim(
        "with the default, 2, it fails over a wire",
        not_available(&by_default),
    );
    lab.central("with 1 it succeeds after a second", exited(&reused, 0));
    let syns = lab.packets().from(&client).with(SYN).since(changed);
    lab.central("its SYN leaves from the port that was in TIME-WAIT", {
        syns.check(syns.first().is_some_and(|syn| syn.source.port() == 40000))
    });
    let counted = client.counter("TcpExt", "TWRecycled")?;
    lab.central("the kernel has counted it", within(counted, 1..));
    lab.done()
}

fn linger_zero(lab: &Lab) -> Outcome {
    const BYTES: usize = 100_000;
    let host = lab.host()?;
    host.sets("net.ipv4.tcp_rmem", "4096 8192 8192")?; // the server's host takes little
    host.sets("net.ipv4.tcp_wmem", "4096 1000000 1000000")?; // and the client's keeps the rest
    let server = host.program("chap-10 server --wait").traced().start()?;
    server.listens()?;
    let (client, _) = connected(
        &host,
        &host,
        &format!("--bytes {BYTES} {}", lab.vary("--linger 0", "")),
    )?;
    client.says(&format!("send bytes: {BYTES}"))?;
    server.says("accepted")?;
    ends(&client)?;
    server.types("")?;
    server.says("client ")?;
    lab.until("both have closed", || all_closed(&host))?;

    let of_client = lab.packets().from(&client);
    lab.central(
        "close sends RST and no FIN",
        of_client.clone().has(RST).and(of_client.clone().lacks(FIN)),
    );
    lab.central("nobody is in TIME-WAIT", equal(waiting(&host).len(), 0));
    let arrived = of_client.carrying_data().bytes();
    lab.central(
        "most of what send had taken never leaves",
        within(arrived, 1..BYTES / 2),
    );
    // The connection is the first thing that it reads from after it has accepted it.
    let calls = server.calls().all();
    let reads = calls
        .iter()
        .skip_while(|call| call.name != "accept4")
        .filter(|call| call.name == "read");
    let results: Vec<_> = reads
        .filter(|call| call.arguments[0] != 0)
        .filter_map(|call| call.result)
        .collect();
    let counts = results.iter().map_while(|result| result.ok()).sum::<i64>();
    lab.claim(
        "the server's host has what arrived, and the server reads it",
        equal(counts, arrived as i64),
    );
    lab.central("its next read fails with ECONNRESET", {
        let failed = results
            .last()
            .is_some_and(|result| *result == Err(Errno::ECONNRESET));
        Check::new(failed, format_args!("{results:?}"))
    });
    lab.done()
}

fn linger_blocks(lab: &Lab) -> Outcome {
    let [client, server] = lab.hosts(["client", "server"])?;
    let program = server_on(&server)?;
    let linger = |seconds: u32| lab.vary(format!("--linger {seconds}"), String::new());
    let ended = |process: &Process| process.ended().map(|end| process.time_of(&end));

    client.sets("net.ipv4.tcp_early_retrans", 0)?; // no probes before the time-out
    client.sets("net.ipv4.tcp_no_metrics_save", 1)?; // the second connection knows nothing of the first one's delay
    client.wire().delay(Duration::from_millis(100));
    lab.notes("a packet takes 100 ms");
    let (first, one) = connected(&client, &server, &linger(10))?;
    first.types("data1")?;
    ends(&first)?;
    lab.until("both have closed", || {
        all_closed(&server).and(all_closed(&client))
    })?;

    client.wire().delay(Duration::ZERO);
    let (second, other) = connected(&client, &server, &linger(1))?;
    client.wire().cut();
    lab.notes("no delay any more, but the wire is cut");
    second.types("data2")?;
    ends(&second)?;
    client.wire().mend();
    lab.notes("the wire is mended");
    program.says("received 5 bytes: data2")?;
    lab.until("both have closed", || {
        all_closed(&server).and(all_closed(&client))
    })?;

    let fin = |from| {
        lab.packets()
            .with(FIN)
            .that(|packet| packet.source == from)
            .first()
            .cloned()
    };
    let acks = lab
        .packets()
        .from(&server)
        .that(|packet| packet.destination == one);
    let acknowledged = acks.that(|ack| {
        let numbers = ack
            .tcp()
            .zip(fin(one).as_ref().and_then(|fin| fin.tcp().copied()));
        numbers.is_some_and(|(ack, fin)| ack.acknowledgement == fin.sequence.wrapping_add(1))
    });
    let arrived = acknowledged.first().and_then(|ack| ack.arrived);
    lab.central("close returns after the ACK for everything has come", {
        let times = (ended(&first), arrived);
        Check::new(
            times.1.is_some() && times.0 >= times.1,
            format_args!("{times:?}"),
        )
    });
    let took = |process: &Process, from| {
        let began = fin(from).map(|fin| fin.sent);
        ended(process)
            .zip(began)
            .map(|(end, began)| end.saturating_sub(began))
            .unwrap_or_default()
    };
    lab.claim(
        "that is long before its ten seconds are over",
        within(took(&first, one), ..Duration::from_secs(5)),
    );
    lab.central("when no ACK comes, close returns after its one second", {
        within(took(&second, other), Duration::from_millis(950)..)
    });
    lab.claim("it returns success", exited(&second, 0));
    let data = lab
        .packets()
        .carrying_data()
        .that(|packet| packet.source == other);
    let last = data.arrived().last().map(|packet| packet.sent);
    lab.claim(
        "the kernel sends the data again when the process has gone, and it arrives",
        {
            let times = (ended(&second), last);
            Check::new(
                times.0.is_some() && times.0 < times.1,
                format_args!("{times:?}"),
            )
        },
    );
    lab.done()
}

fn max_buckets(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.sets("net.ipv4.tcp_max_tw_buckets", lab.vary(1, 1000))?;
    let server = host.start("chap-10 server --wait")?;
    server.listens()?;
    let mut ports = Vec::new();
    for _ in 0..2 {
        let (client, from) = connected(&host, &host, "")?;
        server.says("accepted")?;
        ends(&client)?;
        // The ACK first and the FIN later, as from a server that still has something to do.
        lab.until("the FIN is acknowledged", || {
            lab.packets()
                .that(|packet| packet.destination == from && only_ack(packet))
                .some()
        })?;
        server.types("")?;
        server.says("client closed")?;
        lab.until("both have closed", || all_closed(&host))?;
        ports.push(from);
    }
    let resets = |client: SocketAddr| {
        lab.packets()
            .with(RST)
            .that(|packet| packet.source == client)
    };
    lab.claim(
        "the first client's end is in TIME-WAIT and stays there",
        host.has(TcpState::TimeWait, |s| s.local == ports[0]),
    );
    lab.central(
        "the second client's end is gone",
        !host.has(TcpState::TimeWait, |s| s.local == ports[1]),
    );
    lab.central("the kernel counts one connection that has no room", {
        equal(host.counter("TcpExt", "TCPTimeWaitOverflow")?, 1)
    });
    lab.central(
        "the server's FIN finds nobody and is answered with a reset",
        resets(ports[1]).some(),
    );
    lab.claim(
        "the first client's was acknowledged",
        resets(ports[0]).none(),
    );
    lab.done()
}

fn sixty_seconds(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.sets("net.ipv4.tcp_fin_timeout", 4)?;
    let server = host.start("chap-10 server --wait")?;
    server.listens()?;
    let is_there = |from: SocketAddr| {
        host.sockets()
            .is_ok_and(|sockets| sockets.iter().any(|s| s.local == from))
    };
    let lasts = |from: SocketAddr, began: Duration| {
        while is_there(from) && lab.now() - began < Duration::from_secs(90) {
            lab.watches_for(Duration::from_millis(50));
        }
        host.look(); // for the ladder
        lab.now() - began
    };

    let (first, one) = connected(&host, &host, "")?;
    server.says("accepted")?;
    ends(&first)?;
    lab.until("the first end is in FIN-WAIT-2", || {
        host.has(TcpState::FinWait2, |s| s.local == one)
    })?;
    let fin_wait = lasts(one, lab.now());
    server.types("")?;
    server.says("client closed")?;

    let (second, other) = connected(&host, &host, "")?;
    server.says("accepted")?;
    ends(&second)?;
    if !lab.is_control() {
        server.types("")?;
        server.says("client closed")?;
    }
    lab.until("the second end waits", || {
        host.has(lab.vary(TcpState::TimeWait, TcpState::FinWait2), |s| {
            s.local == other
        })
    })?;
    let waits = host.has(TcpState::TimeWait, |s| s.local == other);
    let time_wait = lasts(other, lab.now());

    let seconds = |range: std::ops::Range<u64>| {
        Duration::from_secs(range.start)..Duration::from_secs(range.end)
    };
    lab.claim(
        "FIN-WAIT-2 lasts four seconds, as tcp_fin_timeout says",
        within(fin_wait, seconds(3..15)),
    );
    lab.claim(
        "the server's FIN comes after that, finds nobody, and is answered with a reset",
        {
            lab.packets()
                .with(RST)
                .that(|packet| packet.source == one)
                .some()
        },
    );
    lab.central("the second end is in TIME-WAIT", waits);
    lab.central(
        "that lasts for 60 seconds",
        within(time_wait, seconds(59..75)),
    );
    lab.done()
}
