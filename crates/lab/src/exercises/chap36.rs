//! Exercises of chapter 36: echo, and everything that goes wrong.

use super::Exercise;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "36/zombies",
    "five children end at once: none of them stays as a zombie, and the next client is served",
    10,
    zombies,
    "How often does the handler run when a signal comes that is pending already? Then how many children may have ended by the \
     time it runs? And what does wait(2) do while another child still works?",
)];

fn zombies(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.exercise("server", "").start()?;
    server.listens()?;
    let works_on = host
        .program("chap-36 tcpcli 127.0.0.1")
        .named("first")
        .start()?;
    server.says("serves")?;
    let five = host.start("chap-36 tcpcli-five 127.0.0.1")?;
    (0..5).try_for_each(|_| server.says("serves").map(drop))?;
    five.says("5 connections")?;

    // Five signals come before the first can be handled.
    server.halt()?;
    five.types_ctrl_d();
    five.ends()?;
    let alive = || {
        server
            .children()
            .iter()
            .filter(|(_, state)| *state != 'Z')
            .count()
    };
    lab.until("five of the six children have ended", || equal(alive(), 1))?;
    server.resume();

    lab.central_eventually("no zombie is left", || equal(server.zombies(), 0));
    let next = host
        .program("chap-36 tcpcli 127.0.0.1")
        .named("next")
        .start()?;
    next.types("hello")?;
    lab.eventually("the next client is served", || next.output().says("hello"));
    works_on.types("still here")?;
    lab.eventually("and so is the one that never left", || {
        works_on.output().says("still here")
    });
    lab.done()
}
