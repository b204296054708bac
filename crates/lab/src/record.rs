//! What one run of an experiment showed: the one thing that the ladder, the report and the files are made from.

use std::fmt;
use std::time::Duration;

use crate::packet::Packet;

/// The states of a TCP connection, RFC 9293 section 3.3.2, by the kernel's numbers (include/net/tcp_states.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum TcpState {
    /// Data can pass.
    Established = 1,
    /// The client's SYN is on its way.
    SynSent = 2,
    /// The server has answered a SYN and waits for the third segment.
    SynReceived = 3,
    /// Our FIN is on its way.
    FinWait1 = 4,
    /// Our FIN is acknowledged; the other direction is still open.
    FinWait2 = 5,
    /// Both FINs are acknowledged and we were first; the pair of addresses is kept back for a while.
    TimeWait = 6,
    /// No connection.
    Closed = 7,
    /// The peer has sent its FIN and we have not.
    CloseWait = 8,
    /// Our FIN, the second one, is on its way.
    LastAck = 9,
    /// A listening socket.
    Listen = 10,
    /// Both have sent a FIN before either had the other's.
    Closing = 11,
}

impl TcpState {
    /// From the kernel's number. Its own 12 (a request waiting for the third segment) is SYN-RECEIVED.
    pub fn from_kernel(number: u8) -> Option<Self> {
        use TcpState::*;
        let all = [
            Established,
            SynSent,
            SynReceived,
            FinWait1,
            FinWait2,
            TimeWait,
            Closed,
            CloseWait,
            LastAck,
            Listen,
            Closing,
            SynReceived,
        ];
        all.get(usize::from(number).checked_sub(1)?).copied()
    }
}

impl fmt::Display for TcpState {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(match self {
            TcpState::Established => "ESTABLISHED",
            TcpState::SynSent => "SYN-SENT",
            TcpState::SynReceived => "SYN-RECEIVED",
            TcpState::FinWait1 => "FIN-WAIT-1",
            TcpState::FinWait2 => "FIN-WAIT-2",
            TcpState::TimeWait => "TIME-WAIT",
            TcpState::Closed => "CLOSED",
            TcpState::CloseWait => "CLOSE-WAIT",
            TcpState::LastAck => "LAST-ACK",
            TcpState::Listen => "LISTEN",
            TcpState::Closing => "CLOSING",
        })
    }
}

/// One column of the ladder: a process, or a host's kernel where no process is behind what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// `graceserver`; numbered where there are several: `udpclient 2`.
    pub name: String,
    /// Its host, where the experiment has more than one.
    pub host: Option<String>,
    /// The address it listens on or connects from, the first one seen.
    pub address: Option<String>,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub struct Event {
    /// When, counted from the start of the experiment.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// The kinds of things that happen. Columns are indices into [`Record::columns`].
#[derive(Debug, Clone)]
pub enum What {
    /// A line on standard output.
    Said(usize, String),
    /// A line on standard error.
    Complained(usize, String),
    /// A line typed into the process.
    Typed(usize, String),
    /// The process ended: `exited with code 0`, `was killed by SIGPIPE`.
    Ended(usize, String),
    /// A system call returned (or, without a result yet, blocks): `sendto(4, 9 bytes) = 9`.
    Called(usize, String),
    /// The kernel moved a connection of this process to a state; `None` before the first one seen.
    State(usize, Option<TcpState>, TcpState),
    /// A packet, from one column to another; `None` where nobody is known there.
    Packet {
        /// The sender's column.
        from: Option<usize>,
        /// The receiver's column.
        to: Option<usize>,
        /// The packet; lost where it never arrived.
        packet: Packet,
    },
    /// What the lab did: `the link is cut`.
    Act(String),
}

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Holds,
    /// It does not.
    Fails,
    /// No variant of it fits this kernel: something to find out, not the reader's fault.
    Discovery,
    /// It could not be looked at on this machine (no right to capture packets, for example).
    Unseen,
}

/// A sentence about the world, and what was seen of it.
#[derive(Debug, Clone)]
pub struct Claim {
    /// `the client's kernel answers the late data with a reset`.
    pub sentence: String,
    /// What was seen, for the reader to compare.
    pub seen: String,
    /// The claim that the control must break.
    pub central: bool,
    /// Whether it holds.
    pub verdict: Verdict,
}

/// A quantity over time, for a plot: a queue, a window, a timeout.
#[derive(Debug, Clone)]
pub struct Gauge {
    /// `send queue of tcpclient`.
    pub name: String,
    /// `bytes`, `segments`, `ms`.
    pub unit: &'static str,
    /// Its values where they changed, in order of time.
    pub points: Vec<(Duration, f64)>,
}

/// Figures of several things side by side, shown and not claimed.
#[derive(Debug, Clone)]
pub struct Table {
    /// What the columns are; the first one names the row.
    pub head: Vec<String>,
    /// The rows, each with a cell for each column.
    pub rows: Vec<Vec<String>>,
    /// The column that is drawn as bars beside the rows.
    pub bars: usize,
}

/// One run of an experiment.
#[derive(Debug, Clone)]
pub struct Record {
    /// `11/close`.
    pub id: String,
    /// What it shows, a sentence.
    pub title: String,
    /// The columns, in the order in which the processes were started.
    pub columns: Vec<Column>,
    /// Everything that happened, in order of time.
    pub events: Vec<Event>,
    /// The claims, in the order in which they were made.
    pub claims: Vec<Claim>,
    /// The gauges that the experiment asked for.
    pub gauges: Vec<Gauge>,
    /// Figures shown and not claimed: name and value.
    pub figures: Vec<(String, String)>,
    /// Figures that are compared.
    pub tables: Vec<Table>,
    /// How long the run took.
    pub took: Duration,
    /// The kernel's release: `6.18.44`.
    pub kernel: String,
}

impl Record {
    /// Whether every claim holds (those that this machine cannot show are not counted against it).
    pub fn holds(&self) -> bool {
        self.claims
            .iter()
            .all(|claim| matches!(claim.verdict, Verdict::Holds | Verdict::Unseen))
    }
}
