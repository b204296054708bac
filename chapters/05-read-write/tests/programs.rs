//! The lesson's programs, over real sockets.

use std::fs::read_to_string;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::Command;

use drive::{Ending, Program, Signal, awaits, reset};
use nix::sys::socket::{MsgFlags, send};

fn chap_5(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-5"));
    Program::start(arguments[0], command.args(arguments)).unwrap()
}

/// A server on a free port, and its address.
fn tcpserver(arguments: &[&str]) -> (Program, SocketAddr) {
    let server = chap_5(&[&["tcpserver", "--port", "0"], arguments].concat());
    let address = server.listens().unwrap();
    (server, address)
}

fn tcpclient(server: SocketAddr, arguments: &[&str]) -> Program {
    let (host, port) = (server.ip().to_string(), server.port().to_string());
    chap_5(&[&["tcpclient", &host, "--port", &port], arguments].concat())
}

/// Waits until the program has read all that was sent on this connection and sleeps in its next read. What counts is
/// in the kernel: the queues of the two ends, and the state of the process, proc(5).
fn await_hungry(server: &Program, connection: &TcpStream) {
    let port = format!(":{:04X}", connection.local_addr().unwrap().port());
    awaits("the server waits in read", || {
        let table = read_to_string("/proc/net/tcp").unwrap();
        let empty = table
            .lines()
            .filter(|line| line.contains(&port))
            .all(|line| line.contains(" 00000000:00000000 "));
        let stat = read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
        empty && stat.contains(") S ")
    });
}

/// Interrupts the program, and waits until it has taken the signal: a second one before that would be lost.
fn interrupt(program: &Program) {
    let pending = || {
        let status = read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
        u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
    };
    program.signal(Signal::SIGUSR1);
    awaits("the signal is taken", || pending() == 0);
}

#[test]
fn blocks_of_one_kilobyte_and_a_short_last_one() {
    for host in ["127.0.0.1", "::1"] {
        let (server, address) = tcpserver(&["--bind", host]);
        let mut heard = server.out().text();
        // The server goes on to the next client; one that says nothing is none of its troubles.
        for (bytes, lines) in [
            (
                "2048",
                "block in read\n1K read for 1\nblock in read\n1K read for 2\nblock in read\nclient closed after 2048 bytes: full blocks 2, short blocks 0\n",
            ),
            (
                "1025",
                "block in read\n1K read for 1\nblock in read\n1 bytes read for 2\nblock in read\nclient closed after 1025 bytes: full blocks 1, short blocks 1\n",
            ),
            (
                "0",
                "block in read\nclient closed after 0 bytes: full blocks 0, short blocks 0\n",
            ),
        ] {
            let client = tcpclient(address, &["--bytes", bytes]);
            server.says("client closed after").unwrap();
            assert!(client.ends().unwrap().success());
            let said = client.out().text();
            assert_eq!(
                said.starts_with(&format!("send into buffer {bytes} after ")),
                bytes != "0",
                "{said}"
            );
            heard += lines;
        }
        assert_eq!(server.out().text(), heard);
        assert_eq!(server.err().text(), "");
    }
}

/// With `--every` most full blocks go unreported, but not those that are not full.
#[test]
fn every_third_block() {
    let (server, address) = tcpserver(&["--pause", "0", "--every", "3"]);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&[b'a'; 7 * 1024 + 5]).unwrap();
    drop(stream);
    server.says("client closed after").unwrap();
    let said: Vec<_> = server
        .out()
        .lines()
        .into_iter()
        .map(|line| line.text)
        .collect();
    let expected = [
        "block in read",
        "1K read for 3",
        "block in read",
        "1K read for 6",
        "5 bytes read for 8",
        "block in read",
        "client closed after 7173 bytes: full blocks 7, short blocks 1",
    ];
    assert_eq!(said[1..], expected);
}

/// The course's first experiment: one send takes everything, and returns when the reader has taken most of it.
#[test]
fn send_blocks_until_the_rest_fits_the_buffers() {
    let (server, address) = tcpserver(&["--pause", "0", "--rcvbuf", "4096"]);
    let client = tcpclient(address, &["--bytes", "1024000", "--sndbuf", "4096"]);
    let sent = client.says("send into buffer 1024000 after ").unwrap().line;
    server
        .says("client closed after 1024000 bytes: full blocks 1000, short blocks 0")
        .unwrap();
    let lines = server.out().lines();
    let read = lines
        .iter()
        .filter(|line| line.text.starts_with("1K read") && line.at <= sent.at);
    // All but the two buffers, that is, and twenty times as much in case the lines reached us late.
    assert!(read.count() >= 700);
}

/// The second: what fits the buffers is sent at once, though the server hardly reads.
#[test]
fn send_returns_at_once_when_the_buffers_have_room() {
    let (server, address) = tcpserver(&["--pause", "1000"]);
    let client = tcpclient(address, &["--bytes", "102400"]);
    client.says("send into buffer 102400 after ").unwrap();
    assert!(client.ends().unwrap().success());
    server.says("1K read for 1").unwrap();
    assert!(
        server
            .out()
            .text()
            .ends_with("\nblock in read\n1K read for 1\n")
    );
}

/// Segments that make up a block in dribbles, and a signal in each wait: readn gives the full block all the same.
#[test]
fn readn_goes_on_after_short_reads_and_signals() {
    let (server, address) = tcpserver(&["--pause", "0"]);
    let mut stream = TcpStream::connect(address).unwrap();
    server.says("block in read").unwrap();
    for part in [1, 300, 700, 22, 1, 1024, 76] {
        await_hungry(&server, &stream);
        interrupt(&server);
        await_hungry(&server, &stream);
        stream.write_all(&vec![b'a'; part]).unwrap();
    }
    await_hungry(&server, &stream);
    drop(stream);
    server.says("client closed").unwrap();
    server.says("SIGUSR1 came 7 times").unwrap();
    let lines = "block in read\n1K read for 1\nblock in read\n1K read for 2\nblock in read\n76 bytes read for 3\nblock in read\nclient closed after 2124 bytes: full blocks 2, short blocks 1\nSIGUSR1 came 7 times\n";
    assert_eq!(
        server.out().text(),
        format!("listening on {address}\n{lines}")
    );
}

/// The control: one read does neither.
#[test]
fn a_single_read_is_short_and_fails_on_a_signal() {
    let (server, address) = tcpserver(&["--pause", "0", "--read-once"]);
    let mut stream = TcpStream::connect(address).unwrap();
    server.says("block in read").unwrap();
    for (part, line) in [
        (1, "1 bytes read for 1"),
        (300, "300 bytes read for 2"),
        (1024, "1K read for 3"),
    ] {
        await_hungry(&server, &stream);
        stream.write_all(&vec![b'a'; part]).unwrap();
        server.says(line).unwrap();
    }
    await_hungry(&server, &stream);
    interrupt(&server);
    server
        .complains("Error: read: Interrupted system call (os error 4)")
        .unwrap();
    // That ended the connection and not the server.
    assert!(
        tcpclient(address, &["--bytes", "1"])
            .ends()
            .unwrap()
            .success()
    );
    server.says("client closed after 1 bytes").unwrap();
}

/// A signal while no client is there must not end the server either.
#[test]
fn a_signal_in_accept_is_nothing() {
    let (server, address) = tcpserver(&[]);
    awaits("the server waits in accept", || {
        read_to_string(format!("/proc/{}/stat", server.pid()))
            .unwrap()
            .contains(") S ")
    });
    interrupt(&server);
    assert!(
        tcpclient(address, &["--bytes", "5"])
            .ends()
            .unwrap()
            .success()
    );
    server.says("client closed after 5 bytes").unwrap();
    server.says("SIGUSR1 came 1 times").unwrap();
}

/// A message that is cut off, the end of the stream and a reset are told apart, and none is a count.
#[test]
fn e3_a_reset_is_not_an_end() {
    let (server, address) = tcpserver(&["--pause", "0"]);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&[b'a'; 1324]).unwrap();
    server.says("1K read for 1").unwrap();
    await_hungry(&server, &stream);
    reset(stream).unwrap();
    server
        .says("client reset the connection after 1324 bytes: full blocks 1, short blocks 0")
        .unwrap();
    assert!(
        tcpclient(address, &["--bytes", "5"])
            .ends()
            .unwrap()
            .success()
    );
    server
        .says("client closed after 5 bytes: full blocks 0, short blocks 1")
        .unwrap();
    assert_eq!(server.err().text(), "");
}

/// What is typed follows, as it is, and the end of it ends the stream. A last line need not have a newline.
#[test]
fn typed_lines_are_sent_too() {
    let (server, address) = tcpserver(&["--pause", "0"]);
    let client = tcpclient(address, &["--bytes", "1020", "--typed"]);
    client.says("send into buffer 1020 after ").unwrap();
    client.types("abc").unwrap();
    client.says("send into buffer 4 after ").unwrap();
    server.says("1K read for 1").unwrap();
    client.types_bytes(b"\xff\0").unwrap();
    client.says("send into buffer 2 after ").unwrap();
    client.closes_input();
    assert!(client.ends().unwrap().success());
    server
        .says("client closed after 1026 bytes: full blocks 1, short blocks 1")
        .unwrap();
}

/// Any bytes are data: a megabyte of every value, without a newline.
#[test]
fn binary_bytes_are_data() {
    let (server, address) = tcpserver(&["--pause", "0"]);
    let mut stream = TcpStream::connect(address).unwrap();
    let data: Vec<u8> = (0..1 << 20).map(|index| index as u8).collect();
    stream.write_all(&data).unwrap();
    drop(stream);
    server
        .says("client closed after 1048576 bytes: full blocks 1024, short blocks 0")
        .unwrap();
}

#[test]
fn a_server_that_goes_is_an_error_of_send() {
    let (server, address) = tcpserver(&["--pause", "1000", "--rcvbuf", "4096"]);
    let client = tcpclient(address, &["--sndbuf", "4096"]);
    server.says("1K read for 1").unwrap();
    // With input unread the server's end is a reset at once.
    let port = format!(":{:04X}", address.port());
    awaits("the server has unread input", || {
        let table = read_to_string("/proc/net/tcp").unwrap();
        table.lines().any(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            fields[1].ends_with(&port) && fields[3] == "01" && !fields[4].ends_with(":00000000")
        })
    });
    server.kill().unwrap();
    client
        .complains("Error: send: Connection reset by peer (os error 104)")
        .unwrap();
    assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
}

/// Linux doubles what is asked for, to have room for its own bookkeeping, and has an upper limit: socket(7).
#[test]
fn buffer_sizes_are_doubled_and_limited() {
    let limit = |name: &str| -> usize {
        let limit = read_to_string(format!("/proc/sys/net/core/{name}")).unwrap();
        limit.trim().parse().unwrap()
    };
    for (asked, cap) in [(10_000, usize::MAX), (u32::MAX as usize, limit("rmem_max"))] {
        let (server, _) = tcpserver(&["--rcvbuf", &asked.to_string()]);
        let got = server.says("receive buffer: asked for ").unwrap().rest();
        assert_eq!(got, format!("{asked}, got {}", 2 * asked.min(cap)));
    }
    for (asked, cap) in [(10_000, usize::MAX), (u32::MAX as usize, limit("wmem_max"))] {
        let (_server, address) = tcpserver(&[]);
        let client = tcpclient(address, &["--bytes", "1", "--sndbuf", &asked.to_string()]);
        let got = client.says("send buffer: asked for ").unwrap().rest();
        assert_eq!(got, format!("{asked}, got {}", 2 * asked.min(cap)));
    }
}

/// The urgent byte is read before what was sent before it, and is not part of the stream.
#[test]
fn an_urgent_byte_overtakes_and_stays_out_of_the_stream() {
    for host in ["127.0.0.1", "::1"] {
        let watch = if host == "::1" { "select" } else { "poll" };
        let (server, address) = tcpserver(&["--bind", host, "--urgent", watch]);
        let client = tcpclient(address, &["--bytes", "1024000", "--urgent"]);
        client.says("send into buffer 1024000 after ").unwrap();
        client.says("send urgent byte ! after ").unwrap();
        server.says("urgent byte !").unwrap();
        server.says("1K read for 1000").unwrap();
        server
            .says("client closed after 1024000 bytes: full blocks 1000, short blocks 0")
            .unwrap();
    }
}

/// It is noticed in the middle of a block too, while the rest of the block is still to come.
#[test]
fn an_urgent_byte_does_not_wait_for_a_full_block() {
    for watch in ["--urgent", "--urgent=select"] {
        let (server, address) = tcpserver(&["--pause", "0", watch]);
        sends_an_urgent_byte_in_a_block(&server, address);
    }
}

fn sends_an_urgent_byte_in_a_block(server: &Program, address: SocketAddr) {
    for (byte, line) in [(b"!", "urgent byte !"), (b"\xff", r"urgent byte \xff")] {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&[b'a'; 500]).unwrap();
        send(stream.as_raw_fd(), byte, MsgFlags::MSG_OOB).unwrap();
        server.says(line).unwrap();
        // A signal in poll or select is no more than one in read.
        interrupt(server);
        stream.write_all(&[b'a'; 524]).unwrap();
        server.says("1K read for 1").unwrap();
        drop(stream);
        server
            .says("client closed after 1024 bytes: full blocks 1, short blocks 0")
            .unwrap();
        server.says("SIGUSR1 came 1 times").unwrap();
    }
}

/// A server that does not look for it never sees it, and loses nothing else.
#[test]
fn an_urgent_byte_that_nobody_looks_for() {
    let (server, address) = tcpserver(&["--pause", "0"]);
    let client = tcpclient(address, &["--bytes", "3000", "--urgent"]);
    server
        .says("client closed after 3000 bytes: full blocks 2, short blocks 1")
        .unwrap();
    assert!(client.ends().unwrap().success());
    assert!(!server.out().text().contains("urgent"));
}

#[test]
fn bad_addresses_and_busy_ports_are_clear_errors() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = listener.local_addr().unwrap().port().to_string();
    for (arguments, error) in [
        (
            &["tcpserver", "--port", &busy][..],
            format!("Error: bind 127.0.0.1:{busy}: Address already in use (os error 98)"),
        ),
        (
            &["tcpserver", "--port", "0", "--bind", "198.51.100.1"],
            "Error: bind 198.51.100.1:0: Cannot assign requested address (os error 99)".into(),
        ),
        (
            &["tcpserver", "--pause", "-1"],
            "unexpected argument '-1'".into(),
        ),
        (
            &["tcpserver", "--rcvbuf", "big"],
            "invalid value 'big' for '--rcvbuf <BYTES>'".into(),
        ),
        (
            &["tcpserver", "--urgent", "epoll"],
            "invalid value 'epoll' for '--urgent [<CALL>]'".into(),
        ),
        (
            &["tcpclient", "127.0.0.1", "--port", "1"],
            "Error: connect 127.0.0.1:1: Connection refused (os error 111)".into(),
        ),
        (
            &["tcpclient", "no such host"],
            "Error: resolve no such host: ".into(),
        ),
        // One more than a send takes at most.
        (
            &["tcpclient", "::1", "--bytes", "2147479553"],
            "invalid value '2147479553' for '--bytes".into(),
        ),
    ] {
        let program = chap_5(arguments);
        program.complains(&error).unwrap();
        assert!(!program.ends().unwrap().success());
    }
}

#[test]
fn ctrl_c_and_sigterm_end_both() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (server, address) = tcpserver(&["--pause", "1000", "--rcvbuf", "4096"]);
        let client = tcpclient(address, &["--sndbuf", "4096"]);
        server.says("1K read for 1").unwrap();
        client.says("send buffer: ").unwrap();
        for program in [client, server] {
            program.signal(signal);
            assert_eq!(program.ends().unwrap().ending, Ending::Killed(signal));
        }
    }
}
