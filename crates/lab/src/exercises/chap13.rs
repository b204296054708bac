//! Exercises of chapter 13: small packets.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use super::Exercise;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "13/two-parts",
    "each request leaves in one segment, and waits for nothing",
    10,
    two_parts,
    "What is the kernel's first chance to send something, and what does it have then? What does the second part wait for, and what \
     does the other end wait for? Which repair ends only the wait?",
)];

/// What is typed.
const REQUESTS: [&str; 4] = ["alpha", "bravo", "charlie", "delta"];
/// Less than the least time for which Linux delays an acknowledgement, 40 milliseconds.
const DELAYED: Duration = Duration::from_millis(30);

fn two_parts(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.names_own_hand("server");
    let listener = host.enter(|| TcpListener::bind(("127.0.0.1", PORT)))?;
    let client = host.exercise("client", "127.0.0.1").start()?;
    let (connection, peer) = host.enter(|| listener.accept())?;
    host.enter(|| connection.set_read_timeout(Some(Duration::from_secs(2))))?;

    let mut heard = Vec::new();
    let mut times = Vec::new();
    for request in REQUESTS {
        let typed = Instant::now();
        client.types(request)?;
        // An error is the answer of a client that has ended, or that sent something else.
        let Ok(request) = host.enter(|| hears(&connection)) else {
            break;
        };
        times.push(typed.elapsed());
        let answer = [&(request.len() as u32).to_be_bytes()[..], &request].concat();
        let _ = host.enter(|| (&connection).write_all(&answer));
        heard.push(String::from_utf8_lossy(&request).into_owned());
    }
    lab.eventually("each answer is printed", || {
        let answers = REQUESTS.map(|request| format!("answer: {request}"));
        equal(client.output().lines(), answers)
    });
    // Before it ends: a socket in TIME-WAIT keeps no count.
    let sockets = host.sockets()?;
    let socket = sockets.iter().find(|socket| socket.local == peer);
    let info = socket.and_then(|socket| socket.info);
    // A busy machine may make it send something again.
    let segments = info.map(|info| info.data_segs_out.saturating_sub(info.total_retrans));
    lab.central("four requests are four segments", {
        equal(segments, Some(REQUESTS.len() as u32))
    });
    // The first is an exception: a young connection acknowledges at once.
    let shortest = times.iter().skip(1).min().copied();
    lab.claim("no request waits for the ACK of a part of it", {
        let prompt = shortest.is_some_and(|shortest| shortest < DELAYED);
        Check::new(prompt, format_args!("{times:.1?}"))
    });
    lab.claim("each request is whole", equal(heard, REQUESTS));
    client.types_ctrl_d();
    lab.eventually(
        "at the end of the input the client ends in good order",
        || {
            let end = client.ended();
            end.map_or(Check::new(false, "it has not ended"), |end| {
                end.exited_with(0)
            })
        },
    );
    lab.done()
}

/// The next request: a length and so many bytes.
fn hears(mut connection: &TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    connection.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > 128 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut request = vec![0; length as usize];
    connection.read_exact(&mut request)?;
    Ok(request)
}
