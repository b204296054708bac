//! The lesson's programs, over real sockets.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use drive::{Ending, Program, Signal, asks, greedy};
use nix::sys::resource::{Resource, setrlimit};

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-20"));
    command.args(arguments);
    command
}

fn chap_20(arguments: &[&str]) -> Program {
    Program::start(arguments[0], &mut command(arguments)).unwrap()
}

/// A server on a free port, and that port.
fn selectserver(host: &str) -> (Program, String) {
    let server = chap_20(&["selectserver", "--port", "0", "--bind", host]);
    let port = server.listens().unwrap().port().to_string();
    (server, port)
}

/// A server of which nearly all descriptors up to a number are taken, and which may have so many.
fn crowded_server(taken: i32, limit: u64) -> (Program, String) {
    let mut command = command(&["selectserver", "--port", "0"]);
    let prepare = move || {
        setrlimit(Resource::RLIMIT_NOFILE, limit, limit)?;
        for number in 10..=taken {
            // SAFETY: the process is ours until exec, and has nothing at these numbers.
            if unsafe { libc::dup2(2, number) } < 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: only system calls are made between fork and exec.
    unsafe { command.pre_exec(prepare) };
    let server = Program::start("selectserver", &mut command).unwrap();
    let port = server.listens().unwrap().port().to_string();
    (server, port)
}

fn connect(port: &str) -> TcpStream {
    drive::connect(format!("127.0.0.1:{port}"))
}

fn echo(stream: &mut TcpStream, data: &[u8]) -> Vec<u8> {
    stream.write_all(data).unwrap();
    let mut echo = vec![0; data.len()];
    stream.read_exact(&mut echo).unwrap();
    echo
}

/// A listener of the test's own, and a client of it.
fn client() -> (Program, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let client = chap_20(&["select01", "127.0.0.1", "--port", &port]);
    let (connection, _) = listener.accept().unwrap();
    connection
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    (client, connection)
}

#[test]
fn lines_come_back() {
    for host in ["127.0.0.1", "::1"] {
        let (server, port) = selectserver(host);
        let clients = [(); 2].map(|()| chap_20(&["select01", host, "--port", &port]));
        for (client, line) in clients.iter().zip(["data1", "other"]) {
            client.types(line).unwrap();
            client.says("send bytes: 5").unwrap();
            client.says(line).unwrap();
            server.says(&format!("received 5 bytes: {line}")).unwrap();
        }
        let [first, second] = clients;
        first.closes_input();
        assert!(first.ends().unwrap().success());
        assert_eq!(
            first.out().text(),
            "now sending data1\nsend bytes: 5\ndata1\nserver terminated\n"
        );
        server.says("client closed").unwrap();
        server.signal(Signal::SIGTERM);
        assert!(server.ends().unwrap().success());
        // It waits for the keyboard, and hears of the server's end all the same.
        second.says("server terminated").unwrap();
        assert!(second.ends().unwrap().success());
        assert_eq!(server.err().text(), "");
    }
}

#[test]
fn what_the_server_sends_first_is_shown_first() {
    let (client, mut connection) = client();
    connection.write_all(b"welcome\0\xff").unwrap();
    client.says(r"welcome\0\xff").unwrap();
    drop(connection);
    client.says("server terminated").unwrap();
    assert!(client.ends().unwrap().success());
}

/// End of input must not spin, and two lines that come in one read must both be sent.
#[test]
fn e3_end_of_input_and_two_lines_in_one_read() {
    let (client, mut connection) = client();
    client.types_bytes(b"data1\ndata2\n\nlast").unwrap();
    client.closes_input();
    let mut heard = String::new();
    connection.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "data1data2last");
    client.rests();
    connection.write_all(b"Hi").unwrap();
    client.says("Hi").unwrap();
    drop(connection);
    client.says("server terminated").unwrap();
    assert!(client.ends().unwrap().success());
    let sent = "now sending data1\nsend bytes: 5\nnow sending data2\nsend bytes: 5\nnow sending \nsend bytes: 0\n";
    assert!(client.out().text().starts_with(sent));
}

/// A message of exactly the buffer's size, and one far larger, lose nothing, at either end.
#[test]
fn e3_exactly_full_buffer() {
    let (server, port) = selectserver("127.0.0.1");
    for size in [4096, 4097, 1 << 20] {
        let client = chap_20(&["select01", "127.0.0.1", "--port", &port]);
        let line = "x".repeat(size);
        client.types(&line).unwrap();
        client.says(&format!("send bytes: {size}")).unwrap();
        client.closes_input();
        client.says("server terminated").unwrap();
        let text = client.out().text();
        // Once in "now sending", once from the server, in whatever pieces it came.
        let sent = text.bytes().filter(|byte| *byte == b'x').count();
        assert_eq!(sent, 2 * size);
    }
    server.signal(Signal::SIGINT);
    assert!(server.ends().unwrap().success());
}

/// A line larger than all buffers on the way: while it waits for room, the client reads.
#[test]
fn a_line_that_does_not_fit_does_not_stop_the_client() {
    let (client, mut connection) = client();
    let size = 8 << 20;
    client.types(&"y".repeat(size)).unwrap();
    client.closes_input();
    client.says("now sending").unwrap();
    connection.write_all(b"Hi").unwrap();
    client.says("Hi").unwrap();
    assert!(!client.out().text().contains("send bytes"));
    assert_eq!(
        std::io::copy(&mut connection, &mut std::io::sink()).unwrap(),
        size as u64
    );
    client.says(&format!("send bytes: {size}")).unwrap();
    drop(connection);
    client.says("server terminated").unwrap();
    assert!(client.ends().unwrap().success());
}

#[test]
fn binary_bytes_are_data() {
    let (server, port) = selectserver("127.0.0.1");
    assert_eq!(echo(&mut connect(&port), b"\0\xff\x1b\n"), b"\0\xff\x1b\n");
    server.says(r"received 4 bytes: \0\xff\x1b\n").unwrap();
}

/// A client that sends and does not read delays nobody, and the server takes only so much from it.
#[test]
fn e1_05_a_client_that_does_not_read_delays_nobody() {
    let (_server, port) = selectserver("127.0.0.1");
    let mut other = connect(&port);
    greedy(connect(&port), || asks(&mut other, b"data1", b"data1"));
}

/// A reset ends one connection only, and no signal comes (E1.10).
#[test]
fn e1_10_a_reset_ends_one_client_only() {
    let (server, port) = selectserver("127.0.0.1");
    let mut other = connect(&port);
    let mut gone = connect(&port);
    assert_eq!(echo(&mut gone, b"data1"), b"data1");
    drive::reset(gone).unwrap();
    server
        .complains("read: Connection reset by peer (os error 104)")
        .unwrap();
    assert_eq!(echo(&mut other, b"data2"), b"data2");
}

/// A client whose descriptor no set has room for is closed, and that is said; the others are served.
#[test]
fn e1_19_a_client_past_fd_setsize_is_told() {
    let server = chap_20(&["selectserver", "--port", "0", "--from", "1020"]);
    let port = server.listens().unwrap().port().to_string();
    let mut clients: Vec<_> = Vec::new();
    let mut refused = loop {
        let mut client = connect(&port);
        client.write_all(b"data1").unwrap();
        let mut answer = [0; 5];
        match client.read_exact(&mut answer) {
            Ok(()) => clients.push(client),
            Err(_) => break client,
        }
        assert!(clients.len() < 10);
    };
    server
        .complains("descriptor 1024: select takes only numbers below 1024 (FD_SETSIZE)")
        .unwrap();
    // The data that nobody read makes it a reset; either way it is the end, and at once.
    assert_eq!(refused.read(&mut [0; 5]).unwrap_or(0), 0);
    for client in &mut clients {
        assert_eq!(echo(client, b"data2"), b"data2");
    }
    drop(clients.pop());
    server.says("client closed").unwrap();
    assert_eq!(echo(&mut connect(&port), b"data3"), b"data3");
}

/// At the limit of descriptors the server neither ends nor spins; when one has left, the next is served.
#[test]
fn e1_11_no_descriptor_left() {
    let (server, port) = crowded_server(28, 30);
    let clients: Vec<_> = (0..12).map(|_| connect(&port)).collect();
    server
        .complains("accept: Too many open files (os error 24): waiting until a client leaves")
        .unwrap();
    for mut client in clients {
        assert_eq!(echo(&mut client, b"data1"), b"data1");
    }
    let complaints = server.err().text().lines().count();
    assert!((1..=12).contains(&complaints), "{complaints}");
    server.signal(Signal::SIGTERM);
    assert!(server.ends().unwrap().success());
}

#[test]
fn a_reset_before_accept_is_passed_over() {
    let (server, port) = selectserver("127.0.0.1");
    server.signal(Signal::SIGSTOP);
    drive::reset(connect(&port)).unwrap();
    let mut other = connect(&port);
    server.signal(Signal::SIGCONT);
    assert_eq!(echo(&mut other, b"data1"), b"data1");
}

#[test]
fn bad_addresses_and_busy_ports_are_clear_errors() {
    let refused = chap_20(&["select01", "127.0.0.1", "--port", "1"]);
    refused
        .complains("Error: connect 127.0.0.1:1: Connection refused (os error 111)")
        .unwrap();
    assert_eq!(refused.ends().unwrap().ending, Ending::Exited(1));

    let unknown = chap_20(&["select01", "no such host"]);
    unknown.complains("Error: resolve no such host: ").unwrap();

    let (_server, port) = selectserver("127.0.0.1");
    let second = chap_20(&["selectserver", "--port", &port]);
    second
        .complains(&format!(
            "Error: bind 127.0.0.1:{port}: Address already in use (os error 98)"
        ))
        .unwrap();
}

#[test]
fn ctrl_c_ends_both() {
    let (server, port) = selectserver("127.0.0.1");
    let client = chap_20(&["select01", "127.0.0.1", "--port", &port]);
    server.says("client connected 127.0.0.1:").unwrap();
    client.signal(Signal::SIGINT);
    assert_eq!(
        client.ends().unwrap().ending,
        Ending::Killed(Signal::SIGINT)
    );
    server.says("client closed 127.0.0.1:").unwrap();
    server.signal(Signal::SIGINT);
    assert!(server.ends().unwrap().success());
}

fn probe(arguments: &[&str]) -> String {
    let program = chap_20(&[&["probe"], arguments].concat());
    assert!(
        program.ends().unwrap().success(),
        "{}",
        program.err().text()
    );
    program.out().text()
}

#[test]
fn tables_have_a_line_for_each_situation() {
    let table = probe(&["readiness"]);
    assert_eq!(table.lines().count(), 20);
    let line = "the peer has ended (FIN)          read write        IN OUT RDHUP          read 0, write 1\n";
    assert!(table.contains(line), "{table}");
    let full = "send buffer full                                                          read and write EAGAIN\n";
    assert!(table.contains(full), "{table}");
    let elsewhere = probe(&["readiness", "--elsewhere"]);
    assert_eq!(elsewhere.matches("read EAGAIN, write 1").count(), 18);

    let table = probe(&["pipe"]);
    assert_eq!(table.lines().count(), 13);
    assert!(
        table.contains("ERR                   write EPIPE\n"),
        "{table}"
    );
    assert_eq!(probe(&["pipe", "--spare"]).matches("HUP").count(), 0);
}

#[test]
fn timeouts_and_what_is_left() {
    let program = chap_20(&["probe", "timeouts", "0", "0.1", "60", "none"]);
    program.says("select with a timeout of 0 s").unwrap();
    program.says("returns 0 after ").unwrap();
    program.says("returns 0 after 0.").unwrap();
    program.says("select with a timeout of 60 s").unwrap();
    program.types("x").unwrap();
    program.says("returns 1 after ").unwrap();
    program.says("read 2 bytes").unwrap();
    program.closes_input();
    program.says("end of input").unwrap();
    assert!(program.ends().unwrap().success());
    let left = " s, and 0.000 s are left in the timeout\n";
    assert_eq!(program.out().text().matches(left).count(), 2);

    let program = chap_20(&["probe", "timeouts", "soon"]);
    program.complains("not a number of seconds").unwrap();
}

#[test]
fn a_set_that_is_not_made_anew_loses_a_descriptor() {
    assert!(probe(&["sets"]).contains("select returns 0, and the set is []\n"));
    assert!(probe(&["sets", "--reset"]).contains("select returns 1, and the set is [5]\n"));
}

#[test]
fn a_number_that_is_too_high_is_an_error() {
    let program = chap_20(&["probe", "limit"]);
    let complaint = "Error: descriptor 1024: select takes only numbers below 1024 (FD_SETSIZE)\n";
    assert_eq!(program.ends().unwrap().ending, Ending::Exited(1));
    assert_eq!(program.err().text(), complaint);
    assert!(probe(&["limit", "1023"]).ends_with("select returns 1, and the set is [1023]\n"));
}

#[test]
fn the_first_argument_bounds_the_search() {
    assert!(
        probe(&["first-argument", "--too-small", "--calls", "0"])
            .contains("returns 0, and the set is []\n")
    );
    let timed = probe(&["first-argument", "--calls", "1000"]);
    assert_eq!(timed.matches("  select(").count(), 4);
    assert!(timed.contains("returns 1, and the set is [3]\n"));
}
