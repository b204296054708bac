//! The lesson's programs, over real sockets.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use drive::{Ending, Program};

fn chap_24(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-24"));
    Program::start(arguments[0], command.args(arguments)).unwrap()
}

/// A server of the test's own: calls this with each connection, in a thread. Returns its port and who has come.
fn serves(
    bind: &str,
    serve: impl Fn(TcpStream, usize) + Clone + Send + 'static,
) -> (String, Receiver<IpAddr>) {
    let listener = TcpListener::bind((bind, 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let (tell, come) = channel();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let _ = tell.send(stream.peer_addr().unwrap().ip());
            let serve = serve.clone();
            thread::spawn(move || serve(stream, number));
        }
    });
    (port, come)
}

/// Sends back what comes, changed or not.
fn echo(mut stream: TcpStream, change: impl Fn(&mut [u8])) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        change(&mut bytes[..count]);
        let _ = stream.write_all(&bytes[..count]);
    }
}

fn rot13(bytes: &mut [u8]) {
    for byte in bytes {
        *byte = match *byte {
            b'a'..=b'm' => *byte + 13,
            b'n'..=b'z' => *byte - 13,
            other => other,
        };
    }
}

fn c10k(host: &str, port: &str, options: &[&str]) -> Program {
    chap_24(&[&["c10k", host, "--port", port], options].concat())
}

#[test]
fn every_connection_is_asked() {
    for host in ["127.0.0.1", "::1"] {
        for change in [|_: &mut [u8]| {}, rot13] {
            let (port, come) = serves(host, move |stream, _| echo(stream, change));
            let options = [
                "--connections",
                "50",
                "--active",
                "7",
                "--messages",
                "20",
                "--size",
                "5000",
            ];
            let client = c10k(host, &port, &options);
            client.says("connected: 50 in").unwrap();
            client.says("asked once: 50 in").unwrap();
            client.says("answered within: 50 % ").unwrap();
            client.says("asked again, by 7: 140 in").unwrap();
            assert!(client.ends().unwrap().success());
            assert_eq!(come.try_iter().count(), 50);
        }
    }
}

#[test]
fn addresses_of_ours_take_turns() {
    let (port, come) = serves("127.0.0.1", |stream, _| echo(stream, |_| {}));
    let options = [
        "--connections",
        "10",
        "--messages",
        "0",
        "--from",
        "127.0.0.2,127.0.0.3",
    ];
    assert!(c10k("127.0.0.1", &port, &options).ends().unwrap().success());
    let from: Vec<IpAddr> = come.try_iter().collect();
    let addresses: HashSet<_> = from.iter().collect();
    assert_eq!((from.len(), addresses.len()), (10, 2));
}

#[test]
fn wrong_answers_are_counted() {
    let (port, _come) = serves("127.0.0.1", |stream, _| {
        echo(stream, |bytes| bytes[0] = b'?')
    });
    let client = c10k(
        "127.0.0.1",
        &port,
        &["--connections", "3", "--messages", "0"],
    );
    assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
    assert_eq!(
        client.err().text(),
        "Error: 0 connections lost, 3 wrong answers\n"
    );
}

#[test]
fn lost_connections_are_counted_by_reason() {
    let serve = |stream: TcpStream, number: usize| match number % 3 {
        0 => echo(stream, |_| {}),
        1 => drop(stream),
        _ => drive::reset(stream).unwrap(),
    };
    let (port, _come) = serves("127.0.0.1", serve);
    let client = c10k(
        "127.0.0.1",
        &port,
        &["--connections", "9", "--messages", "0"],
    );
    assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
    assert_eq!(
        client.err().text(),
        "Error: 6 connections lost, 0 wrong answers\n"
    );
    // A reset may come before the client has looked whether it is connected.
    let told = client.out().text();
    let reasons = [
        "times: connection ended: reset by the peer",
        "times: connect: Connection reset by peer",
    ];
    assert!(reasons.iter().any(|why| told.contains(why)), "{told}");
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let (port, _come) = serves("127.0.0.1", |mut stream, _| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let options = ["--connections", "5", "--messages", "0", "--timeout", "0.2"];
    let client = c10k("127.0.0.1", &port, &options);
    client.says("without an answer: 5").unwrap();
    client.ends().unwrap();
}

#[test]
fn nobody_there() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    drop(listener);
    let client = c10k("127.0.0.1", &port, &["--connections", "4"]);
    client
        .says("4 times: connect: Connection refused (os error 111)")
        .unwrap();
    assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
    let wrong = chap_24(&["c10k", "127.0.0.1", "--connections", "0"]);
    assert_eq!(wrong.ends().unwrap().ending, Ending::Exited(2));
}

#[test]
fn it_holds_until_its_input_ends() {
    let (port, _come) = serves("127.0.0.1", |stream, _| echo(stream, |_| {}));
    let client = c10k(
        "127.0.0.1",
        &port,
        &["--connections", "3", "--messages", "0", "--hold"],
    );
    client.says("holding 3 connections").unwrap();
    assert!(client.ended().is_none());
    client.closes_input();
    assert!(client.ends().unwrap().success());
}

#[test]
fn the_limits_of_this_machine() {
    let program = chap_24(&["limits"]);
    assert!(program.ends().unwrap().success());
    let out = program.out().text();
    for name in [
        "descriptors of this process, soft",
        "net.core.somaxconn",
        "connections at most",
    ] {
        assert!(out.contains(name), "{out}");
    }
}
