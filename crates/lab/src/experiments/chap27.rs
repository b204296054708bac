//! Chapter 27: one reactor.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use super::midterm::{self, ROOT, directories, replies};
use crate::net::sock_diag::Socket;
use crate::prelude::*;
use crate::tracer::SystemCall;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "27/transcript",
        "a channel is added, activated, read from and deleted; in between, the loop calls the program",
        transcript,
        "the client leaves without a word",
    )
    .also(&["chap-36"]),
    Experiment::new(
        "27/all-in-main-thread",
        "twenty clients are served by one thread, which waits in one place for all of them",
        all_in_main_thread,
        "it is chapter 28's server, with four loops beside the first",
    )
    .also(&["chap-28"]),
    Experiment::new(
        "27/commands",
        "two clients of the midterm at once, each in a directory of its own",
        commands,
        "there is one directory for all, as with chdir",
    )
    .also(&["midterm"])
    .isolated(),
];

/// The lines of a program's two outputs, in the order in which it wrote them: each line is one write(2).
fn lines_written(program: &Process) -> Vec<String> {
    let (out, err) = (program.output(), program.errors());
    let (mut out, mut err) = (out.lines().iter().cloned(), err.lines().iter().cloned());
    let calls = program.calls();
    let writes = calls.filtered(|call| call.name == "write" && call.succeeded());
    let line = |call: &SystemCall| match call.arguments[0] {
        1 => out.next(),
        2 => err.next(),
        _ => None,
    };
    writes.iter().filter_map(line).collect()
}

/// The lines occur one after the other, with anything in between.
fn in_order(lines: &[String], expected: &[String]) -> Check {
    let mut rest = lines.iter();
    let missing = expected
        .iter()
        .find(|expected| !rest.any(|line| line.contains(*expected)));
    Check::new(
        missing.is_none(),
        missing.map_or("all of them".into(), |line| {
            format!("no {line:?} in its place")
        }),
    )
}

fn is_wait(call: &SystemCall) -> bool {
    matches!(&*call.name, "poll" | "ppoll")
}

/// What a call does to a connection, whichever of the calls for it this is.
fn deed(call: &SystemCall) -> Option<&'static str> {
    Some(match &*call.name {
        "poll" | "ppoll" => "wait",
        "accept4" => "accept",
        "read" | "recvfrom" => "read",
        "write" | "sendto" => "send",
        "close" => "close",
        _ => return None,
    })
}

fn transcript(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host
        .program("chap-27 poll-server-onethread")
        .traced_drawing(&[])
        .start()?;
    server.listens()?;
    let client = host.start("chap-36 tcpcli-select 127.0.0.1")?;
    client.says("connected: ")?;
    server.says("connection completed")?;
    if !lab.is_control() {
        for (line, answer) in [("afadsfaf", "nsnqfsns"), ("fdafasf", "sqnsnfs")] {
            client.types(line)?;
            client.says(answer)?;
            server.says("write completed")?;
        }
    }
    client.types_ctrl_d();
    server.says("connection closed")?;
    client.ends()?;
    lab.until("the server waits again", || {
        server.blocks_in(&["poll", "ppoll"])
    })?;

    let calls = server.calls().all();
    let accepted = calls
        .iter()
        .find(|call| call.name == "accept4" && call.succeeded());
    let number = accepted.and_then(|call| call.result?.ok()).unwrap_or(-1);
    let lines = lines_written(&server);
    let active = format!("[msg] activate channel fd == {number}, revents=2");
    let message = format!("get message from tcp connection connection-{number}");
    let written = "write completed".to_string();
    let event = |words: &str| format!("[msg] {words} {number}");
    let text = [
        vec![
            event("new connection established, socket =="),
            event("add channel fd =="),
        ],
        vec![active.clone(), message.clone(), written.clone()],
        vec![active, message, written],
        vec![
            format!("[msg] poll delete channel fd=={number}"),
            "connection closed".into(),
        ],
    ];
    lab.central(
        "the log has the text's events in the text's order: added, activated, a message, twice, deleted, closed",
        in_order(&lines, &text.concat()),
    );
    // What the kernel was asked for this connection, and the waits between.
    let later = calls
        .iter()
        .skip_while(|call| call.result != Some(Ok(number)))
        .skip(1)
        .filter(|call| is_wait(call) || call.arguments[0] as i64 == number);
    let mut asked: Vec<_> = later
        .filter_map(|call| match deed(call)? {
            "wait" => Some("wait".into()),
            deed => Some(format!("{deed} {}", call.result?.ok()?)),
        })
        .collect();
    asked.truncate(8); // the next wait lasts
    let expected = [
        "wait", "read 9", "send 9", "wait", "read 8", "send 8", "wait", "read 0",
    ];
    lab.central(
        "for each message the kernel is asked three things: one wait, one read, one send",
        equal(asked, expected),
    );
    lab.claim(
        "the descriptor is watched before the program hears of the connection",
        in_order(
            &lines,
            &[
                format!("[msg] poll added channel fd=={number}"),
                "connection completed".into(),
            ],
        ),
    );
    lab.claim(
        "it is closed after it has left the loop",
        Check::unless(
            calls
                .iter()
                .any(|call| call.name == "close" && call.arguments[0] as i64 == number),
            "no close",
        )
        .and(in_order(
            &lines,
            &[
                format!("[msg] poll delete channel fd=={number}"),
                "connection closed".into(),
            ],
        )),
    );
    lab.done()
}

fn all_in_main_thread(lab: &Lab) -> Outcome {
    const CLIENTS: usize = 20;
    let host = lab.host()?;
    lab.leaves_out(PORT..=PORT);
    let server = host
        .program(lab.vary(
            "chap-27 poll-server-onethread --quiet",
            "chap-28 poll-server-multithreads --quiet",
        ))
        .traced_drawing(&[])
        .start()?;
    server.listens()?;
    lab.notes("twenty clients connect");
    let connect = || (0..CLIENTS).map(|_| TcpStream::connect(("127.0.0.1", PORT)));
    let mut clients: Vec<_> = host.enter(|| connect().collect())?;
    lab.notes("each of them asks, three times in turn");
    let mut answered = 0;
    for _ in 0..3 {
        for client in &mut clients {
            client.write_all(b"aaa\n")?;
        }
        for client in &mut clients {
            let mut answer = [0; 4];
            client.set_read_timeout(Some(Duration::from_secs(10)))?;
            client.read_exact(&mut answer)?;
            answered += usize::from(&answer == b"nnn\n");
        }
    }
    lab.until("the server sleeps", || server.blocks_in(&["poll", "ppoll"]))?;

    let threads = fs::read_dir(format!("/proc/{}/task", server.pid()))?.count();
    let on_sockets = server.calls().filtered(|call| {
        let target = call.descriptor.as_deref().unwrap_or_default();
        deed(call).is_some() && target.starts_with("socket:")
    });
    let tids: BTreeSet<_> = on_sockets.iter().map(|call| call.tid).collect();
    lab.central("the server has one thread", equal(threads, 1));
    lab.central(
        "it is the first thread that accepts, reads and sends, for all of them",
        equal(tids, BTreeSet::from([server.pid()])),
    );
    let waits = server.calls().filtered(is_wait);
    let watched = waits
        .iter()
        .rfind(|call| call.tid == server.pid())
        .map(|call| call.arguments[1]);
    lab.central(
        "one poll waits for 23 descriptors: the clients, the listener, a waker, and the signals",
        equal(watched, Some(CLIENTS as u64 + 3)),
    );
    lab.claim("sixty questions are answered", equal(answered, 3 * CLIENTS));
    lab.figure(
        "waits for sixty questions and twenty connections",
        waits.len(),
    );
    lab.done()
}

/// The directories that a process has open, whatever for.
fn open_directories(process: &Process) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{}/fd", process.pid()));
    let targets = entries.into_iter().flatten().flatten();
    let targets = targets.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.filter(|target| target.starts_with(ROOT)).collect()
}

fn commands(lab: &Lab) -> Outcome {
    directories(
        lab,
        &[
            "course/build/bin",
            "course/build/lib",
            "course/build/.cache",
            "course/build/chap-4",
        ],
    )?;
    let host = lab.host()?;
    let command = lab.vary(
        "chap-27 command-server",
        "chap-27 command-server --one-directory",
    );
    let server = midterm::server_in(lab, &host, "course/build/bin", command)?;
    let connects = || {
        let client = midterm::client(&host, "")?;
        server.says("client connected")?;
        host.look();
        Ok::<_, LabError>(client)
    };
    let (first, second) = (connects()?, connects()?);
    let asks = |client: &Process, command: &str| midterm::asks(lab, &server, client, command);
    for client in [&first, &second] {
        asks(client, "pwd")?;
    }
    asks(&first, "cd ..")?;
    asks(&second, "pwd")?;
    asks(&second, &format!("cd {ROOT}"))?;
    asks(&first, "pwd")?;
    asks(&first, "ls")?;
    let open = open_directories(&server);
    asks(&first, "cd -")?;
    asks(&first, "pwd")?;
    let of_server = |socket: &Socket| socket.local.port() == PORT && socket.remote.port() != 0;
    let sockets = host.sockets()?;
    let connections = sockets.iter().filter(|socket| of_server(socket)).count();
    first.types("quit")?;
    server.says("client quit")?;
    first.ends()?;
    asks(&second, "pwd")?;
    second.types("quit")?;
    server.says("client quit")?;
    second.ends()?;

    let (first, second) = (replies(lab, &first), replies(lab, &second));
    let reply =
        |replies: &[String], number: usize| replies.get(number).cloned().unwrap_or_default();
    let path = |below: &str| format!("{ROOT}{below}\n");
    lab.central(
        "the first has gone up, and the second is where it was",
        equal(reply(&second, 1), path("/course/build/bin")),
    );
    lab.central(
        "the second has gone elsewhere, and the first is where it was",
        equal(reply(&first, 2), path("/course/build")),
    );
    lab.central(
        "ls and cd - are the first one's own, as in the midterm",
        equal(
            (reply(&first, 3), reply(&first, 5)),
            ("bin\nchap-4\nlib\n".into(), path("/course/build/bin")),
        ),
    );
    lab.claim("both are connected all the while", equal(connections, 2));
    lab.claim(
        "the server has both directories open",
        Check::new(
            open.contains(&PathBuf::from(ROOT))
                && open.contains(&PathBuf::from(ROOT).join("course/build")),
            format_args!("{open:?}"),
        ),
    );
    lab.claim(
        "one quits, and the other is answered as before",
        equal(reply(&second, 3), path("")),
    );
    lab.done()
}
