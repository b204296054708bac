//! The lesson's programs, over real sockets.

use std::fs::read_to_string;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread::spawn;
use std::time::Duration;

use drive::{Ending, Program, Signal, awaits, connect, reset};

const PROGRAMS: [&str; 4] = ["batchwrite", "nagle", "window", "congestion"];

fn chap_13(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-13"));
    Program::start(arguments[0], command.args(arguments)).unwrap()
}

/// A server on a free port, and its address.
fn server(program: &str, arguments: &[&str]) -> (Program, SocketAddr) {
    let server = chap_13(&[&[program, "--serve", "--port", "0"], arguments].concat());
    let address = server.listens().unwrap();
    (server, address)
}

fn client(program: &str, server: SocketAddr, arguments: &[&str]) -> Program {
    let (host, port) = (server.ip().to_string(), server.port().to_string());
    chap_13(&[&[program, &host, "--port", &port], arguments].concat())
}

/// A connection on which nothing waits for ever.
fn impatient(stream: TcpStream) -> TcpStream {
    let limit = Some(Duration::from_secs(20));
    stream.set_read_timeout(limit).unwrap();
    stream.set_write_timeout(limit).unwrap();
    stream
}

/// Waits until the server has read all that was sent to it, by its receive queue in the kernel's table, proc(5).
fn await_read(stream: &TcpStream, server: SocketAddr) {
    let port = stream.local_addr().unwrap().port();
    let (local, remote) = (format!(":{:04X}", server.port()), format!(":{port:04X}"));
    awaits("the server reads", || {
        let table = read_to_string("/proc/net/tcp").unwrap();
        table.lines().any(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            fields[1].ends_with(&local)
                && fields[2].ends_with(&remote)
                && fields[4].ends_with(":00000000")
        })
    });
}

/// What batchwrite puts into the stream for this input, and what it says.
fn sent(input: &[u8], arguments: &[&str]) -> (Vec<u8>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = client("batchwrite", listener.local_addr().unwrap(), arguments);
    let mut stream = impatient(listener.accept().unwrap().0);
    client.types_bytes(input).unwrap();
    client.closes_input();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    drop(stream);
    assert!(client.ends().unwrap().success());
    (heard, client.out().text())
}

#[test]
fn two_buffers_are_one_message() {
    for (host, signal) in [("127.0.0.1", Signal::SIGINT), ("::1", Signal::SIGTERM)] {
        let (server, address) = server("batchwrite", &["--bind", host]);
        let client = client("batchwrite", address, &[]);
        client.types("world").unwrap();
        server.says(r"received 12 bytes: hello,world\n").unwrap();
        client.types("network").unwrap();
        server.says(r"received 14 bytes: hello,network\n").unwrap();
        client.closes_input();
        assert!(client.ends().unwrap().success());
        server.says("client closed").unwrap();
        assert_eq!(client.out().text(), "send bytes: 12\nsend bytes: 14\n");
        server.signal(signal);
        assert!(server.ends().unwrap().success());
        assert_eq!(server.err().text() + &client.err().text(), "");
    }
}

#[test]
fn lines_are_sent_as_they_are() {
    for call in [&[][..], &["--sendmsg"]] {
        assert_eq!(sent(b"", call), (Vec::new(), String::new()));
        let (bytes, said) = sent(b"\nlast", call);
        assert_eq!(bytes, b"hello,\nhello,last");
        assert_eq!(said, "send bytes: 7\nsend bytes: 10\n");
        let (bytes, _) = sent(b"\xff\0\r\n", call);
        assert_eq!(bytes, b"hello,\xff\0\r\n");
    }
    let (bytes, _) = sent(b"ab\n", &["--copies", "3"]);
    assert_eq!(bytes, b"hello,ab\nab\nab\n");
    let line = [&vec![b'x'; 1 << 20][..], b"\n"].concat();
    let (bytes, _) = sent(&line, &["--sndbuf", "4096"]);
    assert!(bytes == [b"hello,", &line[..]].concat());
}

/// A signal in the middle of a writev: the original took the count for the whole.
#[test]
fn e3_a_partial_writev_is_completed() {
    let line = vec![b'y'; 1 << 20];
    for once in [false, true] {
        let (server, address) = server("window", &["--rcvbuf", "4096"]);
        let options = ["--sndbuf", "4096", "--copies", "8"];
        let options = [&options[..], if once { &["--once"] } else { &[] }].concat();
        let client = client("batchwrite", address, &options);
        client.types_bytes(&[&line[..], b"\n"].concat()).unwrap();
        server.says("client connected").unwrap();
        let syscall = format!("/proc/{}/syscall", client.pid());
        let writev = format!("{} ", libc::SYS_writev);
        awaits("it waits in writev", || {
            read_to_string(&syscall).unwrap().starts_with(&writev)
        });
        client.signal(Signal::SIGUSR1);
        let first = client.says("send bytes: ").unwrap().rest();
        let first: usize = first.parse().unwrap();
        let whole = 6 + 8 * (line.len() + 1);
        assert!((1..whole).contains(&first), "{first}");
        server.types("all").unwrap();
        client.closes_input();
        assert!(client.ends().unwrap().success());
        let came = if once { first } else { whole };
        server
            .says(&format!("client closed after {came} bytes"))
            .unwrap();
    }
}

#[test]
fn the_limit_of_buffers() {
    let (_server, address) = server("batchwrite", &[]);
    for (copies, option, ending, complaint) in [
        ("1023", None, 0, ""),
        ("1023", Some("--sendmsg"), 0, ""),
        (
            "1024",
            None,
            1,
            "Error: writev: Invalid argument (os error 22)\n",
        ),
        (
            "1024",
            Some("--sendmsg"),
            1,
            "Error: sendmsg: Message too long (os error 90)\n",
        ),
    ] {
        let mut options = vec!["--copies", copies];
        options.extend(option);
        let client = client("batchwrite", address, &options);
        client.types("x").unwrap();
        client.closes_input();
        assert_eq!(client.ends().unwrap().ending, Ending::Exited(ending));
        assert_eq!(client.err().text(), complaint);
    }
}

#[test]
fn every_mode_gets_its_answers() {
    for host in ["127.0.0.1", "::1"] {
        let (server, address) = server("nagle", &["--bind", host]);
        let client = client("nagle", address, &["--requests", "2"]);
        assert!(client.ends().unwrap().success());
        let lines = client.out().lines();
        let begins: Vec<_> = lines
            .iter()
            .map(|line| line.text.split(':').next().unwrap())
            .collect();
        let expected = [
            "two-writes 1",
            "two-writes 2",
            "writev 1",
            "writev 2",
            "nodelay 1",
            "nodelay 2",
            "cork 1",
            "cork 2",
            "quickack 1",
            "quickack 2",
        ];
        assert_eq!(begins, expected);
        for _ in 0..5 {
            server.says("client closed after 2 requests").unwrap();
        }
    }
}

/// The server answers each newline, in whatever segments it comes.
#[test]
fn requests_in_any_pieces() {
    let (server, address) = server("nagle", &[]);
    let mut stream = connect(address);
    stream.set_nodelay(true).unwrap();
    let mut answer = [0; 3];
    for part in [&b"quick,"[..], b"\xff\0", b"world\nhello,world\n"] {
        stream.write_all(part).unwrap();
    }
    for _ in 0..2 {
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"ok\n");
    }
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut answer).unwrap(), 0);
    server.says("client closed after 2 requests").unwrap();
}

#[test]
fn nagle_meets_another_server() {
    for (says, complaint) in [
        (
            &b"no\n"[..],
            "Error: this is not the server of this lesson\n",
        ),
        (b"o", "Error: server terminated\n"),
        (b"", "Error: server terminated\n"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = client(
            "nagle",
            listener.local_addr().unwrap(),
            &["--mode", "writev"],
        );
        let mut stream = impatient(listener.accept().unwrap().0);
        let mut request = [0; 12];
        stream.read_exact(&mut request).unwrap();
        assert_eq!(&request, b"hello,world\n");
        stream.write_all(says).unwrap();
        stream.shutdown(Shutdown::Both).unwrap();
        assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
        assert_eq!(client.err().text(), complaint);
    }
}

#[test]
fn a_receiver_that_reads_when_it_is_told_to() {
    for host in ["127.0.0.1", "::1"] {
        let (server, address) = server("window", &["--bind", host]);
        let client = client("window", address, &["--bytes", "1000"]);
        client.says("send bytes: 1000").unwrap();
        server.says("client connected").unwrap();
        server.types("write 1").unwrap();
        server.complains("unknown command: write 1").unwrap();
        server.types("read 1").unwrap();
        server.says("1 reads, 999 bytes unread, window ").unwrap();
        server.types("read 2 10").unwrap();
        server.says("10 reads, 979 bytes unread, window ").unwrap();
        server.types("").unwrap();
        server.says("0 reads, 979 bytes unread, window ").unwrap();
        server.types("all").unwrap();
        server.says("client closed after 1000 bytes").unwrap();
        assert!(client.ends().unwrap().success());
    }
}

/// Every byte in its place; and without a keyboard the server reads everything, client after client.
#[test]
fn the_sender_sends_what_it_says() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let sender = client(
        "window",
        address,
        &["--bytes", "300000", "--sndbuf", "4096"],
    );
    let mut stream = impatient(listener.accept().unwrap().0);
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    drop(stream);
    assert!(sender.ends().unwrap().success());
    assert!(
        heard
            .iter()
            .copied()
            .eq((0..300_000_u32).map(|number| number as u8))
    );

    let (server, address) = server("window", &["--rcvbuf", "4096"]);
    server.types_bytes(b"nonsense").unwrap();
    server.closes_input();
    for _ in 0..2 {
        let sender = client("window", address, &["--bytes", "300000"]);
        server.says("client closed after 300000 bytes").unwrap();
        assert!(sender.ends().unwrap().success());
    }
}

#[test]
fn congestion_controls_are_listed_and_set() {
    let list = chap_13(&["congestion"]);
    list.says("available: ").unwrap();
    list.says("allowed for everybody: ").unwrap();
    list.says("default: ").unwrap();
    assert!(list.ends().unwrap().success());

    for host in ["127.0.0.1", "::1"] {
        let (server, address) = server("congestion", &["--bind", host]);
        // Every kernel has reno, and everybody may use it.
        let sender = client(
            "congestion",
            address,
            &["--set", "reno", "--bytes", "500000"],
        );
        sender.says("congestion control: reno").unwrap();
        sender
            .says("0 ms: cwnd 10, ssthresh none, under way 0 segments, peer's window ")
            .unwrap();
        sender.says("500000 bytes acknowledged after ").unwrap();
        server.says("client closed after 500000 bytes").unwrap();
        assert!(sender.ends().unwrap().success());

        let unknown = client("congestion", address, &["--set", "nonsense"]);
        unknown
            .complains(
                "Error: setsockopt TCP_CONGESTION nonsense: No such file or directory (os error 2)",
            )
            .unwrap();
    }
}

/// What a peer does ends its own connection and no other.
#[test]
fn bad_peers_are_survived() {
    for program in PROGRAMS {
        let (server, address) = server(program, &[]);
        server.closes_input();
        let mut stream = connect(address);
        stream.write_all(b"hello,").unwrap();
        await_read(&stream, address);
        reset(stream).unwrap();
        server
            .complains("read: Connection reset by peer (os error 104)")
            .unwrap();
        let mut stream = connect(address);
        let garbage: Vec<u8> = (0..1 << 20).map(|number| number as u8).collect();
        let reader = stream.try_clone().unwrap();
        let drain = spawn(move || {
            let mut reader = reader;
            reader.read_to_end(&mut Vec::new()).unwrap()
        });
        stream.write_all(&garbage).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let answered = drain.join().unwrap();
        assert_eq!(answered, if program == "nagle" { 3 << 12 } else { 0 });
        server.says("client closed").unwrap();
        server.signal(Signal::SIGTERM);
        assert!(server.ends().unwrap().success());
    }
}

/// The server goes while its client sends, or waits.
#[test]
fn a_server_that_goes_is_an_error() {
    for program in PROGRAMS {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = client(program, listener.local_addr().unwrap(), &[]);
        let mut stream = impatient(listener.accept().unwrap().0);
        if program == "batchwrite" {
            client.types("world").unwrap();
        }
        stream.read_exact(&mut [0; 6]).unwrap();
        reset(stream).unwrap();
        client.closes_input();
        assert_eq!(
            client.ends().unwrap().ending,
            Ending::Exited(1),
            "{program}"
        );
        assert!(client.err().text().starts_with("Error: "), "{program}");
    }
}

#[test]
fn bad_addresses_and_busy_ports_are_clear_errors() {
    for program in PROGRAMS {
        let refused = chap_13(&[program, "127.0.0.1", "--port", "1"]);
        refused
            .complains("Error: connect 127.0.0.1:1: Connection refused (os error 111)")
            .unwrap();
        assert_eq!(refused.ends().unwrap().ending, Ending::Exited(1));
        let unknown = chap_13(&[program, "no such host"]);
        unknown.complains("Error: resolve no such host: ").unwrap();

        let (_server, address) = server(program, &[]);
        for rcvbuf in [&[][..], &["--rcvbuf", "4096"]] {
            let port = address.port().to_string();
            let second = chap_13(&[&[program, "--serve", "--port", &port], rcvbuf].concat());
            second
                .complains(&format!(
                    "Error: bind {address}: Address already in use (os error 98)"
                ))
                .unwrap();
        }
        let elsewhere = chap_13(&[program, "--serve", "--port", "0", "--bind", "198.51.100.1"]);
        elsewhere
            .complains("Error: bind 198.51.100.1:0: Cannot assign requested address (os error 99)")
            .unwrap();
        let both = chap_13(&[program, "127.0.0.1", "--serve"]);
        both.complains("cannot be used with").unwrap();
    }
}

#[test]
fn ctrl_c_ends_a_server_in_the_middle_of_a_client() {
    for program in PROGRAMS {
        let (server, address) = server(program, &[]);
        let mut stream = connect(address);
        server.signal(Signal::SIGINT);
        assert!(server.ends().unwrap().success());
        let mut heard = [0];
        // FIN, or RST where it was not accepted yet.
        assert!(matches!(stream.read(&mut heard), Ok(0) | Err(_)));
    }
}
