//! Exercises of chapter 30: asynchronous I/O.

use super::Exercise;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "30/sleeps",
    "the program begins to read, sleeps until something is typed, and prints it",
    10,
    sleeps,
    "How often does the program ask whether the operation is over? Which call of aio(7) sleeps until it is, and can it come back \
     earlier?",
)];

/// Where a thread may sleep until it is told. Not a sleep for a while, and not the read itself.
const TOLD: &[&str] = &["futex", "rt_sigtimedwait", "rt_sigsuspend", "poll", "ppoll"];

fn sleeps(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let reader = host.exercise("reader", "").start()?;
    reader.says("reading")?;
    lab.central_eventually(
        "while nothing is typed the program sleeps until it is told",
        || reader.blocks_in(TOLD),
    );
    lab.eventually("and another thread reads", || {
        within(reader.threads().unwrap_or_default(), 2..)
    });
    let prints = |line: &str| equal(reader.output().count(&format!("read 6 bytes: {line}")), 1);
    reader.types("data1")?;
    lab.eventually("what is typed is printed", || prints("data1"));
    reader.types("data2")?;
    lab.eventually("and so is what is typed next", || prints("data2"));
    reader.types_ctrl_d();
    lab.eventually("at the end of the input it ends in good order", || {
        let end = reader.ended();
        end.map_or(Check::new(false, "it has not ended"), |end| {
            end.exited_with(0)
        })
    });
    lab.done()
}
