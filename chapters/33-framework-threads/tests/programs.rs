//! The lesson's programs, over real sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use drive::{Ending, Program, Signal, reset};

fn chap_33(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-33"));
    Program::start(arguments[0], command.args(arguments)).unwrap()
}

fn lines(arguments: &[&str]) -> String {
    let program = chap_33(arguments);
    assert!(program.ends().unwrap().success());
    assert_eq!(program.err().text(), "");
    program.out().text()
}

/// A server on a free port, and its address.
fn placement(arguments: &[&str]) -> (Program, String) {
    let server = chap_33(&[&["placement", "--port", "0"], arguments].concat());
    let address = server.listens().unwrap().to_string();
    (server, address)
}

fn asks(stream: &mut TcpStream) {
    stream.write_all(b"Hello\n").unwrap();
    let mut answer = [0; 6];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"Uryyb\n");
}

/// A client that was served once.
fn client(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    asks(&mut stream);
    stream
}

/// Ends, and waits until the server has ended too: then it is counted no more.
fn leaves(mut stream: TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

fn reports(server: &Program, expected: &str) {
    server.types("").unwrap();
    server.says(expected).unwrap();
}

const PLACEMENTS: [&str; 4] = [
    "round-robin",
    "least-connections",
    "peer-hash",
    "reuse-port",
];

#[test]
fn wakers_differ_in_descriptors_and_in_reads() {
    let text = lines(&["wakers", "--until-full"]);
    assert!(text.contains("pipe: two descriptors, "), "{text}");
    assert!(text.contains("socketpair: two descriptors, "), "{text}");
    assert!(text.contains("eventfd: one descriptor, "), "{text}");
    assert_eq!(text.matches("a thread was woken out of poll").count(), 3);
    let of_pipe = "pipe: woken another 1000 times: 1000 writes taken, 0 refused\n\
                   pipe: reads that took them: 1000\n";
    assert!(text.contains(of_pipe), "{text}");
    let of_eventfd = "eventfd: woken another 1000 times: 1000 writes taken, 0 refused\n\
                      eventfd: reads that took them: 1\n\
                      eventfd: full after 18446744073709551614 wake-ups: Resource temporarily unavailable";
    assert!(text.contains(of_eventfd), "{text}");
}

/// A pair that is full refuses the wake-up; with a blocking one, the thread that wakes would hang.
#[test]
fn e1_15_a_full_waker_does_not_block() {
    for kind in ["pipe", "socketpair"] {
        let text = lines(&[
            "wakers",
            "--with",
            kind,
            "--wake-ups",
            "1000000",
            "--take",
            "4096",
        ]);
        let (_, refused) = text.split_once("writes taken, ").unwrap();
        assert!(!refused.starts_with('0'), "{text}");
        assert_eq!(text.lines().count(), 4, "{text}");
    }
}

#[test]
fn a_burst_is_one_wake_up() {
    assert_eq!(
        lines(&["tasks"]),
        "1000 tasks have run; turns of the loop: 2\n"
    );
    let one_by_one = ["tasks", "--one-by-one", "--count", "50"];
    assert_eq!(
        lines(&one_by_one),
        "50 tasks have run; turns of the loop: 50\n"
    );
    for how in [
        &["--loop", "idle"][..],
        &["--count", "1"],
        &["--one-by-one", "--loop", "idle"],
    ] {
        assert!(lines(&[&["tasks"], how].concat()).contains(" have run; turns"));
    }
}

#[test]
fn round_robin_takes_turns_and_least_connections_counts() {
    for (how, expected) in [
        ("round-robin", "Thread-1: 0, Thread-2: 2, Thread-3: 1"),
        ("least-connections", "Thread-1: 1, Thread-2: 1, Thread-3: 1"),
    ] {
        for bind in ["127.0.0.1", "::1"] {
            let options = ["--placement", how, "--threads", "3", "--bind", bind];
            let (server, address) = placement(&options);
            reports(&server, "Thread-1: 0, Thread-2: 0, Thread-3: 0");
            let mut clients: Vec<_> = (0..3).map(|_| client(&address)).collect();
            reports(&server, "Thread-1: 1, Thread-2: 1, Thread-3: 1");
            leaves(clients.remove(0));
            if how == "round-robin" {
                leaves(client(&address)); // Thread-1 has its turn
            }
            clients.push(client(&address));
            reports(&server, expected);
        }
    }
}

#[test]
fn one_host_is_one_loop_by_hash() {
    let (server, address) = placement(&["--placement", "peer-hash"]);
    let _clients: Vec<_> = (0..8).map(|_| client(&address)).collect();
    server.types("").unwrap();
    let report = server.says("Thread-").unwrap().rest();
    assert_eq!(report.matches('8').count(), 1, "{report}");
    assert_eq!(report.matches(": 0").count(), 3, "{report}");
}

#[test]
fn every_placement_serves() {
    for how in PLACEMENTS {
        for threads in ["0", "1", "4"] {
            let (server, address) = placement(&["--placement", how, "--threads", threads]);
            let mut clients: Vec<_> = (0..10).map(|_| client(&address)).collect();
            clients.iter_mut().for_each(asks);
            assert_eq!(server.err().text(), "");
        }
    }
}

#[test]
fn nobody_is_served_before_every_loop_runs() {
    let server = chap_33(&["placement", "--port", "0", "--slow-start", "1"]);
    let begun = std::time::Instant::now();
    let address = server.listens().unwrap().to_string();
    assert!(begun.elapsed() > Duration::from_millis(900));
    client(&address);
}

#[test]
fn a_bad_peer_ends_its_connection_only() {
    let (_server, address) = placement(&["--threads", "1"]);
    let mut good = client(&address);
    let mut silent = TcpStream::connect(&address).unwrap();
    silent.set_nonblocking(true).unwrap();
    while silent.write(&[b'x'; 65536]).is_ok() {}
    for _ in 0..10 {
        let mut bad = TcpStream::connect(&address).unwrap();
        bad.write_all(b"a\0\xff").unwrap();
        reset(bad).unwrap();
        asks(&mut good);
    }
    let long: Vec<u8> = (0..1_000_000_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    let (sent, mut writer) = (long.clone(), good.try_clone().unwrap());
    let sends = thread::spawn(move || writer.write_all(&sent).unwrap());
    let mut found = vec![0; long.len()];
    good.read_exact(&mut found).unwrap();
    sends.join().unwrap();
    let rot13 = |byte: u8| match byte {
        b'a'..=b'z' => (byte - b'a' + 13) % 26 + b'a',
        b'A'..=b'Z' => (byte - b'A' + 13) % 26 + b'A',
        other => other,
    };
    assert!(
        found
            .iter()
            .zip(&long)
            .all(|(found, sent)| *found == rot13(*sent))
    );
}

/// Without a terminal there are no reports, and a server all the same.
#[test]
fn serves_without_a_terminal() {
    let (server, address) = placement(&[]);
    server.closes_input();
    let mut one = client(&address);
    asks(&mut one);
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-33"));
    let command = command
        .args(["placement", "--port", "0"])
        .stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = [0; 13];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut line)
        .unwrap();
    assert_eq!(&line, b"listening on ");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn signals_and_wrong_options() {
    for how in PLACEMENTS {
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            let (server, address) = placement(&["--placement", how]);
            let _held = client(&address);
            server.signal(signal);
            assert!(server.ends().unwrap().success());
        }
    }
    let (_server, address) = placement(&[]);
    let port = address.rsplit(':').next().unwrap();
    let second = chap_33(&["placement", "--port", port]);
    assert_eq!(second.ends().unwrap().ending, Ending::Exited(1));
    let expected = format!("Error: bind {address}: Address already in use (os error 98)\n");
    assert_eq!(second.err().text(), expected);
    let wrong: [&[&str]; 4] = [
        &["placement", "--placement", "x"],
        &["placement", "--bind", "no address"],
        &["wakers", "--with", "x"],
        &["tasks", "--count", "0"],
    ];
    for wrong in wrong {
        assert_eq!(chap_33(wrong).ends().unwrap().ending, Ending::Exited(2));
    }
}
