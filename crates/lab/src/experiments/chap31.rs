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
        "an event that comes while others are handed out is kept aside and told first by the next wait",
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

/// The calls of epoll, and those that make, change and end what it watches.
const DRAWN: &[&str] = &["epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "fcntl", "close"];

/// Runs an observation to its end.
fn observes(host: &Host, observation: &str) -> Result<Process, LabError> {
    let program = host.program(&format!("chap-31 probe {observation}"));
    let program = program.traced_drawing(DRAWN).start()?;
    program.ends()?;
    Ok(program)
}

/// What epoll_ctl(2) returned each time.
fn controls(program: &Process) -> Vec<Result<i64, Errno>> {
    program.calls().returned("epoll_ctl")
}

fn is_wait(call: &SystemCall) -> bool {
    matches!(&*call.name, "epoll_wait" | "epoll_pwait")
}

/// What epoll_wait(2) returned each time: `Ok("4: EPOLLIN")`, the number and what was told of it.
fn waits(program: &Process) -> Vec<Result<String, Errno>> {
    let calls = program.calls().filtered(is_wait);
    let told = |call: SystemCall| {
        let events = call.decoded.split(['[', ']']).nth(1).unwrap_or_default().to_string();
        Some(call.result?.map(|_| events))
    };
    calls.into_iter().filter_map(told).collect()
}

/// The n-th wait told exactly this.
fn told(program: &Process, number: usize, expected: &str) -> Check {
    let waits = waits(program);
    let told = waits.get(number).cloned();
    Check::new(told == Some(Ok(expected.into())), format_args!("{told:?}"))
}

/// The n-th epoll_ctl ended so.
fn controlled(program: &Process, number: usize, expected: Result<i64, Errno>) -> Check {
    let found = controls(program).get(number).copied();
    equal(found, Some(expected))
}
