//! Chapter 13: small packets.

use std::collections::HashSet;

use nix::errno::Errno;
use nix::unistd::{SysconfVar, sysconf};

use crate::net::sock_diag::{Socket, TcpInfo, Timer};
use crate::observe::Sample;
use crate::packet::Tcp;
use crate::packets::Packets;
use crate::prelude::*;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "13/writev",
        "two buffers leave in one segment, and what one writev does not take, the next one does",
        writev,
        "the client calls writev once, whatever it returns",
    )
    .isolated(),
    Experiment::new(
        "13/nagle-meets-delayed-ack",
        "the second part of a request waits for an acknowledgement, which waits for the second part",
        nagle_meets_delayed_ack,
        "the first connection, too, has TCP_NODELAY",
    ),
    Experiment::new(
        "13/zero-window",
        "the reader stops: the window closes, the sender asks again and again, and goes on when it opens",
        zero_window,
        "the reader does not stop",
    )
    .isolated(),
    Experiment::new(
        "13/silly-window",
        "a reader that takes one byte at a time does not make its kernel announce windows of one byte",
        silly_window,
        "the reader takes as much as a segment holds each time",
    )
    .isolated(),
    Experiment::new(
        "13/slow-start",
        "the first flight is ten segments, each one after it is twice as large, until something is lost",
        slow_start,
        "the receiver's window has room for a few segments only",
    )
    .isolated(),
    Experiment::new(
        "13/min-of-windows",
        "what is under way is never more than the lesser of the peer's window and the congestion window",
        min_of_windows,
        "the second receiver's buffer is as large as the first one's",
    )
    .isolated(),
    Experiment::new(
        "13/iov-max",
        "1024 buffers are as many as one call takes: with one more it fails",
        iov_max,
        "no call has more than 1024 buffers",
    ),
];

/// The port of a second server on the same host.
const SECOND: u16 = 43212;

/// What was sent to a server, by its port: a client may be gone before its socket has been looked at.
fn sent_to(packets: Packets, port: u16) -> Packets {
    packets.that(move |packet| packet.destination.port() == port)
}

/// The header of a segment.
fn header(packet: &Passed) -> Tcp {
    packet.tcp().copied().unwrap_or_default()
}

/// The sequence number behind the last byte of a segment.
fn end(packet: &Passed) -> u32 {
    header(packet).sequence.wrapping_add(packet.length as u32)
}

/// Whether an acknowledgement covers everything before this number.
fn covers(ack: &Passed, number: u32) -> bool {
    header(ack).flags.has(ACK) && header(ack).acknowledgement.wrapping_sub(number) < 1 << 31
}

/// The windows that this party announces, in bytes, with the segments that announce them: after the handshake.
fn windows(packets: Packets) -> Vec<(Passed, u32)> {
    let syn = packets.clone().with(SYN);
    let scale = syn.first().and_then(|syn| header(syn).window_scale);
    let announced = packets.without(SYN).without(RST);
    let window = |packet: &Passed| u32::from(header(packet).window) << scale.unwrap_or(0);
    announced
        .iter()
        .map(|packet| (packet.clone(), window(packet)))
        .collect()
}

fn writev(lab: &Lab) -> Outcome {
    const SENT: usize = 6 + 1000 * 26;
    let host = lab.host()?;
    let server = host.program("chap-13 batchwrite --serve").named("server");
    let server = server.start()?;
    server.listens()?;
    let client = |command: &str| {
        let client = host.program(command).named("client");
        client.traced_drawing(&["writev"]).start()
    };
    let first = client("chap-13 batchwrite 127.0.0.1")?;
    first.types("world")?;
    server.says("received 12 bytes: hello,world")?;
    first.types_ctrl_d();
    first.ends()?;
    server.says("client closed")?;

    // This one does not read before it is told to.
    let reader = host.start(&format!(
        "chap-13 window --serve --port {SECOND} --rcvbuf 4096"
    ))?;
    reader.listens()?;
    let once = lab.vary("", " --once");
    let second = client(&format!(
        "chap-13 batchwrite 127.0.0.1 --port {SECOND} --copies 1000 --sndbuf 4096{once}"
    ))?;
    second.types("abcdefghijklmnopqrstuvwxy")?;
    let waits_for_window = |socket: &Socket| {
        let probing = matches!(socket.timer, Timer::ZeroWindowProbe(_));
        socket.remote.port() == SECOND && probing
    };
    lab.until("both buffers are full and writev waits", || {
        second
            .blocks_in(&["writev"])
            .and(host.has(TcpState::Established, waits_for_window))
    })?;
    lab.notes("SIGUSR1 to the client");
    second.signal(Signal::SIGUSR1);
    second.says("send bytes")?;
    reader.types("all")?;
    second.types_ctrl_d();
    second.ends()?;
    reader.says("client closed")?;

    let data = sent_to(lab.packets(), PORT).carrying_data();
    let contents: Vec<_> = data.iter().map(|packet| packet.data()).collect();
    lab.claim(
        "one writev with two buffers is one segment of 12 bytes",
        equal(first.calls().returned("writev"), [Ok(12)]).and(equal(contents, [b"hello,world\n"])),
    );
    let returned = second.calls().returned("writev");
    let counts: Vec<_> = returned.into_iter().flatten().collect();
    let short = counts.first().copied().unwrap_or_default();
    lab.claim(
        "the second client's writev is interrupted when both buffers are full: it returns a count that is short",
        within(short, 1..SENT as i64),
    );
    lab.central(
        "another writev takes the rest, from the middle of a buffer on",
        equal(counts.iter().sum::<i64>(), SENT as i64),
    );
    let stream = stream(sent_to(lab.packets(), SECOND));
    let expected = [
        b"hello,".to_vec(),
        b"abcdefghijklmnopqrstuvwxy\n".repeat(1000),
    ]
    .concat();
    lab.central(
        "the 1001 buffers arrive as one stream, in order and whole",
        Check::new(stream == expected, format_args!("{} bytes", stream.len())),
    );
    lab.figure("bytes that the first of these calls took", short);
    lab.done()
}

/// The segments without those that were sent again: on a busy machine the kernel may take a late answer for a loss.
fn sent_first(mut packets: Packets) -> Packets {
    let mut seen = HashSet::new();
    packets
        .all
        .retain(|segment| seen.insert(header(segment).sequence));
    packets
}

/// How long the second part of each request waited after the first, on one connection. Zero where both are one segment.
fn waits(segments: &Packets) -> Vec<Duration> {
    let mut began = Duration::ZERO;
    let mut waits = Vec::new();
    for segment in segments.iter() {
        if segment.data().contains(&b',') {
            began = segment.sent;
        }
        if segment.data().contains(&b'\n') {
            waits.push(segment.sent.saturating_sub(began));
        }
    }
    waits
}

fn nagle_meets_delayed_ack(lab: &Lab) -> Outcome {
    const DELAYED: Duration = Duration::from_millis(30);
    let modes = [
        lab.vary("two-writes", "nodelay"),
        "writev",
        "nodelay",
        "cork",
        "quickack",
    ];
    let host = lab.host()?;
    let server = host.program("chap-13 nagle --serve").named("server");
    let server = server.start()?;
    server.listens()?;
    let given = modes.join(",");
    let client = format!("chap-13 nagle 127.0.0.1 --requests 4 --mode {given}");
    let client = host.program(&client).named("client").start()?;
    client.ends()?;
    for _ in modes {
        server.says("client closed")?;
    }

    let packets = lab.packets();
    let syns = sent_to(packets.clone(), PORT).with(SYN);
    let ports: Vec<_> = syns.iter().map(|syn| syn.source.port()).collect();
    for port in ports.iter().skip(2) {
        lab.leaves_out(*port..=*port); // the ladder shows the first two connections
    }
    let of = |mode: usize| {
        let port = ports.get(mode).copied().unwrap_or_default();
        packets
            .clone()
            .that(move |packet| packet.source.port() == port || packet.destination.port() == port)
    };
    let requests = |mode| sent_first(sent_to(of(mode), PORT).carrying_data());
    let two_writes = requests(0);
    let acks = of(0).that(|packet| packet.source.port() == PORT && packet.length == 0);
    let acknowledged_first = two_writes.windows(2).all(|pair| {
        let [head, body] = pair else { return false };
        let ack = acks.iter().find(|ack| covers(ack, end(head)));
        !body.data().ends_with(b"\n") || ack.is_some_and(|ack| ack.sent <= body.sent)
    });
    lab.central(
        "the second part of a request never leaves before the first is acknowledged",
        two_writes.check(acknowledged_first),
    );
    // The first request is an exception: a young connection acknowledges at once.
    let later = |mode| waits(&requests(mode)).split_off(1);
    lab.central(
        "from the second request on it waits about 40 milliseconds, which is how long the ACK is delayed",
        Check::new(
            later(0).iter().filter(|wait| **wait >= DELAYED).count() >= 2,
            format_args!("{:.1?}", later(0)),
        ),
    );
    let alone = |mode| {
        let lengths: Vec<_> = requests(mode)
            .iter()
            .map(|segment| segment.length)
            .collect();
        equal(lengths, [12; 4])
    };
    lab.claim("writev sends both parts in one segment", alone(1));
    lab.claim("so does the cork", alone(3));
    let prompt = |mode| {
        let waits = later(mode);
        let shortest = waits.iter().min().copied();
        Check::new(shortest < Some(DELAYED), format_args!("{waits:.1?}"))
            .and(equal(requests(mode).count(), 8))
    };
    lab.claim(
        "with TCP_NODELAY there are two segments, and the second does not wait",
        prompt(2),
    );
    lab.claim(
        "when the server asks for TCP_QUICKACK there are two, and the ACK between them comes at once",
        prompt(4),
    );
    lab.done()
}

/// What the sender has for the reader: more than the reader's buffer takes.
const MUCH: usize = 20_000;

/// A reader that reads when it is told to, on one host, and a sender that has more for it than its buffer takes.
fn unread(lab: &Lab) -> Result<(Process, Process), LabError> {
    let [near, far] = lab.hosts(["client", "server"])?;
    // No guess that the last segment was lost, only because its acknowledgement is delayed: RFC 8985, section 7.
    near.sets("net.ipv4.tcp_early_retrans", 0)?;
    let server = far.program("chap-13 window --serve --bind 10.0.0.2 --rcvbuf 8192");
    let server = server.named("server").start()?;
    server.listens()?;
    let client = near.program(&format!("chap-13 window 10.0.0.2 --bytes {MUCH}"));
    let client = client.named("client").start()?;
    server.says("client connected")?;
    Ok((server, client))
}

/// When the reader's host has said that its window is closed.
fn closed(lab: &Lab, server: &Process) -> Option<Duration> {
    let windows = windows(lab.packets().from(server));
    let closed = windows.iter().find(|(_, window)| *window == 0);
    closed.map(|(ack, _)| ack.sent)
}

/// The first window after that in which there is room.
fn reopened(lab: &Lab, server: &Process) -> Option<(Duration, u32)> {
    let closed = closed(lab, server)?;
    let windows = windows(lab.packets().from(server).since(closed));
    let open = windows.into_iter().find(|(_, window)| *window > 0);
    open.map(|(ack, window)| (ack.sent, window))
}

/// What the client sends between those two moments.
fn while_closed(lab: &Lab, client: &Process, server: &Process) -> Packets {
    let from = closed(lab, server).unwrap_or(Duration::MAX);
    let to = reopened(lab, server).map_or(Duration::MAX, |(at, _)| at);
    let sent = lab.packets().from(client).tcp().since(from);
    sent.that(|packet| packet.sent < to)
}

/// The bytes of the stream that have come to the reader's host, each counted once.
fn stream(packets: Packets) -> Vec<u8> {
    let mut segments = packets.arrived().carrying_data().all;
    let first = segments.first().map_or(0, |first| header(first).sequence);
    segments.sort_by_key(|segment| header(segment).sequence.wrapping_sub(first));
    segments.dedup_by_key(|segment| header(segment).sequence);
    segments
        .iter()
        .flat_map(|segment| segment.data().to_vec())
        .collect()
}

fn zero_window(lab: &Lab) -> Outcome {
    let (server, client) = unread(lab)?;
    if !lab.is_control() {
        let probes = || while_closed(lab, &client, &server).count();
        lab.until("three probes have been sent", || within(probes(), 3..))?;
        server.types("")?;
        server.says("window 0 bytes")?;
    }
    server.types("all")?;
    client.ends()?;
    server.says("client closed")?;

    let probes = while_closed(lab, &client, &server);
    let acknowledged = windows(lab.packets().from(&server))
        .into_iter()
        .find(|(_, window)| *window == 0)
        .map(|(ack, _)| header(&ack).acknowledgement);
    let one_below = |probe: &Passed| {
        let below = acknowledged.map(|number| number.wrapping_sub(1));
        probe.length == 0 && Some(header(probe).sequence) == below
    };
    lab.central(
        "while the window is 0 the sender sends no data, but three segments without any",
        probes
            .exactly(3)
            .and(probes.check(probes.iter().all(one_below))),
    );
    let gaps = probes.gaps();
    let longer = [350, 700].map(Duration::from_millis);
    lab.central(
        "the second comes 0.4 seconds after the first, the third 0.8 seconds after the second, or a little later",
        Check::new(
            gaps.len() == 2 && gaps.iter().zip(longer).all(|(gap, least)| *gap > least),
            format_args!("{gaps:.1?}"),
        ),
    );
    let answers = windows(lab.packets().from(&server));
    let room = reopened(lab, &server).map_or(0, |(_, window)| window);
    lab.claim(
        "when the reader reads, its host says that there is room for more than a segment",
        within(room, 1448..),
    );
    let expected: Vec<u8> = (0..MUCH).map(|number| number as u8).collect();
    let arrived = stream(lab.packets().from(&client));
    lab.claim(
        "all bytes arrive, in order",
        Check::new(arrived == expected, format_args!("{} bytes", arrived.len())),
    );
    gauge_window(lab, &answers);
    lab.done()
}

/// The window that the reader's host announces, over time.
fn gauge_window(lab: &Lab, announced: &[(Passed, u32)]) {
    lab.gauge_of("announced window", "bytes", {
        announced
            .iter()
            .map(|(ack, window)| (ack.sent, f64::from(*window)))
    });
}

fn silly_window(lab: &Lab) -> Outcome {
    let (server, client) = unread(lab)?;
    lab.until("the window is closed", || {
        Check::new(closed(lab, &server).is_some(), "it is open")
    })?;
    // From now on it takes a while until what the sender sends can mix with what the reader says.
    client.host().wire().delay(Duration::from_millis(50));
    // At most as many bytes as lie unread there.
    let (size, times) = lab.vary((1, 500), (1448, 1));
    let mut reads = 0;
    for _ in 0..lab.vary(19, 6) {
        server.types(&format!("read {size} {times}"))?;
        server.says(&format!("{times} reads"))?;
        reads += times;
        if reopened(lab, &server).is_some() {
            break;
        }
    }
    server.types("all")?;
    client.ends()?;
    server.says("client closed")?;

    let announced = windows(lab.packets().from(&server));
    let (at, room) = reopened(lab, &server).unwrap_or_default();
    lab.central(
        "more than a thousand reads go by before the window opens",
        within(reads, 1001..),
    );
    lab.claim(
        "then it has room for a whole segment at once",
        within(room, 1448..),
    );
    let silly = announced
        .iter()
        .filter(|(_, window)| (1..1448).contains(window));
    lab.claim(
        "no window between 1 and 1447 bytes is ever announced",
        equal(silly.count(), 0),
    );
    let sent = lab.packets().from(&client).carrying_data().since(at);
    // When the receiver is slow to acknowledge, the last segment is sent again.
    let sequence = |segment: &Passed| segment.tcp().map(|tcp| tcp.sequence);
    let end = sent.iter().last().and_then(sequence);
    lab.claim(
        "what the sender sends then are whole segments, but for the last",
        sent.check(
            sent.iter()
                .all(|segment| segment.length == 1448 || sequence(segment) == end),
        ),
    );
    lab.figure("one-byte reads before the window opened", reads);
    lab.figure("the window then", format!("{room} bytes"));
    gauge_window(lab, &announced);
    lab.done()
}

/// Two hosts. The sender's kernel does not take a busy machine for a network that loses: it sends again only what
/// duplicate acknowledgements ask for.
fn two_hosts(lab: &Lab) -> Result<[Host; 2], LabError> {
    let hosts = lab.hosts(["client", "server"])?;
    hosts[0].sets("net.ipv4.tcp_early_retrans", 0)?;
    // A lost segment is one that three acknowledgements have passed over, however long ago it was sent: no RFC 8985.
    hosts[0].sets("net.ipv4.tcp_recovery", 0)?;
    // Since Linux 6.11; without it, a pause of the machine can look like a loss.
    let _ = hosts[0].sets("net.ipv4.tcp_rto_min_us", 5_000_000);
    // All that is to be sent fits into the send buffer: a sender that has to wait for the processor does not count.
    hosts[0].sets("net.ipv4.tcp_wmem", "4096 4000000 8000000")?;
    // Where nobody asks for another size, the receiver's buffer is not what limits the sender.
    hosts[1].sets("net.ipv4.tcp_rmem", "4096 400000 8000000")?;
    Ok(hosts)
}

/// A sender with reno, which is the congestion control of RFC 5681, and what was seen of it.
struct Sending {
    client: Process,
    server: Process,
    /// The sending socket.
    samples: Vec<Sample>,
}

impl Sending {
    /// The socket as long as something is under way, and a moment longer: for the plots.
    fn under_way(&self, lab: &Lab) -> Vec<Sample> {
        let data = lab.packets().from(&self.client).carrying_data();
        let end = data.last().map_or(Duration::ZERO, |last| last.sent) + Duration::from_millis(40);
        let mut samples = self.samples.clone();
        samples.retain(|sample| sample.at < end);
        samples
    }
}

/// Sends many bytes from one host to the other. At first the wire keeps the receiver's acknowledgements: `meanwhile` says
/// when to deliver them, and releases them in the end. Comes back when everything has ended.
fn sends<T>(
    lab: &Lab,
    hosts: &[Host; 2],
    server: &str,
    client: &str,
    meanwhile: impl FnOnce(&Process, &Process) -> Result<T, LabError>,
) -> Result<(Sending, T), LabError> {
    let [near, far] = hosts;
    near.wire().delay(Duration::ZERO);
    near.wire().hold_all(|packet| {
        let opens = packet.tcp().is_some_and(|tcp| tcp.flags.has(SYN));
        packet.source.port() == PORT && !opens
    });
    let server = format!("chap-13 congestion --serve --bind 10.0.0.2{server}");
    let server = far.program(&server).named("server").start()?;
    server.listens()?;
    let client = format!("chap-13 congestion 10.0.0.2 --set reno{client}");
    let client = near.program(&client).named("client").start()?;
    let outcome = meanwhile(&client, &server)?;
    lab.notes("the wire delivers everything from now on, after 10 ms");
    near.wire().delay(Duration::from_millis(10));
    near.wire().release();
    client.ends()?;
    lab.until("the server's end is gone", || {
        let sockets = far.sockets().unwrap_or_default();
        let connected = sockets.iter().filter(|socket| socket.remote.port() != 0);
        equal(connected.count(), 0)
    })?;
    server.types_ctrl_c();
    server.ends()?;
    let opened = lab.packets().from(&client);
    let port = opened.first().map(|syn| syn.source.port());
    let mut samples = near.samples(|tuple| Some(tuple.local.port()) == port);
    samples.retain(|sample| sample.socket.info.is_some()); // TIME-WAIT has none
    let sending = Sending {
        client,
        server,
        samples,
    };
    Ok((sending, outcome))
}

/// Waits until a sender has sent at least so many segments, and the receiver has acknowledged all of them. As long as
/// the wire keeps the acknowledgements, it sends no more. How many it has sent.
fn stands_still(
    lab: &Lab,
    client: &Process,
    server: &Process,
    least: usize,
) -> Result<usize, LabError> {
    let mut count = 0;
    lab.until("the sender waits for acknowledgements", || {
        let data = lab.packets().from(client).carrying_data();
        let acks = lab.packets().from(server).without(SYN);
        count = data.count();
        let last = data.last().map(end);
        let acknowledged = last.is_some_and(|last| acks.iter().any(|ack| covers(ack, last)));
        within(count, least..).and(equal(acknowledged, true))
    })?;
    Ok(count)
}

fn info(sample: &Sample) -> TcpInfo {
    sample.socket.info.unwrap_or_default()
}

fn slow_start(lab: &Lab) -> Outcome {
    const LOST: usize = 91;
    let hosts = two_hosts(lab)?;
    hosts[0].wire().lose(LOST, |packet| packet.length > 0);
    let rcvbuf = lab.vary("", " --rcvbuf 8192");
    let client = " --bytes 1078000 --interval 0.9";
    let (sent, flights) = sends(lab, &hosts, rcvbuf, client, |client, server| {
        let mut flights: Vec<usize> = Vec::new();
        for least in [10, 30, 70] {
            let before: usize = flights.iter().sum();
            if before > 0 {
                lab.notes("the wire delivers the acknowledgements");
                hosts[0].wire().deliver_kept();
            }
            let least = lab.vary(least, before + 1);
            flights.push(stands_still(lab, client, server, least)? - before);
        }
        Ok(flights)
    })?;

    lab.central(
        "ten segments leave before the first acknowledgement comes",
        equal(flights[0], 10),
    );
    lab.central(
        "when all ten are acknowledged twenty leave, and then forty",
        equal(&flights[1..], [20, 40]),
    );
    let last = sent.samples.last().map(info).unwrap_or_default();
    let data = lab.packets().from(&sent.client).carrying_data();
    lab.claim(
        "of the next flight one is lost, and sent again",
        data.clone()
            .lost()
            .exactly(1)
            .and(within(last.total_retrans, 1..)),
    );
    // By then the 90 before it are acknowledged, and each has made the window one larger.
    let half = (10 + LOST - 1) / 2;
    lab.claim(
        "that ends slow start: the threshold falls to half of what the window was, 50 segments",
        within(last.snd_ssthresh as usize, half - 3..=half + 3),
    );
    lab.claim(
        "from there on the window grows by one segment for each whole window that is acknowledged",
        within(
            last.snd_cwnd as usize,
            half + 1..=half + 1 + data.count() / half,
        ),
    );
    let samples = sent.under_way(lab);
    lab.gauge("congestion window", "segments", &samples, |sample| {
        info(sample).snd_cwnd.into()
    });
    lab.gauge("under way", "segments", &samples, |sample| {
        info(sample).unacked.into()
    });
    lab.done()
}

/// How far each segment of a sender stays below the right edge of the peer's window, as far as the sender knows it.
fn room(packets: &Packets, sent: &Sending) -> Vec<i32> {
    let announced = windows(packets.clone().from(&sent.server));
    let room = |segment: &Passed| {
        let known = |ack: &Passed| ack.arrived.is_some_and(|at| at <= segment.sent);
        let known = announced.iter().filter(|(ack, _)| known(ack));
        let edges = known.map(|(ack, window)| {
            let edge = header(ack).acknowledgement.wrapping_add(*window);
            edge.wrapping_sub(end(segment)) as i32
        });
        edges.max()
    };
    let data = packets.clone().from(&sent.client).carrying_data();
    data.iter().filter_map(room).collect()
}

fn min_of_windows(lab: &Lab) -> Outcome {
    let hosts = two_hosts(lab)?;
    let options = " --bytes 100000 --interval 0.5";
    let (large, first_large) = sends(lab, &hosts, "", options, |client, server| {
        stands_still(lab, client, server, 10)
    })?;
    let rcvbuf = lab.vary(" --rcvbuf 12000", "");
    let (small, first_small) = sends(lab, &hosts, rcvbuf, options, |client, server| {
        stands_still(lab, client, server, lab.vary(8, 10))
    })?;

    let packets = lab.packets();
    let rooms = [room(&packets, &large), room(&packets, &small)];
    let least = rooms.clone().map(|room| room.into_iter().min());
    lab.claim(
        "no segment goes beyond the edge of the peer's window, as far as its sender knows it",
        all(least.map(|least| within(least, Some(0)..))),
    );
    let samples = [&large.samples[..], &small.samples[..]].concat();
    let beyond = |sample: &&Sample| info(sample).unacked > info(sample).snd_cwnd;
    lab.claim(
        "whenever the sockets are looked at, no more is under way than the congestion window allows",
        equal(samples.iter().filter(beyond).count(), 0),
    );
    lab.claim(
        "the first sender's peer has room for more: it is the congestion window of ten that holds the sender back",
        equal(first_large, 10).and(within(least[0], Some(1448)..)),
    );
    lab.central(
        "the second sender's congestion window is the same, but eight segments fill the peer's window",
        equal(first_small, 8),
    );
    let at_edge = rooms[1].iter().filter(|room| **room < 1448).count();
    lab.central(
        "it comes to the edge of that window again and again",
        within(at_edge, 4..),
    );
    let samples = [large.under_way(lab), small.under_way(lab)].concat();
    let bytes = |segments: u32, sample: &Sample| f64::from(segments * info(sample).snd_mss);
    lab.gauge("under way", "bytes", &samples, |sample| {
        bytes(info(sample).unacked, sample)
    });
    lab.gauge("congestion window", "bytes", &samples, |sample| {
        bytes(info(sample).snd_cwnd, sample)
    });
    lab.gauge("peer's window", "bytes", &samples, |sample| {
        info(sample).snd_wnd.into()
    });
    lab.done()
}

fn iov_max(lab: &Lab) -> Outcome {
    const MOST: i64 = 1024;
    let host = lab.host()?;
    let server = host.program("chap-13 batchwrite --serve").named("server");
    let server = server.start()?;
    server.listens()?;
    let more = lab.vary(1024, 1023);
    let mut results = Vec::new();
    for (call, copies) in [("writev", 1023), ("writev", more), ("sendmsg", more)] {
        let option = if call == "sendmsg" { " --sendmsg" } else { "" };
        let command = format!("chap-13 batchwrite 127.0.0.1 --copies {copies}{option}");
        let client = host
            .program(&command)
            .traced_drawing(&["writev", "sendmsg"]);
        let client = client.start()?;
        lab.until("the client is connected", || {
            host.has(TcpState::Established, |socket| socket.remote.port() == PORT)
        })?;
        host.look(); // it ends soon, and the ladder should know whose connection it was
        client.types("")?;
        client.types_ctrl_d();
        client.ends()?;
        server.says("client closed")?;
        results.push(client.calls().returned(call));
    }
    let limit = sysconf(SysconfVar::IOV_MAX).ok().flatten();
    lab.claim(
        "sysconf says that the limit is 1024",
        equal(limit, Some(MOST)),
    );
    lab.claim(
        "writev takes 1024 buffers, the greeting and 1023 line ends, in one call",
        equal(&results[0], &vec![Ok(6 + 1023)]),
    );
    lab.central(
        "with 1025 buffers writev fails with EINVAL",
        equal(&results[1], &vec![Err(Errno::EINVAL)]),
    );
    lab.central(
        "sendmsg fails with another error, EMSGSIZE",
        equal(&results[2], &vec![Err(Errno::EMSGSIZE)]),
    );
    lab.done()
}
