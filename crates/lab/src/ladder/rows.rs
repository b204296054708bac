//! A record as rows: what happens at the same moment, or because of the same packet, stands on one line.

use std::time::Duration;

use super::arrow::{Arrow, Ink, Leg, Namer};
use super::fold::{Item, fold};
use super::lanes::{Lane, Tenant, lanes};
use super::words::{clean, milliseconds};
use crate::packet::Packet;
use crate::record::{Record, What};

/// What happens at one end of a packet within this time is put down to the packet.
const SOON: Duration = Duration::from_millis(5);

/// A packet that takes less arrives at once.
pub(super) const DELAY: Duration = Duration::from_millis(10);

/// What a piece of text is; each has its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// The name of the next one in a lane.
    Name,
    Said,
    Complained,
    Typed,
    Ended,
    Call,
    State,
    More,
}

/// A piece of text beside a lane.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) tone: Tone,
    pub(super) text: String,
}

/// One row.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) at: Duration,
    /// What stands beside each lane.
    pub(super) cells: Vec<Vec<Piece>>,
    pub(super) between: Between,
}

/// What lies between the lanes.
#[derive(Debug)]
pub(super) enum Between {
    Nothing,
    Arrow(Arrow),
    /// Packets left out, between these two lanes: how many, how many bytes.
    More((usize, usize), [String; 2]),
    /// What the lab did, across all lanes.
    Act(String),
}

/// The whole picture, not yet laid out.
#[derive(Debug)]
pub(super) struct Ladder {
    pub(super) lanes: Vec<Lane>,
    pub(super) rows: Vec<Row>,
}

/// Whether the text of this lane stands at its left. That is the outer side of the first lane, as long as there is room for it;
/// all others have their text at their right.
pub(super) fn text_at_left(lane: usize, lanes: usize) -> bool {
    lane == 0 && (lanes == 2 || lanes == 3)
}

impl Ladder {
    pub(super) fn new(record: &Record) -> Self {
        let mut builder = Builder::new(record);
        for (at, step) in steps(record) {
            match step {
                Step::Event(number, what) => builder.event(at, number, what),
                Step::Arrival(number) => builder.arrival(at, number),
                Step::MorePackets((from, to), words) => {
                    let (from, to) = (builder.lane(from, None), builder.lane(to, None));
                    match from == to {
                        true => builder.text(at, from, Tone::More, words.join(", ")),
                        false => {
                            let between = (from.min(to), from.max(to));
                            builder.push(at, Between::More(between, words));
                        }
                    }
                }
                Step::MoreLines(column, words) => {
                    let lane = builder.lane(Some(column), None);
                    builder.push(at, Between::Nothing);
                    builder.last().cells[lane].push(piece(Tone::More, words));
                }
            }
        }
        builder.finish()
    }
}

fn piece(tone: Tone, text: String) -> Piece {
    Piece { tone, text }
}

/// An item of the folded record, or the arrival of a packet that took its time.
enum Step<'a> {
    Event(usize, &'a What),
    Arrival(usize),
    MorePackets((Option<usize>, Option<usize>), [String; 2]),
    MoreLines(usize, String),
}

/// Everything to draw, in order of time.
fn steps(record: &Record) -> Vec<(Duration, Step<'_>)> {
    let mut steps = Vec::new();
    for item in fold(&record.events) {
        match item {
            Item::Event(number, event) => {
                steps.push((event.at, Step::Event(number, &event.what)));
                if let What::Packet { packet, .. } = &event.what
                    && let Some(arrived) = packet.arrived.filter(|_| delay(packet) >= DELAY)
                {
                    steps.push((arrived, Step::Arrival(number)));
                }
            }
            Item::MorePackets(at, ends, words) => steps.push((at, Step::MorePackets(ends, words))),
            Item::MoreLines(at, column, words) => steps.push((at, Step::MoreLines(column, words))),
        }
    }
    steps.sort_by_key(|(at, _)| *at);
    steps
}

fn delay(packet: &Packet) -> Duration {
    packet.arrived.map_or(Duration::ZERO, |arrived| {
        arrived.saturating_sub(packet.sent)
    })
}

struct Builder<'a> {
    record: &'a Record,
    /// The lane of each column, and its place among the lane's tenants.
    place_of: Vec<(usize, usize)>,
    /// The tenant now present in each of those lanes.
    present: Vec<usize>,
    /// How many lanes the columns have.
    columns: usize,
    /// The hosts that have a lane of their own because somebody there is in no column.
    strangers: Vec<Option<String>>,
    lanes: Vec<Lane>,
    rows: Vec<Row>,
    namer: Namer,
}

impl<'a> Builder<'a> {
    fn new(record: &'a Record) -> Self {
        let (place_of, lanes) = lanes(record);
        let mut builder = Self {
            record,
            present: vec![0; lanes.len()],
            place_of,
            strangers: Vec::new(),
            columns: lanes.len(),
            lanes,
            rows: Vec::new(),
            namer: Namer::default(),
        };
        // All lanes must be known before the first row is made.
        for event in &record.events {
            if let What::Packet { from, to, packet } = &event.what {
                builder.lane(*from, Some(&packet.hosts.0));
                builder.lane(*to, packet.hosts.1.as_deref());
            }
        }
        builder
    }

    /// The lane of a column; where there is none, that of the host's kernel, or of nobody.
    fn lane(&mut self, column: Option<usize>, host: Option<&str>) -> usize {
        if let Some((lane, _)) = column.and_then(|column| self.place_of.get(column)) {
            return *lane;
        }
        let known = self
            .strangers
            .iter()
            .position(|stranger| stranger.as_deref() == host);
        // A fold does not say which host it was: the first stranger will do.
        let known = known.or((host.is_none() && !self.strangers.is_empty()).then_some(0));
        if let Some(known) = known {
            return self.columns + known;
        }
        self.strangers.push(host.map(str::to_owned));
        let several_hosts = self
            .record
            .columns
            .iter()
            .any(|column| column.host.is_some());
        let name = if host.is_some() { "kernel" } else { "nobody" };
        let place = host.filter(|_| several_hosts).unwrap_or_default();
        let mut tenant = Tenant::new(name, place);
        tenant.begins = Some(0);
        self.lanes.push(Lane {
            tenants: vec![tenant],
        });
        self.lanes.len() - 1
    }

    fn push(&mut self, at: Duration, between: Between) {
        let cells = vec![Vec::new(); self.lanes.len()];
        self.rows.push(Row { at, cells, between });
    }

    fn last(&mut self) -> &mut Row {
        self.rows.last_mut().expect("called after a push")
    }

    fn event(&mut self, at: Duration, number: usize, what: &What) {
        match what {
            What::Packet { from, to, packet } => {
                self.enter(at, *from);
                self.enter(at, *to);
                let from = self.lane(*from, Some(&packet.hosts.0));
                let to = self.lane(*to, packet.hosts.1.as_deref());
                self.packet(at, number, from, to, packet);
            }
            What::Act(act) => self.push(at, Between::Act(clean(act))),
            What::Said(column, line) => self.text_of(at, *column, Tone::Said, clean(line)),
            What::Complained(column, line) => {
                // What the reactor does, as it tells it, is no complaint.
                let tone = match line.starts_with("[msg] ") {
                    true => Tone::Call,
                    false => Tone::Complained,
                };
                self.text_of(at, *column, tone, clean(line));
            }
            What::Typed(column, line) => {
                self.text_of(at, *column, Tone::Typed, format!("❯ {}", clean(line)));
            }
            What::Ended(column, how) => {
                self.text_of(at, *column, Tone::Ended, format!("■ {}", clean(how)));
            }
            What::Called(column, call) => self.text_of(at, *column, Tone::Call, clean(call)),
            What::State(column, before, after) => {
                let state = match before {
                    Some(before) => format!("{before} → {after}"),
                    None => after.to_string(),
                };
                self.text_of(at, *column, Tone::State, state);
            }
        }
    }

    /// A column that shares its lane comes when the one before it has gone: its name is said then.
    fn enter(&mut self, at: Duration, column: Option<usize>) {
        let place = column.and_then(|column| self.place_of.get(column).copied());
        if let Some((lane, tenant)) = place
            && tenant > self.present[lane]
        {
            self.present[lane] = tenant;
            self.push(at, Between::Nothing);
            let row = self.rows.len() - 1;
            let tenant = &mut self.lanes[lane].tenants[tenant];
            tenant.begins = Some(row);
            let name = format!("{} {}", tenant.name, tenant.place);
            self.rows[row].cells[lane].push(piece(Tone::Name, name.trim_end().into()));
        }
    }

    fn text_of(&mut self, at: Duration, column: usize, tone: Tone, text: String) {
        // A connection or listener that ends is the last one's, even where the kernel says so only now.
        if tone != Tone::State || !text.ends_with("CLOSED") {
            self.enter(at, Some(column));
        }
        // A column that the record does not have is a mistake of the recorder; the rest can be shown all the same. Of one that has
        // left its lane to the next one, only the kernel's last states come so late.
        if let Some(&(lane, tenant)) = self.place_of.get(column)
            && tenant == self.present[lane]
        {
            self.text(at, lane, tone, text);
        }
    }

    fn text(&mut self, at: Duration, lane: usize, tone: Tone, text: String) {
        let row = match self.row_for(at, lane, tone) {
            Some(row) => row,
            None => {
                self.push(at, Between::Nothing);
                self.rows.len() - 1
            }
        };
        let cell = &mut self.rows[row].cells[lane];
        if let (Tone::State, Some(last)) = (tone, cell.last_mut())
            && last.tone == Tone::State
            && let Some((before, after)) = text.split_once(" → ")
            && last.text.ends_with(before)
        {
            last.text.push_str(&format!(" → {after}"));
            return;
        }
        cell.push(piece(tone, text));
    }

    /// The row that a text belongs to: that of the packet which it follows, or the last one.
    fn row_for(&self, at: Duration, lane: usize, tone: Tone) -> Option<usize> {
        if matches!(tone, Tone::Typed | Tone::Ended | Tone::More) {
            return None;
        }
        let last = self.rows.len().checked_sub(1)?;
        let row = &self.rows[last];
        match &row.between {
            Between::Arrow(arrow) => {
                // A bare acknowledgement is the kernels' own affair: what a program says belongs to the data before it.
                if arrow.ink == Ink::Ack
                    && tone != Tone::State
                    && let Some(before) = last.checked_sub(1)
                    && let Between::Arrow(arrow) = &self.rows[before].between
                    && matches!(arrow.ink, Ink::Data | Ink::Fin)
                    && self.joins(before, arrow, lane, at)
                {
                    return Some(before);
                }
                self.joins(last, arrow, lane, at).then_some(last)
            }
            Between::Nothing => {
                let states = |row: &Row| {
                    row.cells[lane]
                        .iter()
                        .all(|piece| piece.tone == Tone::State)
                };
                let alone = row.cells[lane]
                    .first()
                    .is_some_and(|piece| !matches!(piece.tone, Tone::Ended | Tone::Name));
                let soon = at.saturating_sub(row.at) < SOON;
                (alone && soon && (tone == Tone::State || states(row))).then_some(last)
            }
            Between::More(..) | Between::Act(_) => None,
        }
    }

    /// Whether what happens at a lane belongs to this row's packet, and has room beside it.
    fn joins(&self, row: usize, arrow: &Arrow, lane: usize, at: Duration) -> bool {
        let since = match arrow.leg {
            Leg::Whole => self.rows[row].at + arrow.delay,
            _ => self.rows[row].at,
        };
        let end = match arrow.leg {
            Leg::Whole => arrow.from == lane || arrow.to == lane,
            Leg::Leaves | Leg::Lost => arrow.from == lane,
            Leg::Arrives => arrow.to == lane,
        };
        end && self.has_room(arrow, lane) && at.saturating_sub(since) < SOON
    }

    /// Whether the arrow leaves the place of the lane's text free.
    fn has_room(&self, arrow: &Arrow, lane: usize) -> bool {
        let (left, right) = arrow.span();
        text_at_left(lane, self.lanes.len()) || !(left..right).contains(&lane)
    }

    fn packet(&mut self, at: Duration, number: usize, from: usize, to: usize, packet: &Packet) {
        let labels = self.namer.labels(packet);
        if from == to {
            return self.text(at, from, Tone::Call, format!("↻ {}", labels[0]));
        }
        let delay = delay(packet);
        let arrow = Arrow {
            number,
            from,
            to,
            labels,
            ink: Ink::of(packet),
            leg: match packet.arrived {
                None => Leg::Lost,
                Some(_) if delay >= DELAY => Leg::Leaves,
                Some(_) => Leg::Whole,
            },
            delay,
        };
        let room = self.has_room(&arrow, from);
        // What the sender has just said is why the packet goes: it stands at the beginning of the arrow.
        let cause = self.rows.last_mut().filter(|row| {
            let ended = |piece: &Piece| matches!(piece.tone, Tone::Ended | Tone::Name | Tone::More);
            let others = |(lane, cell): (usize, &Vec<Piece>)| lane == from || cell.is_empty();
            matches!(row.between, Between::Nothing)
                && !row.cells[from].is_empty()
                && !row.cells[from].iter().any(ended)
                && row.cells.iter().enumerate().all(others)
                && at.saturating_sub(row.at) < SOON
        });
        match cause.filter(|_| room) {
            Some(row) => row.between = Between::Arrow(arrow),
            None => self.push(at, Between::Arrow(arrow)),
        }
    }

    /// The packet of this number arrives: in its own row if nothing else has happened since it left.
    fn arrival(&mut self, at: Duration, number: usize) {
        if let Some(Row {
            between: Between::Arrow(arrow),
            ..
        }) = self.rows.last_mut()
            && (arrow.number, arrow.leg) == (number, Leg::Leaves)
        {
            arrow.leg = Leg::Whole;
            return arrow.add_delay();
        }
        let leaves = |arrow: &&Arrow| (arrow.number, arrow.leg) == (number, Leg::Leaves);
        let arrows = self.rows.iter().rev().filter_map(|row| match &row.between {
            Between::Arrow(arrow) => Some(arrow),
            _ => None,
        });
        if let Some(mut arrow) = { arrows }.find(leaves).cloned() {
            arrow.leg = Leg::Arrives;
            self.push(at, Between::Arrow(arrow));
        }
    }

    fn finish(mut self) -> Ladder {
        for (number, row) in self.rows.iter().enumerate() {
            let ends = match &row.between {
                Between::Arrow(arrow) => Some(arrow.span()),
                Between::More(between, _) => Some(*between),
                _ => None,
            };
            for (lane, cell) in row.cells.iter().enumerate() {
                let tenants = &mut self.lanes[lane].tenants;
                let takes_part =
                    !cell.is_empty() || ends.is_some_and(|(a, b)| a == lane || b == lane);
                if takes_part {
                    tenants[0].begins.get_or_insert(number);
                }
                if cell.iter().any(|piece| piece.tone == Tone::Ended) {
                    let come =
                        |tenant: &&mut Tenant| tenant.begins.is_some_and(|begins| begins <= number);
                    if let Some(tenant) = tenants.iter_mut().rev().find(come) {
                        tenant.ends = Some(number);
                    }
                }
            }
        }
        Ladder {
            lanes: self.lanes,
            rows: self.rows,
        }
    }
}

/// The time to show at each row: whole milliseconds, and only where they change.
pub(super) fn times(rows: &[Row]) -> Vec<Option<u128>> {
    let mut shown = None;
    let time = |row: &Row| {
        let now = Some(milliseconds(row.at));
        let time = if now == shown { None } else { now };
        shown = now;
        time
    };
    rows.iter().map(time).collect()
}
