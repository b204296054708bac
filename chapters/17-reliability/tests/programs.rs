//! The lesson's programs, over real sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;

use drive::{Ending, Program, Signal};

fn chap_17(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-17"));
    Program::start(arguments[0], command.args(arguments)).unwrap()
}

/// A server on a free port, and that port.
fn server(name: &str, arguments: &[&str]) -> (Program, String) {
    let server = chap_17(&[&[name, "--port", "0"], arguments].concat());
    let port = server.listens().unwrap().port().to_string();
    (server, port)
}

/// A client of a server that is this test, and the test's end of the connection.
fn client(arguments: &[&str]) -> (Program, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let (name, options) = arguments.split_first().unwrap();
    let client = chap_17(&[&[name, "127.0.0.1", "--port", &port], options].concat());
    (client, listener.accept().unwrap().0)
}

fn heard(connection: &mut TcpStream, expected: &[u8]) {
    let mut heard = vec![0; expected.len()];
    connection.read_exact(&mut heard).unwrap();
    assert_eq!(heard, expected);
}

#[test]
fn each_line_comes_back() {
    for host in ["127.0.0.1", "::1"] {
        let (server, port) = server("reliable-server01", &["--pause", "0", "--bind", host]);
        let client = chap_17(&["reliable-client01", host, "--port", &port, "--recverr"]);
        client.types("good").unwrap();
        client.says("good").unwrap();
        client.types("").unwrap(); // nothing to send, so nothing to wait for
        client.types("bad").unwrap();
        client.closes_input();
        assert!(client.ends().unwrap().success() && server.ends().unwrap().success());
        assert_eq!(
            client.out().text(),
            "send bytes: 4\ngood\nsend bytes: 3\nbad\n"
        );
        let said = "received 4 bytes: good\nsend bytes: 4\nreceived 3 bytes: bad\nsend bytes: 3\nclient closed\n";
        assert!(
            server.out().text().ends_with(said),
            "{}",
            server.out().text()
        );
    }
}

#[test]
fn the_second_server_reads_what_the_second_client_sends() {
    for host in ["127.0.0.1", "::1"] {
        let (server, port) = server("reliable-server02", &["--pause", "0", "--bind", host]);
        let client = chap_17(&["reliable-client02", host, "--port", &port, "--count", "100"]);
        assert!(client.ends().unwrap().success() && server.ends().unwrap().success());
        assert_eq!(client.out().text(), "send into buffer 19\n".repeat(100));
        let lines = server.out().lines();
        let reads = lines.iter().filter(|line| line.text.starts_with("read "));
        let bytes = reads.map(|line| {
            line.text
                .split(' ')
                .nth(2)
                .unwrap()
                .parse::<usize>()
                .unwrap()
        });
        assert_eq!(bytes.sum::<usize>(), 1900);
        assert_eq!(lines.last().unwrap().text, "client closed");
    }
}

#[test]
fn a_server_that_closes_is_an_end_of_file() {
    let (client, mut connection) = client(&["reliable-client01"]);
    client.types("good").unwrap();
    heard(&mut connection, b"good");
    drop(connection);
    client.says("peer connection closed").unwrap();
    assert!(client.ends().unwrap().success());
}

#[test]
fn a_server_that_resets_is_an_error() {
    let (client, mut connection) = client(&["reliable-client01"]);
    client.types("good").unwrap();
    heard(&mut connection, b"good");
    drive::reset(connection).unwrap();
    client
        .complains("Error: read: Connection reset by peer (os error 104)")
        .unwrap();
    assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
}

/// The errors before the last one are reported, and the program goes on.
#[test]
fn errors_are_counted() {
    let (client, mut connection) = client(&["reliable-client01", "--errors", "2"]);
    client.types("good").unwrap();
    heard(&mut connection, b"good");
    drive::reset(connection).unwrap();
    client
        .complains("read: Connection reset by peer (os error 104)")
        .unwrap();
    client.types("bad").unwrap();
    assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
    assert_eq!(
        client.err().text(),
        "read: Connection reset by peer (os error 104)\nError: send: Broken pipe (os error 32)\n"
    );
}

#[test]
fn a_read_without_a_request() {
    let (client, mut connection) = client(&["reliable-client01"]);
    client.types("read").unwrap();
    connection.write_all(b"news").unwrap();
    client.says("news").unwrap();
    client.closes_input();
    assert_eq!(connection.read(&mut [0]).unwrap(), 0);
    assert_eq!(client.out().text(), "news\n");
}

#[test]
fn a_timeout_ends_the_wait() {
    let (client, _connection) = client(&["reliable-client01", "--timeout", "0.05"]);
    client.types("good").unwrap();
    client
        .complains("Error: read: no answer within 0.05 s")
        .unwrap();
    assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
}

#[test]
fn sigpipe_ignored_and_default() {
    for (disposition, ending, complaint) in [
        (
            "ignore",
            Ending::Exited(1),
            "Error: send: Broken pipe (os error 32)\n",
        ),
        ("default", Ending::Killed(Signal::SIGPIPE), ""),
    ] {
        let options = ["reliable-client02", "--typed", "--sigpipe", disposition];
        let (client, mut connection) = client(&options);
        client.types("").unwrap();
        heard(&mut connection, b"network programming");
        connection.shutdown(Shutdown::Both).unwrap();
        client.types("").unwrap(); // answered with a reset
        client.says("send into buffer 19").unwrap();
        client.says("send into buffer 19").unwrap();
        client.types("").unwrap();
        assert_eq!(client.ends().unwrap().ending, ending);
        assert_eq!(client.err().text(), complaint);
    }
}

/// The peer goes while the client sends without pause: it must end with one of the two errors, whatever the moment.
#[test]
fn a_flood_ends_with_an_error() {
    let (server, port) = server("reliable-server02", &[]);
    let client = chap_17(&["reliable-client02", "127.0.0.1", "--port", &port]);
    server.says("read 10:").unwrap();
    server.kill().unwrap();
    assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
    let complaint = client.err().text();
    assert!(
        [
            "Error: send: Broken pipe (os error 32)\n",
            "Error: send: Connection reset by peer (os error 104)\n"
        ]
        .contains(&complaint.as_str()),
        "{complaint}"
    );
}

/// End of input must not spin, two lines in one read are both sent, and the last needs no newline.
#[test]
fn e3_end_of_input_and_two_lines_in_one_read() {
    let (server, port) = server("reliable-server01", &["--pause", "0"]);
    let client = chap_17(&["reliable-client01", "127.0.0.1", "--port", &port]);
    client.types_bytes(b"data1\ndata2\nlast").unwrap();
    client.closes_input();
    assert!(client.ends().unwrap().success() && server.ends().unwrap().success());
    assert_eq!(
        client.out().text(),
        "send bytes: 5\ndata1\nsend bytes: 5\ndata2\nsend bytes: 4\nlast\n"
    );
    let (client, mut connection) = self::client(&["reliable-client02", "--typed"]);
    client.types_bytes(b"1\n2\n3").unwrap();
    client.closes_input();
    assert!(client.ends().unwrap().success());
    heard(&mut connection, &b"network programming".repeat(3));
    assert_eq!(connection.read(&mut [0]).unwrap(), 0);
}

/// A message of exactly the buffer's size, and one far larger, lose nothing and overwrite nothing.
#[test]
fn e3_exactly_full_buffer() {
    for size in [1024, 1 << 20] {
        let (server, port) = server("reliable-server01", &["--pause", "0"]);
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        let mut reader = stream.try_clone().unwrap();
        let answers = std::thread::spawn(move || {
            let mut answers = Vec::new();
            reader.read_to_end(&mut answers).map(|_| answers)
        });
        stream.write_all(&vec![b'x'; size]).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(answers.join().unwrap().unwrap() == vec![b'x'; size]);
        assert!(server.ends().unwrap().success());
    }
}

#[test]
fn long_lines_and_binary_answers_are_data() {
    let (client, mut connection) = client(&["reliable-client01"]);
    client.types(&"x".repeat(1 << 20)).unwrap();
    heard(&mut connection, &vec![b'x'; 1 << 20]);
    connection.write_all(b"\0\xff\x1b\n").unwrap();
    client.says(r"\0\xff\x1b\n").unwrap();

    let (server, port) = server("reliable-server01", &["--pause", "0"]);
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream.write_all(b"\0\xff\x1b\n").unwrap();
    server.says(r"received 4 bytes: \0\xff\x1b\n").unwrap();
    heard(&mut stream, b"\0\xff\x1b\n");
}

#[test]
fn a_client_that_resets_ends_a_server_with_an_error() {
    for (name, last) in [
        ("reliable-server01", "send bytes: 5"),
        ("reliable-server02", "read 1: 5 bytes"),
    ] {
        let (server, port) = server(name, &["--pause", "0"]);
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        stream.write_all(b"data1").unwrap();
        server.says(last).unwrap();
        drive::reset(stream).unwrap();
        server
            .complains("Error: read: Connection reset by peer (os error 104)")
            .unwrap();
        assert_eq!(server.ends().unwrap().ending, Ending::Exited(1));
    }
}

#[test]
fn bad_arguments_and_busy_ports_are_clear_errors() {
    for name in ["reliable-client01", "reliable-client02"] {
        let refused = chap_17(&[name, "127.0.0.1", "--port", "1"]);
        refused
            .complains("Error: connect 127.0.0.1:1: Connection refused (os error 111)")
            .unwrap();
        assert_eq!(refused.ends().unwrap().ending, Ending::Exited(1));
        let unknown = chap_17(&[name, "no such host"]);
        unknown.complains("Error: resolve no such host: ").unwrap();
    }
    for name in ["reliable-server01", "reliable-server02"] {
        let (_first, port) = server(name, &[]);
        chap_17(&[name, "--port", &port])
            .complains(&format!(
                "Error: bind 127.0.0.1:{port}: Address already in use (os error 98)"
            ))
            .unwrap();
    }
    for wrong in [["--timeout", "0"], ["--timeout", "soon"], ["--errors", "0"]] {
        let usage = chap_17(&[&["reliable-client01", "127.0.0.1"], &wrong[..]].concat());
        assert_eq!(usage.ends().unwrap().ending, Ending::Exited(2), "{wrong:?}");
    }
}

#[test]
fn signals_end_all() {
    for (suffix, signal) in [("01", Signal::SIGINT), ("02", Signal::SIGTERM)] {
        // The server must not notice that the client has gone before its own signal comes.
        let (server, port) = server(&format!("reliable-server{suffix}"), &["--pause", "600"]);
        let name = format!("reliable-client{suffix}");
        let client = chap_17(&[&name, "127.0.0.1", "--port", &port]);
        if suffix == "01" {
            client.types("good").unwrap();
            server.says("received 4 bytes: good").unwrap();
        } else {
            server.says("read 1:").unwrap();
        }
        for program in [client, server] {
            program.signal(signal);
            assert_eq!(program.ends().unwrap().ending, Ending::Killed(signal));
        }
    }
}
