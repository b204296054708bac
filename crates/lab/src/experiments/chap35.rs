//! Chapter 35: answers on practice.

use std::time::Instant;

use crate::prelude::*;
use crate::tracer::SystemCall;

pub(super) const EXPERIMENTS: &[Experiment] = &[Experiment::new(
    "35/write-first",
    "an answer that is written at once saves two epoll_ctl, one epoll_wait and a copy",
    write_first,
    "the first server goes through the buffer, too",
)
.isolated()
.also(&["chap-36"])];

/// How many answers are counted.
const ANSWERS: usize = 5;
/// What is drawn of a server, and what is counted.
const CALLS: &[&str] = &["epoll_wait", "epoll_ctl", "read", "sendto"];

/// The calls of a server for some lines of a client that is connected already, by their names; and the bytes it has copied.
fn counted(
    lab: &Lab,
    host: &Host,
    options: &str,
    port: u16,
) -> Result<(Vec<usize>, usize), LabError> {
    let server = host
        .program(&format!("chap-35 write-first --port {port} {options}"))
        .named(if options.is_empty() {
            "at once"
        } else {
            "through a buffer"
        })
        .traced_drawing(CALLS)
        .start()?;
    server.listens()?;
    let client = host.start(&format!("chap-36 tcpcli-select 127.0.0.1 --port {port}"))?;
    client.types("zero")?;
    client.says("mreb")?;
    lab.until("the server waits again", || {
        server.blocks_in(&["epoll_wait"])
    })?;
    let begun = Instant::now();
    for number in 0..ANSWERS {
        if number == 1 {
            server.draws_no_more_calls(); // the others are like the first
        }
        client.types("abc")?;
        client.says("nop")?;
        lab.until("the server waits again", || {
            server.blocks_in(&["epoll_wait"])
        })?;
    }
    let calls = server.calls().all();
    let count = |name: &&str| {
        let counts = |call: &&SystemCall| {
            let ended = call.ended_at.is_some_and(|at| at > begun);
            call.name == **name && ended && call.result.is_some()
        };
        calls.iter().filter(counts).count()
    };
    let counts = CALLS.iter().map(count).collect();
    client.closes_input();
    client.ends()?;
    let copied = server.says("copied ")?.rest();
    let copied = copied
        .split(' ')
        .next()
        .and_then(|number| number.parse().ok());
    Ok((counts, copied.unwrap_or_default()))
}

fn write_first(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    lab.leaves_out(PORT..=PORT + 1); // what is to be seen here is calls
    host.sets("net.ipv4.ip_local_port_range", "50000 60999")?; // no client has by chance the second server's port
    let (first, copied_first) = counted(lab, &host, lab.vary("", "--through-buffer"), PORT)?;
    let (later, copied_later) = counted(lab, &host, "--through-buffer", PORT + 1)?;
    lab.central(
        "written at once, an answer takes a wait, a read and a send, and no epoll_ctl",
        equal(&first[..], [ANSWERS, 0, ANSWERS, ANSWERS]),
    );
    lab.claim(
        "through a buffer it takes a wait more, and two epoll_ctl: watch for room, and no longer",
        equal(&later[..], [2 * ANSWERS, 2 * ANSWERS, ANSWERS, ANSWERS]),
    );
    lab.central(
        "written at once, no byte is copied into a buffer",
        equal(copied_first, 0),
    );
    let all = "zero\n".len() + ANSWERS * "abc\n".len();
    lab.claim("through a buffer every byte is", equal(copied_later, all));
    lab.done()
}
