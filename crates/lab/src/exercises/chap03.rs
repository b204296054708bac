//! Exercises of chapter 3: socket addresses.

use super::Exercise;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "3/which-port",
    "the server listens on the port that was asked for",
    5,
    which_port,
    "Which port does the server say that it has? Write both numbers in hexadecimal. In what order does the kernel want the bytes of \
     a port, and in what order do the other fields lie there already?",
)
.also(&["chap-4"])];

/// The port of the second server.
const SECOND: u16 = 43212;

fn which_port(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let first = host.exercise("server", "").start()?;
    let first_says = first.listens()?;
    let connected = connects(&host, "127.0.0.1", PORT)?;
    lab.central("a client can connect to the port", connected);

    let arguments = format!("--bind 127.0.0.2 --port {SECOND}");
    let second = host.exercise("second server", &arguments).start()?;
    let second_says = second.listens()?;
    let connected = connects(&host, "127.0.0.2", SECOND)?;
    lab.central("and to another port, on another address", connected);
    let elsewhere = connects(&host, "127.0.0.1", SECOND)?;
    lab.claim(
        "a server that has one address is not at another",
        !elsewhere,
    );
    let said = [first_says, second_says];
    lab.claim("both say where they really listen", {
        all(said.map(|said| host.has(TcpState::Listen, |socket| socket.local == said)))
    });
    lab.done()
}

/// Whether a client can connect.
fn connects(host: &Host, address: &str, port: u16) -> Result<Check, LabError> {
    let client = host.start(&format!("chap-4 connect {address} {port}"))?;
    client.closes_input();
    Ok(client.ends()?.exited_with(0))
}
