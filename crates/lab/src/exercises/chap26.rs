//! Exercises of chapter 26: threads.

use std::net::TcpStream;

use super::Exercise;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[
    Exercise::new(
        "26/one-at-a-time",
        "three threads serve three clients at the same time, and a fourth client waits for one of them",
        10,
        one_at_a_time,
        "What do the two threads without a client wait for? Which value in the head of the loop has no name, and until when does it \
         live? A value that has a name, or a statement of its own, lives as long as you want.",
    )
    .also(&["chap-36"]),
];

fn one_at_a_time(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.names_own_hand("client");
    let server = host.exercise("server", "").start()?;
    server.listens()?;
    let comes = |name: &str| -> Result<Process, LabError> {
        let client = host.program("chap-36 tcpcli 127.0.0.1");
        let client = client.named(name).start()?;
        server.says("accepted")?;
        client.types(name)?;
        Ok(client)
    };

    lab.notes("a client resets the connection");
    let broken = host.enter(|| TcpStream::connect(("127.0.0.1", PORT)))?;
    server.says("accepted")?;
    host.enter(|| drive::reset(broken))?;
    let first = comes("first")?;
    lab.eventually("a client is served", || first.output().says("first"));
    let second = comes("second")?;
    lab.central_eventually("a second one is served at the same time", || {
        second.output().says("second")
    });
    let third = comes("third")?;
    lab.central_eventually("and a third", || third.output().says("third"));
    lab.claim("the server has four threads, the main thread among them", {
        equal(server.threads().ok(), Some(4))
    });
    let fourth = comes("fourth")?;
    lab.watches_for(Duration::from_millis(100));
    lab.claim("a fourth client waits", fourth.output().lacks("fourth"));
    first.types_ctrl_d();
    first.ends()?;
    lab.eventually("until one leaves", || fourth.output().says("fourth"));
    lab.done()
}
