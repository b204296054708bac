//! Exercises of chapter 12: heartbeat.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use super::Exercise;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "12/while-typing",
    "the client finds out that its server is dead, also while somebody types",
    10,
    while_typing,
    "When do the 0.3 seconds begin, and what makes them begin anew? Which of these are signs of life? Keep the time at which the \
     next PING is due, and ask each time how far away it is.",
)];

/// From one typed line to the next: far less than the client's interval.
const PAUSE: Duration = Duration::from_millis(100);
/// How many lines are typed to a server that says nothing: for twice the time that the client may take.
const LINES: usize = 25;

fn while_typing(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.names_own_hand("server");
    let listener = host.enter(|| TcpListener::bind(("127.0.0.1", PORT)))?;
    let client = host.exercise("client", "127.0.0.1").start()?;
    let (connection, _) = host.enter(|| listener.accept())?;
    host.enter(|| connection.set_read_timeout(Some(Duration::from_secs(2))))?;

    client.types("hello")?;
    let mut heard = lines(&connection);
    let hello = heard.next().unwrap_or_default();
    lab.notes("nobody types for a while");
    let pings = [(); 4].map(|()| {
        let ping = heard.next().unwrap_or_default();
        // An error is the answer of a client that has ended.
        let _ = (&connection).write_all(b"PONG\n");
        ping
    });
    lab.claim("what is typed is sent", equal(hello, "hello"));
    lab.claim("a server that answers each PING stays alive", {
        equal(pings, ["PING"; 4]).and(equal(client.ended(), None))
    });

    lab.notes("somebody types, and the server answers no more");
    let silent_since = Instant::now();
    let mut typed = 0;
    while typed < LINES && client.ended().is_none() {
        typed += 1;
        // It may just have ended.
        let _ = client.types_on("more\n");
        lab.watches_for(PAUSE);
        if typed == 6 {
            lab.ends_the_ladder(); // the others look the same
        }
    }
    let end = client.ended();
    lab.central("the client finds out while somebody types", {
        end.as_ref()
            .map_or(Check::new(false, "it goes on"), |end| end.exited_with(1))
    });
    // It begins to count later than this, and has four times 0.3 seconds to wait.
    let waited = end.map_or(silent_since.elapsed(), |end| end.at - silent_since);
    lab.claim(
        "and not too early",
        within(waited, Duration::from_millis(1100)..),
    );
    let pings = heard.filter(|line| line == "PING").count();
    lab.claim("not before the third PING", within(pings, 3..));
    lab.done()
}

/// The lines that come, until the end or until none comes for a while.
fn lines(connection: &TcpStream) -> impl Iterator<Item = String> {
    BufReader::new(connection).lines().map_while(Result::ok)
}
