//! The lesson's programs, over real sockets.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;

use drive::{Ending, Program, Signal};

const IN_USE: &str = "Address already in use (os error 98)";

fn chap_15(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-15"));
    Program::start(arguments[0], command.args(arguments)).unwrap()
}

/// A server on a free port, and that port.
fn server(arguments: &[&str]) -> (Program, String) {
    let server = chap_15(&[arguments, &["--port", "0"]].concat());
    let port = server.listens().unwrap().port().to_string();
    (server, port)
}

/// The port of a TCP socket that listens, and takes no port from anybody else's test.
fn listening() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    (listener, port)
}

#[test]
fn one_client_ends_first() {
    for (program, host) in [
        ("addressused", "127.0.0.1"),
        ("addressused", "::1"),
        ("addressused02", "127.0.0.1"),
        ("addressused02", "::1"),
    ] {
        let (server, port) = server(&[program, "--bind", host]);
        let client = chap_15(&["lines", host, "--port", &port]);
        client.types("network").unwrap();
        server.says("received 7 bytes: network").unwrap();
        client.types("good").unwrap();
        server.says("received 4 bytes: good").unwrap();
        client.closes_input();
        server.says("client closed").unwrap();
        assert!(client.ends().unwrap().success() && server.ends().unwrap().success());

        let again = chap_15(&[program, "--bind", host, "--port", &port]);
        again.listens().unwrap();
    }
}

/// Ends a server by Ctrl-C while it has a client, and starts another one on its port.
fn restarted(first: &str, second: &str, signal: Signal) -> Program {
    let (server, port) = server(&[first]);
    let client = chap_15(&["lines", "127.0.0.1", "--port", &port]);
    client.types("bad").unwrap();
    server.says("received 3 bytes: bad").unwrap();
    server.signal(signal);
    assert!(server.ends().unwrap().success());
    assert!(server.out().text().ends_with("bad\nreceived 1 messages\n"));
    client.says("server terminated").unwrap();
    assert!(client.ends().unwrap().success());
    chap_15(&[second, "--port", &port])
}

#[test]
fn only_the_option_in_both_servers_helps() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let both = restarted("addressused02", "addressused02", signal);
        both.listens().unwrap();
    }
    for (first, second) in [
        ("addressused", "addressused"),
        ("addressused", "addressused02"),
        ("addressused02", "addressused"),
    ] {
        let refused = restarted(first, second, Signal::SIGINT);
        refused.complains(IN_USE).unwrap();
        assert_eq!(refused.ends().unwrap().ending, Ending::Exited(1));
    }
}

#[test]
fn without_a_client_ctrl_c_leaves_nothing() {
    let (first, port) = server(&["addressused"]);
    first.signal(Signal::SIGINT);
    assert!(first.ends().unwrap().success());
    assert!(first.out().text().ends_with("received 0 messages\n"));
    let second = chap_15(&["addressused", "--port", &port]);
    second.listens().unwrap();
}

#[test]
fn the_listener_can_be_closed_before_the_connection() {
    let (first, port) = server(&["addressused02", "--close-listener"]);
    let client = chap_15(&["lines", "127.0.0.1", "--port", &port]);
    client.types("good").unwrap();
    first.says("received 4 bytes: good").unwrap();
    let second = chap_15(&["addressused02", "--port", &port]);
    second.listens().unwrap();
}

/// A message of exactly the buffer's size, and one far larger, lose nothing and overwrite nothing.
#[test]
fn e3_exactly_full_buffer() {
    for size in [4096, 1 << 20] {
        let (server, port) = server(&["addressused"]);
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        stream.write_all(&vec![b'x'; size]).unwrap();
        drop(stream);
        server.says("client closed").unwrap();
        let text = server.out().text();
        let lines = text.lines().filter_map(|line| line.split_once(" bytes: "));
        assert_eq!(lines.map(|(_, data)| data.len()).sum::<usize>(), size);
        assert!(server.ends().unwrap().success());
    }
}

#[test]
fn binary_bytes_are_data() {
    let (server, port) = server(&["addressused"]);
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream.write_all(b"\0\xff\x1b\r\n").unwrap();
    server.says(r"received 5 bytes: \0\xff\x1b\r\n").unwrap();
}

/// A reset ends the server with an error, as the end of its only client. A client that has gone before it was accepted
/// is nobody's client, and blocks nothing.
#[test]
fn a_reset_is_an_error() {
    for program in ["addressused", "addressused02"] {
        let (server, port) = server(&[program]);
        // It takes none of them, or the first that was still there in time; that one ends it.
        for _ in 0..20 {
            let Ok(stream) = TcpStream::connect(format!("127.0.0.1:{port}")) else {
                break;
            };
            drive::reset(stream).unwrap();
        }
        server.signal(Signal::SIGINT);
        server.ends().unwrap();

        let (server, port) = self::server(&[program]);
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        stream.write_all(b"bad").unwrap();
        server.says("received 3 bytes: bad").unwrap();
        drive::reset(stream).unwrap();
        server
            .complains("Error: read: Connection reset by peer (os error 104)")
            .unwrap();
        assert_eq!(server.ends().unwrap().ending, Ending::Exited(1));
    }
    let (server, port) = server(&["reuseport"]);
    for _ in 0..20 {
        let stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        drive::reset(stream).unwrap();
    }
    server.types("close 1").unwrap();
    server.says("server 1: closed").unwrap();
}

/// End of input must not spin, and two lines that come in one read must both be sent.
#[test]
fn e3_end_of_input_and_two_lines_in_one_read() {
    let (listener, port) = listening();
    let client = chap_15(&["lines", "127.0.0.1", "--port", &port]);
    let (mut connection, peer) = listener.accept().unwrap();
    client.says(&format!("connected from {peer}")).unwrap();
    connection.write_all(b"\xffhello").unwrap();
    client.says(r"received 6 bytes: \xffhello").unwrap();
    client.types_bytes(b"one\ntwo\nlast").unwrap();
    client.closes_input();
    let mut heard = String::new();
    connection.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "onetwolast");
    assert!(client.ends().unwrap().success());
}

#[test]
fn a_client_may_bind_and_share() {
    let (listener, port) = listening();
    let from = listening().1; // free again at once
    let from = format!("127.0.0.1:{from}");
    let client = chap_15(&[
        "lines",
        "127.0.0.1",
        "--port",
        &port,
        "--from",
        &from,
        "--reuseaddr",
    ]);
    let (_stream, peer) = listener.accept().unwrap();
    assert_eq!(peer.to_string(), from);
    client.says(&format!("connected from {from}")).unwrap();
    let alone = chap_15(&["lines", "127.0.0.1", "--port", &port, "--from", &from]);
    alone
        .complains(&format!("Error: bind {from}: {IN_USE}"))
        .unwrap();
    // The port may be shared, the four-tuple not.
    let same = chap_15(&[
        "lines",
        "127.0.0.1",
        "--port",
        &port,
        "--from",
        &from,
        "--reuseaddr",
    ]);
    same.complains(": Cannot assign requested address (os error 99)")
        .unwrap();
    let (elsewhere, port) = listening();
    let other = chap_15(&[
        "lines",
        "127.0.0.1",
        "--port",
        &port,
        "--from",
        &from,
        "--reuseaddr",
    ]);
    let (_other_stream, peer) = elsewhere.accept().unwrap();
    assert_eq!(peer.to_string(), from);
    other.says("connected from").unwrap();
}

#[test]
fn several_listeners_share_a_port() {
    for host in ["127.0.0.1", "::1"] {
        let (server, port) = server(&["reuseport", "--servers", "2", "--bind", host]);
        server.says("listening sockets: 2").unwrap();
        let another = chap_15(&[
            "reuseport",
            "--servers",
            "1",
            "--bind",
            host,
            "--port",
            &port,
        ]);
        another.listens().unwrap();
        assert!(another.kill().is_ok());
        let client = chap_15(&["lines", host, "--port", &port, "--connections", "50"]);
        client.types("data1").unwrap();
        client.closes_input();
        assert!(client.ends().unwrap().success());
        // Either of them has got some: that all 50 fall to one has a probability of one in 10^14.
        for number in 1..=2 {
            while server
                .out()
                .text()
                .matches(&format!("server {number}: accepted"))
                .count()
                == 0
            {
                server.says("client closed").unwrap();
            }
        }
        while server.out().text().matches("client closed").count() < 50 {
            server.says("client closed").unwrap();
        }
        let said = server.out().text();
        assert_eq!(said.matches("accepted ").count(), 50);
        assert_eq!(said.matches(": received 5 bytes: data1").count(), 50);
    }
}

/// What waits in the queue of a listener that is closed is lost, and the others serve on.
#[test]
fn a_closed_listener_resets_its_queue() {
    let (server, port) = server(&["reuseport", "--servers", "2", "--no-accept"]);
    let client = chap_15(&["lines", "127.0.0.1", "--port", &port, "--connections", "50"]);
    for _ in 0..50 {
        client.says("connected from").unwrap();
    }
    server.types("close 3").unwrap();
    server.complains("no such server: close 3").unwrap();
    server.types_bytes(b"close -1\nclose\n\xff\n").unwrap();
    server.complains(r"no such server: \xff").unwrap();
    server.types("close 1").unwrap();
    server.says("server 1: closed").unwrap();
    client
        .complains("read: Connection reset by peer (os error 104)")
        .unwrap();
    server.types("close 2").unwrap();
    client
        .complains("Error: 50 of 50 connections were reset")
        .unwrap();
    assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
    let late = chap_15(&["lines", "127.0.0.1", "--port", &port]);
    late.complains("Connection refused (os error 111)").unwrap();
}

#[test]
fn the_option_is_needed_in_every_server() {
    let (_first, port) = server(&["reuseport", "--servers", "1"]);
    for other in ["addressused", "addressused02"] {
        let refused = chap_15(&[other, "--port", &port]);
        refused.complains(IN_USE).unwrap();
    }
    let (_second, port) = server(&["addressused02"]);
    let refused = chap_15(&["reuseport", "--servers", "1", "--port", &port]);
    refused.complains(IN_USE).unwrap();
}

/// An empty datagram and one of the largest size are data like any other, and end nothing.
#[test]
fn e3_datagrams_of_any_size() {
    for host in ["127.0.0.1", "::1"] {
        let (receiver, port) = server(&["udpreuse", "--bind", host]);
        let sender = UdpSocket::bind((host, 0)).unwrap();
        let to = (host, port.parse().unwrap());
        for size in [0, 5, 65_000] {
            sender.send_to(&vec![b'x'; size], to).unwrap();
            let line = receiver
                .says(&format!("received {size} bytes: "))
                .unwrap()
                .rest();
            assert_eq!(line, "x".repeat(size));
        }
        receiver.signal(Signal::SIGTERM);
        assert!(receiver.ends().unwrap().success());
        assert!(receiver.out().text().ends_with("received 3 datagrams\n"));
    }
}

#[test]
fn udp_ports_are_shared_with_the_option_only() {
    let (_first, port) = server(&["udpreuse"]);
    let second = chap_15(&["udpreuse", "--port", &port]);
    second.listens().unwrap();
    let alone = chap_15(&["udpreuse", "--port", &port, "--no-reuse"]);
    alone
        .complains(&format!("Error: bind 127.0.0.1:{port}: {IN_USE}"))
        .unwrap();
    let no_group = chap_15(&["udpreuse", "--port", "0", "--group", "127.0.0.1"]);
    no_group.complains("Error: join 127.0.0.1: ").unwrap();
    assert_eq!(no_group.ends().unwrap().ending, Ending::Exited(1));
}

#[test]
fn bad_addresses_and_busy_ports_are_clear_errors() {
    let refused = chap_15(&["lines", "127.0.0.1", "--port", "1"]);
    refused
        .complains("Error: connect 127.0.0.1:1: Connection refused (os error 111)")
        .unwrap();
    assert_eq!(refused.ends().unwrap().ending, Ending::Exited(1));
    let unknown = chap_15(&["lines", "no such host"]);
    unknown.complains("Error: resolve no such host: ").unwrap();
    let family = chap_15(&["lines", "127.0.0.1", "--from", "[::1]:0"]);
    family
        .complains("Error: 127.0.0.1 has no address of the family of --from")
        .unwrap();

    for program in ["addressused", "addressused02", "reuseport", "udpreuse"] {
        let elsewhere = chap_15(&[program, "--port", "0", "--bind", "198.51.100.1"]);
        let reason = "Error: bind 198.51.100.1:0: Cannot assign requested address (os error 99)";
        elsewhere.complains(reason).unwrap();
    }
    // A second listener is refused, with the option and without.
    for program in ["addressused", "addressused02"] {
        let (_first, port) = server(&[program]);
        let second = chap_15(&[program, "--port", &port]);
        second
            .complains(&format!("Error: bind 127.0.0.1:{port}: {IN_USE}"))
            .unwrap();
        assert_eq!(second.ends().unwrap().ending, Ending::Exited(1));
    }
}

#[test]
fn ctrl_c_ends_the_others() {
    let (server, port) = server(&["reuseport"]);
    let client = chap_15(&["lines", "127.0.0.1", "--port", &port]);
    client.says("connected from").unwrap();
    for (program, signal) in [(client, Signal::SIGINT), (server, Signal::SIGTERM)] {
        program.signal(signal);
        assert_eq!(program.ends().unwrap().ending, Ending::Killed(signal));
    }
}
