//! Exercises of chapter 24: ten thousand clients.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::Exercise;
use crate::net::sock_diag::Socket;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "24/no-room",
    "out of descriptors the server sleeps, serves those who are there, and lets others in when there is room",
    15,
    no_room,
    "What does poll say of the listener, as long as a client waits in its queue? What is the use of asking, when accept can only fail? \
     And which event makes it worth asking again?",
)];

/// The three standard descriptors, the listener, and two clients.
const DESCRIPTORS: u64 = 6;

fn no_room(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.names_own_hand("clients");
    let few = || -> io::Result<()> {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        Ok(setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS, hard)?)
    };
    let server = host.exercise("server", "").prepared(few).start()?;
    server.listens()?;
    let connect = || host.enter(|| TcpStream::connect(("127.0.0.1", PORT)));
    let answers = |client: &mut TcpStream| -> Result<Check, LabError> {
        let mut answer = [0; 5];
        client.set_read_timeout(Some(Duration::from_secs(2)))?;
        host.enter(|| client.write_all(b"hello"))?;
        let came = client.read_exact(&mut answer).is_ok();
        let answer = String::from_utf8_lossy(&answer);
        Ok(Check::new(
            came && answer == "hello",
            format_args!("{answer:?}"),
        ))
    };

    let mut first = connect()?;
    server.says("client connected")?;
    let second = connect()?;
    server.says("client connected")?;
    server.halt()?;
    let mut third = connect()?;
    lab.until("a third client waits in the accept queue", || {
        host.has(TcpState::Listen, |socket: &Socket| {
            socket.receive_queue == 1
        })
    })?;
    server.resume();
    // With its answer it is certain that the server has been told of the third.
    lab.claim("the client that is there is served", answers(&mut first)?);
    lab.central_eventually(
        "there is no descriptor for the third client, and the server sleeps in poll",
        || server.blocks_in(&["poll", "ppoll"]),
    );
    lab.notes("the second client closes");
    drop(second);
    lab.eventually("when one leaves, the third comes in", || {
        equal(server.output().count("client connected"), 3)
    });
    lab.claim("and is served", answers(&mut third)?);
    lab.eventually("with nothing to do the server sleeps in poll", || {
        server.blocks_in(&["poll", "ppoll"])
    });
    drop((first, third));
    let mut last = connect()?;
    lab.claim(
        "when all have left, the next one is served",
        answers(&mut last)?,
    );
    lab.done()
}
