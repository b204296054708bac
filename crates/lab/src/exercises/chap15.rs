//! Exercises of chapter 15: address already in use.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};

use super::Exercise;
use crate::net::sock_diag::Socket;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "15/restart",
    "the server can be started again at once, and never twice",
    10,
    restart,
    "The program sets the right option. Which call looks at it, and when? And who of the two, the server before or the one after, \
     must have set it?",
)];

/// What each client gets.
const GREETING: &str = "good morning\n";

fn restart(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.names_own_hand("clients");
    // A port that no earlier run has used: nothing of that run is in TIME-WAIT there.
    let first = host.exercise("server", "--port 0").start()?;
    let address = first.listens()?;
    let again = format!("--port {}", address.port());
    let greeted = |address: SocketAddr| {
        host.enter(|| {
            let mut greeting = String::new();
            let mut connection = TcpStream::connect(address)?;
            connection.set_read_timeout(Some(Duration::from_secs(2)))?;
            connection.read_to_string(&mut greeting).map(|_| greeting)
        })
    };

    let greeting = greeted(address)?;
    let waits = || {
        host.has(TcpState::TimeWait, |socket: &Socket| {
            socket.local.port() == address.port()
        })
    };
    lab.eventually("what is left of the connection is in TIME-WAIT", waits);
    let rival = host.exercise("rival", &again).start()?;
    lab.eventually("while it runs, a second server is refused", || {
        rival.errors().says("Address already in use")
    });
    rival.kill()?;
    first.kill()?;
    let next = host.exercise("next server", &again).start()?;
    // A minute later it would be no wonder.
    lab.central_eventually("when it was killed, the next one starts at once", || {
        next.output().says("listening on").and(waits())
    });
    lab.central("and greets its clients", {
        equal(greeted(address).unwrap_or_default(), GREETING)
    });
    lab.claim("the first one did, too", equal(greeting, GREETING));
    lab.done()
}
