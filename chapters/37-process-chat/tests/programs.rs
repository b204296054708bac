//! The lesson's programs, over real sockets.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use drive::{Ending, Program, Signal, reset};

fn chap_37(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-37"));
    Program::start(arguments[0], command.args(arguments)).unwrap()
}

fn server(program: &str, arguments: &[&str]) -> (Program, String) {
    let server = chap_37(&[&[program, "--port", "0"], arguments].concat());
    let port = server.listens().unwrap().port().to_string();
    (server, port)
}

fn children(program: &Program) -> Vec<String> {
    let pid = program.pid();
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().map(String::from).collect()
}

fn await_condition(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn clients_are_served_at_the_same_time() {
    for host in ["127.0.0.1", "::1"] {
        let (server, port) = server("echo-server", &["--bind", host]);
        let clients: Vec<_> = (0..3)
            .map(|_| chap_37(&["echo-client", host, "--port", &port]))
            .collect();
        for (number, client) in clients.iter().enumerate() {
            client.types(&format!("data{number}")).unwrap();
            client.says(&format!("data{number}")).unwrap();
        }
        assert_eq!(children(&server).len(), 3);
        for client in &clients {
            client.closes_input();
            assert!(client.ends().unwrap().success());
        }
        // Neither processes nor zombies are left.
        await_condition("children remain", || children(&server).is_empty());
    }
}

#[test]
fn long_and_binary_input_comes_back() {
    let (_server, port) = server("echo-server", &[]);
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    let data: Vec<u8> = (0..1 << 20)
        .map(|number: u32| (number % 251) as u8)
        .collect();
    let mut reader = stream.try_clone().unwrap();
    let echo = std::thread::spawn(move || {
        let mut back = Vec::new();
        reader.read_to_end(&mut back).map(|_| back)
    });
    stream.write_all(&data).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(echo.join().unwrap().unwrap(), data);

    let client = chap_37(&["echo-client", "127.0.0.1", "--port", &port]);
    client.types(&"x".repeat(1 << 20)).unwrap();
    client.closes_input();
    assert!(client.ends().unwrap().success());
    assert_eq!(
        client
            .out()
            .text()
            .bytes()
            .filter(|&byte| byte == b'x')
            .count(),
        1 << 20
    );
}

#[test]
fn a_reset_ends_one_client_only() {
    let (server, port) = server("echo-server", &[]);
    let bad = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    server.says("has process").unwrap();
    reset(bad).unwrap();
    server.says("client reset the connection").unwrap();
    let client = chap_37(&["echo-client", "127.0.0.1", "--port", &port]);
    client.types("data1").unwrap();
    client.says("data1").unwrap();
}

#[test]
fn a_server_that_goes_is_an_error_of_the_client() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let client = chap_37(&["echo-client", "127.0.0.1", "--port", &port]);
    let (mut connection, _) = listener.accept().unwrap();
    client.types("data1").unwrap();
    connection.read_exact(&mut [0; 5]).unwrap();
    connection.write_all(b"da").unwrap();
    drop(connection);
    client.complains("Error: server terminated").unwrap();
    assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
}

#[test]
fn both_sides_chat_until_one_leaves() {
    for host in ["127.0.0.1", "::1"] {
        let (server, port) = server("p2p-server", &["--bind", host]);
        let client = chap_37(&["p2p-client", host, "--port", &port]);
        client.says("connected to").unwrap();
        server.says("connected to").unwrap();
        client.types_bytes(b"one\ntwo\n").unwrap();
        server.types("three").unwrap();
        server.says("one").unwrap();
        server.says("two").unwrap();
        client.says("three").unwrap();
        client.types_bytes(b"\xff and no newline").unwrap();
        client.closes_input();
        server.says(r"\xff and no newline").unwrap();
        server.says("the other side has left").unwrap();
        client.says("the other side has left").unwrap();
        for program in [&server, &client] {
            assert!(program.ends().unwrap().success());
            assert_eq!(program.err().text(), "");
        }
    }
}

/// The process at the keyboard must not stay when the other one is ended, by whatever.
#[test]
fn no_process_is_left_behind() {
    for signal in [Signal::SIGTERM, Signal::SIGKILL, Signal::SIGINT] {
        let (server, port) = server("p2p-server", &[]);
        let client = chap_37(&["p2p-client", "127.0.0.1", "--port", &port]);
        client.says("connected to").unwrap();
        server.says("connected to").unwrap();
        await_condition("no child", || {
            !children(&client).is_empty() && !children(&server).is_empty()
        });
        let orphans = [children(&client), children(&server)].concat();
        client.signal(signal);
        assert_eq!(client.ends().unwrap().ending, Ending::Killed(signal));
        server.says("the other side has left").unwrap();
        assert!(server.ends().unwrap().success());
        let gone = |pid: &String| {
            // A zombie has ended, too: it waits for init, not for us.
            fs::read_to_string(format!("/proc/{pid}/stat"))
                .map_or(true, |stat| stat.contains(") Z "))
        };
        await_condition("an orphan", || orphans.iter().all(gone));
    }
}

#[test]
fn a_line_without_end_ends_the_chat() {
    let (server, port) = server("p2p-server", &[]);
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    while stream.write_all(&[b'x'; 65536]).is_ok() {}
    assert_eq!(server.ends().unwrap().ending, Ending::Exited(1));
    assert!(server.err().text().contains("a line of more than"));
}

#[test]
fn bad_addresses_and_busy_ports_are_clear_errors() {
    let refused = chap_37(&["p2p-client", "127.0.0.1", "--port", "1"]);
    refused
        .complains("Error: connect 127.0.0.1:1: Connection refused (os error 111)")
        .unwrap();
    let (_server, port) = server("echo-server", &[]);
    for program in ["echo-server", "p2p-server"] {
        let second = chap_37(&[program, "--port", &port]);
        second
            .complains(&format!(
                "Error: bind 127.0.0.1:{port}: Address already in use (os error 98)"
            ))
            .ok();
        assert_eq!(second.ends().unwrap().ending, Ending::Exited(1));
    }
}
