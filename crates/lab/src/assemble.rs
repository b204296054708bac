//! Puts together what was seen in different places: packets with the programs behind them, output, states, by time.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::host::Host;
use crate::lab::{Book, Shared};
use crate::observe::{Log, Tuple};
use crate::packet::{ACK, Kind, Packet, SYN};
use crate::packets::{Packets, Passed};
use crate::process::Process;
use crate::record::{Column, Event, What};
use crate::tracer::{Calls, SystemCall};

/// One end of a conversation: the host, its address and the other's.
#[derive(Clone, PartialEq, Eq, Hash)]
struct End {
    host: Arc<str>,
    local: SocketAddr,
    remote: SocketAddr,
}

/// How long after a program's end its last lines may be read.
const READING: Duration = Duration::from_millis(3);

/// Local addresses, and the columns that had a socket there.
type Takers = Vec<(SocketAddr, usize)>;

/// Knows which column an end belongs to.
struct Directory {
    owners: HashMap<End, Vec<usize>>,
    /// By host and local port, for sockets that take from anybody: listeners, unconnected UDP.
    takers: HashMap<(Arc<str>, u16), Takers>,
    /// The start of each program, by column, and its host.
    programs: HashMap<usize, (Arc<str>, Duration)>,
    /// When a program ended, by column.
    ends: HashMap<usize, Duration>,
    /// Ends that have begun a conversation, and when: there was a program behind them, even if it was gone before we looked.
    active: HashMap<(Arc<str>, SocketAddr), Vec<Duration>>,
}

impl Directory {
    fn new(book: &Book, logs: &[(Arc<str>, Log)], packets: &[Packet], shared: &Shared) -> Self {
        let mut owners = HashMap::new();
        let mut takers: HashMap<_, Takers> = HashMap::new();
        for (host, log) in logs {
            for (&Tuple { local, remote }, columns) in &log.owners {
                owners.insert(
                    End {
                        host: Arc::clone(host),
                        local,
                        remote,
                    },
                    columns.clone(),
                );
                if remote.port() == 0 {
                    let taking = columns.iter().map(|column| (local, *column));
                    takers
                        .entry((Arc::clone(host), local.port()))
                        .or_default()
                        .extend(taking);
                }
            }
        }
        let programs = book.processes.iter().map(|process| {
            let inner = &process.inner;
            (
                inner.column,
                (
                    Arc::from(inner.host.name()),
                    shared.clock.at(inner.program.started()),
                ),
            )
        });
        let ended = book.processes.iter().filter_map(|process| {
            let end = process.ended()?;
            Some((process.inner.column, shared.clock.at(end.at)))
        });
        let begins = |packet: &&Packet| match &packet.kind {
            Kind::Tcp(tcp) => tcp.flags.has(SYN) && !tcp.flags.has(ACK),
            Kind::Udp | Kind::Fragment(_) => true,
            _ => false,
        };
        let mut active: HashMap<_, Vec<Duration>> = HashMap::new();
        for packet in packets.iter().filter(begins) {
            let end = (Arc::clone(&packet.hosts.0), packet.source);
            active.entry(end).or_default().push(packet.sent);
        }
        Self {
            owners,
            takers,
            programs: programs.collect(),
            ends: ended.collect(),
            active,
        }
    }

    /// The column of one end of a packet; `other` is the column of its other end, where that is known.
    fn column(&self, end: &End, at: Duration, other: Option<usize>) -> Option<usize> {
        // Those that are known may all have come later: an address and a port can be used again.
        let owner = self
            .owners
            .get(end)
            .and_then(|columns| self.latest(columns.iter().copied(), at));
        if owner.is_some() {
            return owner;
        }
        let takers = self
            .takers
            .get(&(Arc::clone(&end.host), end.local.port()))
            .into_iter()
            .flatten();
        // Of several that run, the one with just this address is closer than one with all of them.
        let runs = |column: &usize| self.ends.get(column).is_none_or(|ended| *ended >= at);
        let exact = takers
            .clone()
            .filter(|(local, column)| *local == end.local && runs(column));
        let exact = self.latest(exact.map(|(_, column)| *column), at);
        if exact.is_some() {
            return exact;
        }
        let takes = takers.filter(|(local, _)| *local == end.local || local.ip().is_unspecified());
        let known = self.latest(takes.map(|(_, column)| *column), at);
        let begun = self.active.get(&(Arc::clone(&end.host), end.local));
        let (None, Some(begun)) = (known, begun) else {
            return known;
        };
        // The socket was gone before anybody could ask whose it was: it was opened by the program started last, of those
        // that were there when it began.
        let begun = begun.iter().filter(|begun| **begun <= at).max();
        let was_there = |column: &usize| self.ends.get(column).is_none_or(|end| Some(end) >= begun);
        let here = self
            .programs
            .iter()
            .filter(|(column, (host, _))| *host == end.host && was_there(column));
        self.latest(
            here.map(|(column, _)| *column)
                .filter(|column| Some(*column) != other),
            at,
        )
    }

    /// Of several programs the one that was started last, before a moment.
    fn latest(&self, columns: impl Iterator<Item = usize>, at: Duration) -> Option<usize> {
        let started = |column: &usize| {
            self.programs
                .get(column)
                .map_or(Duration::ZERO, |(_, started)| *started)
        };
        columns
            .filter(|column| started(column) <= at)
            .max_by_key(started)
    }
}

fn logs(book: &Book) -> Vec<(Arc<str>, Log)> {
    book.hosts
        .iter()
        .map(|host| (Arc::from(host.name()), host.log()))
        .collect()
}

/// All packets with their columns.
pub(crate) fn packets(shared: &Shared) -> Packets {
    let book = Parts::of(shared);
    let logs = logs(&book.0);
    let all = passed(&book.0, &logs, shared);
    let refused = logs.iter().find_map(|(_, log)| log.capture_refused.clone());
    let missed: u32 = book.0.wires.iter().map(|wire| wire.missed()).sum();
    let missed =
        (missed > 0).then(|| format!("the wire was too slow: it has missed {missed} packets"));
    Packets {
        all,
        refused: refused.or(missed),
    }
}

/// A copy of the book's lists of hosts, wires and processes, so that the lock is not held while the kernel is asked.
struct Parts(Book);

impl Parts {
    fn of(shared: &Shared) -> Self {
        let book = shared.book();
        Self(Book {
            hosts: book.hosts.clone(),
            wires: book.wires.clone(),
            processes: book.processes.clone(),
            columns: book.columns.clone(),
            ..Book::default()
        })
    }
}

fn passed(book: &Book, logs: &[(Arc<str>, Log)], shared: &Shared) -> Vec<Passed> {
    let mut packets: Vec<Packet> = book.wires.iter().flat_map(|wire| wire.packets()).collect();
    packets.extend(logs.iter().flat_map(|(_, log)| log.packets.clone()));
    packets.sort_by_key(|packet| packet.sent);
    give_fragments_ports(&mut packets);
    let directory = Directory::new(book, logs, &packets, shared);
    let with_columns = packets.into_iter().map(|packet| {
        // An ICMP error is for the socket whose packet it quotes.
        let (source, destination) = match packet.quotes() {
            Some((from, to)) => (to, from),
            None => (packet.source, packet.destination),
        };
        let sender = End {
            host: Arc::clone(&packet.hosts.0),
            local: source,
            remote: destination,
        };
        let receiver = packet.hosts.1.as_ref();
        let receiver = receiver.map(|host| End {
            host: Arc::clone(host),
            local: destination,
            remote: source,
        });
        let known = |end: &End| directory.column(end, packet.sent, None);
        let from = directory.column(&sender, packet.sent, receiver.as_ref().and_then(known));
        let to = receiver.and_then(|end| directory.column(&end, packet.sent, from));
        Passed { packet, from, to }
    });
    with_columns.collect()
}

/// For the ladder: what a router hands on is one arrow, from the sender to the receiver, and not one for each wire.
fn whole_ways(book: &Book, passed: Vec<Passed>) -> Vec<Passed> {
    let owns = |name: &Arc<str>, address: SocketAddr| {
        let hosts = book.hosts.iter().find(|host| host.name() == &**name);
        hosts.is_none_or(|host| host.owns(address.ip()))
    };
    let same = |first: &Packet, second: &Packet| {
        first.hosts.1.as_ref() == Some(&second.hosts.0)
            && (first.source, first.destination) == (second.source, second.destination)
            && (&first.kind, first.length) == (&second.kind, second.length)
    };
    let mut whole: Vec<Passed> = Vec::with_capacity(passed.len());
    // Where packets are that have come to a router, the oldest first.
    let mut waiting: Vec<usize> = Vec::new();
    for next in passed {
        if !owns(&next.hosts.0, next.source)
            && let Some(place) = waiting
                .iter()
                .position(|&index| same(&whole[index].packet, &next.packet))
        {
            let index = waiting.remove(place);
            whole[index].to = next.to;
            whole[index].packet.arrived = next.packet.arrived;
            whole[index].packet.hosts.1 = next.packet.hosts.1;
            continue;
        }
        if next.arrived.is_some()
            && next
                .hosts
                .1
                .as_ref()
                .is_some_and(|host| !owns(host, next.destination))
        {
            waiting.push(whole.len());
        }
        whole.push(next);
    }
    whole
}

/// Only the first fragment of a datagram has its ports. Those that follow it belong to the same program.
fn give_fragments_ports(packets: &mut [Packet]) {
    let mut firsts = HashMap::new();
    for packet in packets {
        let ends = (
            Arc::clone(&packet.hosts.0),
            packet.source.ip(),
            packet.destination.ip(),
        );
        if !matches!(packet.kind, Kind::Fragment(_)) {
            continue;
        }
        if packet.source.port() != 0 {
            firsts.insert(ends, (packet.source.port(), packet.destination.port()));
        } else if let Some(&(source, destination)) = firsts.get(&ends) {
            packet.source.set_port(source);
            packet.destination.set_port(destination);
        }
    }
}

/// The columns and events of a run up to now.
pub(crate) fn story(shared: &Shared, until: Duration) -> (Vec<Column>, Vec<Event>) {
    let parts = Parts::of(shared).0;
    let logs = logs(&parts);
    let mut columns = parts.columns.clone();
    let mut events = shared.book().events.clone();
    let passed = whole_ways(&parts, passed(&parts, &logs, shared));
    let (crowds, asides) = {
        let book = shared.book();
        (book.crowds.clone(), book.asides.clone())
    };
    let left_out = |ends: [SocketAddr; 2]| {
        let ports = ends.map(|end| end.port());
        crowds
            .iter()
            .any(|crowd| ports.iter().any(|port| crowd.contains(port)))
    };
    let mut kernels = Kernels::default();
    let drawn = |packet: &&Passed| {
        !left_out([packet.source, packet.destination]) && !asides.iter().any(|fits| fits(packet))
    };
    for packet in passed.iter().filter(drawn) {
        let mut place = |known: Option<usize>, host: Option<&Arc<str>>| {
            known.or_else(|| host.map(|host| kernels.column(host, &parts, &mut columns)))
        };
        let from = place(packet.from, Some(&packet.hosts.0));
        let to = place(packet.to, packet.hosts.1.as_ref());
        let hosts = [Some(&packet.hosts.0), packet.hosts.1.as_ref()];
        for ((column, address), host) in [(from, packet.source), (to, packet.destination)]
            .into_iter()
            .zip(hosts)
        {
            // What a router hands on is not its own address.
            let own = |known: &Host| {
                host.is_some_and(|host| known.name() == &**host) && known.owns(address.ip())
            };
            if let Some(column) = column.and_then(|column| columns.get_mut(column))
                && address.port() != 0
                && parts.hosts.iter().any(own)
            {
                column.address.get_or_insert(address.to_string());
            }
        }
        events.push(Event {
            at: packet.sent,
            what: What::Packet {
                from,
                to,
                packet: packet.packet.clone(),
            },
        });
    }
    let empty = Vec::new();
    let directory = Directory::new(&parts, &logs, &empty, shared);
    for (host, log) in &logs {
        let mut last = HashMap::new();
        let drawn = log
            .states
            .iter()
            .filter(|(_, tuple, _)| !left_out([tuple.local, tuple.remote]));
        for (at, tuple, state) in drawn {
            let before = last.insert(*tuple, *state);
            if let Some(column) = directory.column(
                &End {
                    host: Arc::clone(host),
                    local: tuple.local,
                    remote: tuple.remote,
                },
                *at,
                None,
            ) {
                events.push(Event {
                    at: *at,
                    what: What::State(column, before, *state),
                });
            }
        }
    }
    for process in &parts.processes {
        let inner = &process.inner;
        let end = process.ended();
        // We may read a last line only shortly after we have learnt of the end. Later ones are of children that live on.
        let at = |moment: Instant| {
            let late = end.filter(|end| moment.saturating_duration_since(end.at) < READING);
            shared
                .clock
                .at(late.map_or(moment, |end| moment.min(end.at)))
        };
        for fd in [1, 2] {
            let lines = match fd {
                1 => process.out().lines(),
                _ => process.err().lines(),
            };
            // We read a line a moment after it was written; of a traced program we know when that was, and so whether it
            // was before the next call.
            let written = inner.calls.as_ref().map(|calls| writes(calls, fd));
            let written = written.filter(|written| written.len() == lines.len());
            for (number, line) in lines.into_iter().enumerate() {
                let written = written.as_ref().map(|written| written[number]);
                events.push(Event {
                    at: at(written.map_or(line.at, |written| line.at.min(written))),
                    what: match fd {
                        1 => What::Said(inner.column, line.text),
                        _ => What::Complained(inner.column, line.text),
                    },
                });
            }
        }
        if let Some(end) = end {
            events.push(Event {
                at: at(end.at),
                what: What::Ended(inner.column, end.ending.to_string()),
            });
        }
        // What is asked for by name is drawn for files, too, if they are the experiment's own, and for sockets.
        let own = |call: &SystemCall| {
            let target = call.descriptor.as_deref().unwrap_or_default();
            target.starts_with("socket:") || Path::new(target).starts_with(&shared.directory)
        };
        let until = *inner
            .drawn_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let drawn = |call: &SystemCall| match inner.drawn {
            _ if until.is_some_and(|until| call.at > until) => false,
            None => call.interesting(),
            Some(names) => names.contains(&&*call.name) && (call.interesting() || own(call)),
        };
        for call in inner
            .calls
            .iter()
            .flat_map(|calls| calls.all())
            .filter(drawn)
        {
            let at = call.ended_at.unwrap_or(call.at);
            events.push(Event {
                at: shared.clock.at(at),
                what: What::Called(inner.column, call.to_string()),
            });
        }
    }
    let told_until = shared.book().told_until.unwrap_or(until);
    events.retain(|event| event.at <= until.min(told_until));
    events.sort_by_key(|event| event.at);
    let later = |process: &&Process| shared.clock.at(process.started()) > told_until;
    let later = parts.processes.iter().filter(later);
    let later: HashSet<usize> = later.map(|process| process.inner.column).collect();
    leave_out(&later, &mut columns, &mut events);
    (columns, events)
}

/// Takes columns away in which nothing happens: of programs that were started after the end of the ladder.
fn leave_out(later: &HashSet<usize>, columns: &mut Vec<Column>, events: &mut [Event]) {
    let mut number = 0;
    columns.retain(|_| {
        number += 1;
        !later.contains(&(number - 1))
    });
    let moved = |column: &mut usize| {
        let before = later.iter().filter(|later| **later < *column).count();
        *column -= before;
    };
    for event in events {
        match &mut event.what {
            What::Said(column, _)
            | What::Complained(column, _)
            | What::Typed(column, _)
            | What::Ended(column, _)
            | What::Called(column, _)
            | What::State(column, ..) => moved(column),
            What::Packet { from, to, .. } => [from, to].into_iter().flatten().for_each(moved),
            What::Act(_) => {}
        }
    }
}

/// When each write(2) to standard output (1) or standard error (2) returned. The lessons' programs write line by line.
fn writes(calls: &Calls, fd: u64) -> Vec<Instant> {
    let writes = calls.filtered(|call| {
        call.name == "write"
            && call.arguments[0] == fd
            && call.result.is_some_and(|result| result.is_ok())
    });
    writes.iter().filter_map(|call| call.ended_at).collect()
}

/// Columns for hosts whose kernel answers though no program is behind it: a router, a closed port.
#[derive(Default)]
struct Kernels(HashMap<Arc<str>, usize>);

impl Kernels {
    fn column(&mut self, host: &Arc<str>, parts: &Book, columns: &mut Vec<Column>) -> usize {
        let programs: Vec<_> = parts
            .processes
            .iter()
            .filter(|process| process.inner.host.name() == &**host)
            .collect();
        if parts.hosts.len() > 1
            && let [only] = programs[..]
        {
            return only.inner.column;
        }
        *self.0.entry(Arc::clone(host)).or_insert_with(|| {
            let several = parts.hosts.len() > 1;
            let hand = parts
                .hosts
                .iter()
                .find(|known| known.name() == &**host)
                .and_then(Host::own_hand);
            let (name, host) = match hand {
                Some(hand) => (hand, several.then(|| host.to_string())),
                None if several => (host.to_string(), Some("kernel".into())),
                None => ("kernel".into(), None),
            };
            columns.push(Column {
                name,
                host,
                address: None,
            });
            columns.len() - 1
        })
    }
}
