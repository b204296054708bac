//! Exercises of chapter 35: answers on practice.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use nix::sys::socket::{setsockopt, sockopt};

use super::Exercise;
use crate::net::sock_diag::{Socket, TcpInfo};
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "35/overtaken",
    "an answer leaves at once when there is room for it, and never before an older one",
    10,
    overtaken,
    "Some of an answer waits, the kernel has room again, and the client says something more: poll tells of both at once. Which bytes \
     are sent in this turn, and which wait for the next?",
)];

/// What the client sends first: more answers than the kernel's buffers take.
const FIRST: usize = 16_384;
/// And in all: so little more that one read brings it.
const ALL: usize = FIRST + 340;

fn overtaken(lab: &Lab) -> Outcome {
    // A few of its many packets tell the story.
    lab.leaves_out_packets(|packet| {
        packet
            .tcp()
            .is_none_or(|tcp| !tcp.flags.has(SYN) && !tcp.flags.has(FIN) && !tcp.flags.has(RST))
    });
    let host = lab.host()?;
    host.names_own_hand("clients");
    let server = host.exercise("server", "").start()?;
    server.listens()?;
    let asleep = || server.blocks_in(&["poll", "ppoll"]);

    let mut slow = host.enter(|| TcpStream::connect(("127.0.0.1", PORT)))?;
    // Little room for answers, so that they have to wait on the other side, and much for what is sent to a server that waits, too.
    setsockopt(&slow, sockopt::RcvBuf, &32768).map_err(std::io::Error::from)?;
    setsockopt(&slow, sockopt::SndBuf, &(1 << 18)).map_err(std::io::Error::from)?;
    let port = slow.local_addr()?.port();
    let has = |fits: &dyn Fn(&Socket) -> bool| {
        host.has(TcpState::Established, |socket| {
            socket.local.port() == PORT && socket.remote.port() == port && fits(socket)
        })
    };
    lab.notes("the first client sends much, and reads nothing yet");
    host.enter(|| slow.write_all(lines("line", 0..FIRST).as_bytes()))?;
    lab.eventually(
        "some of the answer waits in the server, which sleeps",
        || has(&|socket| in_the_server(socket) > 0).and(asleep()),
    );
    lab.notes("another client comes, and says something short");
    let mut quick = host.enter(|| TcpStream::connect(("127.0.0.1", PORT)))?;
    quick.set_read_timeout(Some(Duration::from_secs(2)))?;
    host.enter(|| quick.write_all(b"abc\n"))?;
    let mut answer = [0; 4];
    let came = quick.read_exact(&mut answer);
    lab.claim(
        "it is answered meanwhile",
        Check::new(
            came.is_ok() && answer == *b"nop\n",
            String::from_utf8_lossy(&answer),
        ),
    );
    lab.eventually("while both are there, the server sleeps", asleep);
    quick.shutdown(Shutdown::Write)?;
    lab.eventually("nothing of the short answer was copied", || {
        server.output().says("copied 0 bytes")
    });

    server.halt()?;
    lab.notes("the first client reads what there is, and sends the rest");
    let mut heard = Vec::new();
    slow.set_nonblocking(true)?;
    lab.until("the kernel has nothing more of the answer", || {
        let _ = slow.read_to_end(&mut heard); // it ends where there is nothing now
        has(&|socket| socket.send_queue == 0)
    })?;
    slow.set_nonblocking(false)?;
    host.enter(|| slow.write_all(lines("line", FIRST..ALL).as_bytes()))?;
    lab.until("there is something to read for the server", || {
        has(&|socket| socket.receive_queue > 0)
    })?;
    server.resume();
    slow.shutdown(Shutdown::Write)?;
    lab.notes("it reads to the end");
    slow.set_read_timeout(Some(Duration::from_secs(2)))?;
    // What was read before an error stays there, and it is the answer.
    let _ = slow.read_to_end(&mut heard);
    let expected = lines("yvar", 0..ALL);
    lab.claim(
        "as many bytes come back as were sent",
        equal(heard.len(), expected.len()),
    );
    lab.central("in the same order", in_order(&heard, &expected));
    lab.eventually("the server sleeps again", asleep);
    lab.claim("it goes on", equal(server.ended(), None));
    lab.done()
}

/// Numbered lines: `line 000001`.
fn lines(word: &str, numbers: std::ops::Range<usize>) -> String {
    numbers
        .map(|number| format!("{word} {number:06}\n"))
        .collect()
}

/// The bytes that the server has read and the kernel has not been given back yet.
fn in_the_server(socket: &Socket) -> u64 {
    let read = |info: TcpInfo| {
        info.bytes_received
            .saturating_sub(socket.receive_queue.into())
    };
    let taken = |info: TcpInfo| info.bytes_acked + u64::from(socket.send_queue);
    socket
        .info
        .map_or(0, |info| read(info).saturating_sub(taken(info)))
}

/// Whether this is what was to come, or where the first line is that is not.
fn in_order(heard: &[u8], expected: &str) -> Check {
    let heard = String::from_utf8_lossy(heard);
    let mut pairs = heard.lines().zip(expected.lines());
    let wrong = pairs.find(|(found, right)| found != right);
    Check::new(
        heard == expected,
        match wrong {
            Some((found, right)) => format!("{found:?} in place of {right:?}"),
            None => format!("{} lines, all in their places", heard.lines().count()),
        },
    )
}
