//! The lesson's programs, over real sockets.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::Duration;

use drive::{Ending, Program, Signal};

/// More than any datagram holds.
const LARGEST: usize = 65_535;
const HOSTS: [&str; 2] = ["127.0.0.1", "::1"];
const CLIENTS: [&str; 2] = ["udpconnectclient", "udpconnectclient2"];
const REFUSED: &str = "Connection refused (os error 111)";

fn chap_14(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-14"));
    Program::start(arguments[0], command.args(arguments)).unwrap()
}

/// A server on a free port, and its address.
fn server(arguments: &[&str]) -> (Program, SocketAddr) {
    let server = chap_14(&[&["udpconnectserver", "--port", "0"], arguments].concat());
    let address = server.listens().unwrap();
    (server, address)
}

/// A client of the server at `address`.
fn client(program: &str, address: SocketAddr, arguments: &[&str]) -> Program {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    chap_14(&[&[program, &host, "--port", &port], arguments].concat())
}

/// A socket of the test's own that does not wait for ever, and its address.
fn socket(host: &str) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((host, 0)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// An address where nobody answers. The socket that holds it, so that nobody else gets it, is connected to itself.
fn nobody(host: &str) -> (UdpSocket, SocketAddr) {
    let (socket, address) = socket(host);
    socket.connect(address).unwrap();
    (socket, address)
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; LARGEST];
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => return (buffer[..length].to_vec(), from),
            // A call with a timeout is not restarted, signal(7), and the end of a child may interrupt it.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn succeeds(program: &Program) {
    assert!(
        program.ends().unwrap().success(),
        "{}",
        program.err().text()
    );
}

#[test]
fn a_client_alone_is_refused() {
    for host in HOSTS {
        for (program, call) in [(CLIENTS[0], "recvmsg"), (CLIENTS[1], "recv")] {
            let (_nobody, address) = nobody(host);
            let alone = client(program, address, &[]);
            alone.types("g1").unwrap();
            alone
                .complains(&format!("Error: {call}: {REFUSED}"))
                .unwrap();
            assert_eq!(alone.ends().unwrap().ending, Ending::Exited(1));
            assert_eq!(alone.out().text(), "now sending g1\nsend bytes: 2\n");
        }
    }
}

/// The error belongs to the next call, whichever it is: here it is the sending of the next line, which does not go out.
#[test]
fn the_next_send_is_refused_in_its_place() {
    for host in HOSTS {
        let (_nobody, address) = nobody(host);
        for (program, call) in [
            (CLIENTS[0], format!("sendto {address}")),
            (CLIENTS[1], "send".into()),
        ] {
            let alone = client(program, address, &["--no-wait"]);
            alone.types_bytes(b"g1\ng2\ng3\n").unwrap();
            alone
                .complains(&format!("Error: {call}: {REFUSED}"))
                .unwrap();
            assert_eq!(alone.ends().unwrap().ending, Ending::Exited(1));
            assert_eq!(
                alone.out().text(),
                "now sending g1\nsend bytes: 2\nnow sending g2\n"
            );
        }
    }
}

/// Without connect it is the client of lesson 6: it waits, but not longer than until Ctrl-C.
#[test]
fn without_connect_nobody_hears_of_it() {
    let (_nobody, address) = nobody("127.0.0.1");
    let alone = client(CLIENTS[0], address, &["--no-connect"]);
    alone.types("g1").unwrap();
    alone.says("send bytes: 2").unwrap();
    alone.signal(Signal::SIGINT);
    let end = alone.ends().unwrap();
    assert_eq!(end.ending, Ending::Killed(Signal::SIGINT));
    assert_eq!(alone.err().text(), "");
}

#[test]
fn one_client_and_no_other() {
    for host in HOSTS {
        for program in CLIENTS {
            let (server, address) = server(&["--bind", host]);
            let first = client(program, address, &[]);
            first.types("g1").unwrap();
            first.says("Hi, g1").unwrap();
            let second = client(program, address, &[]);
            second.types("g2").unwrap();
            second.complains(REFUSED).unwrap();
            assert_eq!(second.ends().unwrap().ending, Ending::Exited(1));
            first.types("g3").unwrap();
            first.says("Hi, g3").unwrap();
            first.types("goodbye").unwrap();
            server.says("received 7 bytes: goodbye").unwrap();
            server.says("received 3 datagrams").unwrap();
            succeeds(&server);
            let said = server.out().text();
            assert!(!said.contains("g2"), "{said}");
            assert!(said.contains("connected to ") && said.contains("send bytes: 6\n"));
            // Nobody answers a goodbye. The next line finds nobody there.
            first.signal(Signal::SIGTERM);
            let end = first.ends().unwrap();
            assert_eq!(end.ending, Ending::Killed(Signal::SIGTERM));
        }
    }
}

#[test]
fn ctrl_c_and_sigterm_end_the_server() {
    for (signal, arguments) in [
        (Signal::SIGINT, &[][..]),
        (Signal::SIGTERM, &[]),
        (Signal::SIGTERM, &["--pause", "1000"]),
    ] {
        let (server, address) = server(arguments);
        let (socket, _) = socket("127.0.0.1");
        socket.send_to(b"g1", address).unwrap();
        server.says("received 2 bytes: g1").unwrap();
        server.signal(signal);
        server.says("received 1 datagrams").unwrap();
        succeeds(&server);
    }
}

/// A buffer that is exactly full, one byte more than that, and what follows; nothing of a longer datagram remains.
#[test]
fn e3_exactly_full_buffer_cut_datagram_and_no_stale_tail() {
    let (server, address) = server(&["--buffer", "8"]);
    let (socket, own) = socket("127.0.0.1");
    for (sent, answer) in [
        (&b"12345678"[..], &b"Hi, 12345678"[..]),
        (b"123456789", b"Hi, 12345678"),
        (b"x", b"Hi, x"),
        (b"", b"Hi, "),
        (b"\0\xff\x1b\n", b"Hi, \0\xff\x1b\n"),
    ] {
        socket.send_to(sent, address).unwrap();
        assert_eq!(receive(&socket), (answer.to_vec(), address));
    }
    server.signal(Signal::SIGTERM);
    succeeds(&server);
    let heard = format!(
        "listening on {address}\nreceived 8 bytes: 12345678\nconnected to {own}\nsend bytes: 12\n\
         received 8 bytes: 12345678\ncut: the datagram had 9 bytes, 1 are lost\nsend bytes: 12\n\
         received 1 bytes: x\nsend bytes: 5\nreceived 0 bytes: \nsend bytes: 4\n\
         received 4 bytes: \\0\\xff\\x1b\\n\nsend bytes: 8\nreceived 5 datagrams\n"
    );
    assert_eq!(server.out().text(), heard);
}

/// The clients, too, see that an answer was cut, and nothing of it shows in the next one.
#[test]
fn e3_a_cut_answer_is_reported() {
    for program in CLIENTS {
        let (server, address) = socket("127.0.0.1");
        let client = client(program, address, &["--buffer", "4"]);
        for (answer, said) in [
            (&b"1234"[..], "1234"),
            (b"12345", "cut: the answer had 5 bytes, 1 are lost"),
            (b"x", "x"),
        ] {
            client.types("g").unwrap();
            let (_, from) = receive(&server);
            server.send_to(answer, from).unwrap();
            client.says(said).unwrap();
        }
        client.closes_input();
        succeeds(&client);
        let said = client.out().text();
        assert!(said.ends_with("send bytes: 1\nx\n"), "{said}");
    }
}

/// With a timeout a client goes on, and what comes late is not taken for the next answer.
#[test]
fn e3_a_lost_datagram_does_not_block() {
    for program in CLIENTS {
        let (server, address) = socket("127.0.0.1");
        let client = client(program, address, &["--timeout", "0.05"]);
        client.types("g1").unwrap();
        let (message, from) = receive(&server);
        assert_eq!(message, b"g1");
        client
            .complains("no answer in time: Resource temporarily unavailable (os error 11)")
            .unwrap();
        server.send_to(b"Hi, g1", from).unwrap();
        client.types("g2").unwrap();
        client.says("late answer: Hi, g1").unwrap();
        client.complains("no answer in time").unwrap();
        client.closes_input();
        succeeds(&client);
    }
}

/// A stranger's datagram does not reach a connected client: the kernel refuses it. Without connect the client must look.
#[test]
fn e3_answers_of_strangers_are_ignored() {
    for host in HOSTS {
        for (program, arguments) in [
            (CLIENTS[0], &[][..]),
            (CLIENTS[1], &[]),
            (CLIENTS[0], &["--no-connect"]),
        ] {
            let ((server, address), (stranger, strange)) = (socket(host), socket(host));
            let client = client(program, address, arguments);
            client.types("g1").unwrap();
            let (_, from) = receive(&server);
            stranger.connect(from).unwrap();
            stranger.send(b"Hi, thief").unwrap();
            server.send_to(b"Hi, g1", from).unwrap();
            client.says("Hi, g1").unwrap();
            if arguments.is_empty() {
                let refused = stranger.send(b"again").unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
                assert_eq!(client.err().text(), "");
            } else {
                let ignored = format!("ignored 9 bytes from {strange}, which is not the server");
                client.complains(&ignored).unwrap();
            }
            assert!(!client.out().text().contains("thief"));
        }
    }
}

/// Stops a program, and returns when it stands still: proc_pid_stat(5). SIGCONT lets it go on.
fn halt(program: &Program) {
    program.signal(Signal::SIGSTOP);
    let stat = format!("/proc/{}/stat", program.pid());
    while !fs::read_to_string(&stat).unwrap().contains(") T ") {
        thread::yield_now();
    }
}

/// What a stranger sent before the server's connect is in its buffer, and the kernel does not take it out.
#[test]
fn e3_a_stranger_in_the_queue_is_ignored() {
    for host in HOSTS {
        let (server, address) = server(&["--bind", host]);
        let ((first, _), (stranger, strange)) = (socket(host), socket(host));
        halt(&server);
        // On the loopback a datagram is in the receiver's buffer when the call returns.
        first.send_to(b"g1", address).unwrap();
        stranger.send_to(b"g2", address).unwrap();
        server.signal(Signal::SIGCONT);
        assert_eq!(receive(&first).0, b"Hi, g1");
        server
            .complains(&format!(
                "ignored 2 bytes from {strange}, which came before the connect"
            ))
            .unwrap();
        first.send_to(b"g3", address).unwrap();
        assert_eq!(receive(&first).0, b"Hi, g3");
    }
}

/// The only client is gone, its answer cannot be delivered: the server says so and does not end.
#[test]
fn a_client_that_is_gone_is_no_end() {
    for host in HOSTS {
        let (server, address) = server(&["--bind", host]);
        let (gone, own) = socket(host);
        halt(&server);
        gone.send_to(b"g1", address).unwrap();
        gone.send_to(b"g2", address).unwrap();
        drop(gone);
        server.signal(Signal::SIGCONT);
        server.complains(REFUSED).unwrap();
        // The same port once more is the same client to the kernel.
        let again = UdpSocket::bind(own).unwrap();
        again
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        again.send_to(b"g3", address).unwrap();
        while receive(&again).0 != b"Hi, g3" {}
        again.send_to(&vec![b'x'; 65_507], address).unwrap();
        // The answer is too long over IPv4, and just fits over IPv6.
        if host == "127.0.0.1" {
            let error = "send: Message too long (os error 90)";
            server.complains(error).unwrap();
        } else {
            assert_eq!(receive(&again).0.len(), 65_511);
        }
        again.send_to(b"goodbye", address).unwrap();
        succeeds(&server);
    }
}

#[test]
fn long_lines_and_a_last_line_without_newline() {
    for program in CLIENTS {
        let (server, address) = socket("127.0.0.1");
        let sender = client(program, address, &["--no-wait"]);
        sender.types_bytes(b"one\n\xff\0\n\nlast").unwrap();
        sender.closes_input();
        succeeds(&sender);
        for line in [&b"one"[..], b"\xff\0", b"", b"last"] {
            assert_eq!(receive(&server).0, line);
        }
        let sender = client(program, address, &[]);
        sender.types(&"x".repeat(1 << 20)).unwrap();
        sender.complains("Message too long (os error 90)").unwrap();
        assert_eq!(sender.ends().unwrap().ending, Ending::Exited(1));
    }
}

#[test]
fn a_flood_says_what_it_cost() {
    for arguments in [
        &[CLIENTS[0]][..],
        &[CLIENTS[1]],
        &[CLIENTS[0], "--no-connect"],
    ] {
        let (server, address) = socket("127.0.0.1");
        let sender = client(
            arguments[0],
            address,
            &[&arguments[1..], &["--flood", "3"]].concat(),
        );
        sender.says("3 sends, ").unwrap();
        succeeds(&sender);
        for _ in 0..3 {
            assert_eq!(receive(&server).0, b"x");
        }
    }
}

#[test]
fn bad_addresses_and_busy_ports_are_clear_errors() {
    for program in CLIENTS {
        let unknown = chap_14(&[program, "no such host"]);
        unknown.complains("Error: resolve no such host: ").unwrap();
        assert_eq!(unknown.ends().unwrap().ending, Ending::Exited(1));
        for nothing in ["0", "-1", "soon"] {
            let refused = chap_14(&[program, "127.0.0.1", &format!("--timeout={nothing}")]);
            refused.complains("error: invalid value").unwrap();
            assert_eq!(refused.ends().unwrap().ending, Ending::Exited(2));
        }
    }
    let (_socket, address) = socket("127.0.0.1");
    let second = chap_14(&["udpconnectserver", "--port", &address.port().to_string()]);
    second
        .complains(&format!(
            "Error: bind {address}: Address already in use (os error 98)"
        ))
        .unwrap();
    for arguments in [
        &["broadcast", "::1"][..],
        &["multicast", "send", "127.0.0.1"],
        &["multicast", "receive", "nonsense"],
    ] {
        let refused = chap_14(arguments);
        refused.complains("error: invalid value").unwrap();
        assert_eq!(refused.ends().unwrap().ending, Ending::Exited(2));
    }
    let nowhere = chap_14(&["multicast", "receive", "239.1.2.3", "--interface", "no0"]);
    nowhere
        .complains("Error: if_nametoindex no0: No such device (os error 19)")
        .unwrap();
}

// udpreconnect

#[test]
fn connect_again_and_dissolve() {
    for host in HOSTS {
        let ((first, one), (second, two)) = (socket(host), socket(host));
        let option: &[&str] = if host == "::1" { &["--ipv6"] } else { &[] };
        let program = chap_14(&[&["udpreconnect"], option].concat());
        program.types(&format!("connect {one}")).unwrap();
        let local = program.says("local address ").unwrap().rest();
        let (local, _) = local.split_once(',').unwrap();
        program.types("send a").unwrap();
        assert_eq!(receive(&first), (b"a".to_vec(), local.parse().unwrap()));
        program.types(&format!("connect {two}")).unwrap();
        program
            .says(&format!("local address {local}, peer {two}"))
            .unwrap();
        program.types("send b").unwrap();
        assert_eq!(receive(&second), (b"b".to_vec(), local.parse().unwrap()));
        // The first one is a stranger now.
        first.connect(local).unwrap();
        first.send(b"x").unwrap();
        assert!(first.send(b"x").is_err());
        // An address in the call wins over the peer.
        program.types(&format!("sendto {one} c")).unwrap();
        program.says("send bytes: 1").unwrap();

        program.types("dissolve").unwrap();
        let any = if host == "::1" { "[::]:0" } else { "0.0.0.0:0" };
        program
            .says(&format!("local address {any}, no peer"))
            .unwrap();
        program.types("send d").unwrap();
        program
            .complains("send: Destination address required (os error 89)")
            .unwrap();
        program.types(&format!("sendto {two} e")).unwrap();
        let (data, from) = receive(&second);
        assert_eq!(data, b"e");
        second.send_to(b"Hi, e", from).unwrap();
        program
            .says(&format!("received 5 bytes from {two}: Hi, e"))
            .unwrap();
        program.closes_input();
        succeeds(&program);
    }
}

#[test]
fn unknown_commands_are_no_end() {
    let program = chap_14(&["udpreconnect"]);
    for line in ["", "nonsense", "connect", "connect here", "sendto x y"] {
        program.types(line).unwrap();
        program.complains("the commands are: ").unwrap();
    }
    program.types_bytes(b"\xff\0\n").unwrap();
    program.complains("the commands are: ").unwrap();
    program.types(&"x".repeat(1 << 20)).unwrap();
    program.complains("the commands are: ").unwrap();
    let (_nobody, alone) = nobody("127.0.0.1");
    program.types(&format!("connect {alone}")).unwrap();
    program.types("send a").unwrap();
    program.complains(&format!("recvmsg: {REFUSED}")).unwrap();
    program.closes_input();
    succeeds(&program);
}

// multicast and broadcast

/// A free port, for those who bind to a group.
fn member(group: &str, arguments: &[&str]) -> (Program, String) {
    let all = [
        "multicast",
        "receive",
        group,
        "--interface",
        "lo",
        "--port",
        "0",
    ];
    let member = chap_14(&[&all[..], arguments].concat());
    let port = member.listens().unwrap().port().to_string();
    (member, port)
}

#[test]
fn a_group_hears_and_answers() {
    const GROUP: &str = "239.14.1.1";
    for (options, answered) in [
        (&[][..], true),
        (&["--ttl", "0"], true),
        (&["--connect"], false),
    ] {
        let (first, port) = member(GROUP, &["--answer"]);
        let arguments = ["multicast", "receive", GROUP, "--interface", "lo", "--port"];
        let second = chap_14(&[&arguments[..], &[&port]].concat());
        second.listens().unwrap();
        let arguments = ["multicast", "send", GROUP, "--interface", "lo", "--port"];
        let sender = chap_14(&[&arguments[..], &[&port], options].concat());
        for (line, heard) in [
            (&b"g1"[..], "2 bytes: g1"),
            (b"", "0 bytes: "),
            (b"\xff\0", r"2 bytes: \xff\0"),
        ] {
            sender.types_bytes(&[line, b"\n"].concat()).unwrap();
            for member in [&first, &second] {
                member.says(&format!("received {heard}")).unwrap();
            }
        }
        let answer = format!("received 6 bytes from 127.0.0.1:{port}: Hi, g1");
        if answered {
            sender.says(&answer).unwrap();
        }
        sender.closes_input();
        succeeds(&sender);
        assert_eq!(sender.out().text().contains(&answer), answered);
        for (member, signal) in [(first, Signal::SIGINT), (second, Signal::SIGTERM)] {
            member.signal(signal);
            member.says("received 3 datagrams").unwrap();
            succeeds(&member);
        }
    }
}

/// Whoever binds to the group's address and does not join hears nothing, as long as nobody else on the host has joined.
#[test]
fn who_stays_out_hears_nothing() {
    const GROUP: &str = "239.14.1.2";
    let (outsider, port) = member(GROUP, &["--stay-out"]);
    let arguments = ["multicast", "send", GROUP, "--interface", "lo", "--port"];
    let sender = chap_14(&[&arguments[..], &[&port]].concat());
    sender.types("g1").unwrap();
    sender.says("send bytes: 2").unwrap();
    sender.closes_input();
    succeeds(&sender);
    outsider.signal(Signal::SIGTERM);
    outsider.says("received 0 datagrams").unwrap();
    succeeds(&outsider);
}

#[test]
fn broadcast_needs_the_option() {
    let everybody = "127.255.255.255";
    let (receiver, address) = socket("0.0.0.0");
    let port = address.port().to_string();
    let start = |options: &[&str]| {
        let program = chap_14(&[&["broadcast", everybody, "--port", &port], options].concat());
        // Not heard by the program that fails in its connect.
        let _ = program.types("g1");
        program
    };
    for (options, call) in [(&[][..], "sendto"), (&["--connect"], "connect")] {
        let refused = start(options);
        let error = format!("Error: {call} {everybody}:{port}: Permission denied (os error 13)");
        refused.complains(&error).unwrap();
        assert_eq!(refused.ends().unwrap().ending, Ending::Exited(1));
    }
    let sender = start(&["--allow"]);
    let (data, from) = receive(&receiver);
    assert_eq!(data, b"g1");
    receiver.send_to(b"Hi, g1", from).unwrap();
    sender
        .says(&format!("received 6 bytes from 127.0.0.1:{port}: Hi, g1"))
        .unwrap();
    sender.signal(Signal::SIGTERM);
    let end = sender.ends().unwrap();
    assert_eq!(end.ending, Ending::Killed(Signal::SIGTERM));

    // Connected, it sends; the answer comes from another address than the one it is connected to.
    let sender = start(&["--allow", "--connect"]);
    let (_, from) = receive(&receiver);
    let answering = UdpSocket::bind("127.0.0.1:0").unwrap();
    answering.connect(from).unwrap();
    answering.send(b"Hi, g1").unwrap();
    while answering.send(b"again").is_ok() {
        thread::yield_now();
    }
    sender.closes_input();
    succeeds(&sender);
    assert_eq!(sender.out().text(), "send bytes: 2\n");
}
