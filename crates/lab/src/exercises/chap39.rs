//! Exercises of chapter 39: an accept thread and worker threads.

use super::Exercise;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[
    Exercise::new(
        "39/who-waits",
        "a client that had to wait is served as soon as a worker is free",
        10,
        who_waits,
        "Whom does a wake-up wake when nobody sleeps, and who remembers it? What can a worker that comes back from a client know, \
         before it goes to sleep? And what, when it is not the only one that was woken?",
    )
    .also(&["chap-36"]),
];

fn who_waits(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.exercise("server", "").start()?;
    server.listens()?;
    lab.eventually(
        "with nothing to do the main thread and both workers sleep",
        || equal(sleepers(&server), ["futex", "futex", "poll"]),
    );
    let comes = |name: &str| -> Result<Process, LabError> {
        let client = host.program("chap-36 tcpcli 127.0.0.1");
        let client = client.named(name).start()?;
        server.says("client connected")?;
        client.types(name)?;
        Ok(client)
    };
    let first = comes("first")?;
    lab.eventually(
        "a client wakes both workers: one serves it, and the other one sleeps again",
        || equal(sleepers(&server), ["futex", "poll", "read"]),
    );
    let second = comes("second")?;
    lab.eventually("two clients are served at the same time", || {
        first
            .output()
            .says("first")
            .and(second.output().says("second"))
    });
    let third = comes("third")?;
    lab.watches_for(Duration::from_millis(100));
    lab.claim("a third one waits", third.output().lacks("third"));
    first.types_ctrl_d();
    first.ends()?;
    lab.central_eventually("when one leaves, it is served", || {
        third.output().says("third")
    });
    second.types_ctrl_d();
    second.ends()?;
    let fourth = comes("fourth")?;
    lab.eventually("so is the next one, which need not wait", || {
        fourth.output().says("fourth")
    });
    lab.done()
}

/// The system calls in which its threads sleep, sorted. The newer machines have only the general form of a call: ppoll.
fn sleepers(server: &Process) -> Vec<String> {
    let calls = server.sleepers().into_iter();
    let mut calls: Vec<_> = calls
        .map(|(_, call)| call.replace("ppoll", "poll"))
        .collect();
    calls.sort_unstable();
    calls
}
