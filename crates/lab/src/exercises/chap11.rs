//! Exercises of chapter 11: close and shutdown.

use super::Exercise;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[
    // ANCHOR: entry
    Exercise::new(
        "11/half-close",
        "the client prints every answer, also those that come after its last line",
        10,
        half_close,
        "A connection has two directions. Which of the two has nothing more to carry when the input ends, and which call ends \
         that one alone? What tells the client that the last answer has come?",
    ),
    // ANCHOR_END: entry
];

// ANCHOR: half_close
fn half_close(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start("chap-11 graceserver --pause 1")?;
    server.listens()?;
    let client = host.exercise("client", "127.0.0.1").start()?;
    client.types("data1")?;
    server.says("received 5 bytes: data1")?;
    client.types("data2")?;
    client.types_ctrl_d();
    let server_end = server.ends()?;
    let client_end = client.ends()?;

    let packets = lab.packets();
    let answers = client.output().says("Hi, data1");
    let answers = answers.and(client.output().says("Hi, data2"));
    lab.central("the client prints both answers", answers);
    lab.central("nobody sends a reset", packets.clone().lacks(RST));
    lab.central("the server ends in good order", server_end.exited_with(0));
    lab.claim("the client's FIN does not wait for an answer", {
        let fin = packets.clone().from(&client).with(FIN);
        let answer = packets.from(&server).carrying_data();
        let before = fin.first().map(|fin| fin.sent) < answer.first().map(|answer| answer.sent);
        fin.check(fin.count() > 0 && before)
    });
    lab.claim("the client ends in good order", client_end.exited_with(0));
    lab.done()
}
// ANCHOR_END: half_close
