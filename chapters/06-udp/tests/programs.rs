//! The lesson's programs, over real sockets.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::Duration;

use drive::{Ending, Program, Signal};

/// More than any datagram holds.
const LARGEST: usize = 65_535;

fn chap_6(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-6"));
    Program::start(arguments[0], command.args(arguments)).unwrap()
}

/// A server on a free port, and its address.
fn udpserver(arguments: &[&str]) -> (Program, SocketAddr) {
    let server = chap_6(&[&["udpserver", "--port", "0"], arguments].concat());
    let address = server.listens().unwrap();
    (server, address)
}

/// A client of the server at `address`.
fn client(program: &[&str], address: SocketAddr, arguments: &[&str]) -> Program {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    chap_6(&[program, &[&host, "--port", &port], arguments].concat())
}

fn udpclient(address: SocketAddr, arguments: &[&str]) -> Program {
    client(&["udpclient"], address, arguments)
}

fn reliable_client(address: SocketAddr, arguments: &[&str]) -> Program {
    client(&["udp-reliable", "client"], address, arguments)
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

#[test]
fn two_clients_in_turn_and_a_server_that_is_started_again() {
    for (host, signal) in [("127.0.0.1", Signal::SIGINT), ("::1", Signal::SIGTERM)] {
        let (server, address) = udpserver(&["--bind", host]);
        let clients = [udpclient(address, &[]), udpclient(address, &[])];
        let exchange = |server: &Program, line: usize| {
            let client = &clients[(line + 1) % 2];
            client.types(&format!("g{line}")).unwrap();
            server.says(&format!("received 2 bytes: g{line}")).unwrap();
            client.says(&format!("Hi, g{line}")).unwrap();
        };
        (1..=4).for_each(|line| exchange(&server, line));
        server.signal(signal);
        server.says("received 4 datagrams").unwrap();
        assert!(server.ends().unwrap().success());
        assert!(!server.out().text().contains("dropped"));

        let port = address.port().to_string();
        let server = chap_6(&["udpserver", "--bind", host, "--port", &port]);
        assert_eq!(server.listens().unwrap(), address);
        (5..=6).for_each(|line| exchange(&server, line));
        for (client, lines) in clients.iter().zip([[1, 3, 5], [2, 4, 6]]) {
            client.closes_input();
            assert!(client.ends().unwrap().success());
            let said = lines.map(|n| format!("now sending g{n}\nsend bytes: 2\nHi, g{n}\n"));
            assert_eq!(client.out().text(), said.concat());
            assert_eq!(client.err().text(), "");
        }
    }
}

/// A buffer that is exactly full, one byte more than that, and what follows; nothing of a longer datagram remains.
#[test]
fn e3_exactly_full_buffer_cut_datagram_and_no_stale_tail() {
    let (server, address) = udpserver(&["--buffer", "8"]);
    let (socket, _) = socket("127.0.0.1");
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
    assert!(server.ends().unwrap().success());
    let heard = [
        "received 8 bytes: 12345678",
        "received 8 bytes: 12345678",
        "cut: the datagram had 9 bytes, 1 are lost",
        "received 1 bytes: x",
        "received 0 bytes: ",
        r"received 4 bytes: \0\xff\x1b\n",
        "received 5 datagrams",
    ];
    let lines = server.out().lines();
    let lines: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(lines[1..], heard);
}

/// The largest datagram has no room for "Hi, ": its answer cannot be sent, and the next client is served.
#[test]
fn an_answer_that_cannot_be_sent_is_no_end() {
    for (host, largest) in [("127.0.0.1", 65_507), ("::1", 65_527)] {
        let (server, address) = udpserver(&["--bind", host]);
        let (socket, own) = socket(host);
        socket.send_to(&vec![b'x'; largest], address).unwrap();
        server
            .complains(&format!("sendto {own}: Message too long (os error 90)"))
            .unwrap();
        socket.send_to(&vec![b'y'; largest - 4], address).unwrap();
        assert_eq!(receive(&socket).0.len(), largest);
    }
}

/// While the server is busy its buffer runs over. The sender sees nothing of it, the server's kernel counts.
#[test]
fn a_full_receive_buffer_is_counted() {
    for host in ["127.0.0.1", "::1"] {
        let (server, address) = udpserver(&["--bind", host, "--rcvbuf", "1", "--pause", "1000"]);
        // The kernel's least, SOCK_MIN_RCVBUF.
        assert_eq!(
            server.says("receive buffer: ").unwrap().rest(),
            "2304 bytes"
        );
        let sender = udpclient(address, &["--no-wait"]);
        sender.types("first").unwrap();
        server.says("received 5 bytes: first").unwrap();
        for _ in 0..100 {
            sender.types(&"x".repeat(1000)).unwrap();
        }
        sender.closes_input();
        assert!(sender.ends().unwrap().success());
        assert_eq!(
            sender.out().text().matches("send bytes: 1000\n").count(),
            100
        );
        // In the middle of its pause, too.
        server.signal(Signal::SIGTERM);
        server.says("received 1 datagrams").unwrap();
        let dropped = server.says("dropped by the kernel: ").unwrap().rest();
        let dropped = dropped.strip_suffix(" datagrams").unwrap();
        let dropped: u32 = dropped.parse().unwrap();
        assert!((90..100).contains(&dropped), "{dropped}");
        assert!(server.ends().unwrap().success());
    }
}

/// Without a timeout a client alone waits for ever, but not longer than until Ctrl-C.
#[test]
fn a_client_alone_waits() {
    let (socket, address) = socket("127.0.0.1");
    drop(socket);
    let client = udpclient(address, &[]);
    client.types("g1").unwrap();
    client.says("send bytes: 2").unwrap();
    client.types("g2").unwrap();
    client.signal(Signal::SIGINT);
    assert_eq!(
        client.ends().unwrap().ending,
        Ending::Killed(Signal::SIGINT)
    );
    assert_eq!(client.out().text(), "now sending g1\nsend bytes: 2\n");
}

/// With a timeout it goes on, and what comes late is not taken for the next answer.
#[test]
fn e3_a_lost_datagram_does_not_block() {
    let (server, address) = socket("127.0.0.1");
    let client = udpclient(address, &["--timeout", "0.05"]);
    client.types("g1").unwrap();
    let (message, from) = receive(&server);
    assert_eq!(message, b"g1");
    client
        .complains("no answer in time: recvmsg: Resource temporarily unavailable (os error 11)")
        .unwrap();
    server.send_to(b"Hi, g1", from).unwrap();
    client.types("g2").unwrap();
    client.says("late answer: Hi, g1").unwrap();
    client.complains("no answer in time").unwrap();
    client.closes_input();
    assert!(client.ends().unwrap().success());
}

/// Anybody can send to the client's port. Only the server's answers count, and strangers do not stretch the timeout.
#[test]
fn e3_answers_of_strangers_are_ignored() {
    for host in ["127.0.0.1", "::1"] {
        let ((server, address), (stranger, strange)) = (socket(host), socket(host));
        let client = udpclient(address, &[]);
        client.types("g1").unwrap();
        let (_, from) = receive(&server);
        stranger.send_to(b"Hi, thief", from).unwrap();
        server.send_to(b"Hi, g1", from).unwrap();
        client.says("Hi, g1").unwrap();
        client
            .complains(&format!(
                "ignored 9 bytes from {strange}, which is not the server"
            ))
            .unwrap();
        assert!(!client.out().text().contains("thief"));
    }
    let ((server, address), (stranger, _)) = (socket("127.0.0.1"), socket("127.0.0.1"));
    let client = udpclient(address, &["--timeout", "0.2"]);
    client.types("g1").unwrap();
    let (_, from) = receive(&server);
    while !client.err().text().contains("no answer in time") {
        stranger.send_to(b"", from).unwrap();
        thread::sleep(Duration::from_millis(1)); // the pace of the stranger, not a wait
    }
}

#[test]
fn a_cut_answer_is_reported() {
    let (_server, address) = udpserver(&[]);
    let client = udpclient(address, &["--buffer", "4"]);
    client.types("g1").unwrap();
    client
        .says("cut: the answer had 6 bytes, 2 are lost")
        .unwrap();
    client.says("Hi, ").unwrap();
    client.types("").unwrap();
    client.says("send bytes: 0").unwrap();
    client.says("Hi, ").unwrap();
    client.closes_input();
    assert!(client.ends().unwrap().success());
}

/// How large a datagram can be: the length field of UDP is 16 bits wide, and counts the headers.
#[test]
fn the_largest_datagram() {
    for (host, largest) in [("127.0.0.1", 65_507), ("::1", 65_527)] {
        let (server, address) = socket(host);
        let fits = udpclient(address, &["--no-wait", "--size", &largest.to_string()]);
        assert_eq!(receive(&server).0, vec![b'x'; largest]);
        assert!(fits.ends().unwrap().success());
        let said = format!("now sending {largest} bytes\nsend bytes: {largest}\n");
        assert_eq!(fits.out().text(), said);

        let too_long = udpclient(address, &["--size", &(largest + 1).to_string()]);
        assert_eq!(too_long.ends().unwrap().ending, Ending::Exited(1));
        assert_eq!(
            too_long.err().text(),
            format!("Error: sendto {address}: Message too long (os error 90)\n")
        );
    }
}

#[test]
fn long_lines_and_a_last_line_without_newline() {
    let (server, address) = socket("127.0.0.1");
    let client = udpclient(address, &["--no-wait"]);
    client.types_bytes(b"one\n\xff\0\nlast").unwrap();
    client.closes_input();
    assert!(client.ends().unwrap().success());
    for line in [&b"one"[..], b"\xff\0", b"last"] {
        assert_eq!(receive(&server).0, line);
    }
    for program in [udpclient(address, &[]), reliable_client(address, &[])] {
        program.types(&"x".repeat(1 << 20)).unwrap();
        program.complains("Message too long (os error 90)").unwrap();
        assert_eq!(program.ends().unwrap().ending, Ending::Exited(1));
    }
}

#[test]
fn bad_addresses_and_busy_ports_are_clear_errors() {
    for program in [&["udpclient"][..], &["udp-reliable", "client"]] {
        let unknown = chap_6(&[program, &["no such host"]].concat());
        unknown.complains("Error: resolve no such host: ").unwrap();
        assert_eq!(unknown.ends().unwrap().ending, Ending::Exited(1));
    }
    for program in [&["udpserver"][..], &["udp-reliable", "server"]] {
        let (_socket, address) = socket("127.0.0.1");
        let second = chap_6(&[program, &["--port", &address.port().to_string()]].concat());
        second
            .complains(&format!(
                "Error: bind {address}: Address already in use (os error 98)"
            ))
            .unwrap();
        let elsewhere = chap_6(&[program, &["--port", "0", "--bind", "192.0.2.1"]].concat());
        elsewhere
            .complains("Error: bind 192.0.2.1:0: Cannot assign requested address (os error 99)")
            .unwrap();
    }
    for nothing in ["0", "-1", "soon"] {
        let refused = chap_6(&["udpclient", "127.0.0.1", &format!("--timeout={nothing}")]);
        refused.complains("error: invalid value").unwrap();
        assert_eq!(refused.ends().unwrap().ending, Ending::Exited(2));
    }
}

// udp-reliable. Its wire format is written out here once more, so that it cannot change unseen.

const SESSION: u32 = 0x0a0b_0c0d;

fn data(number: u64, line: &str) -> Vec<u8> {
    let head = [[0, 0, 0, 1], SESSION.to_be_bytes()].concat();
    [&head, &number.to_be_bytes()[..], line.as_bytes()].concat()
}

fn ack(session: &[u8], number: u64, next: u64) -> Vec<u8> {
    let numbers = [number.to_be_bytes(), next.to_be_bytes()].concat();
    [&[0, 0, 0, 2], session, &numbers].concat()
}

fn reliable_server(host: &str) -> (Program, SocketAddr) {
    let server = chap_6(&["udp-reliable", "server", "--port", "0", "--bind", host]);
    let address = server.listens().unwrap();
    (server, address)
}

#[test]
fn reliable_lines_arrive() {
    for (host, signal) in [("127.0.0.1", Signal::SIGINT), ("::1", Signal::SIGTERM)] {
        let (server, address) = reliable_server(host);
        let client = reliable_client(address, &["--timeout", "9"]);
        for line in 0..20 {
            client.types(&format!("line {line}")).unwrap();
        }
        client.types_bytes(b"\n\xff\0").unwrap();
        client.closes_input();
        client.says("everything acknowledged: 22 lines").unwrap();
        assert!(client.ends().unwrap().success());
        assert_eq!(client.err().text(), "");
        server.signal(signal);
        assert!(server.ends().unwrap().success());
        let mut heard = format!("listening on {address}\n");
        for line in (0..20).map(|line| format!("line {line}")) {
            heard += &format!("received {} bytes: {line}\n", line.len());
        }
        heard += "received 0 bytes: \nreceived 2 bytes: \\xff\\0\n";
        heard += "received 22 datagrams, delivered 22 lines\n";
        assert_eq!(server.out().text(), heard);
    }
}

#[test]
fn the_server_orders_and_drops_doubles() {
    let (server, address) = reliable_server("127.0.0.1");
    let (client, own) = socket("127.0.0.1");
    let session = SESSION.to_be_bytes();
    for (datagram, answer) in [
        (data(1, "b"), Some((1, 0))), // early
        (data(1, "b"), Some((1, 0))), // double
        (data(8, "i"), None),         // beyond the window
        (b"garbage".to_vec(), None),  // not of this protocol
        (ack(&session, 0, 0), None),  // nor for a server
        (data(0, "a"), Some((0, 2))), // both are delivered
        (data(0, "a"), Some((0, 2))), // double
        (data(u64::MAX, "z"), None),  // far beyond
        (data(3, ""), Some((3, 2))),  // early, and empty
        (data(2, "c"), Some((2, 4))),
    ] {
        client.send_to(&datagram, address).unwrap();
        if let Some((number, next)) = answer {
            assert_eq!(receive(&client), (ack(&session, number, next), address));
        }
    }
    // Another client of the same session number is somebody else; a session that began elsewhere is not taken up.
    let (other, elsewhere) = socket("127.0.0.1");
    other.send_to(&data(9, "z"), address).unwrap();
    other.send_to(&data(0, "A"), address).unwrap();
    assert_eq!(receive(&other).0, ack(&session, 0, 1));

    server.signal(Signal::SIGTERM);
    assert!(server.ends().unwrap().success());
    let heard = [
        "received 1 bytes: a",
        "received 1 bytes: b",
        "received 1 bytes: c",
        "received 0 bytes: ",
        "received 1 bytes: A",
        "received 12 datagrams, delivered 5 lines",
    ];
    let lines = server.out().lines();
    let lines: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(lines[1..], heard);
    let complaints = format!(
        "line 1 from {own} waits for 0\nline 1 from {own} came again\nline 8 from {own} is beyond the window\n\
         ignored 7 bytes from {own}\nignored 24 bytes from {own}\nline 0 from {own} came again\n\
         line {} from {own} is beyond the window\nline 3 from {own} waits for 2\n\
         ignored line 9 of a session that began without us, from {elsewhere}\n",
        u64::MAX
    );
    assert_eq!(server.err().text(), complaints);
}

/// The client sends a window of lines, again what is lost and only that, and believes the server alone.
#[test]
fn the_client_sends_again_what_is_lost() {
    let ((server, address), (stranger, strange)) = (socket("127.0.0.1"), socket("127.0.0.1"));
    let client = reliable_client(address, &["--timeout", "2"]);
    for line in 0..10 {
        client.types(&line.to_string()).unwrap();
    }
    client.closes_input();
    let (first, from) = receive(&server);
    let session = first[4..8].to_vec();
    let expected = |number: u64| {
        let head = [&[0, 0, 0, 1], &session[..], &number.to_be_bytes()].concat();
        [&head, number.to_string().as_bytes()].concat()
    };
    assert_eq!(first, expected(0));
    for number in 1..8 {
        assert_eq!(receive(&server).0, expected(number));
        server.send_to(&ack(&session, number, 0), from).unwrap();
    }
    // Line 0 is lost. None of these says anything else, and the window stays shut.
    stranger.send_to(&ack(&session, 0, 8), from).unwrap();
    server.send_to(&ack(b"else", 0, 8), from).unwrap();
    server.send_to(&ack(&session, 0, 0), from).unwrap();
    server.send_to(&ack(&session, 0, 99), from).unwrap();
    server.send_to(b"garbage", from).unwrap();
    assert_eq!(receive(&server).0, expected(0));
    client.says("sending 0 again, try 2 of 6").unwrap();
    server.send_to(&ack(&session, 0, 8), from).unwrap();
    assert_eq!(receive(&server).0, expected(8));
    assert_eq!(receive(&server).0, expected(9));
    // The last two acknowledgements change places.
    server.send_to(&ack(&session, 9, 10), from).unwrap();
    server.send_to(&ack(&session, 8, 9), from).unwrap();
    client.says("everything acknowledged: 10 lines").unwrap();
    assert!(client.ends().unwrap().success());
    for complaint in [
        format!("ignored 24 bytes from {strange}"),
        format!("ignored 24 bytes from {address}"),
        format!("ignored 7 bytes from {address}"),
    ] {
        client.complains(&complaint).unwrap();
    }
}

#[test]
fn the_client_gives_up_and_says_so() {
    let (server, address) = socket("127.0.0.1");
    let client = reliable_client(address, &["--timeout", "0.01", "--tries", "3"]);
    client.types("g1").unwrap();
    client.closes_input();
    client
        .complains("Error: no acknowledgement of 0 after 3 tries")
        .unwrap();
    assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
    server.set_nonblocking(true).unwrap();
    let mut datagrams = 0;
    while server.recv_from(&mut [0; 64]).is_ok() {
        datagrams += 1;
    }
    assert_eq!(datagrams, 3);
}

/// Both ends against a wire that drops every fifth datagram, doubles every third and swaps two now and then.
#[test]
fn a_bad_wire_changes_nothing() {
    let (server, address) = reliable_server("127.0.0.1");
    let (wire, entry) = socket("127.0.0.1");
    thread::spawn(move || {
        let (mut client, mut held, mut count) = (None, None, 0);
        // Ends with the test, or for lack of datagrams.
        loop {
            let (datagram, from) = receive(&wire);
            if from != address {
                client = Some(from);
            }
            let Some(client) = client else { continue };
            let to = if from == address { client } else { address };
            count += 1;
            if count % 5 == 0 {
                continue;
            }
            if count % 7 == 0 && held.is_none() {
                held = Some((datagram, to));
                continue;
            }
            for _ in 0..if count % 3 == 0 { 2 } else { 1 } {
                let _ = wire.send_to(&datagram, to);
            }
            if let Some((late, to)) = held.take() {
                let _ = wire.send_to(&late, to);
            }
        }
    });
    let client = reliable_client(entry, &["--timeout", "0.01", "--tries", "20"]);
    for line in 0..100 {
        client.types(&format!("line {line}")).unwrap();
    }
    client.closes_input();
    client.says("everything acknowledged: 100 lines").unwrap();
    assert!(client.ends().unwrap().success());
    server.signal(Signal::SIGTERM);
    assert!(server.ends().unwrap().success());
    let text = server.out().text();
    let heard: Vec<_> = text.lines().filter(|line| line.contains("line ")).collect();
    let lines = (0..100).map(|line| format!("line {line}"));
    let lines: Vec<_> = lines
        .map(|line| format!("received {} bytes: {line}", line.len()))
        .collect();
    assert_eq!(heard, lines);
    assert!(client.out().text().contains(" again, try 2 of 20"));
    assert!(server.err().text().contains(" came again"));
}
