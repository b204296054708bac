//! The lesson's program, over real sockets.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use drive::{Ending, Program, Signal, awaits, reset};

fn chap_28(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-28"));
    Program::start(
        "server",
        command.arg("poll-server-multithreads").args(arguments),
    )
    .unwrap()
}

/// A server on a free port, and its address.
fn server(arguments: &[&str]) -> (Program, String) {
    let server = chap_28(&[&["--port", "0"], arguments].concat());
    let address = server.listens().unwrap().to_string();
    (server, address)
}

fn asks(stream: &mut TcpStream, question: &[u8], answer: &[u8]) {
    stream.write_all(question).unwrap();
    hears(stream, answer);
}

fn hears(stream: &mut TcpStream, answer: &[u8]) {
    let mut found = vec![0; answer.len()];
    stream.read_exact(&mut found).unwrap();
    assert_eq!(found, answer);
}

/// The names of a program's threads, proc_pid_task(5).
fn threads(server: &Program) -> BTreeSet<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm"));
    tasks
        .map(|task| name(task.unwrap()).unwrap().trim().to_string())
        .collect()
}

fn descriptors(server: &Program) -> usize {
    let entries = fs::read_dir(format!("/proc/{}/fd", server.pid()));
    entries.unwrap().count()
}

const KINDS: [&[&str]; 4] = [
    &[],
    &["--threads", "0"],
    &["--workers", "3"],
    &["--threads", "0", "--workers", "1"],
];

#[test]
fn clients_are_answered_at_once() {
    for bind in ["127.0.0.1", "::1"] {
        for kind in KINDS {
            let (_server, address) = server(&[kind, &["--bind", bind]].concat());
            let mut first = TcpStream::connect(&address).unwrap();
            let mut second = TcpStream::connect(&address).unwrap();
            asks(&mut first, b"aaa\r\n", b"nnn\r\n");
            asks(&mut second, b"bbb", b"ooo");
            asks(&mut second, b"\0\xffN\n\n", b"\0\xffA\n\n");
            drop(first);
            asks(&mut second, b"ccc\n", b"ppp\n");
        }
    }
}

#[test]
fn threads_are_those_that_were_asked_for() {
    let (server, _) = server(&["--threads", "2", "--workers", "2"]);
    let names = ["Thread-1", "Thread-2", "Worker-1", "Worker-2", "chap-28"];
    let names = BTreeSet::from(names.map(String::from));
    awaits("the threads are not there", || threads(&server) == names);
}

/// The kinds of event of the course's log, in its order. The connection is made, and told, in the thread that serves it: the
/// original tells it in the main thread, before it is registered.
#[test]
fn e1_02_a_connection_begins_in_its_own_loop() {
    let (server, address) = server(&["--threads", "2"]);
    server
        .complains("[msg] event loop thread started, Thread-2")
        .unwrap();
    for thread in ["Thread-1", "Thread-2", "Thread-1"] {
        let mut stream = TcpStream::connect(&address).unwrap();
        let established = server.complains("new connection established, socket == ");
        let number = established.unwrap().rest();
        asks(&mut stream, b"fasfas\n", b"snfsnf\n");
        server.says("connection completed").unwrap();
        server
            .says(&format!("tcp connection connection-{number}"))
            .unwrap();
        server.says("fasfas").unwrap();
        for event in [
            format!("wakeup, {thread}"),
            format!("add channel fd == {number}, {thread}"),
            format!("poll added channel fd=={number}"),
            format!("activate channel fd == {number}, revents=2, {thread}"),
        ] {
            server.complains(&format!("[msg] {event}")).unwrap();
        }
        drop(stream);
        server.says("connection closed").unwrap();
    }
}

/// After the client has ended its direction, what it is owed is still computed and sent.
#[test]
fn e1_08_a_long_line_comes_back_whole_after_a_half_close() {
    for kind in KINDS {
        let (_server, address) = server(&[kind, &["--quiet"]].concat());
        let mut stream = TcpStream::connect(&address).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let sends = thread::spawn(move || {
            for byte in b'a'..=b'h' {
                writer.write_all(&vec![byte; 1 << 17]).unwrap();
            }
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let expected: Vec<u8> = (b'n'..=b'u').flat_map(|byte| vec![byte; 1 << 17]).collect();
        assert!(answer == expected, "{} bytes", answer.len());
        sends.join().unwrap();
    }
}

/// A short question behind a long one is computed first, by another worker. Its answer waits.
#[test]
fn answers_keep_their_order() {
    let (server, address) = server(&["--threads", "1", "--workers", "2", "--compute", "0.01"]);
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.write_all(&[b'a'; 60]).unwrap();
    server.says("get message").unwrap();
    stream.write_all(b"b").unwrap();
    server.says("get message").unwrap();
    let begun = Instant::now();
    hears(&mut stream, &[&[b'n'; 60][..], b"o"].concat());
    assert!(begun.elapsed() > Duration::from_millis(100));
}

#[test]
fn e1_01_clients_that_leave_take_their_descriptors_along() {
    for kind in KINDS {
        let (server, address) = server(&[kind, &["--quiet"]].concat());
        let before = descriptors(&server);
        for round in 0..100 {
            let mut stream = TcpStream::connect(&address).unwrap();
            asks(&mut stream, b"a", b"n");
            match round % 3 {
                0 => reset(stream).unwrap(),
                // Gone while its answer is computed.
                1 => stream.write_all(&[b'a'; 100_000]).unwrap(),
                _ => {}
            }
        }
        awaits("something is left", || descriptors(&server) == before);
        asks(&mut TcpStream::connect(&address).unwrap(), b"c", b"p");
        assert_eq!(server.err().text(), "");
    }
}

/// However many threads there are, Ctrl-C is the main one's; and the answer that is being computed is sent before the end.
#[test]
fn ctrl_c_stops_in_order() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        for kind in KINDS {
            let (server, address) = server(&[kind, &["--compute", "0.1"]].concat());
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.write_all(b"abc").unwrap();
            server.says("get message").unwrap();
            server.signal(signal);
            hears(&mut stream, b"nop");
            assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
            drop(stream);
            assert_eq!(server.ends().unwrap().ending, Ending::Exited(0));
        }
    }
}

#[test]
fn a_busy_port_and_wrong_options_are_told() {
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap();
    let second = chap_28(&["--quiet", "--port", &address.port().to_string()]);
    assert_eq!(second.ends().unwrap().ending, Ending::Exited(1));
    let expected = format!("Error: bind {address}: Address already in use (os error 98)\n");
    assert_eq!(second.err().text(), expected);
    for wrong in [
        ["--bind", "x"],
        ["--threads", "-1"],
        ["--threads", "1001"],
        ["--workers", "many"],
        ["--compute", "-1"],
    ] {
        assert_eq!(chap_28(&wrong).ends().unwrap().ending, Ending::Exited(2));
    }
}
