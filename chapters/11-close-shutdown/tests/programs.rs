//! The lesson's programs, over real sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;

use drive::{Ending, Program, Signal};

fn chap_11(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-11"));
    Program::start(arguments[0], command.args(arguments)).unwrap()
}

/// A server on a free port, and that port.
fn graceserver(arguments: &[&str]) -> (Program, String) {
    let server = chap_11(&[&["graceserver", "--port", "0"], arguments].concat());
    let port = server.listens().unwrap().port().to_string();
    (server, port)
}

#[test]
fn each_message_is_answered() {
    for host in ["127.0.0.1", "::1"] {
        let (server, port) = graceserver(&["--pause", "0", "--bind", host]);
        let client = chap_11(&["graceclient", host, "--port", &port]);
        client.types("data1").unwrap();
        client.says("Hi, data1").unwrap();
        client.types("data2").unwrap();
        client.says("Hi, data2").unwrap();
        client.types("shutdown").unwrap();
        client.says("server terminated").unwrap();
        assert!(client.ends().unwrap().success() && server.ends().unwrap().success());
        let heard = "received 5 bytes: data1\nsend bytes: 9\nreceived 5 bytes: data2\nsend bytes: 9\nclient closed\n";
        assert!(
            server.out().text().ends_with(heard),
            "{}",
            server.out().text()
        );
        let said = "now sending data1\nsend bytes: 5\nHi, data1\nnow sending data2\nsend bytes: 5\nHi, data2\n";
        assert_eq!(client.out().text(), format!("{said}server terminated\n"));
    }
}

/// End of input must not spin, and two lines that come in one read must both be sent.
#[test]
fn e3_end_of_input_and_two_lines_in_one_read() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = chap_11(&[
        "graceclient",
        "127.0.0.1",
        "--port",
        &listener.local_addr().unwrap().port().to_string(),
    ]);
    let (mut connection, _) = listener.accept().unwrap();
    client.types_bytes(b"data1\ndata2\nlast").unwrap();
    client.closes_input();
    let mut heard = String::new();
    connection.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "data1data2last");
    // The half that is left still works.
    connection.write_all(b"Hi").unwrap();
    client.says("Hi").unwrap();
    drop(connection);
    client.says("server terminated").unwrap();
    assert!(client.ends().unwrap().success());
}

/// A message of exactly the buffer's size, and one far larger, lose nothing and overwrite nothing.
#[test]
fn e3_exactly_full_buffer() {
    for size in [4096, 1 << 20] {
        let (server, port) = graceserver(&["--pause", "0"]);
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        let mut reader = stream.try_clone().unwrap();
        let answers = std::thread::spawn(move || {
            let mut answers = Vec::new();
            reader.read_to_end(&mut answers).map(|_| answers)
        });
        stream.write_all(&vec![b'x'; size]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let answers = answers.join().unwrap().unwrap();
        assert_eq!(answers.iter().filter(|&&byte| byte == b'x').count(), size);
        assert!(server.ends().unwrap().success());
    }
}

#[test]
fn after_shutdown_read_a_read_returns_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let client = chap_11(&["graceclient", "127.0.0.1", "--port", &port]);
    let (mut connection, _) = listener.accept().unwrap();
    client.types("shutdown read").unwrap();
    client.types("read").unwrap();
    client.says("read returns 0: ").unwrap();
    // The other direction still works, and end of input ends it.
    client.types("data1").unwrap();
    let mut heard = [0; 5];
    connection.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"data1");
    client.closes_input();
    assert_eq!(connection.read(&mut heard).unwrap(), 0);
    assert!(client.ends().unwrap().success());
}

/// One direction after the other: nothing is left to wait for.
#[test]
fn both_shutdowns_end_the_client() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let client = chap_11(&["graceclient", "127.0.0.1", "--port", &port]);
    let (_connection, _) = listener.accept().unwrap();
    client.types("shutdown read").unwrap();
    client.types("shutdown").unwrap();
    assert!(client.ends().unwrap().success());
}

/// The second process must not outlive the first.
#[test]
fn sharing_ends_with_the_client() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let client = chap_11(&[
        "graceclient",
        "127.0.0.1",
        "--port",
        &port,
        "--share",
        "--stay",
        "0",
    ]);
    let (mut connection, _) = listener.accept().unwrap();
    client.types("data1").unwrap();
    client.types("close").unwrap();
    let mut heard = String::new();
    connection.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "data1");
    assert!(client.ends().unwrap().success());
}

#[test]
fn binary_bytes_are_data() {
    let (server, port) = graceserver(&["--pause", "0"]);
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream.write_all(b"\0\xff\x1b\n").unwrap();
    server.says(r"received 4 bytes: \0\xff\x1b\n").unwrap();
    let mut answer = [0; 8];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"Hi, \0\xff\x1b\n");
}

#[test]
fn sigpipe_ignored_default_and_handled() {
    for (disposition, ending) in [
        ("ignore", Ending::Exited(1)),
        ("default", Ending::Killed(Signal::SIGPIPE)),
        ("handler", Ending::Exited(1)),
    ] {
        let (server, port) = graceserver(&["--pause", "0.2", "--sigpipe", disposition]);
        let client = chap_11(&["graceclient", "127.0.0.1", "--port", &port, "--stay", "0"]);
        client.types("data1").unwrap();
        server.says("received 5 bytes: data1").unwrap();
        client.types("data2").unwrap();
        client.types("close").unwrap();
        assert_eq!(server.ends().unwrap().ending, ending, "{disposition}");
        assert_eq!(
            server
                .out()
                .text()
                .contains("caught SIGPIPE after 2 messages"),
            disposition == "handler"
        );
        let complaint = if disposition == "default" {
            ""
        } else {
            "Error: send: Broken pipe (os error 32)\n"
        };
        assert_eq!(server.err().text(), complaint, "{disposition}");
        assert!(client.ends().unwrap().success());
    }
}

#[test]
fn bad_addresses_and_busy_ports_are_clear_errors() {
    let refused = chap_11(&["graceclient", "127.0.0.1", "--port", "1"]);
    refused
        .complains("Error: connect 127.0.0.1:1: Connection refused (os error 111)")
        .unwrap();
    assert_eq!(refused.ends().unwrap().ending, Ending::Exited(1));

    let unknown = chap_11(&["graceclient", "no such host"]);
    unknown.complains("Error: resolve no such host: ").unwrap();

    let (_server, port) = graceserver(&[]);
    let second = chap_11(&["graceserver", "--port", &port]);
    second
        .complains(&format!(
            "Error: bind 127.0.0.1:{port}: Address already in use (os error 98)"
        ))
        .unwrap();

    let elsewhere = chap_11(&["graceserver", "--port", "0", "--bind", "198.51.100.1"]);
    elsewhere
        .complains("Error: bind 198.51.100.1:0: Cannot assign requested address (os error 99)")
        .unwrap();
}

#[test]
fn ctrl_c_ends_both() {
    let (server, port) = graceserver(&[]);
    let client = chap_11(&["graceclient", "127.0.0.1", "--port", &port]);
    client.types("data1").unwrap();
    server.says("received 5 bytes: data1").unwrap();
    for program in [client, server] {
        program.signal(Signal::SIGINT);
        assert_eq!(
            program.ends().unwrap().ending,
            Ending::Killed(Signal::SIGINT)
        );
    }
}
