//! Exercises of chapter 7: local sockets.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::Exercise;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "7/in-the-way",
    "the server takes a name that a killed one has left, and no other that is in use",
    15,
    in_the_way,
    "What must be true of a file before it may be removed? Which call tells what a file is, and which one whether somebody listens \
     there? What does each of them do with a symbolic link?",
)];

fn in_the_way(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let place = |name: &str| lab.shared.directory.join(name);
    let impossible = |error: std::io::Error| LabError::Impossible(error.to_string());
    fs::write(place("notes"), "precious").map_err(impossible)?;
    fs::create_dir(place("directory")).map_err(impossible)?;
    symlink("notes", place("link")).map_err(impossible)?;
    let server = |column: &str, name: &str| -> Result<Process, LabError> {
        let server = host.exercise(column, name).start()?;
        lab.until("the server has started, or has ended", || {
            let ended = Check::new(server.ended().is_some(), "it still runs");
            server.output().says("greeting at").or(ended)
        })?;
        Ok(server)
    };
    let refused = |server: &Process| match server.ended() {
        Some(end) => end.exited_with(1),
        None => Check::new(false, "it has the name"),
    };

    server("killed", "socket")?.kill()?;
    let first = server("first", "socket")?;
    let rival = server("rival", "socket")?;
    lab.claim("the name that a killed server has left can be taken", {
        first.output().says("greeting at")
    });
    lab.central("while a server runs, another is refused", refused(&rival));
    rival.kill()?;
    lab.central("the one that runs goes on greeting", {
        equal(greeting(&place("socket")), "good morning\n")
    });

    let file = server("server", "notes")?;
    lab.central("a file is no socket: the start is refused", refused(&file));
    file.kill()?;
    lab.central("the file is as it was", {
        let content = fs::read_to_string(place("notes"));
        equal(content.unwrap_or_default(), "precious")
    });
    let link = server("server", "link")?;
    lab.central("a link is no socket either", refused(&link));
    link.kill()?;
    lab.central("the link is as it was", {
        let link = fs::symlink_metadata(place("link"));
        equal(link.is_ok_and(|link| link.is_symlink()), true)
    });
    let directory = server("server", "directory")?;
    lab.claim("nor is a directory", refused(&directory));
    lab.claim(
        "the directory is as it was",
        equal(place("directory").is_dir(), true),
    );
    lab.done()
}

/// What a client gets there. Nothing, if nobody greets it.
fn greeting(socket: &Path) -> String {
    let mut greeting = String::new();
    // What was read before an error stays in the text, and it is the answer.
    let _ = UnixStream::connect(socket).and_then(|mut client| {
        client.set_read_timeout(Some(Duration::from_secs(2)))?;
        client.read_to_string(&mut greeting)
    });
    greeting
}
