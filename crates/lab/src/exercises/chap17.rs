//! Exercises of chapter 17: TCP is not always reliable.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use super::Exercise;
use crate::net::sock_diag::Socket;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "17/confirmed",
    "the client says of an order that it is done when the server has said so, and never otherwise",
    15,
    confirmed,
    "Who has the bytes when send has returned, and who has them when they are acknowledged? Which end alone knows that an order is \
     done? What may a read return in place of its answer?",
)];

fn confirmed(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.names_own_hand("server");
    let listener = host.enter(|| TcpListener::bind(("127.0.0.1", PORT)))?;
    let client = |name: &str| -> Result<(Process, TcpStream), LabError> {
        let client = host.exercise(name, "127.0.0.1").start()?;
        let (connection, _) = host.enter(|| listener.accept())?;
        host.enter(|| connection.set_read_timeout(Some(Duration::from_secs(2))))?;
        Ok((client, connection))
    };

    let (first, mut connection) = client("client")?;
    let port = host.enter(|| connection.peer_addr())?.port();
    first.types("coffee")?;
    let coffee = reads_order(&connection);
    host.enter(|| connection.write_all(b"o"))?;
    lab.eventually("the client reads what the server says", || {
        let here = |socket: &&Socket| socket.local.port() == port;
        let unread = |sockets: Vec<Socket>| sockets.iter().find(here).map(|s| s.receive_queue);
        host.sockets()
            .map_or_else(Check::unseen, |sockets| equal(unread(sockets), Some(0)))
    });
    host.enter(|| connection.write_all(b"k\n"))?;
    lab.eventually("an order that is confirmed is done", || {
        first.output().says("done: coffee")
    });

    first.types("tea")?;
    let tea = reads_order(&connection);
    lab.notes("the server ends the connection in place of an answer");
    drop(connection);

    let (second, silent) = client("second client")?;
    second.types("milk")?;
    let milk = reads_order(&silent);

    let (third, unread) = client("third client")?;
    third.types("sugar")?;
    lab.until("the order has come", || {
        host.has(TcpState::Established, |socket| {
            socket.local.port() == PORT && socket.receive_queue > 0
        })
    })?;
    lab.notes("the server goes and has read nothing");
    drop(unread);

    let clients = [&first, &second, &third];
    lab.eventually(
        "a client that knows nothing of its order ends with an error",
        || {
            all(clients.map(|client| match client.ended() {
                Some(end) => end.exited_with(1),
                None => Check::new(false, "it goes on"),
            }))
        },
    );
    drop(silent);
    lab.central("where the server closes, nothing is done", {
        first.output().lacks("done: tea")
    });
    lab.central("where the server is silent, nothing is done", {
        second.output().lacks("done: milk")
    });
    lab.central("where the connection is reset, nothing is done", {
        third.output().lacks("done: sugar")
    });
    lab.claim("each order was sent as a line", {
        equal([coffee, tea, milk], ["coffee\n", "tea\n", "milk\n"])
    });
    lab.done()
}

/// The next order. What has come of it, if it does not come whole in a while.
fn reads_order(connection: &TcpStream) -> String {
    let mut order = String::new();
    // What was read before an error stays in the text, and it is the answer.
    let _ = BufReader::new(connection).read_line(&mut order);
    order
}
