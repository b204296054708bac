//! Exercises of chapter 14: connected UDP.

use std::net::UdpSocket;

use super::Exercise;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "14/late-error",
    "each line that is typed while the collector runs gets there, also the first one",
    10,
    late_error,
    "Which datagram is the error about that send returns? Was anything sent by the call that returned it? And where is the error \
     after that?",
)];

fn late_error(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.names_own_hand("collector");
    let client = host.exercise("client", "127.0.0.1").start()?;
    for line in ["one", "two", "three"] {
        client.types(line)?;
    }
    lab.eventually("where nobody collects the client goes on", || {
        let sent = client.output().says("three");
        sent.or(client.errors().says("three"))
    });
    lab.claim(
        "the client says that lines were lost",
        !client.errors().is_empty(),
    );

    let collector = host.enter(|| UdpSocket::bind(("127.0.0.1", PORT)))?;
    host.enter(|| collector.set_read_timeout(Some(Duration::from_secs(2))))?;
    lab.notes("the collector is started");
    client.types("four")?;
    client.types("five")?;
    let collected: Vec<String> = (0..2).map_while(|_| collects(&collector)).collect();
    lab.central(
        "from then on each line gets there, once",
        equal(collected, ["four", "five"]),
    );
    lab.done()
}

/// The next datagram, if one comes in a while.
fn collects(collector: &UdpSocket) -> Option<String> {
    let mut datagram = [0; 64];
    let length = collector.recv(&mut datagram).ok()?;
    Some(String::from_utf8_lossy(&datagram[..length]).into())
}
