//! The lesson's programs, over real sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use drive::{Ending, Program, Signal, asks, reset};

fn chap_29(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-29"));
    Program::start(arguments[0], command.args(arguments)).unwrap()
}

/// A server on a free port, and its address.
fn server(arguments: &[&str]) -> (Program, String) {
    let server = chap_29(&[arguments, &["--port", "0"]].concat());
    let address = server.listens().unwrap().to_string();
    (server, address)
}

const WAYS: [&[&str]; 4] = [
    &["--dispatcher", "select"],
    &["--dispatcher", "poll"],
    &["--dispatcher", "epoll"],
    &["--dispatcher", "epoll", "--trigger", "edge"],
];

fn multithreads(options: &[&str]) -> (Program, String) {
    server(&[&["epoll-server-multithreads"], options].concat())
}

#[test]
fn every_way_to_wait_gives_the_same_answers() {
    for way in WAYS {
        for threads in ["0", "1", "4"] {
            for bind in ["127.0.0.1", "::1"] {
                let (server, address) =
                    multithreads(&[way, &["--threads", threads, "--bind", bind]].concat());
                let mut streams: Vec<_> = (0..10)
                    .map(|_| TcpStream::connect(&address).unwrap())
                    .collect();
                for stream in &mut streams {
                    asks(stream, b"fafaf\r\n", b"snsns\r\n");
                    asks(stream, b"no newline \0\xff", b"ab arjyvar \0\xff");
                }
                assert_eq!(server.err().text(), "");
            }
        }
    }
}

#[test]
fn echo_sends_back_what_comes() {
    for way in WAYS {
        let (_server, address) = multithreads(&[way, &["--echo"]].concat());
        let mut stream = TcpStream::connect(&address).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let data: Vec<u8> = (0..3_000_000_u32)
            .map(|number| (number % 251) as u8)
            .collect();
        let sent = data.clone();
        let sends = thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut found = Vec::new();
        stream.read_to_end(&mut found).unwrap();
        assert!(found == data, "{way:?}: {} of {}", found.len(), data.len());
        sends.join().unwrap();
    }
}

#[test]
fn the_log_is_that_of_the_course() {
    let (server, address) = multithreads(&["-v"]);
    for line in [
        "[msg] set epoll as dispatcher, main thread",
        "[msg] event loop thread init and signal, Thread-1",
        "[msg] event loop thread started, Thread-4",
    ] {
        assert!(server.err().text().contains(line), "{line}");
    }
    let mut stream = TcpStream::connect(&address).unwrap();
    server.says("connection completed").unwrap();
    asks(&mut stream, b"fafaf\n", b"snsns\n");
    server
        .says("get message from tcp connection connection-")
        .unwrap();
    server.says("fafaf").unwrap();
    drop(stream);
    server.says("connection closed").unwrap();
    server
        .complains("[msg] epoll_wait wakeup, Thread-1")
        .unwrap();
}

#[test]
fn a_bad_peer_harms_nobody() {
    for way in WAYS {
        let (server, address) = multithreads(&[way, &["--threads", "1"]].concat());
        let mut good = TcpStream::connect(&address).unwrap();
        let mut silent = TcpStream::connect(&address).unwrap();
        silent.set_nonblocking(true).unwrap();
        while silent.write(&[b'x'; 65536]).is_ok() {}
        for _ in 0..20 {
            let mut bad = TcpStream::connect(&address).unwrap();
            bad.write_all(b"a").unwrap();
            reset(bad).unwrap();
            asks(&mut good, b"a\n", b"n\n");
        }
        server.signal(Signal::SIGTERM);
        drop((silent, good));
        assert!(server.ends().unwrap().success());
    }
}

/// A server that takes 512 bytes for each event: level gives it another event, edge does not.
#[test]
fn a_sip_is_enough_under_level_only() {
    for (trigger, all) in [("level", true), ("edge", false)] {
        let (_server, address) = server(&["sip", "--trigger", trigger]);
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(&[b'x'; 2000]).unwrap();
        let mut found = [0; 512];
        stream.read_exact(&mut found).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let mut rest = [0; 2000 - 512];
        assert_eq!(stream.read_exact(&mut rest).is_ok(), all, "{trigger}");
    }
}

#[test]
fn signals_and_wrong_options() {
    for program in ["epoll-server-multithreads", "sip"] {
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            let (server, address) = server(&[program]);
            let mut stream = TcpStream::connect(&address).unwrap();
            asks(&mut stream, b"1\n", b"1\n");
            drop(stream);
            server.signal(signal);
            assert!(server.ends().unwrap().success());
        }
        let (_server, address) = server(&[program]);
        let port = address.rsplit(':').next().unwrap();
        let second = chap_29(&[program, "--port", port]);
        assert_eq!(second.ends().unwrap().ending, Ending::Exited(1));
        let expected = format!("Error: bind {address}: Address already in use (os error 98)\n");
        assert_eq!(second.err().text(), expected);
        let wrong = chap_29(&[program, "--trigger", "x"]);
        assert_eq!(wrong.ends().unwrap().ending, Ending::Exited(2));
    }
}
