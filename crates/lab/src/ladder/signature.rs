//! What matters of a run, without what differs from one run to the next.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;

use super::arrow::Ink;
use super::fold::template;
use super::words::{clean, mark};
use crate::packet::{FIN, Kind, Packet, RST, SYN};
use crate::record::{Column, Record, What};

/// Counted up when the drawing changes, so that the pictures are drawn anew.
const DRAWING: u32 = 1;
/// More of the same than this are "many".
const MANY: usize = 6;
/// Amounts of data from here on depend on the moment: how much fitted into a buffer before the end.
const MUCH: usize = 1000;

/// See [`super::signature`].
pub(super) fn signature(record: &Record) -> String {
    let mut lines = vec![format!(
        "{} · {} · drawing {DRAWING}",
        clean(&record.id),
        clean(&record.title)
    )];
    let columns = record.columns.iter().enumerate().map(|(number, column)| {
        let place = [&column.host, &column.address];
        let place: Vec<String> = place
            .into_iter()
            .flatten()
            .map(|place| steady(place))
            .collect();
        let mut block = format!("{} {}", program(column), place.join(" "));
        for line in outputs(record, number) {
            block += "\n  ";
            block += &line;
        }
        block
    });
    let mut columns: Vec<_> = columns.collect();
    columns.sort();
    // Some stories begin anew until something happens that is left to chance: once is as good as twice.
    columns.dedup();
    lines.append(&mut columns);
    lines.extend(flows(record));
    for event in &record.events {
        if let What::Act(act) = &event.what {
            lines.push(format!("act: {}", steady(act)));
        }
    }
    for claim in &record.claims {
        lines.push(format!(
            "{} {}",
            mark(claim.verdict),
            steady(&claim.sentence)
        ));
    }
    lines.extend(
        record
            .gauges
            .iter()
            .map(|gauge| format!("gauge: {}, {}", clean(&gauge.name), gauge.unit)),
    );
    lines.extend(
        record
            .figures
            .iter()
            .map(|(name, _)| format!("figure: {}", clean(name))),
    );
    for table in &record.tables {
        let names = table.rows.iter().filter_map(|row| row.first());
        let names: Vec<_> = table
            .head
            .iter()
            .chain(names)
            .map(|name| clean(name))
            .collect();
        lines.push(format!("table: {}", names.join(", ")));
    }
    lines.join("\n")
}

/// The name of a column without the number that tells several of one program apart: which of two equal clients is served
/// by whom depends on the moment.
fn program(column: &Column) -> String {
    let name = clean(&column.name);
    match name.rsplit_once(' ') {
        Some((name, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => name.into(),
        _ => name,
    }
}

/// What a column said, typed and how it ended. In the order of the alphabet: threads and children take turns as they like.
fn outputs(record: &Record, column: usize) -> Vec<String> {
    let of_column = record.events.iter().filter_map(|event| match &event.what {
        What::Said(by, line) if *by == column => Some(("", line)),
        What::Complained(by, line) if *by == column => Some(("! ", line)),
        What::Typed(by, line) if *by == column => Some(("> ", line)),
        What::Ended(by, how) if *by == column => Some(("= ", how)),
        _ => None,
    });
    let mut alike: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (mark, line) in of_column {
        let line = format!("{mark}{}", steady(line));
        alike.entry(template(&line)).or_default().push(line);
    }
    let mut lines = Vec::new();
    for (template, mut all) in alike {
        match all.len() > MANY {
            true => lines.push(format!("{template} (many)")),
            false => {
                all.sort();
                lines.append(&mut all);
            }
        }
    }
    lines
}

/// The packets of each direction of each flow, without ports: which is which differs. Equal flows are counted.
fn flows(record: &Record) -> Vec<String> {
    type Ends = (Option<usize>, Option<usize>);
    let mut flows: HashMap<(Ends, SocketAddr, SocketAddr, bool), Flow> = HashMap::new();
    for event in &record.events {
        if let What::Packet { from, to, packet } = &event.what {
            let key = (
                (*from, *to),
                packet.source,
                packet.destination,
                packet.tcp().is_some(),
            );
            flows.entry(key).or_default().add(packet);
        }
    }
    let name = |end: Option<usize>| {
        let column = end.and_then(|end| record.columns.get(end));
        column.map_or("nobody".into(), program)
    };
    let mut alike: BTreeMap<String, usize> = BTreeMap::new();
    for ((ends, ..), flow) in flows {
        let words = flow.words();
        if !words.is_empty() {
            let flow = format!("{} → {}: {}", name(ends.0), name(ends.1), words.join(", "));
            *alike.entry(flow).or_default() += 1;
        }
    }
    let counted = |(flow, count)| match count {
        1 => flow,
        2..=MANY => format!("{flow} ({count} times)"),
        _ => format!("{flow} (many times)"),
    };
    alike.into_iter().map(counted).collect()
}

/// One direction of a flow.
#[derive(Default)]
struct Flow {
    /// Sequence numbers and flags that were seen: what is sent again does not count.
    seen: HashSet<(u32, bool)>,
    /// The end of the data so far.
    end: Option<u32>,
    steps: Vec<Step>,
}

#[derive(PartialEq)]
enum Step {
    Named(String),
    /// Bytes of a stream: how it is cut into segments depends on the moment.
    Data(usize),
    Datagram(usize),
}

impl Flow {
    fn add(&mut self, packet: &Packet) {
        let lost = if packet.arrived.is_none() {
            " lost"
        } else {
            ""
        };
        let Kind::Tcp(tcp) = &packet.kind else {
            let step = match packet.kind {
                Kind::Udp => Step::Datagram(packet.length),
                _ => Step::Named(format!("{packet}{lost}")),
            };
            // ICMP is limited in its rate: how often it comes depends on the moment.
            if matches!(step, Step::Datagram(_)) || self.steps.last() != Some(&step) {
                self.steps.push(step);
            }
            if packet.kind == Kind::Udp && packet.arrived.is_none() {
                self.steps.push(Step::Named("lost".into()));
            }
            return;
        };
        if Ink::of(packet) == Ink::Ack {
            return;
        }
        let end = tcp.sequence.wrapping_add(packet.length as u32);
        if packet.length > 0 {
            let next = *self.end.get_or_insert(tcp.sequence);
            let fresh = (end.wrapping_sub(next) as i32).max(0) as usize;
            self.end = Some(if fresh > 0 { end } else { next });
            match self.steps.last_mut() {
                _ if fresh == 0 => {}
                Some(Step::Data(bytes)) if lost.is_empty() => *bytes += fresh,
                _ => {
                    self.steps.push(Step::Data(fresh));
                    if !lost.is_empty() {
                        self.steps.push(Step::Named("lost".into()));
                    }
                }
            }
        }
        for (flag, name) in [(SYN, "SYN"), (FIN, "FIN"), (RST, "RST")] {
            if !tcp.flags.has(flag) {
                continue;
            }
            // Several pieces of late data make several resets.
            let first = match flag {
                RST => self.steps.last() != Some(&Step::Named("RST".into())),
                flag => self.seen.insert((end, flag == SYN)),
            };
            if first {
                self.steps.push(Step::Named(format!("{name}{lost}")));
            }
        }
    }

    fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        for run in self.steps.chunk_by(|one, next| one == next) {
            match run {
                [step, ..] if run.len() > MANY => words.push(format!("{} (many)", step.word())),
                run => words.extend(run.iter().map(Step::word)),
            }
        }
        words
    }
}

impl Step {
    fn word(&self) -> String {
        match self {
            Step::Named(name) => name.clone(),
            Step::Data(bytes) | Step::Datagram(bytes) if *bytes >= MUCH => "much data".into(),
            Step::Data(bytes) => format!("data {bytes}"),
            Step::Datagram(bytes) => format!("datagram {bytes}"),
        }
    }
}

/// The line with `#` for the numbers that differ between runs: times, ports the kernel chose, process ids, large counts.
fn steady(line: &str) -> String {
    let line = tabled(clean(line));
    // A time of day, with the names of a day and a month somewhere beside it.
    if template(&line).contains("#:#:#") && !line.contains("::") {
        let name = |word: &str| {
            let word = word.trim_matches(|c: char| !c.is_alphabetic());
            ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
                .iter()
                .any(|day| word.starts_with(day))
                || [
                    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov",
                    "Dec",
                ]
                .iter()
                .any(|month| word.starts_with(month))
        };
        let words = line.split_whitespace().map(|word| {
            if name(word) {
                "#".into()
            } else {
                template(word)
            }
        });
        return words.collect::<Vec<_>>().join(" ");
    }
    let mut out = String::with_capacity(line.len());
    let mut rest = line.as_str();
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, number) = rest.split_at(start);
        let end = number
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(number.len());
        let number = number[..end].trim_end_matches('.');
        let after = &rest[start + number.len()..];
        out.push_str(before);
        match number.rsplit_once('.') {
            // An IPv4 address with a port behind it, as tcpdump writes them.
            Some((address, _)) if address.split('.').count() == 4 => out += &format!("{address}.#"),
            _ if varies(&out, number, after) => out.push('#'),
            _ => out.push_str(number),
        }
        rest = after;
    }
    out + rest
}

/// A row of a table about processes, with the number of the process before its user: without the number, and without the
/// blanks that depend on its width. Other lines are as they were.
fn tabled(line: String) -> String {
    let words: Vec<_> = line.split_whitespace().collect();
    match words.as_slice() {
        [command, process, user @ "root", rest @ ..] if process.parse::<u32>().is_ok() => {
            [&[command, "#", user], rest].concat().join(" ")
        }
        _ => line,
    }
}

/// Whether a number differs between runs, by what stands around it.
fn varies(before: &str, number: &str, after: &str) -> bool {
    let unit: String = after
        .trim_start()
        .chars()
        .take_while(|c| c.is_alphabetic() || *c == '%')
        .collect();
    let time = [
        "s",
        "ms",
        "us",
        "µs",
        "ns",
        "second",
        "seconds",
        "milliseconds",
        "microseconds",
        "%",
    ];
    let word = before
        .trim_end_matches([' ', '=', ':', '[', '(', '#'])
        .rsplit(|c: char| !c.is_alphabetic())
        .next();
    let word = word.unwrap_or_default().to_lowercase();
    // Names of numbers that the kernel gives, of windows that follow the moment, and of updates that threads lose.
    let given = [
        "pid",
        "child",
        "process",
        "thread",
        "tid",
        "fd",
        "descriptor",
        "cwnd",
        "ssthresh",
        "updates",
    ];
    let hexadecimal = before.ends_with("0x");
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    // Times with slashes between them: 0.1/0.2/0.3 ms.
    let chain = |c: char| c.is_ascii_digit() || matches!(c, '.' | '/');
    let of_chain = after.starts_with('/') && after.trim_start_matches(chain).starts_with(" ms");
    time.contains(&unit.as_str())
        || of_chain
        || given.contains(&word.as_str())
        || after.trim_start().starts_with("per second")
        || hexadecimal
        || (digits > 4 && !number.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tools_print_is_steady() {
        for (line, shown) in [
            (
                "IP 10.0.0.1.40022 > 10.0.0.2.43211: Flags [P.], seq 1:6, ack 1, win 63, length 5",
                "IP 10.0.0.1.# > 10.0.0.2.#: Flags [P.], seq 1:6, ack 1, win 63, length 5",
            ),
            (
                "rtt min/avg/max/mdev = 20.459/20.464/20.470/0.005 ms",
                "rtt min/avg/max/mdev = #/#/#/# ms",
            ),
            (
                "chap-11       321 root        3u IPv4 14674738 TCP 127.0.0.1:43211 (LISTEN)",
                "chap-11 # root 3u IPv4 # TCP 127.0.0.1:# (LISTEN)",
            ),
            (
                "asked: 200 in 0.2 s, 980 per second",
                "asked: 200 in # s, # per second",
            ),
            (
                "3 ms: cwnd 59, ssthresh 50, 0 segments",
                "# ms: cwnd #, ssthresh #, 0 segments",
            ),
            (
                "listening on 10.0.0.1:43211/24",
                "listening on 10.0.0.1:#/24",
            ),
        ] {
            assert_eq!(steady(line), shown);
        }
    }
}
