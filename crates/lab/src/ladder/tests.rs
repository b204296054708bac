//! Records made by hand.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::packet::{ACK, FIN, Flags, Kind, PSH, Packet, RST, SYN, Tcp};
use crate::record::{Claim, Column, Event, Gauge, TcpState, Verdict, What};

/// A record in the making: each call adds an event at the present time.
struct Story {
    now: Duration,
    record: Record,
    sequences: Vec<u32>,
}

fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

impl Story {
    fn new(id: &str, title: &str, columns: &[&str]) -> Self {
        let column = |(number, name): (usize, &&str)| Column {
            name: (*name).into(),
            host: None,
            address: Some(format!(
                "127.0.0.1:{}",
                if number == 0 { 43211 } else { 40021 + number }
            )),
        };
        let record = Record {
            id: id.into(),
            title: title.into(),
            columns: columns.iter().enumerate().map(column).collect(),
            events: Vec::new(),
            claims: Vec::new(),
            gauges: Vec::new(),
            figures: Vec::new(),
            took: Duration::ZERO,
            kernel: "6.18.44".into(),
        };
        Self {
            now: Duration::ZERO,
            record,
            sequences: vec![1000; columns.len() + 1],
        }
    }

    fn at(&mut self, milliseconds: u64) -> &mut Self {
        self.now = Duration::from_millis(milliseconds);
        self
    }

    fn event(&mut self, what: What) -> &mut Self {
        self.now += micros(10);
        self.record.events.push(Event { at: self.now, what });
        self
    }

    fn said(&mut self, column: usize, line: &str) -> &mut Self {
        self.event(What::Said(column, line.into()))
    }

    fn complained(&mut self, column: usize, line: &str) -> &mut Self {
        self.event(What::Complained(column, line.into()))
    }

    fn typed(&mut self, column: usize, line: &str) -> &mut Self {
        self.event(What::Typed(column, line.into()))
    }

    fn ended(&mut self, column: usize, how: &str) -> &mut Self {
        self.event(What::Ended(column, how.into()))
    }

    fn state(&mut self, column: usize, before: Option<TcpState>, after: TcpState) -> &mut Self {
        self.event(What::State(column, before, after))
    }

    fn act(&mut self, act: &str) -> &mut Self {
        self.event(What::Act(act.into()))
    }

    /// A packet that takes `delay`; none if it is lost.
    fn packet_of(
        &mut self,
        ends: (Option<usize>, Option<usize>),
        kind: Kind,
        length: usize,
        delay: Option<Duration>,
    ) -> &mut Self {
        let place = |end: Option<usize>| end.unwrap_or(self.record.columns.len());
        let address = |end: Option<usize>| ([10, 0, 0, place(end) as u8 + 1], 40000).into();
        self.now += micros(10);
        let packet = Packet {
            sent: self.now,
            arrived: delay.map(|delay| self.now + delay),
            hosts: ("host".into(), Some("host".into())),
            source: address(ends.0),
            destination: address(ends.1),
            kind,
            length,
            frame: Arc::from([]),
        };
        let what = What::Packet {
            from: ends.0,
            to: ends.1,
            packet,
        };
        self.record.events.push(Event { at: self.now, what });
        self
    }

    fn tcp(&mut self, from: usize, to: usize, flags: Flags, length: usize) -> &mut Self {
        self.tcp_of((Some(from), Some(to)), flags, length, Some(micros(5)))
    }

    fn tcp_of(
        &mut self,
        ends: (Option<usize>, Option<usize>),
        flags: Flags,
        length: usize,
        delay: Option<Duration>,
    ) -> &mut Self {
        let last = self.sequences.len() - 1;
        let sequence = &mut self.sequences[ends.0.unwrap_or(last)];
        let tcp = Tcp {
            flags,
            sequence: *sequence,
            window: 512,
            ..Tcp::default()
        };
        *sequence += length as u32 + u32::from(flags.has(SYN)) + u32::from(flags.has(FIN));
        self.packet_of(ends, Kind::Tcp(tcp), length, delay)
    }

    fn claim(&mut self, verdict: Verdict, sentence: &str, seen: &str) -> &mut Self {
        let (sentence, seen) = (sentence.into(), seen.into());
        self.record.claims.push(Claim {
            sentence,
            seen,
            central: false,
            verdict,
        });
        self
    }

    fn record(&mut self) -> Record {
        self.record.took = self.record.took.max(self.now);
        self.record.clone()
    }
}

fn plain(record: &Record, width: usize) -> String {
    text(
        record,
        &TextOptions {
            width,
            colour: false,
            full: false,
            verbose: false,
        },
    )
}

/// The sketch that the design starts from: server (column 0) and client (column 1).
fn close() -> Record {
    use TcpState::*;
    let title = "the client closes both directions while two answers are still on their way";
    let mut story = Story::new("11/close", title, &["graceserver", "graceclient"]);
    story
        .said(0, "listening on 127.0.0.1:43211")
        .at(12)
        .state(1, None, SynSent)
        .tcp(1, 0, SYN, 0)
        .state(0, Some(Listen), SynReceived)
        .tcp(0, 1, SYN | ACK, 0)
        .state(1, Some(SynSent), Established)
        .tcp(1, 0, ACK, 0)
        .state(0, Some(SynReceived), Established)
        .at(14)
        .typed(1, "data1")
        .said(1, "now sending data1")
        .tcp(1, 0, PSH | ACK, 5)
        .tcp(0, 1, ACK, 0)
        .said(0, "received 5 bytes: data1")
        .at(15)
        .typed(1, "data2")
        .said(1, "now sending data2")
        .tcp(1, 0, PSH | ACK, 5)
        .tcp(0, 1, ACK, 0)
        .at(16)
        .typed(1, "close")
        .state(1, Some(Established), FinWait1)
        .tcp(1, 0, FIN | ACK, 0)
        .state(0, Some(Established), CloseWait)
        .tcp(0, 1, ACK, 0)
        .state(1, Some(FinWait1), FinWait2)
        .at(214)
        .tcp(0, 1, PSH | ACK, 9)
        .said(0, "send bytes: 9")
        .tcp(1, 0, RST, 0)
        .state(0, Some(CloseWait), Closed)
        .said(0, "received 5 bytes: data2")
        .at(414)
        .complained(0, "Error: send: Broken pipe (os error 32)")
        .ended(0, "exited with code 1")
        .claim(
            Verdict::Holds,
            "the client prints no answer",
            "printed: now sending data1, now sending data2",
        )
        .claim(
            Verdict::Holds,
            "the client's kernel answers the late data with a reset",
            "RST",
        )
        .claim(
            Verdict::Holds,
            "the server's next send fails with EPIPE",
            "Error: send: Broken pipe (os error 32)",
        );
    story.record()
}

/// The wire is cut: what is sent is lost, again and again.
fn cut() -> Record {
    let title = "the link is cut, and the client learns of it only because it keeps sending";
    let mut story = Story::new("10/cut", title, &["echoserver", "echoclient"]);
    for (column, host) in story.record.columns.iter_mut().zip(["b", "a"]) {
        column.host = Some(host.into());
        column.address = Some(format!("10.0.0.{}:43211", column.name.len()));
    }
    story
        .tcp(1, 0, SYN, 0)
        .tcp(0, 1, SYN | ACK, 0)
        .tcp(1, 0, ACK, 0)
        .at(3)
        .act("the link is cut")
        .typed(1, "hello");
    let data = Tcp {
        flags: PSH | ACK,
        sequence: 1001,
        window: 512,
        ..Tcp::default()
    };
    for at in [4, 208, 412, 836, 1668] {
        story
            .at(at)
            .packet_of((Some(1), Some(0)), Kind::Tcp(data), 6, None);
    }
    story
        .at(2600)
        .complained(1, "Error: read: No route to host (os error 113)")
        .ended(1, "exited with code 1")
        .claim(
            Verdict::Fails,
            "the client gives up after 15 attempts",
            "5 attempts\nlast after 1668 ms",
        )
        .claim(Verdict::Discovery, "the error is ETIMEDOUT", "EHOSTUNREACH")
        .claim(
            Verdict::Unseen,
            "the server never learns",
            "packets cannot be captured here",
        );
    story
        .record
        .figures
        .push(("retransmissions".into(), "4".into()));
    story
        .record
        .figures
        .push(("time until the error".into(), "2.6 s (median of 3)".into()));
    story.record.gauges.push(Gauge {
        name: "retransmission timeout of echoclient".into(),
        unit: "ms",
        points: vec![
            (micros(10), 204.0),
            (Duration::from_millis(208), 408.0),
            (Duration::from_millis(836), 832.0),
            (Duration::from_millis(1668), 1664.0),
        ],
    });
    story.record()
}

/// Two clients and their server between them.
fn pair() -> Record {
    let title = "the second client waits until the first has been served";
    let mut story = Story::new(
        "11/pair",
        title,
        &["timeserver", "timeclient 1", "timeclient 2"],
    );
    story.said(0, "listening on 127.0.0.1:43211");
    for client in [1, 2] {
        story
            .at(10 * client as u64)
            .tcp(client, 0, SYN, 0)
            .tcp(0, client, SYN | ACK, 0)
            .tcp(client, 0, ACK, 0);
    }
    story.at(25).said(0, "client from 127.0.0.1:40022");
    story
        .tcp(0, 1, PSH | ACK, 26)
        .said(1, "Thu Jan  1 12:00:00 2026");
    story.said(0, "client from 127.0.0.1:40023");
    story
        .tcp(0, 2, PSH | ACK, 26)
        .said(2, "Thu Jan  1 12:00:01 2026");
    story
        .at(31)
        .ended(1, "exited with code 0")
        .at(33)
        .ended(2, "exited with code 0");
    story.claim(Verdict::Holds, "both are served", "");
    story.record()
}

/// A long transfer, read a little at a time.
fn bulk() -> Record {
    let mut story = Story::new(
        "5/bulk",
        "one send of ten million bytes",
        &["tcpserver", "tcpclient"],
    );
    story
        .tcp(1, 0, SYN, 0)
        .tcp(0, 1, SYN | ACK, 0)
        .tcp(1, 0, ACK, 0);
    story.said(1, "sending 10240000 bytes");
    for round in 0..160 {
        story.tcp(1, 0, PSH | ACK, 64_000);
        if round % 2 == 1 {
            story.tcp(0, 1, ACK, 0);
        }
        story.said(0, &format!("1K read for {}", round + 1));
    }
    story.tcp(1, 0, FIN | ACK, 0);
    let points = (0..40).map(|at| {
        (
            Duration::from_micros(at * 100),
            f64::from((at as u32 * 7919) % 64) * 1000.0,
        )
    });
    story.record.gauges.push(Gauge {
        name: "send queue of tcpclient".into(),
        unit: "bytes",
        points: points.collect(),
    });
    story.record()
}

/// Both ends call connect at the same time, over a wire with delay.
fn crossing() -> Record {
    use TcpState::*;
    let mut story = Story::new(
        "9/crossing",
        "both ends connect at the same time",
        &["left", "right"],
    );
    let wire = Some(Duration::from_millis(50));
    let (there, back) = ((Some(0), Some(1)), (Some(1), Some(0)));
    story
        .state(0, None, SynSent)
        .tcp_of(there, SYN, 0, wire)
        .at(1)
        .state(1, None, SynSent)
        .tcp_of(back, SYN, 0, wire)
        .at(50);
    story.now += micros(40);
    story
        .state(1, Some(SynSent), SynReceived)
        .tcp_of(back, SYN | ACK, 0, wire);
    story
        .at(51)
        .state(0, Some(SynSent), SynReceived)
        .tcp_of(there, SYN | ACK, 0, wire);
    story.at(101).state(0, Some(SynReceived), Established);
    story.at(102).state(1, Some(SynReceived), Established);
    story
        .at(110)
        .typed(0, "hello")
        .tcp_of(there, PSH | ACK, 6, wire)
        .at(161)
        .said(1, "hello");
    story.record()
}

/// Nobody listens: the kernel answers.
fn refused() -> Record {
    let mut story = Story::new("4/refused", "nobody listens on the port", &["connect"]);
    story
        .event(What::Called(
            0,
            "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, 0) = 3".into(),
        ))
        .event(What::Called(0, "connect(3, 127.0.0.1:43211)".into()))
        .tcp_of((Some(0), None), SYN, 0, Some(micros(3)))
        .tcp_of((None, Some(0)), RST | ACK, 0, Some(micros(3)))
        .event(What::Called(
            0,
            "connect(3, 127.0.0.1:43211) = ECONNREFUSED".into(),
        ))
        .complained(
            0,
            "Error: connect 127.0.0.1:43211: Connection refused (os error 111)",
        )
        .ended(0, "exited with code 1")
        .claim(
            Verdict::Holds,
            "connect fails at once with ECONNREFUSED",
            "Connection refused",
        );
    story.record()
}

/// Eight processes; the last is the server of the seven others.
fn crowd() -> Record {
    let names: Vec<String> = (0..8)
        .map(|n| {
            if n == 0 {
                "udpserver".into()
            } else {
                format!("udpclient {n}")
            }
        })
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut story = Story::new("6/crowd", "seven clients, one socket", &names);
    for client in 1..8 {
        story.at(client as u64 * 3).typed(client, "hello");
        story.packet_of((Some(client), Some(0)), Kind::Udp, 5, Some(micros(4)));
        story.said(0, "received 5 bytes: hello");
        story.packet_of((Some(0), Some(client)), Kind::Udp, 9, Some(micros(4)));
        story.said(client, "received 9 bytes: Hi, hello");
    }
    story.record()
}

/// What is not ASCII, not short, and not meant for a terminal.
fn odd() -> Record {
    let mut story = Story::new(
        "12/odd",
        "数据 and <b>markup</b> & {{braces}}",
        &["messageserver", "messageclient"],
    );
    story
        .typed(1, "数据 é e\u{301}")
        .tcp(1, 0, PSH | ACK, 1)
        .said(
            0,
            "received 9 bytes: 数据数据数据数据数据数据 é e\u{301} \x1b[31mred\0",
        )
        .said(0, &"x".repeat(400))
        .packet_of((Some(1), Some(1)), Kind::Udp, 3, Some(micros(1)))
        .said(1, "}} {{#include x}} \"<svg>&amp;\"  two blanks\n");
    story.record()
}

fn all() -> Vec<Record> {
    vec![
        close(),
        cut(),
        pair(),
        bulk(),
        crossing(),
        refused(),
        crowd(),
        odd(),
    ]
}

#[test]
fn show() {
    let Ok(directory) = std::env::var("LADDER_SHOW") else {
        return;
    };
    for record in all() {
        let name = record.id.replace('/', "-");
        std::fs::write(format!("{directory}/{name}.svg"), svg(&record)).unwrap();
        let mut out = String::new();
        for width in [80, 120] {
            out += &text(
                &record,
                &TextOptions {
                    width,
                    colour: true,
                    full: false,
                    verbose: false,
                },
            );
        }
        std::fs::write(format!("{directory}/{name}.txt"), out).unwrap();
        println!("{}\n{}\n", plain(&record, 80), plain(&record, 120));
        println!("{}\n{}\n", signature(&record), claims_markdown(&record));
    }
}
