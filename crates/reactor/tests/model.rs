//! Buffer, table and wheel against the simplest thing that does the same.
//!
//! Miri, which finds wrong uses of memory, runs them too (the kernel's system calls it cannot run):
//! `PROPTEST_CASES=8 MIRIFLAGS=-Zmiri-disable-isolation cargo +nightly miri test -p reactor --test model`

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use reactor::{Buffer, Table, Wheel};

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<u8>),
    Fill(usize),
    Consume(usize),
    Reserve(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..50).prop_map(Step::Append),
        (0..100usize).prop_map(Step::Fill),
        (0..80usize).prop_map(Step::Consume),
        (0..200usize).prop_map(Step::Reserve),
    ]
}

#[derive(Debug, Clone)]
enum Change {
    Add,
    Remove(usize),
    Take(usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => Just(Change::Add),
        3 => any::<usize>().prop_map(Change::Remove),
        1 => any::<usize>().prop_map(Change::Take),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_buffer_is_a_queue_of_bytes(capacity in 0..64usize, steps in proptest::collection::vec(step(), 0..60)) {
        let mut buffer = Buffer::with_capacity(capacity);
        let mut model = Vec::new();
        for step in steps {
            match step {
                Step::Append(bytes) => {
                    buffer.append(&bytes);
                    model.extend(bytes);
                }
                Step::Fill(count) => {
                    let count = count.min(buffer.room().len());
                    buffer.room()[..count].fill(7);
                    buffer.filled(count);
                    model.extend(vec![7; count]);
                }
                Step::Consume(count) => {
                    buffer.consume(count);
                    model.drain(..count.min(model.len()));
                }
                Step::Reserve(count) => {
                    buffer.reserve(count);
                    prop_assert!(buffer.room().len() >= count);
                }
            }
            prop_assert_eq!(&buffer[..], &model[..]);
        }
    }

    #[test]
    fn a_table_finds_exactly_what_is_in_it(changes in proptest::collection::vec(change(), 0..400)) {
        let mut table = Table::default();
        let mut model = HashMap::new();
        let mut tokens = Vec::new();
        let mut gone = Vec::new();
        for (number, change) in changes.into_iter().enumerate() {
            match change {
                Change::Add => {
                    let token = table.reserve();
                    prop_assert!(table.get(token).is_none());
                    prop_assert!(table.put(token, number).is_ok());
                    prop_assert!(model.insert(token, number).is_none());
                    tokens.push(token);
                }
                Change::Remove(which) if !tokens.is_empty() => {
                    let token = tokens.swap_remove(which % tokens.len());
                    prop_assert_eq!(table.remove(token), model.remove(&token));
                    gone.push(token);
                }
                Change::Take(which) if !tokens.is_empty() => {
                    let token = tokens[which % tokens.len()];
                    let taken = table.take(token).unwrap();
                    prop_assert!(table.get(token).is_none() && table.take(token).is_none());
                    prop_assert!(table.put(token, taken).is_ok());
                }
                _ => {}
            }
            prop_assert_eq!(table.len(), model.len());
        }
        for (token, value) in &model {
            prop_assert_eq!(table.get(*token), Some(value));
        }
        for token in gone {
            prop_assert!(table.get(token).is_none());
            prop_assert_eq!(table.put(token, 0), Err(0));
        }
        prop_assert_eq!(table.tokens().len(), model.len());
    }

    /// Never early, late by less than a thirtieth, each once, and cancelled ones never.
    #[test]
    fn a_wheel_fires_each_timer_once_and_in_time(
        timers in proptest::collection::vec((0..200_000u64, 0..1000u64, any::<bool>()), 1..60),
        steps in proptest::collection::vec(1..5000u64, 1..100),
    ) {
        let mut wheel = Wheel::default();
        let mut now = 0;
        let mut due = BTreeMap::new();
        let mut timers = timers.into_iter().enumerate();
        for step in steps {
            if let Some((number, (after, spread, cancelled))) = timers.next() {
                let at = now + after % (1 + spread * 200);
                let id = wheel.insert(at, number);
                if cancelled {
                    prop_assert_eq!(wheel.cancel(id), Some(number));
                    prop_assert_eq!(wheel.cancel(id), None);
                } else {
                    due.insert(number, (now, at));
                }
            }
            let next = wheel.next_due();
            now += step;
            while let Some(number) = wheel.pop_due(now) {
                let (set, at) = due.remove(&number).expect("each once");
                prop_assert!(at <= now && next <= now);
                prop_assert!(at + (at - set) / 30 + 2 + step >= now, "{set} {at} {now}");
            }
            for (set, at) in due.values() {
                prop_assert!(at + (at - set) / 30 + 2 > now, "overdue: {set} {at} {now}");
            }
            prop_assert_eq!(wheel.len(), due.len());
        }
    }
}

/// Channels at the same time; fewer under Miri, which is slow.
const MANY: usize = if cfg!(miri) { 500 } else { 5000 };

/// A table gives its memory back when its channels go, and old tokens stay dead.
#[test]
fn a_table_becomes_small_again() {
    let mut table = Table::default();
    let tokens: Vec<_> = (0..MANY)
        .map(|number| {
            let token = table.reserve();
            table.put(token, number).unwrap();
            token
        })
        .collect();
    let large = table.capacity();
    for token in &tokens[10..] {
        table.remove(*token).unwrap();
    }
    assert!(table.capacity() <= 64, "{} of {large}", table.capacity());
    for _ in 0..MANY {
        let token = table.reserve();
        table.put(token, 0).unwrap();
    }
    assert!(tokens[10..].iter().all(|token| table.get(*token).is_none()));
    assert!(tokens[..10].iter().all(|token| table.get(*token).is_some()));
}

/// The far end of the wheel: days, and more than it reaches.
#[test]
fn a_wheel_reaches_far() {
    for days in [1u64, 5, 100] {
        let mut wheel = Wheel::default();
        wheel.insert(days * 86_400_000, ());
        let mut now = 0;
        while wheel.pop_due(now).is_none() {
            now = wheel.next_due();
        }
        let least = days * 86_400_000;
        assert!(
            now >= least && now <= least + least / 30,
            "{days} days: {now}"
        );
    }
}
