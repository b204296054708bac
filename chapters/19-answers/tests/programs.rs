//! The lesson's programs, over real sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;

use drive::{Ending, Program, Signal};

fn chap_19(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-19"));
    Program::start(arguments[0], command.args(arguments)).unwrap()
}

/// A server on a free port, and that port.
fn server(arguments: &[&str]) -> (Program, String) {
    let server = chap_19(&[arguments, &["--port", "0"]].concat());
    let port = server.listens().unwrap().port().to_string();
    (server, port)
}

/// Both ends of a connection.
fn dancers(host: &str) -> (Program, Program) {
    let (server, port) = server(&["close-dance", "--bind", host]);
    let client = chap_19(&["close-dance", host, "--port", &port]);
    client.says("connected to ").unwrap();
    server.says("accepted ").unwrap();
    (server, client)
}

/// How many bytes a program says it has received.
fn received(program: &Program) -> usize {
    let text = program.out().text();
    let reports = text
        .lines()
        .filter_map(|line| line.strip_prefix("received "));
    reports
        .filter_map(|rest| rest.split(' ').next()?.parse::<usize>().ok())
        .sum()
}

#[test]
fn either_end_closes_first() {
    for host in ["127.0.0.1", "::1"] {
        for client_first in [true, false] {
            let (server, client) = dancers(host);
            client.types("data1").unwrap();
            server.says("received 5 bytes: data1").unwrap();
            server.types("data2").unwrap();
            client.says("received 5 bytes: data2").unwrap();
            let (first, second, report) = match client_first {
                true => (client, server, "client closed"),
                false => (server, client, "server terminated"),
            };
            first.types("close").unwrap();
            assert!(first.ends().unwrap().success());
            second.says(report).unwrap();
            // Its own end is still its own affair.
            second.types("close").unwrap();
            assert!(second.ends().unwrap().success());
            assert_eq!(second.err().text(), "");
        }
    }
}

/// End of input closes, the last line needs no newline, and two lines in one read are two.
#[test]
fn e3_end_of_input_and_two_lines_in_one_read() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let client = chap_19(&["close-dance", "127.0.0.1", "--port", &port]);
    let (mut connection, _) = listener.accept().unwrap();
    client.types_bytes(b"data1\ndata2\nlast").unwrap();
    client.closes_input();
    let mut heard = String::new();
    connection.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "data1data2last");
    assert!(client.ends().unwrap().success());
    let said = "now sending data1\nnow sending data2\nnow sending last\n";
    assert!(client.out().text().ends_with(said));
}

#[test]
fn large_and_binary_data_arrive_and_the_end_is_seen() {
    let (server, port) = server(&["close-dance"]);
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream.write_all(b"\0\xff\x1b\n").unwrap();
    server.says(r"received 4 bytes: \0\xff\x1b\n").unwrap();
    stream.write_all(&vec![b'x'; 1 << 20]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    server.says("client closed").unwrap();
    assert_eq!(received(&server), 4 + (1 << 20));
    server.types("close").unwrap();
    let mut heard = Vec::new();
    assert_eq!(stream.read_to_end(&mut heard).unwrap(), 0);
    assert!(server.ends().unwrap().success());
}

#[test]
fn a_peer_that_is_gone_is_an_error() {
    let (server, port) = server(&["close-dance"]);
    let stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    server.says("accepted ").unwrap();
    drive::reset(stream).unwrap();
    server
        .complains("Error: read: Connection reset by peer (os error 104)")
        .unwrap();
    assert_eq!(server.ends().unwrap().ending, Ending::Exited(1));
}

#[test]
fn clients_wait_until_they_are_accepted() {
    for host in ["127.0.0.1", "::1"] {
        let (server, port) = server(&["backlog", "2", "--accept-after", "0.1", "--bind", host]);
        let port = port.parse().unwrap();
        let mut stream = TcpStream::connect((host, port)).unwrap();
        server
            .says(&format!("accepted {}", stream.local_addr().unwrap()))
            .unwrap();
        // It goes on, and the first connection stays.
        let second = TcpStream::connect((host, port)).unwrap();
        server
            .says(&format!("accepted {}", second.local_addr().unwrap()))
            .unwrap();
        // A client that has gone harms nobody.
        drive::reset(second).unwrap();
        let third = TcpStream::connect((host, port)).unwrap();
        server
            .says(&format!("accepted {}", third.local_addr().unwrap()))
            .unwrap();
        stream.write_all(b"data1").unwrap();
    }
}

#[test]
fn without_accept_nobody_is_accepted_and_clients_connect() {
    let (server, port) = server(&["backlog", "1000000"]);
    let _streams = [(); 3].map(|()| TcpStream::connect(format!("127.0.0.1:{port}")).unwrap());
    server.signal(Signal::SIGTERM);
    assert_eq!(
        server.ends().unwrap().ending,
        Ending::Killed(Signal::SIGTERM)
    );
    assert_eq!(server.out().text().lines().count(), 1);
}

#[test]
fn bad_arguments_and_busy_ports_are_clear_errors() {
    let refused = chap_19(&["close-dance", "127.0.0.1", "--port", "1"]);
    refused
        .complains("Error: connect 127.0.0.1:1: Connection refused (os error 111)")
        .unwrap();
    assert_eq!(refused.ends().unwrap().ending, Ending::Exited(1));

    let unknown = chap_19(&["close-dance", "no such host"]);
    unknown.complains("Error: resolve no such host: ").unwrap();

    for nonsense in [
        &["backlog"][..],
        &["backlog", "many"],
        &["backlog", "2", "--accept-after", "-1"],
    ] {
        assert_eq!(chap_19(nonsense).ends().unwrap().ending, Ending::Exited(2));
    }

    let (_server, port) = server(&["backlog", "2"]);
    for arguments in [&["backlog", "2"][..], &["close-dance"]] {
        let second = chap_19(&[arguments, &["--port", &port]].concat());
        second
            .complains(&format!(
                "Error: bind 127.0.0.1:{port}: Address already in use (os error 98)"
            ))
            .unwrap();
        let elsewhere = [arguments, &["--port", "0", "--bind", "198.51.100.1"]].concat();
        chap_19(&elsewhere)
            .complains("Error: bind 198.51.100.1:0: Cannot assign requested address (os error 99)")
            .unwrap();
    }
}

#[test]
fn ctrl_c_ends_all() {
    let (server_end, client) = dancers("127.0.0.1");
    let (backlog, _) = server(&["backlog", "2"]);
    for program in [client, server_end, backlog] {
        program.signal(Signal::SIGINT);
        assert_eq!(
            program.ends().unwrap().ending,
            Ending::Killed(Signal::SIGINT)
        );
    }
}
