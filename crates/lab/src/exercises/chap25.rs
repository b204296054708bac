//! Exercises of chapter 25: a process for each client.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::Exercise;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "25/second-copy",
    "each client gets its answer and then the end of the connection, and the server keeps nothing of it",
    10,
    second_copy,
    "How many descriptors refer to the connection after fork, and in which processes? When does the kernel send the FIN? And who \
     closes a descriptor that is only a number?",
)];

fn second_copy(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.names_own_hand("clients");
    let server = host.exercise("server", "").start()?;
    server.listens()?;
    let empty = server.descriptors()?;
    let connect = || -> Result<TcpStream, LabError> {
        let client = host.enter(|| TcpStream::connect(("127.0.0.1", PORT)))?;
        server.says("serves a client")?;
        Ok(client)
    };

    let first = connect()?;
    lab.notes("the first client says nothing yet");
    let second = connect()?;
    lab.central(
        "another one reads its answer and the end",
        asks(&host, second, "data1", "qngn1")?,
    );
    lab.central(
        "the first one does, too, when it asks",
        asks(&host, first, "hello", "uryyb")?,
    );
    lab.central_eventually("the server holds as many descriptors as before", || {
        equal(server.descriptors().ok(), Some(empty))
    });
    lab.eventually("and has no child any more", || {
        equal(server.children().len(), 0)
    });
    let next = connect()?;
    lab.claim(
        "the next client gets its answer and the end",
        asks(&host, next, "good", "tbbq")?,
    );
    lab.done()
}

/// Whether a question gets its answer, and then the end of the connection before nothing has come for a while.
fn asks(
    host: &Host,
    mut client: TcpStream,
    question: &str,
    answer: &str,
) -> Result<Check, LabError> {
    client.set_read_timeout(Some(Duration::from_secs(2)))?;
    host.enter(|| client.write_all(question.as_bytes()))?;
    let mut heard = Vec::new();
    let end = client.read_to_end(&mut heard).is_ok();
    let heard = String::from_utf8_lossy(&heard);
    let seen = if end { "the end" } else { "no end" };
    Ok(Check::new(
        end && heard == answer,
        format_args!("{heard:?}, and {seen}"),
    ))
}
