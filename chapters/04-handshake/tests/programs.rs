//! The lesson's programs, over real sockets.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use drive::{Ending, Program, Signal, reset};

fn chap_4(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-4"));
    Program::start(arguments[0], command.args(arguments)).unwrap()
}

/// A server on a free port, and that port.
fn make_socket(arguments: &[&str]) -> (Program, String) {
    let server = chap_4(&[&["make-socket", "0"], arguments].concat());
    let port = server.listens().unwrap().port().to_string();
    (server, port)
}

/// The client's address, from its line "connected to … from ADDRESS after …".
fn connected(client: &Program) -> String {
    let rest = client.says(" from ").unwrap().rest();
    rest.split_once(" after ").unwrap().0.to_string()
}

/// Waits until the kernel lists a socket on this local port in this state with so much in its receive queue, proc(5).
/// For a listener (state 0A) that is the number of connections to be accepted.
fn await_queue(port: &str, state: &str, queued: u32) {
    let port: u16 = port.parse().unwrap();
    let (port, queued) = (format!(":{port:04X}"), format!(":{queued:08X}"));
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let listed = table.lines().any(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            fields[1].ends_with(&port) && fields[3] == state && fields[4].ends_with(&queued)
        });
        if listed {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{port} {state} {queued}:\n{table}"
        );
        std::thread::yield_now();
    }
}

#[test]
fn one_client_after_the_other() {
    for host in ["127.0.0.1", "::1"] {
        let (server, port) = make_socket(&["--bind", host]);
        let mut heard = server.out().text();
        for _ in 0..2 {
            let client = chap_4(&["connect", host, &port, "--hold"]);
            let address = connected(&client);
            server.says(&format!("accepted {address}")).unwrap();
            client.types("data1").unwrap();
            server.says("received 5 bytes: data1").unwrap();
            client.types("data2").unwrap();
            server.says("received 5 bytes: data2").unwrap();
            client.closes_input();
            server.says("client closed").unwrap();
            assert!(client.ends().unwrap().success());
            let said = client.out().text();
            assert!(
                said.ends_with("ms\nnow sending data1\nnow sending data2\n"),
                "{said}"
            );
            heard += &format!("accepted {address}\n");
            heard += "received 5 bytes: data1\nreceived 5 bytes: data2\nclient closed\n";
        }
        assert_eq!(server.out().text(), heard);
        assert_eq!(server.err().text(), "");
    }
}

/// The handshake is the kernel's: no accept is needed for it, nor for data.
#[test]
fn without_accept() {
    let (server, port) = make_socket(&["--no-accept"]);
    let client = chap_4(&["connect", "127.0.0.1", &port, "--hold"]);
    client.says("connected to 127.0.0.1:").unwrap();
    await_queue(&port, "0A", 1);
    client.types("data1").unwrap();
    await_queue(&port, "01", 5);
    assert!(server.ended().is_none());
    // Connections that nobody has accepted go with the listener.
    server.kill().unwrap();
    client
        .complains("Error: read: Connection reset by peer (os error 104)")
        .unwrap();
    assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
}

#[test]
fn refused() {
    for deadline in [&[][..], &["--deadline", "10"]] {
        for (host, address) in [("127.0.0.1", "127.0.0.1:1"), ("[::1]", "[::1]:1")] {
            let client = chap_4(&[&["connect", host, "1"], deadline].concat());
            client.says(&format!("trying {address}")).unwrap();
            let told = client.says(&format!("connect {address}: ")).unwrap().rest();
            let told = told
                .strip_prefix("ECONNREFUSED: Connection refused, after ")
                .unwrap();
            told.strip_suffix(" ms").unwrap().parse::<f64>().unwrap();
            client
                .complains(&format!(
                    "Error: connect {address}: Connection refused (os error 111)"
                ))
                .unwrap();
            assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
        }
    }
}

/// With no place left among those who wait to be accepted, the kernel is silent: listen(2), and chapter 19.
#[test]
fn a_deadline_ends_the_wait_for_a_silent_address() {
    let (_server, port) = make_socket(&["--no-accept", "--backlog", "0"]);
    let first = chap_4(&["connect", "127.0.0.1", &port, "--hold"]);
    first.says("connected").unwrap();
    await_queue(&port, "0A", 1);
    let started = Instant::now();
    let second = chap_4(&["connect", "127.0.0.1", &port, "--deadline", "0.3"]);
    second
        .says(&format!("connect 127.0.0.1:{port}: no answer, after "))
        .unwrap();
    second
        .complains(&format!("Error: connect 127.0.0.1:{port}: no answer"))
        .unwrap();
    assert_eq!(second.ends().unwrap().ending, Ending::Exited(1));
    assert!(started.elapsed() >= Duration::from_millis(300));
}

/// The socket is non-blocking for the handshake only, and closed on exec either way.
#[test]
fn a_deadline_does_not_outlive_the_handshake() {
    let (_server, port) = make_socket(&[]);
    for deadline in [&[][..], &["--deadline", "10"]] {
        let client = chap_4(&[&["connect", "127.0.0.1", &port, "--hold"], deadline].concat());
        connected(&client);
        let process = format!("/proc/{}", client.pid());
        let mut sockets = std::fs::read_dir(format!("{process}/fd"))
            .unwrap()
            .filter(|entry| {
                let target = std::fs::read_link(entry.as_ref().unwrap().path()).unwrap();
                target.to_string_lossy().starts_with("socket:")
            });
        let socket = sockets.next().unwrap().unwrap().file_name();
        assert!(sockets.next().is_none());
        let info =
            std::fs::read_to_string(format!("{process}/fdinfo/{}", socket.display())).unwrap();
        let flags = info
            .lines()
            .find_map(|line| line.strip_prefix("flags:"))
            .unwrap();
        // O_RDWR and O_CLOEXEC, proc_pid_fdinfo(5).
        assert_eq!(flags.trim(), "02000002");
    }
}

/// The sum of the lines "received N bytes: …".
fn received(server: &Program) -> usize {
    let text = server.out().text();
    let counts = text
        .lines()
        .filter_map(|line| line.strip_prefix("received ")?.split_once(' '));
    counts
        .map(|(count, _)| count.parse::<usize>().unwrap())
        .sum()
}

#[test]
fn a_client_may_bind() {
    let (server, port) = make_socket(&[]);
    // Nobody else uses this address, so the port is free.
    let from = "127.0.0.77:43211";
    let client = chap_4(&["connect", "127.0.0.1", &port, "--from", from, "--hold"]);
    assert_eq!(connected(&client), from);
    server.says(&format!("accepted {from}")).unwrap();
    // The server goes first, so that no TIME_WAIT keeps the client's port: the test may run again at once.
    server.kill().unwrap();
    client.says("server terminated").unwrap();
    assert!(client.ends().unwrap().success());

    let busy = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let listener = TcpListener::bind(busy.unwrap()).unwrap();
    let busy = listener.local_addr().unwrap().to_string();
    let client = chap_4(&["connect", "127.0.0.1", &port, "--from", &busy]);
    client
        .says(&format!(
            "bind {busy}: EADDRINUSE: Address already in use, after"
        ))
        .unwrap();
    client
        .complains(&format!(
            "Error: bind {busy}: Address already in use (os error 98)"
        ))
        .unwrap();
    assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));

    let other_family = chap_4(&["connect", "127.0.0.1", &port, "--from", "[::1]:0"]);
    other_family
        .complains("Error: 127.0.0.1 has no address of the family of --from")
        .unwrap();
}

#[test]
fn wildcard_and_single_addresses() {
    let answers = |host: &str, port: &str| {
        let client = chap_4(&["connect", host, port, "--deadline", "10"]);
        client.ends().unwrap().success()
    };
    let (server, port) = make_socket(&["--bind", "127.0.0.1"]);
    assert!(answers("127.0.0.1", &port) && !answers("127.0.0.2", &port));
    assert!(server.out().text().contains("listening on 127.0.0.1:"));

    let (server, port) = make_socket(&["--bind", "0.0.0.0"]);
    assert!(answers("127.0.0.1", &port) && answers("127.0.0.2", &port) && !answers("::1", &port));
    assert!(server.out().text().contains("listening on 0.0.0.0:"));

    let (server, port) = make_socket(&["--bind", "::"]);
    assert!(answers("::1", &port) && answers("127.0.0.1", &port));
    server.says("accepted [::1]:").unwrap();
    server.says("accepted [::ffff:127.0.0.1]:").unwrap();

    let (_server, port) = make_socket(&["--bind", "::", "--v6only"]);
    assert!(answers("::1", &port) && !answers("127.0.0.1", &port));
}

/// A client that resets ends its connection, not the server; even one that did so before it was accepted.
#[test]
fn a_reset_is_the_clients_affair() {
    let (server, port) = make_socket(&[]);
    let connect = || TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    let first = connect();
    server
        .says(&format!("accepted {}", first.local_addr().unwrap()))
        .unwrap();
    let waiting = connect();
    let address = waiting.local_addr().unwrap();
    await_queue(&port, "0A", 1);
    reset(waiting).unwrap();
    reset(first).unwrap();
    server.says("client reset the connection").unwrap();
    server.says(&format!("accepted {address}")).unwrap();
    server.says("client reset the connection").unwrap();
    let mut third = connect();
    third.write_all(b"data1").unwrap();
    server.says("received 5 bytes: data1").unwrap();
    assert_eq!(server.err().text(), "");
}

/// Messages of the buffer's size and one byte more or less, and a line of a megabyte.
#[test]
fn e3_exactly_full_buffer() {
    for size in [4095, 4096, 4097, 1 << 20] {
        let (server, port) = make_socket(&[]);
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        stream.write_all(&vec![b'x'; size]).unwrap();
        drop(stream);
        server.says("client closed").unwrap();
        assert_eq!(received(&server), size);
        assert_eq!(server.out().text().matches('x').count(), size);
    }
    let (server, port) = make_socket(&[]);
    let client = chap_4(&["connect", "127.0.0.1", &port, "--hold"]);
    client.types(&"x".repeat(1 << 20)).unwrap();
    client.closes_input();
    server.says("client closed").unwrap();
    assert_eq!(received(&server), 1 << 20);
}

/// Two lines that come in one read are both sent, and so is a last one without a newline.
#[test]
fn e3_end_of_input_and_two_lines_in_one_read() {
    let (server, port) = make_socket(&[]);
    let client = chap_4(&["connect", "127.0.0.1", &port, "--hold"]);
    client.types_bytes(b"data1\ndata2\nlast").unwrap();
    client.closes_input();
    assert!(client.ends().unwrap().success());
    server.says("client closed").unwrap();
    assert_eq!(received(&server), 14);
    let said = client.out().text();
    assert!(
        said.ends_with("now sending data1\nnow sending data2\nnow sending last\n"),
        "{said}"
    );
}

#[test]
fn binary_bytes_are_data() {
    let (server, port) = make_socket(&[]);
    let client = chap_4(&["connect", "127.0.0.1", &port, "--hold"]);
    client.types_bytes(b"\0\xff\x1b\r\n").unwrap();
    client.says(r"now sending \0\xff\x1b\r").unwrap();
    server.says(r"received 4 bytes: \0\xff\x1b\r").unwrap();
}

/// What a server says before the client has said anything is shown, and its end is noticed while nothing is typed.
#[test]
fn the_server_may_speak_and_end_first() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let client = chap_4(&["connect", "127.0.0.1", &port, "--hold"]);
    let (mut connection, _) = listener.accept().unwrap();
    connection.write_all(b"hello\xff").unwrap();
    client.says(r"received 6 bytes: hello\xff").unwrap();
    drop(connection);
    client.says("server terminated").unwrap();
    assert!(client.ends().unwrap().success());
}

#[test]
fn bad_addresses_and_busy_ports_are_clear_errors() {
    let (_server, port) = make_socket(&[]);
    for (arguments, error) in [
        (
            &["make-socket", &port][..],
            format!("Error: bind 127.0.0.1:{port}: Address already in use (os error 98)"),
        ),
        (
            &["make-socket", "0", "--bind", "198.51.100.1"],
            "Error: bind 198.51.100.1:0: Cannot assign requested address (os error 99)".into(),
        ),
        (
            &["make-socket", "0", "--v6only"],
            "Error: setsockopt IPV6_V6ONLY: Protocol not available (os error 92)".into(),
        ),
        (
            &["make-socket", "65536"],
            "invalid value '65536' for '[PORT]'".into(),
        ),
        (
            &["make-socket", "0", "--backlog", "4097"],
            "invalid value '4097' for '--backlog".into(),
        ),
        (
            &["make-socket", "0", "--bind", "localhost"],
            "invalid value 'localhost' for '--bind".into(),
        ),
        (
            &["connect", "no such host"],
            "Error: resolve no such host: ".into(),
        ),
        (
            &["connect", "::1", "1", "--from", "127.0.0.1"],
            "invalid value '127.0.0.1' for '--from".into(),
        ),
        (
            &["connect", "::1", "1", "--deadline", "soon"],
            "not a number of seconds".into(),
        ),
    ] {
        let program = chap_4(arguments);
        program.complains(&error).unwrap();
        assert!(!program.ends().unwrap().success());
    }
}

#[test]
fn ctrl_c_and_sigterm_end_both() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (server, port) = make_socket(&[]);
        let (silent, _) = make_socket(&["--no-accept"]);
        let client = chap_4(&["connect", "127.0.0.1", &port, "--hold"]);
        client.types("data1").unwrap();
        server.says("received 5 bytes: data1").unwrap();
        for program in [client, server, silent] {
            program.signal(signal);
            assert_eq!(program.ends().unwrap().ending, Ending::Killed(signal));
        }
    }
}
