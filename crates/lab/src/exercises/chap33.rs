//! Exercises of chapter 33: threads in the framework.

use std::fs;

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

/// Its threads, as directories of proc_pid_task(5).
fn threads(server: &Process) -> Vec<fs::DirEntry> {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid()));
    tasks.into_iter().flatten().flatten().collect()
}

/// The system calls in which they sleep, sorted. The newer machines have only the general form of a call: epoll_pwait.
fn sleepers(server: &Process) -> Vec<String> {
    let ids = threads(server).into_iter();
    let ids = ids.filter_map(|task| task.file_name().to_str()?.parse().ok());
    let calls = ids.filter_map(|id| proc::system_call_name(proc::blocked_in(id)?.0));
    let mut calls: Vec<_> = calls
        .map(|call| call.replace("epoll_pwait", "epoll_wait"))
        .collect();
    calls.sort_unstable();
    calls
}

/// How often they have gone to sleep by themselves: once more after each time they were woken, proc_pid_status(5).
fn wake_ups(server: &Process) -> Vec<String> {
    let statuses = threads(server).into_iter();
    let statuses = statuses.filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
    let lines = statuses.filter_map(|status| {
        let mut lines = status.lines();
        lines
            .find(|line| line.starts_with("voluntary_ctxt_switches"))
            .map(String::from)
    });
    lines.collect()
}
