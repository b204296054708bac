//! Exercises of chapter 20: select.

use super::Exercise;
use crate::net::sock_diag::Socket;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "20/hears-both",
    "the client hears the keyboard and the server, whichever comes first, until either has ended",
    10,
    hears_both,
    "A set is what you ask before the call. What is it after the call? Look at what is in it in the second round, when the keyboard \
     alone was ready in the first. And then: what must not come back into it after the end of the input?",
)];

fn of_client(socket: &Socket) -> bool {
    socket.remote.port() == PORT
}

fn hears_both(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start("chap-20 selectserver")?;
    server.listens()?;
    let client = host.exercise("client", "127.0.0.1").start()?;
    client.types("data1")?;
    server.says("received 5 bytes: data1")?;
    lab.central_eventually("the client prints the answer to what was typed", || {
        client.output().says("data1")
    });
    client.types("data2")?;
    lab.eventually(
        "it still hears the keyboard, and sends the next line",
        || server.output().says("received 5 bytes: data2"),
    );
    lab.central_eventually("and prints that answer, too", || {
        client.output().says("data2")
    });

    server.halt()?;
    client.types_ctrl_d();
    lab.eventually("at the end of its input it ends its direction only", || {
        host.has(TcpState::FinWait2, of_client)
    });
    lab.eventually("and sleeps in select until there is more to hear", || {
        client.blocks_in(&["select", "pselect6"])
    });
    server.resume();
    lab.central_eventually("it ends when the server does, in good order", || {
        client
            .ended()
            .map_or(Check::new(false, "it has not ended"), |end| {
                end.exited_with(0)
            })
    });
    lab.done()
}
