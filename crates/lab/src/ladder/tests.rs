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
            tables: Vec::new(),
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

/// A server is killed and started again, and its client too.
fn again() -> Record {
    let names = ["echoserver", "echoclient", "echoserver 2", "echoclient 2"];
    let mut story = Story::new("10/again", "the server is started again", &names);
    for (server, client) in [(0, 1), (2, 3)] {
        story
            .at(server as u64 * 10)
            .said(server, "listening on 127.0.0.1:43211")
            .typed(client, "hello")
            .tcp(client, server, PSH | ACK, 6)
            .said(server, "received 6 bytes: hello")
            .ended(server, "was killed by SIGKILL")
            .tcp(server, client, FIN | ACK, 0)
            .ended(client, "exited with code 0");
    }
    // The kernel is late.
    story.state(0, Some(TcpState::Established), TcpState::Closed);
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
        again(),
    ]
}

const SKETCH_80: &str = "\
11/close · the client closes both directions while two answers are still on
  their way

  ms  graceclient                                      graceserver
      127.0.0.1:40022                                  127.0.0.1:43211
   0                                                   │ listening on
                                                       │   127.0.0.1:43211
  12  SYN-SENT                ├───────── SYN ─────────▶│ LISTEN → SYN-RECEIVED
      SYN-SENT → ESTABLISHED  │◀─────── SYN ACK ───────┤
                              ├╌╌╌╌╌╌╌╌╌ ACK ╌╌╌╌╌╌╌╌╌▶│ → ESTABLISHED
  14  ❯ data1                 │                        │
      now sending data1       ├─── PSH ACK  5 bytes ──▶│ received 5 bytes: data1
                              │◀╌╌╌╌╌╌╌╌╌ ACK ╌╌╌╌╌╌╌╌╌┤
  15  ❯ data2                 │                        │
      now sending data2       ├─── PSH ACK  5 bytes ──▶│
                              │◀╌╌╌╌╌╌╌╌╌ ACK ╌╌╌╌╌╌╌╌╌┤
  16  ❯ close  → FIN-WAIT-1   ├─────── FIN ACK ───────▶│ → CLOSE-WAIT
      FIN-WAIT-1 → FIN-WAIT-2 │◀╌╌╌╌╌╌╌╌╌ ACK ╌╌╌╌╌╌╌╌╌┤
 214                          │◀── PSH ACK  9 bytes ───┤ send bytes: 9
                              ├───────── RST ─────────▶│ CLOSE-WAIT → CLOSED
                              │                        │ received 5 bytes: data2
 414                          │                        │ Error: send: Broken
                              │                        │   pipe (os error 32)
                              │                        │ ■ exited with code 1

  ✓ the client prints no answer
  ✓ the client's kernel answers the late data with a reset
  ✓ the server's next send fails with EPIPE
  3 claims hold · 0.41 s · Linux 6.18
";

const SKETCH_120: &str = "\
11/close · the client closes both directions while two answers are still on their way

  ms  graceclient                                                    graceserver
      127.0.0.1:40022                                                127.0.0.1:43211
   0                                                                 │ listening on 127.0.0.1:43211
  12  SYN-SENT                  ├─────────────── SYN ───────────────▶│ LISTEN → SYN-RECEIVED
      SYN-SENT → ESTABLISHED    │◀───────────── SYN ACK ─────────────┤
                                ├╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌ ACK ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌▶│ SYN-RECEIVED → ESTABLISHED
  14  ❯ data1                   │                                    │
      now sending data1         ├───────── PSH ACK  5 bytes ────────▶│ received 5 bytes: data1
                                │◀╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌ ACK ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┤
  15  ❯ data2                   │                                    │
      now sending data2         ├───────── PSH ACK  5 bytes ────────▶│
                                │◀╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌ ACK ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┤
  16  ❯ close  → FIN-WAIT-1     ├───────────── FIN ACK ─────────────▶│ ESTABLISHED → CLOSE-WAIT
      FIN-WAIT-1 → FIN-WAIT-2   │◀╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌ ACK ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┤
 214                            │◀──────── PSH ACK  9 bytes ─────────┤ send bytes: 9
                                ├─────────────── RST ───────────────▶│ CLOSE-WAIT → CLOSED
                                │                                    │ received 5 bytes: data2
 414                            │                                    │ Error: send: Broken pipe (os error 32)
                                │                                    │ ■ exited with code 1

  ✓ the client prints no answer
  ✓ the client's kernel answers the late data with a reset
  ✓ the server's next send fails with EPIPE
  3 claims hold · 0.41 s · Linux 6.18
";

#[test]
fn the_sketch_stands_in_80_and_in_120_columns() {
    assert_eq!(plain(&close(), 80), SKETCH_80);
    assert_eq!(plain(&close(), 120), SKETCH_120);
}

#[test]
fn narrow_terminals_get_a_list() {
    let text = plain(&close(), 50);
    assert!(text.contains("\n  14  graceclient: ❯ data1\n      graceclient: now sending data1\n"));
    assert!(text.contains("\n      graceclient → graceserver: PSH ACK  5 bytes\n"));
}

/// Nothing is wider than the terminal, and colours change nothing else.
#[test]
fn no_line_is_wider_than_the_terminal() {
    for record in all() {
        for width in [20, 40, 60, 72, 80, 100, 120, 200] {
            let text = plain(&record, width);
            for line in text.lines() {
                assert!(words::width(line) <= width, "{width}: {line}\n{text}");
                assert_eq!(line.trim_end(), line);
            }
            let options = TextOptions {
                width,
                colour: true,
                full: false,
                verbose: false,
            };
            let mut coloured = super::text(&record, &options);
            assert!(coloured.contains("\x1b["));
            while let Some(start) = coloured.find('\x1b') {
                let end = start + coloured[start..].find('m').unwrap();
                coloured.replace_range(start..=end, "");
            }
            assert_eq!(coloured, text);
        }
    }
}

#[test]
fn what_is_lost_ends_midway_and_is_sent_again() {
    let text = plain(&cut(), 80);
    assert!(text.contains("   3  ╌╌ the link is cut ╌╌╌"));
    assert!(
        text.contains("├─ PSH ACK  6 bytes ─✗          │\n"),
        "{text}"
    );
    assert_eq!(
        text.matches("├─ PSH ACK  6 bytes  again ─✗   │\n").count(),
        4,
        "{text}"
    );
    assert!(text.contains("  ✗ the client gives up after 15 attempts\n    seen: 5 attempts\n          last after 1668 ms\n"));
    assert!(text.contains("  ◇ the error is ETIMEDOUT\n    seen: EHOSTUNREACH\n"));
    assert!(text.contains("  – the server never learns\n"));
    assert!(
        text.contains("  retransmissions       4\n  time until the error  2.6 s (median of 3)\n")
    );
    assert!(text.contains("\n  retransmission timeout of echoclient, ms\n  2 000 ┤"));
}

#[test]
fn who_opens_and_is_asked_to_open_answers_with_the_same_number() {
    let mut story = Story::new("4/simultaneous-open", "two clients", &["left", "right"]);
    story.tcp(0, 1, SYN, 0).tcp(1, 0, SYN, 0);
    for flags in [SYN | ACK, SYN | ACK] {
        // The number of the SYN, and not the next one.
        story.sequences[0] -= 1;
        story.tcp(0, 1, flags, 0);
    }
    let text = plain(&story.record(), 80);
    assert_eq!(text.matches(" SYN ACK ").count(), 2, "{text}");
    assert_eq!(text.matches(" SYN ACK  again ").count(), 1, "{text}");
}

#[test]
fn the_server_stands_between_two_clients() {
    let text = plain(&pair(), 120);
    let names = text.lines().nth(2).unwrap();
    let order =
        ["timeclient 1", "timeserver", "timeclient 2"].map(|name| names.find(name).unwrap());
    assert!(order.is_sorted(), "{text}");
    assert!(text.contains("  25  Thu Jan  1 12:00:00 2026  │◀──── PSH ACK  26 bytes ────┤ client from 127.0.0.1:40022"), "{text}");
}

#[test]
fn long_runs_are_folded() {
    let text = plain(&bulk(), 120);
    assert!(
        text.contains("⋮ 235 more segments, 10 048 000 bytes"),
        "{text}"
    );
    assert!(text.contains("│ 1K read for 1\n"));
    assert!(text.contains("│ ⋮ 158 more lines\n"));
    assert!(text.contains("┤ 1K read for 160\n"));
    assert!(text.lines().count() < 30, "{text}");
}

#[test]
fn lines_that_take_turns_are_left_out_together() {
    let mut story = Story::new("5/turns", "two lines, over and over", &["tcpserver"]);
    for round in 1..=10 {
        story
            .said(0, "block in read")
            .said(0, &format!("1K read for {round}"));
    }
    let text = plain(&story.record(), 80);
    let shown = [
        "block in read",
        "1K read for 1",
        "⋮ 16 more lines",
        "block in read",
        "1K read for 10",
    ];
    let lines = text
        .lines()
        .filter_map(|line| line.split_once("│ "))
        .map(|(_, line)| line);
    assert_eq!(lines.collect::<Vec<_>>(), shown, "{text}");
}

#[test]
fn packets_that_cross_leave_and_arrive_in_rows_of_their_own() {
    let text = plain(&crossing(), 80);
    assert!(text.contains("   0  SYN-SENT             ├─"), "{text}");
    assert!(
        text.contains("┈│\n   1                       │┈┈"),
        "{text}"
    );
    assert!(text.contains("─▶│ → SYN-RECEIVED\n"), "{text}");
    assert!(text.contains(" PSH ACK  6 bytes  +50 ms "), "{text}");
}

#[test]
fn who_is_no_program_is_the_kernel() {
    let text = plain(&refused(), 80);
    assert!(text.lines().nth(2).unwrap().ends_with("  kernel"), "{text}");
    assert!(
        text.contains("connect(3, 127.0.0.1:43211) = ECONNREFUSED        │◀── RST ACK ─"),
        "{text}"
    );
}

#[test]
fn a_program_that_is_started_again_keeps_its_lane() {
    let text = plain(&again(), 120);
    let names = text.lines().nth(2).unwrap();
    assert!(!names.contains('2'), "{text}");
    assert!(text.contains("│ echoserver 2 127.0.0.1:40023\n"), "{text}");
    assert!(text.contains("echoclient 2 127.0.0.1:40024"), "{text}");
    assert!(!text.contains("CLOSED"), "{text}");
}

#[test]
fn what_is_left_out_is_marked_or_shown_in_full() {
    let options = TextOptions {
        width: 80,
        colour: false,
        full: false,
        verbose: false,
    };
    assert!(super::text(&odd(), &options).contains("xxx…\n"));
    let full = super::text(
        &odd(),
        &TextOptions {
            full: true,
            ..options
        },
    );
    assert_eq!(full.matches('x').count(), 402, "{full}");
    assert!(!full.contains('…'));
    assert!(full.contains(r"\u{1b}[31m"), "{full}");
    let seen = super::text(
        &close(),
        &TextOptions {
            verbose: true,
            ..options
        },
    );
    assert!(
        seen.contains(
            "  ✓ the client's kernel answers the late data with a reset\n    seen: RST\n"
        )
    );
}

/// The estimate of a text's box, by the same widths as the drawing's.
fn text_box(node: roxmltree::Node) -> (f64, f64, f64) {
    let number = |name| node.attribute(name).unwrap().parse::<f64>().unwrap();
    let width = words::width(node.text().unwrap_or_default()) as f64 * 7.83;
    let class = node.attribute("class").unwrap_or_default();
    let x = number("x");
    let left = match class.split(' ').next_back() {
        Some("mid") => x - width / 2.0,
        Some("end") => x - width,
        _ => x,
    };
    (left, left + width, number("y"))
}

#[test]
fn the_picture_is_sound_xml_without_a_blank_line() {
    for record in all() {
        let svg = svg(&record);
        assert!(
            svg.lines().all(|line| !line.trim().is_empty()),
            "{}",
            record.id
        );
        assert!(!svg.contains("{{"));
        let first = svg.lines().next().unwrap();
        assert!(
            first.starts_with("<svg ") && first.ends_with('>'),
            "{first}"
        );
        let document = roxmltree::Document::parse(&svg).unwrap();
        let root = document.root_element();
        let id = format!("ladder-{}", record.id.replace('/', "-"));
        for node in document.descendants() {
            if let Some(own) = node.attribute("id") {
                assert!(own.starts_with(&id), "{own}");
            }
        }
        assert_eq!(root.attribute("role"), Some("img"));
        for name in root.attribute("aria-labelledby").unwrap().split(' ') {
            assert!(
                root.children()
                    .any(|node| node.attribute("id") == Some(name))
            );
        }
        let title = root
            .children()
            .find(|node| node.has_tag_name("title"))
            .unwrap();
        assert_eq!(
            title.text().unwrap(),
            format!("{}: {}", record.id, record.title)
        );
    }
}

#[test]
fn no_text_of_the_picture_lies_on_another() {
    for record in all() {
        let svg = svg(&record);
        let document = roxmltree::Document::parse(&svg).unwrap();
        let width: f64 = document
            .root_element()
            .attribute("width")
            .unwrap()
            .parse()
            .unwrap();
        let texts = document
            .descendants()
            .filter(|node| node.has_tag_name("text"));
        let texts: Vec<_> = texts
            .map(|node| (text_box(node), node.text().unwrap_or_default()))
            .collect();
        for (number, ((left, right, y), text)) in texts.iter().enumerate() {
            assert!(*left >= 0.0 && *right <= width, "{}: {text}", record.id);
            for ((other_left, other_right, other_y), other) in &texts[number + 1..] {
                let apart = *right < other_left + 0.1
                    || *other_right < left + 0.1
                    || (y - other_y).abs() >= 12.0;
                assert!(apart, "{}: {text} | {other}", record.id);
            }
        }
    }
}

#[test]
fn the_signature_does_not_know_the_time() {
    let (one, mut other) = (close(), close());
    for (number, event) in other.events.iter_mut().enumerate() {
        event.at += Duration::from_millis(3 * number as u64);
        if let What::Packet { packet, .. } = &mut event.what {
            for address in [&mut packet.source, &mut packet.destination] {
                address.set_port(address.port() + 1234);
            }
        }
    }
    other.took *= 2;
    other.kernel = "7.1.0".into();
    // An acknowledgement more, and data that is sent again.
    let is_data =
        |event: &&Event| matches!(&event.what, What::Packet { packet, .. } if packet.length == 5);
    let twice = other.events.iter().find(is_data).unwrap().clone();
    let ack = |event: &&Event| matches!(&event.what, What::Packet { packet, .. } if arrow::Ink::of(packet) == arrow::Ink::Ack);
    let ack = other.events.iter().find(ack).unwrap().clone();
    other.events.insert(17, twice);
    other.events.push(ack);
    assert_eq!(signature(&one), signature(&other));
}

#[test]
fn the_signature_knows_what_matters() {
    let one = signature(&close());
    let change = |change: fn(&mut Record)| {
        let mut record = close();
        change(&mut record);
        signature(&record)
    };
    assert_ne!(
        one,
        change(|record| record.claims[0].verdict = Verdict::Fails)
    );
    assert_ne!(
        one,
        change(|record| record
            .events
            .retain(|event| !matches!(event.what, What::Ended(..))))
    );
    assert_ne!(
        one,
        change(|record| {
            record.events.retain(|event| !matches!(&event.what, What::Packet { packet, .. } if arrow::Ink::of(packet) == arrow::Ink::Rst));
        })
    );
    assert_ne!(
        one,
        change(|record| {
            for event in &mut record.events {
                if let What::Said(_, line) = &mut event.what {
                    *line = line.replace("received", "got");
                }
            }
        })
    );
}

#[test]
fn claims_are_a_list() {
    let mut record = cut();
    record.claims[2].central = true;
    record.claims[2].sentence = "a * b < {{c}}".into();
    assert_eq!(
        claims_markdown(&record),
        "- ✗ the client gives up after 15 attempts<br>*seen:* 5 attempts<br>last after 1668 ms\n\
         - ◇ the error is ETIMEDOUT<br>*seen:* EHOSTUNREACH\n\
         - – **a \\* b &lt; &#123;&#123;c}}**<br>*seen:* packets cannot be captured here\n\n\
         *0 of 3 claims hold, 1 fails, 1 is a discovery, 1 cannot be seen here · Linux 6.18*\n"
    );
}

/// Whatever was recorded can be drawn.
#[test]
fn no_record_is_too_strange() {
    let mut seed = 1u64;
    let mut random = move |below: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let texts = [
        "",
        "a",
        "数据",
        "a long line of many words that has to be broken somewhere",
        "\u{301}\u{200d}\0",
        "1 2 3",
    ];
    for round in 0..150 {
        let names: Vec<&str> = (0..random(10))
            .map(|_| ["server", "client 2", "a-program-with-a-long-name 12", "数"][random(4)])
            .collect();
        let mut story = Story::new("0/random", texts[random(6)], &names);
        let columns = names.len().max(1);
        for _ in 0..random(60) {
            story.now += micros([0, 10, 900, 40_000, 2_000_000][random(5)]);
            let column = random(columns);
            let text = texts[random(6)];
            let end = |random: &mut dyn FnMut(usize) -> usize| {
                (random(5) > 0 && !names.is_empty()).then(|| random(columns))
            };
            match random(9) {
                0 => story.said(column, text),
                1 => story.complained(column, text),
                2 => story.typed(column, text),
                3 => story.ended(column, text),
                4 => story.act(text),
                5 => story.state(
                    column,
                    TcpState::from_kernel(random(13) as u8),
                    TcpState::Closed,
                ),
                6 => story.event(What::Called(column, text.into())),
                _ => {
                    let ends = (end(&mut random), end(&mut random));
                    let flags = [SYN, FIN | ACK, RST, ACK, PSH | ACK][random(5)];
                    let delay = [None, Some(micros(2)), Some(micros(60_000))][random(3)];
                    if random(2) == 0 {
                        story.tcp_of(ends, flags, random(3) * 70_000, delay)
                    } else {
                        let kind = [Kind::Udp, Kind::Icmp { kind: 3, code: 3 }, Kind::Other(7)]
                            [random(3)]
                        .clone();
                        story.packet_of(ends, kind, random(2000), delay)
                    }
                }
            };
        }
        let points = (0..random(5)).map(|at| {
            (
                Duration::from_millis(at as u64),
                [0.0, -1.0, 1e9, f64::NAN, 0.3][random(5)],
            )
        });
        let points: Vec<_> = points.collect();
        story.record.gauges.push(Gauge {
            name: "gauge".into(),
            unit: "ms",
            points,
        });
        story
            .record
            .figures
            .push((texts[random(6)].into(), texts[random(6)].into()));
        story.claim(Verdict::Fails, texts[random(6)], texts[random(6)]);
        let record = story.record();
        for width in [0, 20, 60, 61, 80, 120, 300] {
            let text = plain(&record, width);
            for line in text.lines() {
                assert!(
                    words::width(line) <= width.max(20),
                    "round {round}, {width}: {line}\n{text}"
                );
            }
        }
        let svg = svg(&record);
        assert!(
            svg.lines().all(|line| !line.trim().is_empty()),
            "round {round}"
        );
        assert!(roxmltree::Document::parse(&svg).is_ok(), "round {round}");
        assert_eq!(signature(&record), signature(&record));
    }
}

#[test]
#[ignore = "writes the drawings into the directory LADDER_SHOW, to be looked at"]
fn show() {
    let directory = std::env::var("LADDER_SHOW").expect("LADDER_SHOW names a directory");
    for record in all() {
        let name = record.id.replace('/', "-");
        let text = |width| {
            let options = TextOptions {
                width,
                colour: true,
                full: false,
                verbose: false,
            };
            super::text(&record, &options)
        };
        std::fs::write(format!("{directory}/{name}.svg"), svg(&record)).unwrap();
        std::fs::write(format!("{directory}/{name}.txt"), text(80) + &text(120)).unwrap();
    }
}
