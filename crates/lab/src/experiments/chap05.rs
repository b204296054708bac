//! Chapter 5: reading and writing.

use std::fs::read_to_string;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, getsockopt, setsockopt, socket, sockopt,
};

use crate::net::sock_diag::{Socket, Timer};
use crate::prelude::*;
use crate::tracer::SystemCall;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "5/blocking-send",
        "one send of ten million bytes waits until the reader has taken all but what two buffers hold",
        blocking_send,
        "the reader is killed in place of being let go on",
    ),
    Experiment::new(
        "5/slow-reader",
        "a send that fits the buffer returns at once, however slow the reader is",
        slow_reader,
        "the send buffer is a small one",
    )
    .isolated(),
    Experiment::new(
        "5/readn-eof",
        "readn fills its block from pieces and across signals, and is short only where the stream ends",
        readn_eof,
        "the server calls read once for each block",
    ),
    Experiment::new(
        "5/buffer-sizes",
        "Linux doubles the size that is asked for, and the larger the send buffer, the longer the queue",
        buffer_sizes,
        "the clients ask for no size",
    )
    .isolated(),
    Experiment::new(
        "5/urgent",
        "an urgent byte is an exceptional condition, and is read before and apart from the stream",
        urgent,
        "the byte is sent as ordinary data",
    ),
];

/// Both ends of the connection to the server, as the kernel sees them at one moment.
struct Ends {
    writer: Socket,
    reader: Socket,
}

impl Ends {
    fn now(host: &Host) -> Option<Self> {
        let sockets = host.sockets().ok()?;
        let live = |socket: &&Socket| socket.info.is_some() && socket.state != TcpState::Listen;
        let writer = sockets
            .iter()
            .filter(live)
            .find(|socket| socket.remote.port() == PORT)?;
        let reader = sockets
            .iter()
            .filter(live)
            .find(|socket| socket.local.port() == PORT)?;
        Some(Self {
            writer: writer.clone(),
            reader: reader.clone(),
        })
    }

    /// How many bytes the kernel has taken from the writing program. The SYN counts as one acknowledged byte.
    fn accepted(&self) -> u64 {
        let acknowledged = self
            .writer
            .info
            .map_or(0, |info| info.bytes_acked.saturating_sub(1));
        acknowledged + u64::from(self.writer.send_queue)
    }

    /// How many bytes the reading program has taken from the kernel.
    fn taken(&self) -> u64 {
        taken(&self.reader)
    }

    /// The size of both buffers together.
    fn buffers(&self) -> u64 {
        let send = self.writer.memory.map_or(0, |memory| memory.send_buffer);
        let receive = self.reader.memory.map_or(0, |memory| memory.receive_buffer);
        u64::from(send) + u64::from(receive)
    }

    /// Nothing will move before the reader does: its window is closed and the writer has more.
    fn full(&self) -> bool {
        matches!(self.writer.timer, Timer::ZeroWindowProbe(_))
    }
}

/// How many bytes the program behind a socket has read from it.
fn taken(reader: &Socket) -> u64 {
    let received = reader.info.map_or(0, |info| info.bytes_received);
    received.saturating_sub(reader.receive_queue.into())
}

/// Whether a program sleeps, in a system call that waits: proc_pid_stat(5).
fn sleeps(program: &Process) -> bool {
    let stat = read_to_string(format!("/proc/{}/stat", program.pid())).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('S'))
}

/// Waits until the reader's window is closed and the writer sleeps in send: nothing moves any more.
fn at_rest(lab: &Lab, host: &Host, writer: &Process) -> Result<Ends, LabError> {
    let mut found = None;
    lab.until("both buffers are full", || {
        found = Ends::now(host).filter(|ends| sleeps(writer) && ends.full());
        Check::new(found.is_some(), "the connection is not at rest")
    })?;
    found.ok_or_else(|| LabError::Impossible("the connection is gone".into()))
}

fn blocking_send(lab: &Lab) -> Outcome {
    const TOTAL: u64 = 10_240_000;
    // A queue that is not full takes a whole segment: at each end the last one may go beyond the limit.
    const OVERSHOOT: u64 = 2 * 65_536;
    let host = lab.host()?;
    let server = host.start("chap-5 tcpserver --pause 0.00001 --rcvbuf 200000 --every 1000")?;
    server.listens()?;
    server.halt()?;
    let client = host.start("chap-5 tcpclient 127.0.0.1 --sndbuf 200000")?;
    let start = at_rest(lab, &host, &client)?;
    let most = start.buffers() + OVERSHOOT;
    let held = start.accepted() - start.taken();
    lab.claim(
        "while the reader stands still, the kernel takes what its two buffers hold, and no more",
        within(held, start.buffers() / 4..=most),
    );
    lab.claim(
        "with both full, send waits",
        client.output().lacks("send into buffer"),
    );
    let mut read = start.taken();
    if lab.is_control() {
        server.kill()?;
        client.ends()?;
    } else {
        server.resume();
        client.ends()?;
        // A reader whose socket is gone has read everything.
        read = Ends::now(&host).map_or(TOTAL, |ends| ends.taken());
        server.says("client closed after")?;
    }

    let sent = client.output();
    lab.central("one send returns the whole count", {
        equal(sent.count("send into buffer"), 1).and(sent.says("send into buffer 10240000 after"))
    });
    lab.central(
        "by then the reader has taken all but what the two buffers hold",
        within(read, TOTAL - most..),
    );
    lab.figure("two buffers", format!("{} bytes", start.buffers()));
    lab.figure(
        "data in them while the reader stands still",
        format!("{held} bytes"),
    );
    lab.figure(
        "not yet read when the client was gone",
        format!("{} bytes", TOTAL.saturating_sub(read)),
    );
    gauge_queues(lab, &host);
    lab.done()
}

/// The queue of the writing end, and of the reading one.
fn gauge_queues(lab: &Lab, host: &Host) {
    let mut writer = host.samples(|tuple| tuple.remote.port() == PORT);
    // What is left of an earlier connection in TIME-WAIT has no queue.
    writer.retain(|sample| sample.socket.info.is_some());
    lab.gauge("send queue", "bytes", &writer, |sample| {
        sample.socket.send_queue.into()
    });
    let reader = host.samples(|tuple| tuple.local.port() == PORT && tuple.remote.port() != 0);
    lab.gauge("receive queue", "bytes", &reader, |sample| {
        sample.socket.receive_queue.into()
    });
}

fn slow_reader(lab: &Lab) -> Outcome {
    const TOTAL: u64 = 1_024_000;
    let host = lab.host()?;
    // Of this size from the beginning: left alone, the kernel would let the buffer grow.
    let size = lab.vary(4 << 20, 32 << 10);
    host.sets("net.ipv4.tcp_wmem", format!("4096 {size} {size}"))?;
    let server = host.start("chap-5 tcpserver --pause 0.01 --rcvbuf 65536 --every 20")?;
    server.listens()?;
    let client = host.start("chap-5 tcpclient 127.0.0.1 --bytes 1024000")?;
    if lab.is_control() {
        server.says("1K read for 20")?;
    } else {
        client.ends()?;
    }
    let ends = Ends::now(&host);
    let taken = ends.as_ref().map_or(TOTAL, |ends| ends.taken());
    let queued = ends.as_ref().map_or(0, |ends| ends.writer.send_queue);
    lab.central(
        "send has taken it all and returned",
        client.output().says("send into buffer 1024000 after"),
    );
    lab.claim(
        "the reader has read less than half of it by then",
        within(taken, ..TOTAL / 2),
    );
    lab.central(
        "the rest waits in the kernel, in a queue whose process is gone",
        {
            let holder = ends.map(|ends| ends.writer.inode);
            Check::new(holder == Some(0), format_args!("inode {holder:?}"))
                .and(within(queued, TOTAL as u32 / 4..))
        },
    );
    let later = || {
        within(
            Ends::now(&host).map_or(TOTAL, |ends| ends.taken()),
            taken + 27 * 1024..,
        )
    };
    lab.eventually("the reader goes on reading", later);
    gauge_queues(lab, &host);
    lab.done()
}

fn readn_eof(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.traces(&format!(
        "chap-5 tcpserver --pause 0{}",
        lab.vary("", " --read-once")
    ))?;
    server.listens()?;
    let client = host.start("chap-5 tcpclient 127.0.0.1 --bytes 1000 --typed")?;
    // What the reads of the connection came to, the one that waits left out.
    let reads = || -> Vec<Result<i64, Errno>> {
        let of_socket = |call: &SystemCall| {
            call.descriptor
                .as_deref()
                .is_some_and(|d| d.starts_with("socket:"))
        };
        let calls = server.calls().named("read");
        calls
            .iter()
            .filter(|call| of_socket(call))
            .filter_map(|call| call.result)
            .collect()
    };
    let mut expected = vec![Ok(1000)];
    let comes_to = |expected: &[Result<i64, Errno>]| {
        lab.until("the read has returned and the next one waits", || {
            equal(reads(), expected).and(server.blocks_in(&["read"]))
        })
    };
    comes_to(&expected)?;
    for line in ["alpha", "bravo", "delta", "hotel"] {
        lab.notes("SIGUSR1 to tcpserver");
        server.signal(Signal::SIGUSR1);
        if lab.is_control() {
            server.complains("Error: read:")?;
            break;
        }
        expected.push(Err(Errno::EINTR));
        comes_to(&expected)?;
        client.types(line)?;
        expected.push(Ok(6));
        comes_to(&expected)?;
    }
    if !lab.is_control() {
        client.types("india")?;
        expected.push(Ok(6));
        comes_to(&expected)?;
        client.closes_input();
        client.ends()?;
        server.says("SIGUSR1 came")?;
        // The end of the stream is told as often as it is asked for.
        expected.extend([Ok(0), Ok(0)]);
        let segments = lab.packets().from(&client).carrying_data();
        let lengths = segments.iter().map(|segment| segment.length);
        lab.claim(
            "the data comes in six segments",
            segments.check(lengths.eq([1000, 6, 6, 6, 6, 6])),
        );
        lab.claim(
            "each ends a read, and so does each signal, with EINTR",
            equal(reads(), expected),
        );
    }

    let blocks = server.output();
    lab.central(
        "the first five segments fill one block",
        blocks.says("1K read for 1"),
    );
    lab.central("no signal is an error", server.errors().is_empty());
    lab.central(
        "the sixth makes a short block, because the stream ends after it",
        blocks.says_exactly("read for", &["1K read for 1", "6 bytes read for 2"]),
    );
    lab.done()
}

fn buffer_sizes(lab: &Lab) -> Outcome {
    const TOTAL: u32 = 700_000;
    const ASKED: [u32; 2] = [50_000, 200_000];
    let host = lab.host()?;
    // Without a request the buffer has this size and keeps it.
    host.sets("net.ipv4.tcp_wmem", "4096 60000 60000")?;
    let server = host.start("chap-5 tcpserver --pause 0.0004 --rcvbuf 70000 --every 100")?;
    server.listens()?;
    let (mut sizes, mut queues) = (Vec::new(), Vec::new());
    for asked in ASKED {
        let option = lab.vary(format!(" --sndbuf {asked}"), String::new());
        server.halt()?;
        let client = host.start(&format!(
            "chap-5 tcpclient 127.0.0.1 --bytes {TOTAL}{option}"
        ))?;
        let full = at_rest(lab, &host, &client)?.writer;
        sizes.push(full.memory.map_or(0, |memory| memory.send_buffer));
        queues.push(full.send_queue);
        server.resume();
        let first = server.says("1K read for 100")?.line.at;
        let sent = client.says("send into buffer")?.line.at;
        let last = server.says("client closed after")?.line.at;
        client.ends()?;
        let rate = (TOTAL - 100 * 1024) as f64 / 1e6 / last.duration_since(first).as_secs_f64();
        let wait = last.saturating_duration_since(sent).as_millis();
        let name = lab.vary(format!("asked for {asked} bytes"), "no request".into());
        lab.figure(
            &name,
            format!("{rate:.1} MB/s; the last byte is read {wait} ms after send has taken it"),
        );
    }
    lab.central(
        "a send buffer is twice as large as was asked for",
        equal(sizes, ASKED.map(|asked| 2 * asked)),
    );
    let readers = host.samples(|tuple| tuple.local.port() == PORT);
    let receive = readers
        .iter()
        .filter_map(|sample| sample.socket.memory)
        .map(|memory| memory.receive_buffer)
        .max();
    lab.claim("so is a receive buffer", equal(receive, Some(140_000)));
    lab.central(
        "the larger one takes at least twice as much before send blocks",
        Check::new(queues[1] >= 2 * queues[0], format_args!("{queues:?}")),
    );
    lab.claim(
        "a request above wmem_max or rmem_max is cut down to it, and doubled",
        limits_hold(&host),
    );
    gauge_queues(lab, &host);
    lab.done()
}

/// A socket that asks for as much as can be asked for gets twice the limits.
fn limits_hold(host: &Host) -> Check {
    let limit = |name: &str| host.variable(name).map(|value| value.parse().unwrap_or(0));
    // An older kernel does not show them in a new namespace.
    let (send, receive): (usize, usize) =
        match (limit("net.core.wmem_max"), limit("net.core.rmem_max")) {
            (Ok(send), Ok(receive)) => (send, receive),
            (Err(error), _) | (_, Err(error)) => return Check::unseen(error),
        };
    let got = host.enter(|| {
        let socket = socket(
            AddressFamily::Inet,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC,
            None,
        )?;
        let much = i32::MAX as usize;
        setsockopt(&socket, sockopt::SndBuf, &much)?;
        setsockopt(&socket, sockopt::RcvBuf, &much)?;
        Ok((
            getsockopt(&socket, sockopt::SndBuf)?,
            getsockopt(&socket, sockopt::RcvBuf)?,
        ))
    });
    got.map_or_else(Check::unseen, |got| equal(got, (2 * send, 2 * receive)))
}

fn urgent(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let (mut reported, mut first, mut carried, mut streams) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for watch in ["poll", "select"] {
        let server = host.traces(&format!("chap-5 tcpserver --pause 0 --urgent {watch}"))?;
        server.listens()?;
        server.halt()?;
        let sends = lab.vary("--bytes 10240 --urgent", "--bytes 10241");
        let client = host.start(&format!("chap-5 tcpclient 127.0.0.1 {sends} --typed"))?;
        client.says(lab.vary("send urgent byte", "send into buffer"))?;
        server.resume();
        server.says("1K read for 10")?;
        client.closes_input();
        client.ends()?;
        let stream = server.says("client closed after ")?.rest();
        // On some machines the C library's poll is ppoll, and its select is pselect6.
        let waits =
            |call: &SystemCall| matches!(&*call.name, "poll" | "ppoll" | "select" | "pselect6");
        let calls = server
            .calls()
            .filtered(|call| waits(call) && call.interesting());
        reported.push(
            calls
                .first()
                .map_or(String::new(), |call| call.decoded.clone()),
        );
        // After "listening on" and "block in read".
        first.push(server.output().lines().get(2).cloned().unwrap_or_default());
        carried.push(lab.packets().from(&client).carrying_data());
        streams.push(stream);
        server.kill()?;
    }
    lab.central(
        "the segment with the urgent byte has the flag URG",
        lab.packets().carrying_data().has(URG),
    );
    let exceptional = reported[0].contains("POLLPRI") && reported[1].contains("except [");
    lab.central(
        "poll reports it as POLLPRI, select in its third set",
        Check::new(exceptional, reported.join("; ")),
    );
    lab.central(
        "it is read before all that was sent before it",
        equal(first, ["urgent byte !"; 2]),
    );
    lab.claim("10 241 bytes travel on each connection", {
        all(carried
            .iter()
            .map(|segments| segments.check(segments.bytes() == 10_241)))
    });
    lab.central("10 240 of them are read as its stream", {
        equal(streams, ["10240 bytes: full blocks 10, short blocks 0"; 2])
    });
    lab.done()
}
