//! Exercises of chapter 10: TIME-WAIT.

use std::io::Read;
use std::net::TcpStream;

use super::Exercise;
use crate::net::sock_diag::Socket;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "10/who-closes",
    "the server keeps no connection in TIME-WAIT, and every client gets the whole text",
    10,
    who_closes,
    "Where is the text when send has returned? Which of the two ends goes into TIME-WAIT, and how can the server let the other one \
     have it?",
)];

/// The size of the text.
const TEXT: usize = 256 * 1024;

fn who_closes(lab: &Lab) -> Outcome {
    // Where it waits when it has sent what it can, or is done with the client.
    const WAITING: &[&str] = &["sendto", "write", "read", "recvfrom", "poll", "accept4"];
    let host = lab.host()?;
    host.names_own_hand("clients");
    let server = host.exercise("server", "").start()?;
    server.listens()?;
    let connect = || host.enter(|| TcpStream::connect(("127.0.0.1", PORT)));
    let end_of = |port: u16| {
        let here = |socket: &Socket| socket.local.port() == PORT && socket.remote.port() == port;
        let sockets = host.sockets();
        sockets.map(|sockets| sockets.into_iter().find(here))
    };

    let mut slow = connect()?;
    let slow_port = host.enter(|| slow.local_addr())?.port();
    lab.notes("the first client reads nothing yet");
    lab.until("the server has sent what it can", || {
        match end_of(slow_port) {
            Ok(Some(end)) if end.state == TcpState::Established => {
                within(end.send_queue, 1..).and(server.blocks_in(WAITING))
            }
            Ok(_) => Check::new(true, "its connection is over"),
            Err(error) => Check::unseen(error),
        }
    })?;
    lab.notes("now it reads");
    lab.ends_the_ladder();
    let got = read_text(&mut slow);
    drop(slow);
    lab.central(
        "a client that reads late gets the whole text",
        equal(got, TEXT),
    );

    let mut next = connect()?;
    let next_port = host.enter(|| next.local_addr())?.port();
    let got = read_text(&mut next);
    drop(next);
    lab.claim("so does the next one", equal(got, TEXT));
    lab.eventually("nothing is left of either connection at the server", || {
        let ends = [slow_port, next_port].map(end_of);
        let states = ends.map(|end| end.ok().flatten().map(|end| end.state));
        equal(states, [None, None])
    });
    lab.claim("the server goes on", equal(server.ended(), None));
    lab.central("nobody sends a reset", lab.packets().lacks(RST));
    lab.done()
}

/// How many bytes of the text come, before the end or before nothing comes for a while. The client knows how many there are.
fn read_text(connection: &mut TcpStream) -> usize {
    let mut text = Vec::new();
    let patience = connection.set_read_timeout(Some(Duration::from_secs(2)));
    // What was read before an error stays in the buffer, and it is the answer.
    let _ = patience.and_then(|()| connection.take(TEXT as u64).read_to_end(&mut text));
    text.len()
}
