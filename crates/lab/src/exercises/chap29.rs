//! Exercises of chapter 29: a reactor on epoll.

use std::io::{Read, Write};
use std::net::TcpStream;

use nix::sys::socket::{setsockopt, sockopt};

use super::Exercise;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "29/whole-reply",
    "every client gets the whole text and then the end, however slowly it reads and whatever it says meanwhile",
    10,
    whole_reply,
    "Where is the text when send has returned, and what becomes of it when the connection is closed? A connection can end in three \
     ways. Which of them waits for the text, and which reads what the client still says?",
)];

/// The size of the text.
const TEXT: usize = 8 << 20;

fn whole_reply(lab: &Lab) -> Outcome {
    // A few of its many packets tell the story.
    lab.leaves_out_packets(|packet| {
        packet
            .tcp()
            .is_none_or(|tcp| !tcp.flags.has(FIN) && !tcp.flags.has(RST))
    });
    let host = lab.host()?;
    host.names_own_hand("clients");
    let server = host.exercise("server", "").start()?;
    server.listens()?;
    let empty = server.descriptors()?;
    let asks = || -> Result<TcpStream, LabError> {
        let mut client = host.enter(|| TcpStream::connect(("127.0.0.1", PORT)))?;
        // Little room, so that the text has to wait on the other side.
        setsockopt(&client, sockopt::RcvBuf, &32768).map_err(std::io::Error::from)?;
        host.enter(|| client.write_all(b"the text, please\n"))?;
        Ok(client)
    };

    lab.notes("two clients ask, and read nothing yet");
    let (quiet, mut chatty) = (asks()?, asks()?);
    lab.eventually("the server sleeps in epoll_wait", || {
        server.blocks_in(&["epoll_wait", "epoll_pwait", "epoll_pwait2"])
    });
    lab.notes("one of them says something more");
    host.enter(|| chatty.write_all(b"thank you\n"))?;
    lab.notes("both read");
    lab.central(
        "a client that reads late gets the whole text, and the end",
        read_all(quiet),
    );
    lab.central(
        "so does a client that has said something more",
        read_all(chatty),
    );
    lab.eventually("nothing is left of them in the server", || {
        equal(server.descriptors().ok(), Some(empty))
    });
    lab.claim("the server goes on", equal(server.ended(), None));
    lab.done()
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
