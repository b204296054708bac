//! The lesson's programs, over real sockets.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use drive::{Ending, Program, Signal, asks, awaits, reset};

fn chap_26(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-26"));
    Program::start(arguments[0], command.args(arguments)).unwrap()
}

/// A server on a free port, and its address.
fn server(arguments: &[&str]) -> (Program, String) {
    let server = chap_26(&[arguments, &["--port", "0"]].concat());
    let address = server.listens().unwrap().to_string();
    (server, address)
}

const SERVERS: [&[&str]; 2] = [&["thread01"], &["thread02", "--threads", "3"]];

#[test]
fn two_clients_are_answered_at_once() {
    for bind in ["127.0.0.1", "::1"] {
        for arguments in SERVERS {
            let (server, address) = server(&[arguments, &["--bind", bind]].concat());
            let mut first = TcpStream::connect(&address).unwrap();
            let mut second = TcpStream::connect(&address).unwrap();
            asks(&mut first, b"aaa\r\n", b"nnn\r\n");
            asks(&mut second, b"bbb", b"ooo");
            asks(&mut second, b"\0\xffN\n\n", b"\0\xffA\n\n");
            drop(first);
            asks(&mut second, b"ccc\n", b"ppp\n");
            assert_eq!(server.err().text(), "");
        }
    }
}

#[test]
fn e3_a_long_line_comes_back_whole() {
    for arguments in SERVERS {
        let (_server, address) = server(arguments);
        for length in [4095, 4096, 4097, 1 << 20] {
            let mut stream = TcpStream::connect(&address).unwrap();
            let mut writer = stream.try_clone().unwrap();
            let sends = thread::spawn(move || {
                writer.write_all(&vec![b'a'; length]).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            assert!(answer == vec![b'n'; length], "{} of {length}", answer.len());
            sends.join().unwrap();
        }
    }
}

/// The original never closes a descriptor, and one client that resets ends it for all.
#[test]
fn e3_a_client_that_leaves_takes_its_thread_and_descriptor_along() {
    for arguments in SERVERS {
        let (server, address) = server(arguments);
        awaits("the pool is not there", || {
            server.threads().unwrap() == if arguments.len() == 1 { 1 } else { 4 }
        });
        let before = (server.threads().unwrap(), server.descriptors().unwrap());
        for round in 0..40 {
            let mut stream = TcpStream::connect(&address).unwrap();
            asks(&mut stream, b"a", b"n");
            if round % 2 == 0 {
                reset(stream).unwrap();
            }
        }
        awaits("something is left", || {
            (server.threads().unwrap(), server.descriptors().unwrap()) == before
        });
        asks(&mut TcpStream::connect(&address).unwrap(), b"c", b"p");
        let resets = server
            .err()
            .text()
            .matches("Connection reset by peer")
            .count();
        assert_eq!(resets, 20);
    }
}

/// No room for another stack: the limit on memory stands for the limit on threads, which does not hold for root.
#[test]
fn a_client_without_a_thread_is_told() {
    let script = "ulimit -v 200000 && exec \"$0\" thread01 --port 0";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_chap-26")]);
    let server = Program::start("thread01", &mut command).unwrap();
    let address = server.listens().unwrap();
    let mut streams = Vec::new();
    loop {
        assert!(streams.len() < 1000, "the limit does not bite");
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"a").unwrap();
        let mut answer = [0; 64];
        let length = stream.read(&mut answer).unwrap();
        if &answer[..length] == b"no thread to be had, try again later\n" {
            break;
        }
        assert_eq!(&answer[..length], b"n");
        streams.push(stream);
    }
    server.complains("Error: no thread for").unwrap();
    drop(streams);
    awaits("the threads stay", || server.threads().unwrap() == 1);
    asks(&mut TcpStream::connect(address).unwrap(), b"c", b"p");
}

/// With its one thread and its one place taken, the pool accepts one more and then nobody; all are served in the end.
#[test]
fn e3_a_full_queue_loses_nobody() {
    let (server, address) = server(&["thread02", "--threads", "1", "--queue", "1"]);
    let mut streams: Vec<_> = (0..10)
        .map(|_| TcpStream::connect(&address).unwrap())
        .collect();
    for stream in &mut streams {
        stream.write_all(b"a").unwrap();
    }
    for stream in streams {
        let mut stream = stream;
        asks(&mut stream, b"", b"n");
    }
    for _ in 0..10 {
        server.says("serves").unwrap();
    }
}

#[test]
fn ctrl_c_ends_all_threads() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        for arguments in SERVERS {
            let (server, address) = server(arguments);
            let mut stream = TcpStream::connect(&address).unwrap();
            asks(&mut stream, b"a", b"n");
            server.signal(signal);
            assert_eq!(server.ends().unwrap().ending, Ending::Killed(signal));
            assert!(matches!(stream.read(&mut [0; 8]), Ok(0) | Err(_)));
        }
    }
}

#[test]
fn guarded_counting_loses_nothing() {
    for with in ["mutex", "atomic"] {
        let program = chap_26(&[
            "thread-helloworld",
            "--with",
            with,
            "--count",
            "200000",
            "--threads",
            "3",
        ]);
        assert!(program.ends().unwrap().success());
        let out = program.out().text();
        assert_eq!(out.matches("hello, world, tid == ").count(), 3);
        assert!(
            out.ends_with("counted to 600000 of 600000\nlost updates: 0\n"),
            "{out}"
        );
    }
}

/// The page shows the file and the message.
#[test]
fn the_compiler_refuses_the_race() {
    let refused = Path::new(env!("CARGO_MANIFEST_DIR")).join("refused");
    let directory = tempfile::tempdir().unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let output = Command::new(rustc)
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "lib",
            "--emit",
            "metadata",
            "-o",
        ])
        .arg(directory.path().join("race.rmeta"))
        .arg(refused.join("race.rs"))
        .output()
        .unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    let shown = fs::read_to_string(refused.join("race.stderr")).unwrap();
    assert!(!output.status.success());
    assert_eq!(message.lines().next(), shown.lines().next());
}

#[test]
fn a_busy_port_and_wrong_options_are_told() {
    for program in ["thread01", "thread02"] {
        let (_server, address) = server(&[program]);
        let port = address.rsplit(':').next().unwrap();
        let second = chap_26(&[program, "--port", port]);
        assert_eq!(second.ends().unwrap().ending, Ending::Exited(1));
        let expected = format!("Error: bind {address}: Address already in use (os error 98)\n");
        assert_eq!(second.err().text(), expected);
    }
    for arguments in [
        ["thread01", "--bind", "x"],
        ["thread02", "--threads", "0"],
        ["thread02", "--queue", "0"],
    ] {
        assert_eq!(
            chap_26(&arguments).ends().unwrap().ending,
            Ending::Exited(2)
        );
    }
}
