//! Exercises of the midterm.

use std::fs;

use super::Exercise;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[
    Exercise::new(
        "midterm/own-place",
        "each client moves by itself in the tree of directories, and begins where the server was started",
        15,
        own_place,
        "Whose is the working directory: the thread's, or the process's? What else can stand for a directory, and which call opens a \
         name as seen from there?",
    )
    .also(&["chap-36"]),
];

fn own_place(lab: &Lab) -> Outcome {
    fs::create_dir_all(lab.shared.directory.join("left/deep"))?;
    fs::create_dir_all(lab.shared.directory.join("right"))?;
    fs::write(lab.shared.directory.join("file"), "")?;
    lab.leaves_out_packets(|packet| packet.data().is_empty());
    let host = lab.host()?;
    let server = host.exercise("server", "").start()?;
    server.listens()?;
    let comes = |name: &str| -> Result<Process, LabError> {
        let client = host.program("chap-36 tcpcli-select 127.0.0.1");
        let client = client.named(name).start()?;
        client.says("connected")?;
        Ok(client)
    };

    let (anna, ben) = (comes("anna")?, comes("ben")?);
    let start = asks(lab, &anna, "pwd")?;
    let place = |name: &str| format!("{}/{name}", start.trim_end_matches('/'));
    asks(lab, &anna, "cd left")?;
    lab.central(
        "one client moves, and the other stays",
        equal(&asks(lab, &ben, "pwd")?, &start),
    );
    asks(lab, &ben, "cd right")?;
    let places = (asks(lab, &anna, "pwd")?, asks(lab, &ben, "pwd")?);
    lab.central(
        "both are where they went",
        equal(places, (place("left"), place("right"))),
    );
    asks(lab, &anna, "cd deep")?;
    lab.claim(
        "a name is seen from there",
        equal(asks(lab, &anna, "pwd")?, place("left/deep")),
    );
    asks(lab, &anna, "cd ..")?;
    asks(lab, &anna, "cd ../right")?;
    lab.claim(
        "and so is one that leads up",
        equal(asks(lab, &anna, "pwd")?, place("right")),
    );

    let refusals = (
        asks(lab, &ben, "cd ../nowhere")?,
        asks(lab, &ben, "cd ../file")?,
    );
    lab.claim("a place that is no directory is refused", {
        let refused = refusals.0.starts_with("error") && refusals.1.starts_with("error");
        Check::new(refused, format_args!("{refusals:?}"))
    });
    lab.claim(
        "and moves nobody",
        equal(asks(lab, &ben, "pwd")?, place("right")),
    );
    let carl = comes("carl")?;
    lab.central(
        "a new client begins where the server was started",
        equal(&asks(lab, &carl, "pwd")?, &start),
    );
    lab.done()
}

/// Types a command, and waits for the reply: one line.
fn asks(lab: &Lab, client: &Process, command: &str) -> Result<String, LabError> {
    let before = client.output().lines().len();
    client.types(command)?;
    lab.until("the reply is there", || {
        within(client.output().lines().len(), before + 1..)
    })?;
    Ok(client.output().lines().last().cloned().unwrap_or_default())
}
