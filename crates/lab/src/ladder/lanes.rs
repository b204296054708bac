//! Who stands where: the lanes of the ladder, from left to right.

use std::cmp::Reverse;
use std::time::Duration;

use super::words::{clean, width, wrap};
use crate::record::{Column, Record, What};

/// A lane: a program, or several runs of it one after the other; or somebody who is no program of ours.
#[derive(Debug)]
pub(super) struct Lane {
    /// Never empty.
    pub(super) tenants: Vec<Tenant>,
}

/// One run of a program.
#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) name: String,
    /// Host and address.
    pub(super) place: String,
    /// The row in which it first takes part, and the one in which it ends.
    pub(super) begins: Option<usize>,
    pub(super) ends: Option<usize>,
}

/// How a lifeline is drawn in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Unborn,
    Alive,
    /// The process has ended; its kernel may still have something to say.
    Gone,
}

impl Tenant {
    pub(super) fn new(name: &str, place: &str) -> Self {
        Self {
            name: clean(name),
            place: clean(place),
            begins: None,
            ends: None,
        }
    }

    fn of(column: &Column) -> Self {
        let place = [&column.host, &column.address].into_iter().flatten();
        let place: Vec<&str> = place.map(String::as_str).collect();
        Self::new(&column.name, &place.join(" "))
    }

    /// Host and address in lines of at most `room` columns; an address is broken before its port.
    pub(super) fn place(&self, room: usize) -> Vec<String> {
        let words = match self.place.rsplit_once(':') {
            _ if self.place.is_empty() => return Vec::new(),
            Some((address, port)) if width(&self.place) > room => {
                vec![address.to_owned(), format!(":{port}")]
            }
            _ => vec![self.place.clone()],
        };
        let lines = words.iter().flat_map(|words| wrap(words, room, None));
        lines.map(|line| line.trim().into()).collect()
    }
}

impl Lane {
    /// Who is there in a row, or was the last one to be there.
    pub(super) fn tenant(&self, row: usize) -> &Tenant {
        let come = |tenant: &&Tenant| tenant.begins.is_some_and(|begins| begins <= row);
        let last = self.tenants.iter().rev().find(come);
        last.unwrap_or(&self.tenants[0])
    }

    /// How the lifeline is drawn in a line of a row.
    pub(super) fn life(&self, row: usize, line: usize) -> Life {
        let tenant = self.tenant(row);
        let gone = |ends| row > ends || (row == ends && line > 0);
        match tenant.begins {
            Some(begins) if begins <= row => match tenant.ends.is_some_and(gone) {
                true => Life::Gone,
                false => Life::Alive,
            },
            _ => Life::Unborn,
        }
    }
}

/// The lane of each column, its place among the lane's tenants, and the lanes.
pub(super) fn lanes(record: &Record) -> (Vec<(usize, usize)>, Vec<Lane>) {
    let (group_of, groups) = groups(record);
    let mut place_of = vec![(0, 0); record.columns.len()];
    let mut lanes = Vec::new();
    for (lane, group) in order(record, &group_of, groups.len())
        .into_iter()
        .enumerate()
    {
        for (tenant, &column) in groups[group].iter().enumerate() {
            place_of[column] = (lane, tenant);
        }
        let columns = groups[group].iter().map(|&column| &record.columns[column]);
        lanes.push(Lane {
            tenants: columns.map(Tenant::of).collect(),
        });
    }
    (place_of, lanes)
}

/// Columns that can share a lane: the same program, started again when the one before it had ended.
fn groups(record: &Record) -> (Vec<usize>, Vec<Vec<usize>>) {
    let mut times: Vec<Option<(Duration, Duration)>> = vec![None; record.columns.len()];
    let mut ended = vec![false; record.columns.len()];
    for event in &record.events {
        let (columns, until) = match &event.what {
            What::Packet { from, to, packet } => ([*from, *to], packet.arrived.unwrap_or(event.at)),
            What::Said(column, _)
            | What::Complained(column, _)
            | What::Typed(column, _)
            | What::Ended(column, _)
            | What::Called(column, _) => ([Some(*column), None], event.at),
            // The kernel may be late with its last states: they are left out when the next one is there.
            What::State(..) | What::Act(_) => continue,
        };
        if let What::Ended(column, _) = event.what
            && let Some(ended) = ended.get_mut(column)
        {
            *ended = true;
        }
        for column in columns.into_iter().flatten() {
            if let Some(time) = times.get_mut(column) {
                let (first, last) = time.unwrap_or((event.at, until));
                *time = Some((first, last.max(until)));
            }
        }
    }
    let program = |column: usize| {
        let Column { name, host, .. } = &record.columns[column];
        let numbered = name
            .rsplit_once(' ')
            .filter(|(_, number)| number.parse::<u32>().is_ok());
        (numbered.map_or(name.as_str(), |(name, _)| name), host)
    };
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut group_of = Vec::new();
    for column in 0..record.columns.len() {
        let follows = |group: &Vec<usize>| {
            let last = group[group.len() - 1];
            let times = times[last].zip(times[column]);
            program(last) == program(column)
                && ended[last]
                && times.is_some_and(|((_, end), (begin, _))| end < begin)
        };
        let group = groups.iter().position(follows).unwrap_or(groups.len());
        group_of.push(group);
        match groups.get_mut(group) {
            Some(group) => group.push(column),
            None => groups.push(vec![column]),
        }
    }
    (group_of, groups)
}

/// The groups from left to right: whoever speaks first stands left of whom it speaks to, and of three, the one that speaks with
/// both others stands between them. The arrows are short then.
fn order(record: &Record, group_of: &[usize], groups: usize) -> Vec<usize> {
    let group = |column: Option<usize>| column.and_then(|column| group_of.get(column).copied());
    let pair = |what: &What| match what {
        What::Packet { from, to, .. } => group(*from).zip(group(*to)),
        _ => None,
    };
    let pairs = record.events.iter().filter_map(|event| pair(&event.what));
    let pairs: Vec<(usize, usize)> = pairs.filter(|(from, to)| from != to).collect();
    let has = |pair: &(usize, usize), group| pair.0 == group || pair.1 == group;
    let first: Vec<Option<usize>> = (0..groups)
        .map(|group| pairs.iter().position(|pair| has(pair, group)))
        .collect();
    let begins = |group: usize| first[group].is_some_and(|at| pairs[at].0 == group);
    let mut order: Vec<usize> = (0..groups).collect();
    order.sort_by_key(|&group| match first[group] {
        Some(at) if begins(group) => (0, at),
        Some(_) => (1, 0),
        None => (2, 0), // beside the others, not between them
    });
    let hub = |group: &usize| pairs.iter().all(|pair| has(pair, *group));
    if groups == 3
        && first.iter().all(Option::is_some)
        && let Some(hub) = (0..3).find(hub)
    {
        order.retain(|&group| group != hub);
        order.sort_by_key(|&group| (Reverse(begins(group)), first[group]));
        order.insert(1, hub);
    }
    order
}
