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
            address: Some(format!("127.0.0.1:{}", if number == 0 { 43211 } else { 40021 + number })),
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
        Self { now: Duration::ZERO, record, sequences: vec![1000; columns.len() + 1] }
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
        let what = What::Packet { from: ends.0, to: ends.1, packet };
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
        let tcp = Tcp { flags, sequence: *sequence, window: 512, ..Tcp::default() };
        *sequence += length as u32 + u32::from(flags.has(SYN)) + u32::from(flags.has(FIN));
        self.packet_of(ends, Kind::Tcp(tcp), length, delay)
    }

    fn claim(&mut self, verdict: Verdict, sentence: &str, seen: &str) -> &mut Self {
        let (sentence, seen) = (sentence.into(), seen.into());
        self.record.claims.push(Claim { sentence, seen, central: false, verdict });
        self
    }

    fn record(&mut self) -> Record {
        self.record.took = self.record.took.max(self.now);
        self.record.clone()
    }
}

fn plain(record: &Record, width: usize) -> String {
    text(record, &TextOptions { width, colour: false, full: false, verbose: false })
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
        .claim(Verdict::Holds, "the client prints no answer", "printed: now sending data1, now sending data2")
        .claim(Verdict::Holds, "the client's kernel answers the late data with a reset", "RST")
        .claim(Verdict::Holds, "the server's next send fails with EPIPE", "Error: send: Broken pipe (os error 32)");
    story.record()
}

#[test]
fn show() {
    let record = close();
    for width in [80, 120, 50] {
        println!("{}", plain(&record, width));
    }
}
