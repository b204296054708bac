//! Chapter 38: a chat room.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;

use nix::errno::Errno;

use crate::net::sock_diag::Socket;
use crate::prelude::*;
use crate::tracer::SystemCall;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "38/broadcast",
        "each line reaches everybody else once, whole and in order, though five speak at once and one does not listen",
        broadcast,
        "a new line takes the place of one that was not heard yet",
    ),
    Experiment::new(
        "38/sixth-user",
        "five are in the room; the sixth is told so, and the connection is closed",
        sixth_user,
        "there is room for six",
    ),
    Experiment::new(
        "38/leave",
        "one of five leaves, and the place is free at once",
        leave,
        "nobody leaves",
    ),
    Experiment::new(
        "38/reset",
        "one user resets the connection: the server asks for the error, and that user alone is gone",
        reset,
        "the user leaves in good order",
    ),
    Experiment::new(
        "38/splice",
        "what is typed goes from the keyboard to the connection, and the client never has it in its memory",
        splice,
        "the client copies",
    ),
    Experiment::new(
        "38/stdin-eof",
        "the client's input ends: it says so, hears what is left, and ends, without asking again and again",
        stdin_eof,
        "the input stays open",
    ),
];

const TOO_MANY: &str = "too many users";

/// The server's end of a connection.
fn of_server(socket: &Socket) -> bool {
    socket.local.port() == PORT && socket.remote.port() != 0
}

fn server_on(host: &Host, options: &str) -> Result<Process, LabError> {
    let server = host.start(&format!("chap-38 chat-server {options}"))?;
    server.listens()?;
    Ok(server)
}

/// A client that is in the room.
fn comes(host: &Host, server: &Process) -> Result<Process, LabError> {
    let client = host.start("chap-38 chat-client 127.0.0.1 43211")?;
    client.says("connected: ")?;
    server.says("come a new user")?;
    host.look();
    Ok(client)
}

/// Users of the experiment's own, who are in the room.
fn users(
    host: &Host,
    server: &Process,
    port: u16,
    count: usize,
) -> Result<Vec<TcpStream>, LabError> {
    let mut users = Vec::new();
    for _ in 0..count {
        users.push(host.enter(|| TcpStream::connect(("127.0.0.1", port)))?);
        server.says("come a new user")?;
    }
    Ok(users)
}

/// The other server of an experiment, whose connections are not drawn.
const CROWD: u16 = PORT + 1;
const SPEAKERS: usize = 5;
const LINES: usize = 400;

/// What the n-th line of a user is: from a few bytes to some thousand.
fn line(user: usize, number: usize) -> String {
    let letter = char::from(b'a' + ((user + number) % 26) as u8);
    format!(
        "{user} {number} {}\n",
        letter.to_string().repeat(number * 97 % 4000)
    )
}

/// How many lines a user heard before one that was not the next one of its speaker.
fn hears_in_order(stream: &TcpStream) -> usize {
    let mut next = [0; SPEAKERS];
    let mut heard = 0;
    let mut reader = BufReader::new(stream);
    let mut text = Vec::new();
    while heard < (SPEAKERS - 1) * LINES {
        text.clear();
        // An end, or a time without a word, is less than all.
        if reader.read_until(b'\n', &mut text).is_err() || text.is_empty() {
            break;
        }
        let from = text
            .first()
            .map_or(SPEAKERS, |digit| usize::from(digit.wrapping_sub(b'0')));
        if from >= SPEAKERS || text != line(from, next[from]).as_bytes() {
            break;
        }
        next[from] += 1;
        heard += 1;
    }
    heard
}

fn broadcast(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    lab.leaves_out(CROWD..=CROWD);
    let server = server_on(&host, "")?;
    let clients = [
        comes(&host, &server)?,
        comes(&host, &server)?,
        comes(&host, &server)?,
    ];
    clients[0].types("hello")?;
    clients[1].says("hello")?;
    clients[2].says("hello")?;
    clients[2].types("hi")?;
    clients[0].says("hi")?;
    clients[1].says("hi")?;
    lab.claim(
        "of three, the two others hear a line, and its speaker does not",
        clients[1]
            .output()
            .says("hello")
            .and(clients[2].output().says("hello"))
            .and(clients[0].output().lacks("hello")),
    );
    lab.ends_the_ladder();

    let room = format!("--port {CROWD} {}", lab.vary("", "--overwrite"));
    let server = server_on(&host, &room)?;
    let crowd = users(&host, &server, CROWD, SPEAKERS)?;
    let deaf = &crowd[SPEAKERS - 1];
    let full = || {
        let sockets = host.sockets().unwrap_or_default();
        let of_deaf = |socket: &&Socket| socket.remote == deaf.local_addr().unwrap_or(socket.local);
        let queue = sockets.iter().find(of_deaf).map(|socket| socket.send_queue);
        within(queue, Some(1)..)
    };
    let mut heard = Vec::new();
    let mut held = Ok(());
    thread::scope(|scope| {
        let mut speaks = Vec::new();
        for (user, mut stream) in crowd.iter().enumerate() {
            speaks.push(scope.spawn(move || {
                // An error shows in what the others hear.
                (0..LINES)
                    .try_for_each(|number| stream.write_all(line(user, number).as_bytes()))
                    .is_ok()
            }));
        }
        let mut hears = Vec::new();
        for stream in &crowd {
            // A time-out for the control, in which lines are missing for ever.
            let _ = stream.set_read_timeout(Some(
                lab.vary(Duration::from_secs(20), Duration::from_secs(1)),
            ));
        }
        for stream in &crowd[..SPEAKERS - 1] {
            hears.push(scope.spawn(move || hears_in_order(stream)));
        }
        // The last one begins to listen when its buffers are full.
        if !lab.is_control() {
            held = lab.until(
                "the kernel takes nothing more for the one who does not listen",
                full,
            );
        }
        hears.push(scope.spawn(move || hears_in_order(deaf)));
        heard.extend(
            hears
                .into_iter()
                .map(|hears| hears.join().unwrap_or_default()),
        );
    });
    held?;
    let all_lines = (SPEAKERS - 1) * LINES;
    lab.central(
        "of five who speak at once, each hears all lines of the four others, whole and in each one's order",
        equal(&heard[..], [all_lines; SPEAKERS]),
    );
    lab.central(
        "also the one who did not listen for a while",
        equal(heard[SPEAKERS - 1], all_lines),
    );
    lab.figure("lines spoken", SPEAKERS * LINES);
    lab.done()
}

fn sixth_user(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = server_on(&host, lab.vary("", "--limit 6"))?;
    lab.notes("five come");
    let before = users(&host, &server, PORT, 5)?;
    let ports: Vec<u16> = before
        .iter()
        .filter_map(|user| user.local_addr().ok())
        .map(|address| address.port())
        .collect();
    for port in ports {
        lab.leaves_out(port..=port);
    }
    let sixth = host.start("chap-38 chat-client 127.0.0.1 43211")?;
    sixth.says("connected: ")?;
    if lab.is_control() {
        server.says("come a new user")?;
        sixth.types("hello")?;
        server.says("hello")?;
    } else {
        sixth.ends()?;
        server.says("too many users")?;
    }
    lab.ends_the_ladder();
    let own = |packet: &Passed| {
        let from = before.iter().filter_map(|user| user.local_addr().ok());
        packet.source.port() == PORT
            && from
                .into_iter()
                .all(|address| address != packet.destination)
    };
    lab.central("the sixth hears why", sixth.output().says(TOO_MANY));
    lab.central(
        "the server's side ends the connection first",
        lab.packets().that(own).has(FIN),
    );
    lab.claim(
        "without a reset, which could take the word away",
        lab.packets().that(own).lacks(RST),
    );
    (&before[0]).write_all(b"hello\n")?;
    let mut heard = [0; 6];
    (&before[4]).read_exact(&mut heard)?;
    lab.claim("the five go on", equal(heard.as_slice(), b"hello\n"));
    lab.done()
}

fn leave(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = server_on(&host, "")?;
    lab.notes("four come");
    let others = users(&host, &server, PORT, 4)?;
    for user in &others {
        let port = user.local_addr()?.port();
        lab.leaves_out(port..=port);
    }
    let fifth = comes(&host, &server)?;
    if !lab.is_control() {
        fifth.closes_input();
        fifth.ends()?;
        server.says("a client left, now have 4 users online")?;
    }
    let next = host.start("chap-38 chat-client 127.0.0.1 43211")?;
    next.says("connected: ")?;
    server.says(lab.vary("now have 5 users", TOO_MANY))?;
    (&others[0]).write_all(b"welcome\n")?;
    if lab.is_control() {
        next.ends()?;
    } else {
        next.says("welcome")?;
    }
    lab.central("the next one is not refused", next.output().lacks(TOO_MANY));
    lab.central("and hears what is said", next.output().says("welcome"));
    lab.central(
        "its connection is established",
        host.has(TcpState::Established, |s| {
            of_server(s)
                && others
                    .iter()
                    .all(|user| user.local_addr().ok() != Some(s.remote))
                && s.remote.port() != 0
                && next
                    .output()
                    .lines()
                    .iter()
                    .any(|line| line.contains(&s.remote.to_string()))
        }),
    );
    lab.claim("five are in the room again", {
        let sockets = host.sockets()?;
        let there = sockets
            .iter()
            .filter(|s| of_server(s) && s.state == TcpState::Established);
        equal(there.count(), 5)
    });
    lab.done()
}

/// The waits of a process.
fn polls(process: &Process) -> usize {
    let polls =
        |call: &SystemCall| matches!(&*call.name, "poll" | "ppoll") && call.result.is_some();
    process.calls().filtered(polls).len()
}

fn reset(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host
        .program("chap-38 chat-server")
        .traced_drawing(&["getsockopt"])
        .start()?;
    server.listens()?;
    let other = comes(&host, &server)?;
    let victim = users(&host, &server, PORT, 1)?.remove(0);
    host.names_own_hand("the other user");
    let from = victim.local_addr()?;
    if lab.is_control() {
        drop(victim);
    } else {
        drive::reset(victim)?;
    }
    server.says("a client left, now have 1 users online")?;
    let before = polls(&server);
    lab.watches_for(Duration::from_millis(300));
    let after = polls(&server);
    other.types("still here")?;
    server.says("still here")?;

    let asked = server.calls().filtered(|call| call.name == "getsockopt");
    lab.central(
        "the server asks the connection for its error, SO_ERROR",
        Check::new(!asked.is_empty(), format_args!("{asked:?}")),
    );
    lab.central(
        "it is ECONNRESET",
        server.errors().says(&format!(
            "get an error from {from}: {}",
            Errno::ECONNRESET.desc()
        )),
    );
    lab.claim(
        "poll does not return again and again",
        within(after - before, ..=1),
    );
    lab.claim(
        "the other is heard as before",
        server
            .output()
            .says("still here")
            .and(host.has(TcpState::Established, of_server)),
    );
    lab.done()
}

fn splice(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = server_on(&host, "")?;
    let listener = comes(&host, &server)?;
    let client = host
        .program(&format!(
            "chap-38 chat-client 127.0.0.1 43211 {}",
            lab.vary("", "--copy")
        ))
        .traced_drawing(&["splice", "read", "write", "sendto"])
        .start()?;
    server.says("come a new user")?;
    client.types("hello")?;
    listener.says("hello")?;

    // Its start reads files, and what it prints is a write: what counts is the keyboard, descriptor 0.
    let moved = |name: &str, from_keyboard: bool| {
        let calls = client.calls().all();
        let wanted = calls
            .iter()
            .filter(|call| call.name == name && (call.arguments[0] == 0) == from_keyboard);
        let counts: Vec<i64> = wanted.filter_map(|call| call.result?.ok()).collect();
        counts
    };
    let through_memory = lab.vary("splice", "read");
    lab.until("the call is on record", || {
        within(moved(through_memory, true).len(), 1..)
    })?;
    lab.until("and the next one", || {
        within(moved("splice", false).len(), 1..)
    })?;
    lab.central(
        "splice takes six bytes from the keyboard",
        equal(moved("splice", true), [6]),
    );
    lab.central("and no read does", equal(moved("read", true).len(), 0));
    lab.claim(
        "splice puts them into the connection",
        equal(moved("splice", false), [6]),
    );
    lab.claim("six bytes leave in one segment", {
        let data = lab
            .packets()
            .carrying_data()
            .that(|packet| packet.destination.port() == PORT);
        equal((data.count(), data.bytes()), (1, 6))
    });
    lab.claim("the other hears the line", listener.output().says("hello"));
    lab.done()
}

fn stdin_eof(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = server_on(&host, "")?;
    let other = comes(&host, &server)?;
    let client = host
        .program("chap-38 chat-client 127.0.0.1 43211")
        .traced_drawing(&[])
        .start()?;
    server.says("come a new user")?;
    client.types_bytes(b"last words, without a newline")?;
    if lab.is_control() {
        lab.watches_for(Duration::from_millis(300));
    } else {
        client.closes_input();
        client.ends()?;
        other.says("last words")?;
    }
    let from_client = {
        let name = client.says("connected: ")?.rest();
        let own = name.split(' ').next().unwrap_or_default().to_string();
        move |packet: &Passed| packet.source.to_string() == own
    };
    lab.central("the client ends, with exit code 0", {
        let running = || Check::new(false, "it still runs");
        client
            .ended()
            .map_or_else(running, |end| end.exited_with(0))
    });
    lab.central(
        "by an orderly end, FIN",
        lab.packets().that(from_client).has(FIN),
    );
    lab.central(
        "what had no newline is heard as a line",
        other.output().says("last words, without a newline"),
    );
    lab.claim(
        "it has asked poll a few times and no more",
        within(polls(&client), 1..10),
    );
    lab.done()
}
