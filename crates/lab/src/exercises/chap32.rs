//! Exercises of chapter 32: the design of the framework.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::Exercise;
use super::pipe::SlowFile;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "32/whose-answer",
    "an answer goes to the client that asked, and to nobody when that one has left",
    10,
    whose_answer,
    "What does the thread remember of its client? What does the kernel do with a number when its descriptor is closed? And what could \
     the thread have, so that the number stays taken as long as it works?",
)];

fn whose_answer(lab: &Lab) -> Outcome {
    let pipe = SlowFile::new(lab)?;
    let host = lab.host()?;
    host.names_own_hand("clients");
    let server = host.exercise("server", "").start()?;
    server.listens()?;
    let empty = server.descriptors()?;
    let connect = || -> Result<TcpStream, LabError> {
        let client = host.enter(|| TcpStream::connect(("127.0.0.1", PORT)))?;
        client.set_read_timeout(Some(Duration::from_secs(2)))?;
        Ok(client)
    };
    let says = |text: &str, times: usize| equal(server.output().count(text), times);
    let answered = || equal(server.threads().ok(), Some(1));

    lab.notes("the first client asks for a pipe into which nobody writes yet");
    let mut first = connect()?;
    host.enter(|| first.write_all(b"pipe\n"))?;
    let writer = pipe.is_read(lab)?;
    lab.notes("it leaves, and a second client comes");
    drop(first);
    lab.eventually("meanwhile the server sees the first one leave", || {
        says("has left", 1)
    });
    let mut second = connect()?;
    lab.eventually("and takes the second one", || says("client connected", 2));
    lab.notes("somebody writes into the pipe");
    if let Some(mut writer) = writer {
        writer.write_all(b"for the first one\n")?;
    }
    lab.eventually("the thread that read it ends", answered);
    host.enter(|| second.write_all(b"text\n"))?;
    let heard = hears(&mut second, "a text\n");
    lab.central(
        "the second client asks for a text, and hears nothing else",
        equal(heard, "a text\n"),
    );
    drop(second);
    lab.eventually("nothing is left of either in the server", || {
        answered().and(equal(server.descriptors().ok(), Some(empty)))
    });
    lab.done()
}

/// What a client hears, up to the text that it waits for, or until nothing has come for a while.
fn hears(client: &mut TcpStream, awaited: &str) -> String {
    let (mut heard, mut piece) = (String::new(), [0; 64]);
    while !heard.ends_with(awaited)
        && let Ok(length @ 1..) = client.read(&mut piece)
    {
        heard += &String::from_utf8_lossy(&piece[..length]);
    }
    heard
}
