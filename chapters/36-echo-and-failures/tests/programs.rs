//! The lesson's programs, over real sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;

use drive::{Ending, Program, Signal, reset};

fn chap_36(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-36"));
    Program::start(arguments[0], command.args(arguments)).unwrap()
}

/// A server on a free port, and that port.
fn server(arguments: &[&str]) -> (Program, String) {
    let (name, options) = arguments.split_at(1 + usize::from(arguments[0] == "sum"));
    let server = chap_36(&[name, &["--port", "0"], options].concat());
    let port = server.listens().unwrap().port().to_string();
    (server, port)
}

/// The child that has taken the next client.
fn child(server: &Program) -> String {
    let line = server.says("child ").unwrap().rest();
    line.split(' ').next().unwrap_or_default().to_string()
}

fn kill(pid: &str) {
    let killed = Command::new("kill").args(["-KILL", pid]).status().unwrap();
    assert!(killed.success());
}

/// A client of a peer that is the test itself.
fn client_of_ours(arguments: &[&str]) -> (Program, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let client = chap_36(&[arguments, &["127.0.0.1", "--port", &port]].concat());
    client.says("connected: ").unwrap();
    (client, listener.accept().unwrap().0)
}

#[test]
fn each_line_comes_back() {
    for host in ["127.0.0.1", "::1"] {
        for (client, reap) in [("tcpcli", "waitpid"), ("tcpcli-select", "wait")] {
            let (server, port) = server(&["tcpserv", "--bind", host, "--reap", reap]);
            let client = chap_36(&[client, host, "--port", &port]);
            client.types("data1").unwrap();
            client.says("data1").unwrap();
            client.types_bytes(b"data2\n\n\0\xff\x1b\nlast").unwrap();
            client.closes_input();
            assert!(client.ends().unwrap().success());
            let out = client.out().text();
            let (first, rest) = out.split_once('\n').unwrap();
            assert!(first.starts_with("connected: "), "{first}");
            assert_eq!(rest, "data1\ndata2\n\n\\0\\xff\\x1b\nlast\n");
            server.says("terminated: exit code 0").unwrap();
            assert_eq!(server.err().text(), "");
        }
    }
}

/// A line of exactly the buffer's size, and one far larger: nothing is lost, and nobody waits for the other for ever.
#[test]
fn e3_exactly_full_buffer() {
    for (client, long) in [("tcpcli", 1 << 20), ("tcpcli-select", 4 << 20)] {
        let (_server, port) = server(&["tcpserv"]);
        let client = chap_36(&[client, "127.0.0.1", "--port", &port]);
        client.says("connected").unwrap();
        for size in [4095, 4096, long] {
            let line = "x".repeat(size);
            client.types(&line).unwrap();
            assert_eq!(client.says("x").unwrap().line.text, line);
        }
        client.closes_input();
        assert!(client.ends().unwrap().success());
    }
}

/// Each client has a child of its own, and one that does not read stops nobody but itself.
#[test]
fn e1_05_clients_do_not_wait_for_each_other() {
    let (_server, port) = server(&["tcpserv"]);
    let mut silent = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    silent.set_nonblocking(true).unwrap();
    while silent.write(&[b'x'; 65536]).is_ok() {}
    let client = chap_36(&["tcpcli", "127.0.0.1", "--port", &port]);
    client.types("data1").unwrap();
    client.says("data1").unwrap();
}

#[test]
fn half_closed_clients_get_their_echo() {
    let (server, port) = server(&["tcpserv"]);
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream.write_all(b"no newline").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut echo = String::new();
    stream.read_to_string(&mut echo).unwrap();
    assert_eq!(echo, "no newline");
    server.says("terminated: exit code 0").unwrap();
}

#[test]
fn a_reset_ends_one_child_and_not_the_server() {
    let (server, port) = server(&["tcpserv"]);
    for _ in 0..2 {
        let stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        child(&server);
        reset(stream).unwrap();
        server
            .complains("Error: read: Connection reset by peer")
            .unwrap();
        server.says("terminated: exit code 1").unwrap();
    }
}

#[test]
fn five_clients_leave_no_zombie() {
    for arguments in [&["tcpserv"][..], &["tcpserv", "--no-restart"]] {
        let (server, port) = server(arguments);
        let five = chap_36(&["tcpcli-five", "127.0.0.1", "--port", &port]);
        five.says("5 connections").unwrap();
        five.types("data1").unwrap();
        five.says("data1").unwrap();
        let children: Vec<_> = (0..5).map(|_| child(&server)).collect();
        five.closes_input();
        assert!(five.ends().unwrap().success());
        while server
            .out()
            .text()
            .matches("terminated: exit code 0")
            .count()
            < 5
        {
            server.says("terminated").unwrap();
        }
        for child in children {
            assert!(!std::path::Path::new(&format!("/proc/{child}")).exists());
        }
    }
}

#[test]
fn a_child_is_announced_before_it_is_missed() {
    let (server, port) = server(&["tcpserv"]);
    for _ in 0..20 {
        drop(TcpStream::connect(format!("127.0.0.1:{port}")).unwrap());
    }
    while server.out().text().matches("terminated").count() < 20 {
        server.says("terminated").unwrap();
    }
    let mut known = Vec::new();
    for line in server.out().lines() {
        let mut words = line.text.split(' ').skip(1);
        match (words.next(), words.next()) {
            (Some(pid), Some("serves")) => known.push(pid.to_string()),
            (Some(pid), Some("terminated:")) => assert!(known.contains(&pid.to_string()), "{pid}"),
            _ => {}
        }
    }
}

#[test]
fn sigchld_is_held_back() {
    let (server, port) = server(&["tcpserv", "--hold-back", "2", "--no-restart"]);
    drop(TcpStream::connect(format!("127.0.0.1:{port}")).unwrap());
    let first = child(&server);
    let _second = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    child(&server);
    server
        .says(&format!("child {first} terminated: exit code 0"))
        .unwrap();
}

#[test]
fn a_killed_child_is_noticed() {
    let (server, port) = server(&["tcpserv"]);
    let blocked = chap_36(&["tcpcli", "127.0.0.1", "--port", &port]);
    let first = child(&server);
    let select = chap_36(&["tcpcli-select", "127.0.0.1", "--port", &port]);
    let second = child(&server);
    kill(&first);
    kill(&second);
    server.says("terminated: SIGKILL").unwrap();
    select
        .complains("Error: server terminated prematurely")
        .unwrap();
    assert_eq!(select.ends().unwrap().ending, Ending::Exited(1));
    assert!(blocked.ended().is_none());
    blocked.types("data1").unwrap();
    blocked
        .complains("Error: server terminated prematurely")
        .unwrap();
    assert_eq!(blocked.ends().unwrap().ending, Ending::Exited(1));
}

#[test]
fn sigpipe_ignored_and_default() {
    for (disposition, ending) in [
        ("ignore", Ending::Exited(1)),
        ("default", Ending::Killed(Signal::SIGPIPE)),
    ] {
        let (client, stream) =
            client_of_ours(&["tcpcli", "--in-two", "0.2", "--sigpipe", disposition]);
        drop(stream);
        client.types("data1").unwrap();
        assert_eq!(client.ends().unwrap().ending, ending, "{disposition}");
        let complaint = match disposition {
            "default" => "",
            _ => "Error: write: Broken pipe (os error 32)\n",
        };
        assert_eq!(client.err().text(), complaint);
    }
}

#[test]
fn a_reset_is_an_error_of_its_own() {
    let (select, stream) = client_of_ours(&["tcpcli-select", "--keepalive"]);
    reset(stream).unwrap();
    select
        .complains("Error: read: Connection reset by peer (os error 104)")
        .unwrap();
    assert_eq!(select.ends().unwrap().ending, Ending::Exited(1));

    let (blocked, mut stream) = client_of_ours(&["tcpcli"]);
    blocked.types("data1").unwrap();
    let mut heard = [0; 6];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"data1\n");
    reset(stream).unwrap();
    blocked
        .complains("Error: read: Connection reset by peer (os error 104)")
        .unwrap();
}

/// An answer that is cut off is not taken for an answer.
#[test]
fn e3_cut_off_is_not_the_end() {
    for client in ["tcpcli", "tcpcli-select"] {
        let (client, mut stream) = client_of_ours(&[client]);
        client.types("data1").unwrap();
        let mut heard = [0; 6];
        stream.read_exact(&mut heard).unwrap();
        stream.write_all(b"dat").unwrap();
        drop(stream);
        client
            .complains("Error: server terminated prematurely")
            .unwrap();
        assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
    }
}

/// End of input must not spin, and the echo that is on its way is still read.
#[test]
fn e3_end_of_input_and_two_lines_in_one_read() {
    let (client, mut stream) = client_of_ours(&["tcpcli-select"]);
    client.types_bytes(b"data1\ndata2\n").unwrap();
    client.closes_input();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "data1\ndata2\n");
    stream.write_all(heard.as_bytes()).unwrap();
    drop(stream);
    assert!(client.ends().unwrap().success());
    assert!(client.out().text().ends_with("\ndata1\ndata2\n"));
}

#[test]
fn a_program_that_got_a_descriptor_knows_both_names() {
    let (server, port) = server(&["tcpserv", "--exec", "--bind", "0.0.0.0"]);
    let client = chap_36(&["tcpcli", "127.0.0.1", "--port", &port]);
    let names = client.says("connected: ").unwrap().rest();
    let (ours, theirs) = names.split_once(" to ").unwrap();
    server.says(&format!(": {theirs} serves {ours}")).unwrap();
    client.types("data1").unwrap();
    client.says("data1").unwrap();
    client.closes_input();
    server.says("terminated: exit code 0").unwrap();
}

#[test]
fn sums() {
    for host in ["127.0.0.1", "::1"] {
        for (binary, machine, answer) in [
            (&[][..], "ours", "-99"),
            (&["--binary"], "ours", "-99"),
            (&[], "other-order", "-99"),
        ] {
            let (_server, port) = server(&[&["sum", "server", "--bind", host], binary].concat());
            let client = [
                &["sum", "client", host, "--port", &port, "--machine", machine],
                binary,
            ]
            .concat();
            let client = chap_36(&client);
            client.types("-22 -77").unwrap();
            client.says(answer).unwrap();
            client.types("garbage").unwrap();
            client.complains("not two numbers: garbage").unwrap();
            client.types("2147483647 1").unwrap();
            client.says("2147483648").unwrap();
            client.closes_input();
            assert!(client.ends().unwrap().success());
        }
    }
}

#[test]
fn a_struct_from_another_machine_is_misread() {
    let (server, port) = server(&["sum", "server", "--binary"]);
    let client = |machine| {
        chap_36(&[
            "sum",
            "client",
            "127.0.0.1",
            "--port",
            &port,
            "--binary",
            "--machine",
            machine,
        ])
    };
    let other = client("other-order");
    other.types("1 2").unwrap();
    let sum = i64::from(1_i32.swap_bytes()) + 2_i64.swap_bytes();
    other.says(&sum.swap_bytes().to_string()).unwrap();
    drop(other);

    // A struct without padding is shorter than what the server waits for.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = listener.local_addr().unwrap().port().to_string();
    let arguments = ["--port", &here, "--binary", "--machine", "unpadded"];
    let unpadded = chap_36(&[&["sum", "client", "127.0.0.1"], &arguments[..]].concat());
    unpadded.types("1 2").unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut heard = [0; 12];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(
        heard,
        [&1_i32.to_ne_bytes()[..], &2_i64.to_ne_bytes()].concat()[..]
    );
    let mut forwarded = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    forwarded.write_all(&heard).unwrap();
    drop(forwarded);
    server
        .complains("a struct of 12 bytes in place of 16")
        .unwrap();
}

#[test]
fn sum_of_garbage_is_an_answer() {
    let (server, port) = server(&["sum", "server"]);
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream
        .write_all(b"1 2 3\n\xff\n9223372036854775807 1\n1 9223372036854775807\n4 5")
        .unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert_eq!(
        answers,
        "input error\ninput error\ninput error\ninput error\n9\n"
    );
    drop(stream);
    let next = chap_36(&["sum", "client", "127.0.0.1", "--port", &port]);
    next.types("1 2").unwrap();
    next.says("3").unwrap();
    assert!(server.ended().is_none());
}

/// A line that never ends does not fill the memory, and one client's does not end the others.
#[test]
fn a_line_has_a_bound() {
    let (server, port) = server(&["sum", "server"]);
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    while stream.write_all(&[b'1'; 65536]).is_ok() {}
    let next = chap_36(&["sum", "client", "127.0.0.1", "--port", &port]);
    next.types("1 2").unwrap();
    next.says("3").unwrap();
    assert!(server.ended().is_none());
}

#[test]
fn bad_addresses_and_busy_ports_are_clear_errors() {
    for client in ["tcpcli", "tcpcli-five", "tcpcli-select"] {
        let refused = chap_36(&[client, "127.0.0.1", "--port", "1"]);
        refused
            .complains("Error: connect 127.0.0.1:1: Connection refused (os error 111)")
            .unwrap();
        assert_eq!(refused.ends().unwrap().ending, Ending::Exited(1));
        chap_36(&[client, "no such host"])
            .complains("Error: resolve no such host: ")
            .unwrap();
    }
    let (_server, port) = server(&["tcpserv"]);
    let second = chap_36(&["tcpserv", "--port", &port]);
    let busy = format!("Error: bind 127.0.0.1:{port}: Address already in use (os error 98)");
    second.complains(&busy).unwrap();
    let elsewhere = chap_36(&["tcpserv", "--port", "0", "--bind", "198.51.100.1"]);
    elsewhere
        .complains("Error: bind 198.51.100.1:0: Cannot assign requested address (os error 99)")
        .unwrap();
}

#[test]
fn ctrl_c_and_sigterm_end_all() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (server, port) = server(&["tcpserv"]);
        let client = chap_36(&["tcpcli", "127.0.0.1", "--port", &port]);
        client.types("data1").unwrap();
        client.says("data1").unwrap();
        for program in [client, server] {
            program.signal(signal);
            assert_eq!(program.ends().unwrap().ending, Ending::Killed(signal));
        }
    }
}
