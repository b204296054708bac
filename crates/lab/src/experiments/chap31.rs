//! Chapter 31: inside epoll.

use nix::errno::Errno;

use crate::net::proc;
use crate::prelude::*;
use crate::tracer::SystemCall;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "31/add-twice",
        "a descriptor that is in the tree cannot be added again, and its entry stays what it was",
        add_twice,
        "it is removed in between",
    ),
    Experiment::new(
        "31/mod-unknown",
        "a descriptor that is not in the tree can be neither changed nor removed",
        mod_unknown,
        "it is added first",
    ),
    Experiment::new(
        "31/one-file-two-descriptors",
        "one file under two numbers has two entries, and one write makes both ready",
        one_file_two_descriptors,
        "it is added under the same number twice",
    ),
    Experiment::new(
        "31/closed-but-duplicated",
        "a closed descriptor whose file lives on is still told of, and no number removes it",
        closed_but_duplicated,
        "it is removed before it is closed",
    ),
    Experiment::new(
        "31/regular-file",
        "a file that cannot call back is refused, though poll says that it is ready",
        regular_file,
        "it is a pipe, with nothing in it",
    ),
    Experiment::new(
        "31/not-an-epoll",
        "what is no instance is not taken for one, though it is a descriptor",
        not_an_epoll,
        "it is an instance",
    ),
    Experiment::new(
        "31/bad-arguments",
        "no room for events, an unknown operation and an unknown flag are refused, an unknown event is not",
        bad_arguments,
        "the arguments make sense",
    ),
    Experiment::new(
        "31/err-hup-unasked",
        "EPOLLERR and EPOLLHUP come to one who has asked for nothing",
        err_hup_unasked,
        "the other ends stay open",
    ),
    Experiment::new(
        "31/event-filter",
        "room to write does not wake one who waits for data",
        event_filter,
        "it asks for room to write, too",
    ),
    Experiment::new(
        "31/level-requeues",
        "what was told goes back to the ready list level-triggered, and not edge-triggered",
        level_requeues,
        "both descriptors are edge-triggered",
    ),
    Experiment::new(
        "31/revalidated",
        "what was read between the event and the wait is not told, whatever the trigger",
        revalidated,
        "it is left unread",
    ),
    Experiment::new(
        "31/ready-list-order",
        "what is ready is told in the order in which it became so, and one at a time it takes turns",
        ready_list_order,
        "the descriptors are ready before they are added",
    ),
    Experiment::new(
        "31/overflow-list",
        "an event that comes while others are handed out is kept aside, and the next wait tells it first",
        overflow_list,
        "it comes between two waits",
    ),
    Experiment::new(
        "31/nested",
        "an instance is readable while something in it is ready, and a loop of instances is refused",
        nested,
        "the inner one is not in the outer one",
    ),
    Experiment::new(
        "31/wake-reasons",
        "a wait ends by the time, by an event or by a signal, and by nothing else",
        wake_reasons,
        "the signal is blocked",
    ),
    Experiment::new(
        "31/one-of-many",
        "of four threads that wait for one instance, an edge wakes one",
        one_of_many,
        "the descriptor is level-triggered",
    ),
];

/// The calls of epoll.
const EPOLL: &[&str] = &["epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait"];
/// The same, and those that double and close a descriptor.
const DESCRIPTORS: &[&str] = &[
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait",
    "fcntl",
    "close",
];

/// Runs an observation to its end.
fn observes(host: &Host, observation: &str) -> Result<Process, LabError> {
    let program = host.program(&format!("chap-31 probe {observation}"));
    let program = program.traced_drawing(EPOLL).start()?;
    program.ends()?;
    Ok(program)
}

/// What epoll_ctl(2) returned for each operation of this name.
fn controls(program: &Process, operation: &str) -> Vec<Result<i64, Errno>> {
    let calls = program.calls().named("epoll_ctl").into_iter();
    let calls = calls.filter(|call| call.decoded.contains(operation));
    calls.filter_map(|call| call.result).collect()
}

const ADD: &str = "EPOLL_CTL_ADD";
const MOD: &str = "EPOLL_CTL_MOD";
const DEL: &str = "EPOLL_CTL_DEL";

fn is_wait(call: &SystemCall) -> bool {
    matches!(&*call.name, "epoll_wait" | "epoll_pwait")
}

/// What each epoll_wait(2) returned: `Ok("4: EPOLLIN")`, the number and what was told of it.
fn waits(program: &Process) -> Vec<Result<String, Errno>> {
    let told = |call: SystemCall| {
        let events = call.decoded.split(['[', ']']).nth(1).unwrap_or_default();
        Some(call.result?.map(|_| events.to_string()))
    };
    let calls = program.calls().filtered(is_wait).into_iter();
    calls.filter_map(told).collect()
}

/// The n-th wait, from 0, told exactly this.
fn told(program: &Process, number: usize, expected: &str) -> Check {
    let told = waits(program).get(number).cloned();
    equal(told, Some(Ok(expected.to_string())))
}

fn add_twice(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let program = observes(&host, lab.vary("add-twice", "add-twice --remove"))?;

    lab.central(
        "the second time EPOLL_CTL_ADD fails with EEXIST",
        equal(controls(&program, ADD), [Ok(0), Err(Errno::EEXIST)]),
    );
    lab.central(
        "the entry is for EPOLLIN as before: though there is room to write, the wait tells of nothing",
        told(&program, 0, ""),
    );
    lab.done()
}

fn mod_unknown(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let program = observes(&host, lab.vary("mod-unknown", "mod-unknown --add"))?;

    lab.central(
        "EPOLL_CTL_MOD fails with ENOENT",
        equal(controls(&program, MOD), [Err(Errno::ENOENT)]),
    );
    lab.central(
        "it adds nothing: the wait tells of nothing",
        told(&program, 0, ""),
    );
    lab.central(
        "EPOLL_CTL_DEL fails with ENOENT",
        equal(controls(&program, DEL), [Err(Errno::ENOENT)]),
    );
    lab.done()
}

fn one_file_two_descriptors(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let observation = lab.vary(
        "one-file-two-descriptors",
        "one-file-two-descriptors --same",
    );
    let program = observes(&host, observation)?;
    // Whose callback runs first is no promise.
    let first = waits(&program)
        .first()
        .cloned()
        .and_then(Result::ok)
        .unwrap_or_default();
    let mut both: Vec<_> = first.split(", ").collect();
    both.sort_unstable();

    lab.central(
        "both numbers can be added",
        equal(controls(&program, ADD), [Ok(0), Ok(0)]),
    );
    lab.central(
        "after one write the wait tells of both",
        equal(both, ["4: EPOLLIN", "5: EPOLLIN"]),
    );
    lab.central(
        "when one of them is removed, the other one is still told of",
        told(&program, 1, "5: EPOLLIN"),
    );
    lab.done()
}

fn closed_but_duplicated(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let observation = lab.vary("closed-but-duplicated", "closed-but-duplicated --remove");
    let program = host.program(&format!("chap-31 probe {observation}"));
    let program = program.traced_drawing(DESCRIPTORS).start()?;
    program.ends()?;
    let removals = controls(&program, DEL);

    lab.central(
        "the wait tells of a descriptor that is closed",
        told(&program, 0, "4: EPOLLIN"),
    );
    lab.claim(
        "its number names nothing any more, and the other number was never added",
        Check::new(
            removals.ends_with(&[Err(Errno::EBADF), Err(Errno::ENOENT)]),
            format_args!("{removals:?}"),
        ),
    );
    lab.claim(
        "another file can be added under the same number",
        equal(controls(&program, ADD), [Ok(0), Ok(0)]),
    );
    lab.central(
        "the next wait tells of that number, though it means the old file",
        told(&program, 1, "4: EPOLLIN"),
    );
    lab.claim(
        "when the last descriptor of the old file is closed, it is gone",
        told(&program, 2, ""),
    );
    lab.done()
}

fn regular_file(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let program = observes(&host, lab.vary("regular-file", "regular-file /dev/stdin"))?;
    let asks_one =
        |call: &SystemCall| matches!(&*call.name, "poll" | "ppoll") && call.arguments[1] == 1;
    let polled = program.calls().filtered(asks_one);
    let polled: Vec<_> = polled.iter().filter_map(|call| call.result).collect();

    lab.central(
        "for a file, a directory and a device poll says at once that they are ready",
        equal(polled, [Ok(1); 3]),
    );
    lab.central(
        "epoll_ctl refuses all three with EPERM",
        equal(controls(&program, ADD), [Err(Errno::EPERM); 3]),
    );
    lab.done()
}

fn not_an_epoll(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let program = observes(&host, lab.vary("not-an-epoll", "not-an-epoll --instance"))?;
    let added = controls(&program, ADD);

    lab.central(
        "epoll_ctl on an eventfd fails with EINVAL",
        equal(added.first(), Some(&Err(Errno::EINVAL))),
    );
    lab.central(
        "so does epoll_wait",
        equal(waits(&program), [Err(Errno::EINVAL)]),
    );
    lab.claim(
        "so does an instance that is added to itself",
        equal(added.get(1), Some(&Err(Errno::EINVAL))),
    );
    lab.claim(
        "for a number that is not open it is EBADF",
        equal(added.get(2), Some(&Err(Errno::EBADF))),
    );
    lab.done()
}

fn bad_arguments(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let program = observes(&host, lab.vary("bad-arguments", "bad-arguments --good"))?;
    let controlled = program.calls().returned("epoll_ctl");
    let waits = waits(&program);

    lab.central(
        "an unknown flag at the creation is EINVAL",
        equal(
            program.calls().returned("epoll_create1").first(),
            Some(&Err(Errno::EINVAL)),
        ),
    );
    lab.central(
        "so is a wait with room for no event, or for fewer",
        equal(
            &waits[..waits.len().min(2)],
            [Err(Errno::EINVAL), Err(Errno::EINVAL)],
        ),
    );
    lab.central(
        "so is an unknown operation",
        equal(controlled.first(), Some(&Err(Errno::EINVAL))),
    );
    lab.claim(
        "an unknown event is taken without a word",
        equal(controlled.get(1), Some(&Ok(0))),
    );
    lab.done()
}

fn err_hup_unasked(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    lab.leaves_out(1..=u16::MAX);
    let program = observes(&host, lab.vary("err-hup-unasked", "err-hup-unasked --open"))?;
    let came = |number: usize, expected: &str| {
        let told = waits(&program).get(number).cloned().and_then(Result::ok);
        let events = told.as_ref().and_then(|told| told.split(": ").nth(1));
        equal(events, Some(expected))
    };
    let asked = program.calls().named("epoll_ctl");
    let asked: Vec<_> = asked
        .iter()
        .filter_map(|call| call.decoded.strip_suffix(')')?.rsplit(", ").next())
        .collect();

    lab.claim("no event is asked for", equal(asked, ["0"; 3]));
    lab.central(
        "the read end of a pipe is told that the writer has gone: EPOLLHUP",
        came(0, "EPOLLHUP"),
    );
    lab.central(
        "the write end is told that the reader has gone: EPOLLERR",
        came(1, "EPOLLERR"),
    );
    lab.central(
        "a connection is told of a reset: EPOLLERR and EPOLLHUP, and no EPOLLIN",
        came(2, "EPOLLERR|EPOLLHUP"),
    );
    lab.done()
}

/// Waits until so many threads of the program sleep in epoll_wait, and returns them.
fn sleepers(lab: &Lab, program: &Process, count: usize) -> Result<Vec<i32>, LabError> {
    let asleep = || {
        let sleepers = program.sleepers().into_iter();
        let waits = sleepers.filter(|(_, call)| matches!(*call, "epoll_wait" | "epoll_pwait"));
        waits.map(|(thread, _)| thread).collect::<Vec<i32>>()
    };
    lab.until("they sleep in epoll_wait", || equal(asleep().len(), count))?;
    Ok(asleep())
}

/// An observation that goes on while we type.
fn starts(host: &Host, observation: &str) -> Result<Process, LabError> {
    let program = host.program(&format!("chap-31 probe {observation}"));
    program
        .traced_drawing(&["epoll_ctl", "epoll_wait", "epoll_pwait"])
        .start()
}

fn event_filter(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let program = starts(&host, lab.vary("event-filter", "event-filter --both"))?;
    program.says("a thread waits")?;
    let waiter = sleepers(lab, &program, 1)?[0];
    let before = proc::slept(waiter);
    program.types("read")?;
    program.says("has read everything")?;
    match lab.is_control() {
        false => lab.watches_for(Duration::from_millis(200)),
        true => lab.until("the thread is told", || equal(waits(&program).len(), 1))?,
    }
    let (told, after) = (waits(&program), proc::slept(waiter));
    program.types("write")?;
    program.says("has written")?;
    program.ends()?;

    lab.central(
        "when there is room again, the wait goes on",
        equal(told, []),
    );
    lab.central(
        "the thread was not even woken: it has not gone to sleep anew",
        Check::new(
            before.is_some() && before == after,
            format_args!("{before:?} and {after:?} times"),
        ),
    );
    lab.claim(
        "data ends it",
        equal(waits(&program), [Ok("3: EPOLLIN".to_string())]),
    );
    lab.done()
}

fn level_requeues(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let program = observes(&host, lab.vary("level-requeues", "level-requeues --edge"))?;
    let changed = waits(&program)
        .get(3)
        .cloned()
        .and_then(Result::ok)
        .unwrap_or_default();

    lab.claim(
        "the first wait tells of both",
        told(&program, 0, "4: EPOLLIN, 5: EPOLLIN"),
    );
    lab.central(
        "the second tells of the level-triggered one alone",
        told(&program, 1, "4: EPOLLIN"),
    );
    lab.central("so does the third", told(&program, 2, "4: EPOLLIN"));
    lab.claim(
        "EPOLL_CTL_MOD looks anew, and brings the edge-triggered one back",
        Check::new(changed.contains("5: EPOLLIN"), &changed),
    );
    lab.claim(
        "when both are read, it tells of nothing",
        told(&program, 4, ""),
    );
    lab.done()
}

fn revalidated(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let program = observes(&host, lab.vary("revalidated", "revalidated --leave"))?;
    let told = waits(&program)
        .pop()
        .and_then(Result::ok)
        .unwrap_or_default();
    let lacks = |number: &str| Check::new(!told.is_empty() && !told.contains(number), &told);

    lab.central("what was read is not told, level-triggered", lacks("4:"));
    lab.central("nor edge-triggered", lacks("5:"));
    lab.claim(
        "what was not read is",
        Check::new(told.contains("6: EPOLLIN"), &told),
    );
    lab.done()
}

fn ready_list_order(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let observation = lab.vary("ready-list-order", "ready-list-order --before");
    let program = observes(&host, observation)?;
    let waits = waits(&program);
    let turns = waits.iter().skip(1).filter_map(|told| told.as_ref().ok());
    let turns: Vec<_> = turns.filter_map(|told| told.split(':').next()).collect();

    lab.central(
        "the wait tells of 6, 4, 7 and 5, as they were written to",
        told(
            &program,
            0,
            "6: EPOLLIN, 4: EPOLLIN, 7: EPOLLIN, 5: EPOLLIN",
        ),
    );
    lab.central(
        "with room for one event, each of them has its turn before the first comes again",
        equal(turns, ["6", "4", "7", "5", "6", "4", "7", "5"]),
    );
    lab.done()
}

fn overflow_list(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let program = host.program(lab.vary(
        "chap-31 probe overflow-list",
        "chap-31 probe overflow-list --between",
    ));
    let program = program.traced_drawing(&[]).start()?;
    let end = program.ends()?;
    // Since Linux 5.1. Before, it stood at the end in any case.
    let first = waits(&program);
    let is_first =
        |told: &&Result<String, Errno>| told.as_ref().is_ok_and(|told| told.starts_with("4: "));
    let first = first.iter().filter(is_first).count();

    lab.central(
        "the clock is told before the four thousand that were there, once at least",
        within(first, 1..),
    );
    lab.claim("each time that it rings is told", end.exited_with(0));
    lab.done()
}

fn nested(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let program = observes(&host, lab.vary("nested", "nested --apart"))?;
    let deep = host.program("chap-31 probe nested --deep").named("deep");
    let deep = deep.traced_drawing(&[]).start()?;
    deep.ends()?;
    let added = program.calls().named("epoll_ctl");
    let (outer, inner) = (3, 4);
    let back = added
        .iter()
        .find(|call| call.arguments[0] == inner && call.arguments[2] == outer);

    lab.claim(
        "the outer one tells of nothing while nothing is ready",
        told(&program, 0, ""),
    );
    lab.central(
        "it tells of the inner one when something in that is",
        told(&program, 1, "4: EPOLLIN"),
    );
    lab.claim("and no more when that is read", told(&program, 2, ""));
    lab.central(
        "the outer one in the inner one would be a loop: ELOOP",
        equal(back.and_then(|call| call.result), Some(Err(Errno::ELOOP))),
    );
    lab.claim(
        "and a chain of six is too long: ELOOP",
        equal(
            controls(&deep, ADD),
            [Ok(0), Ok(0), Ok(0), Ok(0), Err(Errno::ELOOP)],
        ),
    );
    lab.done()
}

fn wake_reasons(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let program = starts(&host, lab.vary("wake-reasons", "wake-reasons --blocked"))?;
    program.says("the time is up")?;
    let thread = sleepers(lab, &program, 1)?[0];
    program.types("data1")?;
    program.says("an event")?;
    sleepers(lab, &program, 1)?;
    let before = proc::slept(thread);
    lab.notes("SIGUSR2, which is blocked, is sent");
    program.signal(Signal::SIGUSR2);
    lab.watches_for(Duration::from_millis(100));
    let after = proc::slept(thread);
    lab.notes("SIGUSR1 is sent");
    program.signal(Signal::SIGUSR1);
    match lab.is_control() {
        false => drop(program.says("a signal")?),
        true => lab.watches_for(Duration::from_millis(200)),
    }
    sleepers(lab, &program, 1)?;
    let ended = waits(&program);
    program.halt()?;
    program.resume();
    program.says("a signal")?;
    let last = waits(&program).pop();
    program.types_ctrl_d();
    program.ends()?;

    lab.claim(
        "the time ends a wait with 0 events",
        equal(ended.first(), Some(&Ok(String::new()))),
    );
    lab.claim(
        "data ends a wait with 1",
        equal(ended.get(1), Some(&Ok("0: EPOLLIN".into()))),
    );
    lab.claim(
        "a signal that is blocked does not even wake the thread",
        Check::new(
            before.is_some() && before == after,
            format_args!("{before:?} and {after:?} times"),
        ),
    );
    lab.central(
        "a signal with a handler ends a wait with EINTR, though SA_RESTART is set",
        equal(ended.get(2), Some(&Err(Errno::EINTR))),
    );
    lab.claim(
        "so does a stop with the going on after it, which has no handler",
        equal(last, Some(Err(Errno::EINTR))),
    );
    lab.done()
}

fn one_of_many(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let program = starts(&host, lab.vary("one-of-many", "one-of-many --level"))?;
    program.says("four threads wait")?;
    sleepers(lab, &program, 4)?;
    program.types("write")?;
    for _ in 0..lab.vary(1, 4) {
        program.says(" is told of ")?;
    }
    lab.watches_for(Duration::from_millis(200));
    let (told, blocked) = (waits(&program), program.calls().blocked());
    let blocked = blocked.iter().filter(|call| is_wait(call)).count();
    program.types_ctrl_d();
    program.ends()?;

    lab.central(
        "one thread is told of the event",
        equal(told, [Ok("4: EPOLLIN".to_string())]),
    );
    lab.central("the three others still wait", equal(blocked, 3));
    lab.done()
}
