//! Exercises of chapter 27: a reactor in one thread.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use super::Exercise;
use super::pipe::SlowFile;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[
    Exercise::new(
        "27/slow-file",
        "while one client waits for a slow file, the others get theirs, and each gets its answers in order",
        15,
        slow_file,
        "Which thread reads the file, and for what does it have to be free? Which call of a connection hands a job to another thread, \
         and brings the answer back to the loop?",
    )
    .also(&["chap-36"]),
];

fn slow_file(lab: &Lab) -> Outcome {
    const ANSWERS: &str = "late\na text\n";
    let pipe = SlowFile::new(lab)?;
    let host = lab.host()?;
    host.names_own_hand("first");
    let server = host.exercise("server", "").start()?;
    server.listens()?;

    lab.notes("the first client asks for a pipe into which nobody writes, and then for a text");
    let mut first = host.enter(|| TcpStream::connect(("127.0.0.1", PORT)))?;
    host.enter(|| first.write_all(b"pipe\ntext\n"))?;
    let writer = pipe.is_read(lab)?;
    let second = host
        .program("chap-36 tcpcli-select 127.0.0.1")
        .named("second")
        .start()?;
    second.types("text")?;
    lab.central_eventually("meanwhile another client gets its text", || {
        second.output().says("a text")
    });
    lab.notes("somebody writes into the pipe");
    if let Some(mut writer) = writer {
        writer.write_all(b"late\n")?;
    }
    let mut answers = vec![0; ANSWERS.len()];
    first.set_read_timeout(Some(Duration::from_secs(2)))?;
    let came = first.read_exact(&mut answers);
    lab.claim(
        "the first client gets both answers, in the order of its questions",
        {
            let answers = String::from_utf8_lossy(&answers);
            Check::new(
                came.is_ok() && answers == ANSWERS,
                format_args!("{answers:?}"),
            )
        },
    );
    lab.claim("one event loop serves them all", equal(loops(&server), 1));
    lab.claim("the server goes on", equal(server.ended(), None));
    lab.done()
}

/// How many epoll instances it has: one for each loop.
fn loops(server: &Process) -> usize {
    let entries = fs::read_dir(format!("/proc/{}/fd", server.pid()));
    let entries = entries.into_iter().flatten().flatten();
    let targets = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets
        .filter(|target| target.as_os_str() == "anon_inode:[eventpoll]")
        .count()
}
