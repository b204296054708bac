//! Exercises of chapter 33: threads in the framework.

use super::Exercise;
use crate::net::proc;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[
    Exercise::new(
        "33/knock",
        "a loop that sleeps is told of each client that is handed over to it, and sleeps again",
        10,
        knock,
        "What is in the queue when the loop sleeps, and what would wake it? What makes an eventfd readable, and what makes it stop being \
         so?",
    )
    .also(&["chap-36"]),
];

/// Where its two threads sleep.
const ASLEEP: [&str; 2] = ["accept4", "epoll_wait"];

fn knock(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.exercise("server", "").start()?;
    server.listens()?;
    lab.eventually("both threads sleep", || equal(sleepers(&server), ASLEEP));
    let comes = |name: &str| -> Result<Process, LabError> {
        let client = host.program("chap-36 tcpcli 127.0.0.1");
        let client = client.named(name).start()?;
        server.says("handed over")?;
        client.types(name)?;
        Ok(client)
    };
    let first = comes("first")?;
    lab.central_eventually("a client that is handed over is served", || {
        first.output().says("first")
    });
    let second = comes("second")?;
    lab.eventually("so is the next one", || second.output().says("second"));
    first.kill()?;
    second.types("still here")?;
    lab.eventually("and it still is when the first has gone", || {
        second.output().says("still here")
    });
    lab.eventually("then both threads sleep again", || {
        equal(sleepers(&server), ASLEEP)
    });
    let before = wake_ups(&server);
    lab.watches_for(Duration::from_millis(300));
    lab.claim(
        "and nobody wakes them while nothing happens",
        equal(wake_ups(&server), before),
    );
    lab.done()
}

/// The system calls in which its threads sleep, sorted. The newer machines have only the general form of a call: epoll_pwait.
fn sleepers(server: &Process) -> Vec<String> {
    let calls = server.sleepers().into_iter();
    let mut calls: Vec<_> = calls
        .map(|(_, call)| call.replace("epoll_pwait", "epoll_wait"))
        .collect();
    calls.sort_unstable();
    calls
}

fn wake_ups(server: &Process) -> Vec<Option<u64>> {
    let threads = proc::threads(server.pid().as_raw());
    threads.into_iter().map(proc::slept).collect()
}
