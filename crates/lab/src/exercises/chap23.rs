//! Exercises of chapter 23: epoll.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use super::Exercise;
use crate::net::sock_diag::Socket;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "23/edge",
    "every client that ends is told how many bytes it has sent, and the clients are watched edge-triggered",
    10,
    edge,
    "How often does an edge-triggered epoll tell of bytes that lie there and are not read? What is it that a read can say when \
     nothing is left, and can the bytes before it tell you the same?",
)];

/// The flag in the list of /proc/PID/fdinfo.
const EDGE: u32 = nix::libc::EPOLLET as u32;

/// A socket of the server that has a client.
fn of_client(socket: &Socket) -> bool {
    socket.local.port() == PORT && socket.remote.port() != 0
}

fn edge(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.names_own_hand("clients");
    let server = host.exercise("server", "").start()?;
    server.listens()?;
    let connect = || -> Result<TcpStream, LabError> {
        let client = host.enter(|| TcpStream::connect(("127.0.0.1", PORT)))?;
        server.says("client connected")?;
        Ok(client)
    };
    let ends = |client: &TcpStream| host.enter(|| client.shutdown(Shutdown::Write));
    // Come, and read: so many bytes of the client that is there.
    let is_read = |sent: u64| {
        host.has(TcpState::Established, |socket| {
            let came = socket.info.is_some_and(|info| info.bytes_received == sent);
            of_client(socket) && came && socket.receive_queue == 0
        })
    };

    let mut small = connect()?;
    lab.claim(
        "its client is watched edge-triggered",
        watched(&server, EDGE),
    );
    for (words, sent) in [("data1", 5), ("data2", 10)] {
        host.enter(|| small.write_all(words.as_bytes()))?;
        lab.until("the server has read it", || is_read(sent))?;
    }
    ends(&small)?;
    let told = answer(small);
    lab.claim(
        "a client that sends little at a time is told 10 bytes",
        equal(told, "10 bytes\n"),
    );

    let mut large = connect()?;
    host.enter(|| large.write_all(&[b'x'; 5000]))?;
    lab.central_eventually("the server reads all that has come", || is_read(5000));
    ends(&large)?;
    lab.central(
        "a client that sends much at once is told 5000 bytes",
        equal(answer(large), "5000 bytes\n"),
    );

    let mut hasty = connect()?;
    server.halt()?;
    host.enter(|| hasty.write_all(b"goodbye"))?;
    ends(&hasty)?;
    server.resume();
    lab.central(
        "a client that sends its last bytes and ends, in one moment, is told 7 bytes",
        equal(answer(hasty), "7 bytes\n"),
    );
    lab.eventually("the server sleeps in epoll_wait", || {
        server.blocks_in(&["epoll_wait", "epoll_pwait"])
    });
    lab.claim("it goes on", equal(server.ended(), None));
    lab.done()
}

/// What a client is told, until the end or until nothing has come for a while.
fn answer(mut client: TcpStream) -> String {
    let mut answer = Vec::new();
    let patience = client.set_read_timeout(Some(Duration::from_secs(2)));
    // What was read before an error stays in the buffer, and it is the answer.
    let _ = patience.and_then(|()| client.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

/// Whether epoll watches the descriptor that it was given last with this flag: proc_pid_fdinfo(5).
fn watched(server: &Process, flag: u32) -> Check {
    let entries = std::fs::read_dir(format!("/proc/{}/fdinfo", server.pid()));
    let paths = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let infos: String = paths
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .collect();
    let watched = infos.lines().filter_map(|line| {
        let mut words = line.strip_prefix("tfd:")?.split_whitespace();
        let descriptor: i32 = words.next()?.parse().ok()?;
        Some((descriptor, u32::from_str_radix(words.nth(1)?, 16).ok()?))
    });
    match watched.max() {
        Some((_, events)) => Check::new(
            events & flag != 0,
            format_args!("its events are {events:x}"),
        ),
        None => Check::new(false, "epoll watches nothing"),
    }
}
