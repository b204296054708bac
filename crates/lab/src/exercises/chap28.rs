//! Exercises of chapter 28: main and sub reactors.

use std::io::{Read, Write};
use std::net::TcpStream;

use drive::Signal;
use nix::sys::socket::{setsockopt, sockopt};

use super::Exercise;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "28/ctrl-c",
    "on Ctrl-C the server lets nobody else in, finishes the answers that it has begun, and ends",
    10,
    ctrl_c,
    "Somebody has to have the signal blocked, so that it waits to be read. Who has it blocked here, and from when on? To which thread \
     does the kernel give a signal that is for the process?",
)];

/// The size of the text.
const TEXT: usize = 8 << 20;

fn ctrl_c(lab: &Lab) -> Outcome {
    // A few of its many packets tell the story.
    lab.leaves_out_packets(|packet| {
        packet
            .tcp()
            .is_none_or(|tcp| !tcp.flags.has(FIN) && !tcp.flags.has(RST))
    });
    let host = lab.host()?;
    host.names_own_hand("client");
    let server = host.exercise("server", "").start()?;
    server.listens()?;

    lab.notes("a client asks, and reads nothing yet");
    let mut client = host.enter(|| TcpStream::connect(("127.0.0.1", PORT)))?;
    // Little room, so that the text has to wait on the other side.
    setsockopt(&client, sockopt::RcvBuf, &32768).map_err(std::io::Error::from)?;
    host.enter(|| client.write_all(b"the text, please\n"))?;
    lab.eventually("the server sends as much as there is room for", || {
        host.has(TcpState::Established, |socket| {
            socket.local.port() == PORT && socket.send_queue > 0
        })
    });
    server.types_ctrl_c();
    lab.eventually("on Ctrl-C it listens no longer", || {
        !host.has(TcpState::Listen, |socket| socket.local.port() == PORT)
    });
    lab.notes("the client reads");
    lab.central(
        "the client gets the whole text, and the end",
        read_all(client),
    );
    lab.eventually("then the server ends", || has_ended(&server));
    let end = server.kill()?; // one that goes on all the same must not be in the way of the next
    lab.central("it ends by itself, with code 0", end.exited_with(0));
    lab.central(
        "its log is complete: the client has left",
        server.output().says("client left"),
    );

    let again = host.exercise("server", "").named("again").start()?;
    again.listens()?;
    lab.notes("another server is told to end, with SIGTERM");
    again.signal(Signal::SIGTERM);
    lab.eventually("it ends, too", || has_ended(&again));
    lab.central("with code 0", again.kill()?.exited_with(0));
    lab.done()
}

fn has_ended(server: &Process) -> Check {
    Check::new(server.ended().is_some(), "it goes on")
}

/// Whether the whole text comes, and the end behind it, and neither an error nor silence before.
fn read_all(mut client: TcpStream) -> Check {
    let mut text = Vec::new();
    let patience = client.set_read_timeout(Some(Duration::from_secs(2)));
    // What was read before an error stays in the buffer.
    let end = patience.and_then(|()| client.read_to_end(&mut text));
    let seen = end
        .as_ref()
        .map_or_else(ToString::to_string, |_| "the end".into());
    Check::new(
        end.is_ok() && text.len() == TEXT,
        format_args!("{} bytes, then: {seen}", text.len()),
    )
}
