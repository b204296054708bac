//! The lesson's programs, over real sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use drive::{Ending, Program, Signal};
use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};

fn chap_10(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-10"));
    Program::start(arguments[0], command.args(arguments)).unwrap()
}

/// A server on a free port, and that port.
fn server(arguments: &[&str]) -> (Program, String) {
    let server = chap_10(&[&["server", "--port", "0"], arguments].concat());
    let port = server.listens().unwrap().port().to_string();
    (server, port)
}

/// A client, to its end. Its output, which is to be without an error.
fn client(host: &str, port: &str, arguments: &[&str]) -> String {
    let client = chap_10(&[&["client", host, "--port", port], arguments].concat());
    let end = client.ends().unwrap();
    assert_eq!(
        (end.ending, client.err().text().as_str()),
        (Ending::Exited(0), "")
    );
    client.out().text()
}

/// The client's address, from its line "connection 1 from ADDRESS".
fn address(output: &str) -> &str {
    let line = output.lines().next().unwrap();
    line.strip_prefix("connection 1 from ").unwrap()
}

/// Waits until the table has as many ends of connections in TIME-WAIT, and no other ends of connections at all.
fn await_table(port: &str, waiting: usize) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let states = chap_10(&["states", "--once", "--port", port]);
        assert!(states.ends().unwrap().success());
        let table = states.out().text();
        let last = format!(
            "port {port}: {} sockets, {waiting} of them in TIME-WAIT",
            waiting + 1
        );
        if table.lines().last() == Some(&last) {
            return table;
        }
        assert!(
            Instant::now() < deadline,
            "not {waiting} in TIME-WAIT:\n{table}"
        );
    }
}

/// Which end a line of the table is about, and whether the time that is left is a minute or less.
fn is_in_time_wait(table: &str, local: &str, remote: &str) -> bool {
    table.lines().any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let left = fields.get(3).and_then(|left| left.parse::<f64>().ok());
        fields[..2] == [local, remote]
            && fields[2] == "TIME-WAIT"
            && left.is_some_and(|left| left > 20.0 && left <= 60.0)
    })
}

#[test]
fn the_end_that_closes_first_waits() {
    for (host, at) in [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")] {
        let (server, port) = server(&["--bind", host]);
        let there = format!("{at}:{port}");

        let first = client(host, &port, &[]);
        let here = address(&first);
        assert_eq!(first, format!("connection 1 from {here}\n"));
        server.says("client closed after 0 bytes").unwrap();
        assert!(is_in_time_wait(&await_table(&port, 1), here, &there));

        let second = client(host, &port, &["--close-second"]);
        let here = address(&second);
        assert_eq!(
            second,
            format!("connection 1 from {here}\nserver terminated\n")
        );
        assert!(is_in_time_wait(&await_table(&port, 2), &there, here));
        let heard = format!("accepted {here}\nreceived 4 bytes: quit\nclosing first\n");
        assert!(
            server.out().text().ends_with(&heard),
            "{}",
            server.out().text()
        );

        let aborted = client(host, &port, &["--linger", "0"]);
        assert!(
            aborted.ends_with("\nclose returned after 0.0 s\n"),
            "{aborted}"
        );
        await_table(&port, 2);
    }
}

#[test]
fn several_connections_each_ended_before_the_next() {
    let (server, port) = server(&[]);
    let output = client("127.0.0.1", &port, &["--count", "3", "--close-second"]);
    let lines: Vec<_> = output
        .lines()
        .map(|line| line.split(" from ").next().unwrap())
        .collect();
    let expected = [
        "connection 1",
        "server terminated",
        "connection 2",
        "server terminated",
        "connection 3",
        "server terminated",
    ];
    assert_eq!(lines, expected);
    assert!(is_in_time_wait(
        &await_table(&port, 3),
        &format!("127.0.0.1:{port}"),
        address(&output)
    ));
    assert_eq!(server.out().text().matches("closing first\n").count(), 3);
}

/// Two lines that come in one read are both sent, the last one needs no newline, and end of input does not spin.
#[test]
fn e3_end_of_input_and_two_lines_in_one_read() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let client = chap_10(&[
        "client",
        "127.0.0.1",
        "--port",
        &port,
        "--typed",
        "--bytes",
        "3",
    ]);
    let (mut connection, _) = listener.accept().unwrap();
    client.types_bytes(b"data1\ndata2\nlast").unwrap();
    client.closes_input();
    let mut heard = String::new();
    connection.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "aaadata1data2last");
    assert!(client.ends().unwrap().success());
    let output = client.out().text();
    assert!(
        output.ends_with("\nsend bytes: 3\nsend bytes: 5\nsend bytes: 5\nsend bytes: 4\n"),
        "{output}"
    );
}

/// A message of exactly the buffer's size, and one far larger, lose nothing and overwrite nothing.
#[test]
fn e3_exactly_full_buffer() {
    let (server, port) = server(&[]);
    for size in ["4096", "1048576"] {
        client("127.0.0.1", &port, &["--bytes", size]);
        server
            .says(&format!("client closed after {size} bytes"))
            .unwrap();
    }
}

#[test]
fn the_server_waits_for_enter() {
    let (server, port) = server(&["--wait"]);
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream.write_all(b"data1").unwrap();
    server.says("accepted").unwrap();
    // It has the first Enter, and the second one for the next client, before there is one.
    server.types_bytes(b"\n\n").unwrap();
    server.says("received 5 bytes: data1").unwrap();
    drop(stream);
    server.says("client closed after 5 bytes").unwrap();
    client("127.0.0.1", &port, &["--close-second"]);
    // No input any more: nobody can press Enter.
    server.closes_input();
    client("127.0.0.1", &port, &["--close-second"]);
    assert!(server.out().text().ends_with("closing first\n"));
}

#[test]
fn quit_is_found_wherever_the_stream_is_cut() {
    let (server, port) = server(&[]);
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    for piece in ["qui", "qu", "i"] {
        stream.write_all(piece.as_bytes()).unwrap();
        server
            .says(&format!("received {} bytes: {piece}", piece.len()))
            .unwrap();
    }
    stream.write_all(b"t").unwrap();
    server.says("closing first").unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn binary_bytes_are_data_and_long_messages_are_counted() {
    let (server, port) = server(&[]);
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream.write_all(b"\0\xff\x1b\n").unwrap();
    server.says(r"received 4 bytes: \0\xff\x1b\n").unwrap();
    stream.write_all(&[b'x'; 65]).unwrap();
    server.says("received 65 bytes").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    server.says("client closed after 69 bytes").unwrap();
    assert!(server.out().text().contains("received 65 bytes\n"));
}

/// A reset is the client's end and not the server's, before the connection is taken and after.
#[test]
fn a_reset_does_not_end_the_server() {
    let (server, port) = server(&[]);
    for taken in [true, false] {
        let stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        if taken {
            server.says("accepted").unwrap();
        }
        reset(stream);
        if taken {
            server
                .says("client reset the connection after 0 bytes")
                .unwrap();
        }
    }
    client("127.0.0.1", &port, &["--close-second"]);
}

#[test]
fn a_server_that_aborts_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let client = chap_10(&["client", "127.0.0.1", "--port", &port, "--close-second"]);
    let (mut connection, _) = listener.accept().unwrap();
    connection.read_exact(&mut [0; 4]).unwrap();
    connection.write_all(b"no").unwrap();
    client.says("received 2 bytes: no").unwrap();
    reset(connection);
    client
        .complains("Error: read: Connection reset by peer (os error 104)")
        .unwrap();
    assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
}

fn reset(stream: TcpStream) {
    let option = linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&stream, sockopt::Linger, &option).unwrap();
}

/// A port of our own serves again at once after a reset, and not while a connection is in TIME-WAIT there.
#[test]
fn an_address_of_our_own() {
    let (_server, port) = server(&[]);
    let output = client(
        "127.0.0.1",
        &port,
        &["--from", "127.0.0.1:0", "--linger", "0"],
    );
    let from = address(&output);
    assert_eq!(
        address(&client("127.0.0.1", &port, &["--from", from])),
        from
    );
    await_table(&port, 1);
    let again = chap_10(&["client", "127.0.0.1", "--port", &port, "--from", from]);
    again
        .complains(&format!(
            "Error: bind {from}: Address already in use (os error 98)"
        ))
        .unwrap();

    let other = chap_10(&["client", "127.0.0.1", "--port", &port, "--from", "[::1]:0"]);
    other
        .complains("Error: 127.0.0.1 has no address of the family of --from")
        .unwrap();
    assert_eq!(other.ends().unwrap().ending, Ending::Exited(1));
}

/// Where it is no terminal, the table is printed once for each change.
#[test]
fn states_as_they_change() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let states = chap_10(&["states", "--port", &port, "--interval", "0.01"]);
    states
        .says(&format!("port {port}: 1 sockets, 0 of them in TIME-WAIT"))
        .unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (connection, peer) = listener.accept().unwrap();
    states
        .says(&format!("port {port}: 3 sockets, 0 of them in TIME-WAIT"))
        .unwrap();
    drop(connection);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    states.says("CLOSE-WAIT").unwrap();
    drop(stream);
    states
        .says(&format!("port {port}: 2 sockets, 1 of them in TIME-WAIT"))
        .unwrap();
    states.signal(Signal::SIGTERM);
    assert_eq!(
        states.ends().unwrap().ending,
        Ending::Killed(Signal::SIGTERM)
    );

    let text = states.out().text();
    let listener = format!("{:<26}{:<26}LISTEN\n", format!("127.0.0.1:{port}"), "-");
    assert!(text.contains(&listener), "{text}");
    assert!(
        is_in_time_wait(&text, &format!("127.0.0.1:{port}"), &peer.to_string()),
        "{text}"
    );
    // The time that is left is no change.
    let tables: Vec<String> = text.split("local ").map(without_time).collect();
    assert!(tables.windows(2).all(|pair| pair[0] != pair[1]), "{text}");
}

/// A table without its last column.
fn without_time(table: &str) -> String {
    let lines = table.lines().map(|line| line.split_whitespace().take(3));
    lines.flatten().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_long_table_is_cut_and_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let _streams: Vec<_> = (0..20)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let states = chap_10(&[
        "states",
        "--port",
        &address.port().to_string(),
        "--interval",
        "0.01",
    ]);
    states.says("and 26 more").unwrap();
    let last = format!(
        "port {}: 41 sockets, 0 of them in TIME-WAIT",
        address.port()
    );
    states.says(&last).unwrap();
    let lines = states.out().text();
    let (table, _) = lines.split_once(&last).unwrap();
    let table = table.rsplit("local ").next().unwrap();
    assert_eq!(table.lines().count(), 1 + 15 + 1);
}

#[test]
fn bad_addresses_busy_ports_and_options_that_exclude_each_other() {
    let refused = chap_10(&["client", "127.0.0.1", "--port", "1"]);
    refused
        .complains("Error: connect 127.0.0.1:1: Connection refused (os error 111)")
        .unwrap();
    assert_eq!(refused.ends().unwrap().ending, Ending::Exited(1));
    let unknown = chap_10(&["client", "no such host"]);
    unknown.complains("Error: resolve no such host: ").unwrap();

    let (_server, port) = server(&[]);
    let second = chap_10(&["server", "--port", &port]);
    second
        .complains(&format!(
            "Error: bind 127.0.0.1:{port}: Address already in use (os error 98)"
        ))
        .unwrap();
    let elsewhere = chap_10(&["server", "--port", "0", "--bind", "198.51.100.1"]);
    elsewhere
        .complains("Error: bind 198.51.100.1:0: Cannot assign requested address (os error 99)")
        .unwrap();

    for options in [
        &["--close-first", "--close-second"][..],
        &["--close-second", "--linger", "0"],
        &["--linger", "-1"],
    ] {
        let client = chap_10(&[&["client", "127.0.0.1"], options].concat());
        assert_eq!(
            client.ends().unwrap().ending,
            Ending::Exited(2),
            "{options:?}"
        );
    }
}

#[test]
fn ctrl_c_ends_all() {
    let (server, port) = server(&[]);
    let client = chap_10(&["client", "127.0.0.1", "--port", &port, "--typed"]);
    client.types("data1").unwrap();
    server.says("received 5 bytes: data1").unwrap();
    let states = chap_10(&["states", "--port", &port]);
    states.says("ESTABLISHED").unwrap();
    for program in [client, states, server] {
        program.signal(Signal::SIGINT);
        assert_eq!(
            program.ends().unwrap().ending,
            Ending::Killed(Signal::SIGINT)
        );
    }
}
