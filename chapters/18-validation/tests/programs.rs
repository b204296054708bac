//! The lesson's programs, over real sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use drive::{Ending, Program, Signal, connect};
use nix::sys::socket::{setsockopt, sockopt};

fn chap_18(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-18"));
    Program::start(arguments[0], command.args(arguments)).unwrap()
}

/// A server on a free port, and its address.
fn server(program: &str, arguments: &[&str]) -> (Program, SocketAddr) {
    let server = chap_18(&[&[program, "--port", "0"], arguments].concat());
    let address = server.listens().unwrap();
    (server, address)
}

fn client(program: &str, address: SocketAddr, arguments: &[&str]) -> Program {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    chap_18(&[&[program, &host, "--port", &port], arguments].concat())
}

fn impatient(stream: TcpStream) -> TcpStream {
    let time = Some(Duration::from_secs(20));
    stream.set_read_timeout(time).unwrap();
    stream.set_write_timeout(time).unwrap();
    stream
}

/// Sends bytes, ends our direction, and returns what the server says until it ends its own.
fn send_and_end(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    heard
}

/// Ends a connection with RST: SO_LINGER of no time, chapter 10.
fn reset(stream: TcpStream) {
    let linger = nix::libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&stream, sockopt::Linger, &linger).unwrap();
}

/// What the client puts on the wire, to a server that says this.
fn sent(input: &[u8], arguments: &[&str], answer: &[u8]) -> (Vec<u8>, Program) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = client("bufferclient", address, arguments);
    let mut stream = impatient(listener.accept().unwrap().0);
    client.types_bytes(input).unwrap();
    client.closes_input();
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard); // a reset is an end, too
    let _ = stream.write_all(answer);
    drop(stream);
    (heard, client)
}

const SERVERS: [&str; 3] = ["samplebuffer01", "samplebuffer03", "readtimeout"];

#[test]
fn quit_is_answered() {
    for host in ["127.0.0.1", "::1"] {
        let (server, address) = server("samplebuffer01", &["--bind", host]);
        let client = client("bufferclient", address, &[]);
        client.types("data1").unwrap();
        server.says(r"received 6 bytes: data1\n").unwrap();
        client.types("quit").unwrap();
        assert!(client.ends().unwrap().success());
        server.says("client closed").unwrap();
        let heard = r"received 6 bytes: data1\n
received 5 bytes: quit\n
client quit
client closed
";
        assert!(server.out().text().ends_with(heard));
        let said = "COMMAND OK\nserver terminated\nthe command was taken\n";
        assert_eq!(client.out().text(), said);
        assert_eq!(server.err().text() + &client.err().text(), "");
    }
}

/// In pieces, with telnet's line end, twice, and with something unread behind it: the answer comes, once.
#[test]
fn quit_however_it_comes() {
    let (server, address) = server("samplebuffer01", &[]);
    let mut stream = connect(address);
    for byte in b"quit" {
        stream.write_all(&[*byte]).unwrap();
        server.says("received 1 bytes: ").unwrap();
    }
    stream.write_all(b"\r\nquit\nmore").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "COMMAND OK");
    drop(stream);
    server.says("client closed").unwrap();
    assert_eq!(send_and_end(address, b"quitter\n quit\nquit"), b"");
    assert_eq!(send_and_end(address, b"quit\0\n"), b"");
    assert_eq!(send_and_end(address, b"quit\n"), b"COMMAND OK");
}

#[test]
fn a_trailing_nul_is_another_text() {
    let (server, address) = server("samplebuffer01", &["--sizeof"]);
    assert_eq!(send_and_end(address, b"quit\n"), b"COMMAND OK\0");
    server.says("client closed").unwrap();
    let client = client("bufferclient", address, &[]);
    client.types("quit").unwrap();
    client
        .complains(r"Error: this is not COMMAND OK: COMMAND OK\0")
        .unwrap();
    assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
}

/// 128 bytes into 128: the original wrote byte 128, too.
#[test]
fn e3_exactly_full_buffer() {
    for guard in [&["--guard"][..], &[]] {
        let (server, address) = server("samplebuffer01", guard);
        let client = client("bufferclient", address, &["--hostile", "full"]);
        assert!(client.ends().unwrap().success());
        let heard = server.says("received 128 bytes: ").unwrap().rest();
        assert_eq!(heard.as_bytes(), [b'x'; 128]);
        server.says(r"received 5 bytes: next\n").unwrap();
        server.says("client closed").unwrap();
        send_and_end(address, &[b'y'; 128]);
        server.says("received 128 bytes: y").unwrap();
        server.says("client closed").unwrap();
    }
}

/// What the original did, caught by Rust, and as in C with a page behind the buffer that stops it.
#[test]
fn e3_one_byte_past_the_buffer_is_caught() {
    let (checked, address) = server("samplebuffer01", &["--terminate"]);
    let mut stream = connect(address);
    stream.write_all(&[b'x'; 128]).unwrap();
    let complaint = "caught: a write to byte 128 of a buffer of 128 bytes";
    checked.complains(complaint).unwrap();
    assert_eq!(send_and_end(address, &[b'x'; 127]), b"");
    checked.says("received 127 bytes: ").unwrap();

    let (guarded, address) = server("samplebuffer01", &["--terminate", "--guard"]);
    send_and_end(address, &[b'x'; 127]);
    guarded.says("received 127 bytes: ").unwrap();
    let mut stream = connect(address);
    stream.write_all(&[b'x'; 128]).unwrap();
    let ending = guarded.ends().unwrap().ending;
    assert_eq!(ending, Ending::Killed(Signal::SIGSEGV));
}

#[test]
fn lines_in_three_versions() {
    for (host, version) in [("127.0.0.1", "1"), ("::1", "2"), ("127.0.0.1", "3")] {
        for guard in [&["--guard"][..], &[]] {
            let options = ["--bind", host, "--version", version];
            let (server, address) = server("samplebuffer03", &[&options, guard].concat());
            let client = client("bufferclient", address, &[]);
            client
                .types_bytes(b"one\n\n01234567\n\0\xff\x1b\n")
                .unwrap();
            client.closes_input();
            assert!(client.ends().unwrap().success());
            server.says("client closed").unwrap();
            let heard = r"received 4 bytes: one\n
received 1 bytes: \n
received 9 bytes: 01234567\n
received 4 bytes: \0\xff\x1b\n
client closed
";
            assert!(server.out().text().ends_with(heard));
        }
    }
}

#[test]
fn e3_a_line_that_exactly_fits() {
    for (version, complaint) in [
        ("1", "caught: a write to byte 10 of a buffer of 10 bytes"),
        ("2", "caught: a write to byte 10 of a buffer of 10 bytes"),
        ("3", "a line does not fit into 10 bytes together with its 0"),
    ] {
        let (server, address) = server("samplebuffer03", &["--version", version]);
        let client = client("bufferclient", address, &["--hostile", "fits"]);
        server.complains(complaint).unwrap();
        client.ends().unwrap(); // told by an end of file or by a reset, whichever is first
        send_and_end(address, b"good\n");
        server.says(r"received 5 bytes: good\n").unwrap();
    }
    let (guarded, address) = server("samplebuffer03", &["--version", "2", "--guard"]);
    let mut stream = connect(address);
    stream.write_all(b"012345678\n").unwrap();
    let ending = guarded.ends().unwrap().ending;
    assert_eq!(ending, Ending::Killed(Signal::SIGSEGV));
}

/// Everything that the client can do, against every server: it ends its own connection at most.
#[test]
fn no_client_ends_a_server() {
    let names = ["full", "fits", "nul", "long", "endless", "binary", "reset"];
    for program in SERVERS {
        let (server, address) = server(program, &[]);
        for name in names {
            let client = client("bufferclient", address, &["--hostile", name]);
            client.says("now sending ").unwrap();
            client.ends().unwrap();
        }
        send_and_end(address, b"good\n");
        server.says(r"received 5 bytes: good\n").unwrap();
    }
}

#[test]
fn e3_a_megabyte_without_a_newline() {
    let (first, address) = server("samplebuffer01", &[]);
    assert_eq!(send_and_end(address, &vec![b'x'; 1 << 20]), b"");
    first.says("client closed").unwrap();
    let lines = first.out().lines();
    let data = lines
        .iter()
        .filter_map(|line| line.text.split_once("bytes: "));
    assert_eq!(data.map(|(_, data)| data.len()).sum::<usize>(), 1 << 20);

    let (third, address) = server("samplebuffer03", &[]);
    let mut stream = connect(address);
    // The server may be gone before it is all sent.
    let _ = stream.write_all(&vec![b'x'; 1 << 20]);
    third
        .complains("a line does not fit into 10 bytes")
        .unwrap();
    let large = ["--size", "65536", "--version", "2"];
    let (large, address) = server("samplebuffer03", &large);
    send_and_end(address, &[&[b'x'; 65_534][..], b"\n"].concat());
    large.says("received 65535 bytes: x").unwrap();
    send_and_end(address, b"one");
    large.complains("cut off after 3 bytes of a line").unwrap();
}

#[test]
fn a_reset_ends_one_connection() {
    for program in SERVERS {
        let (server, address) = server(program, &[]);
        let mut stream = connect(address);
        stream.write_all(b"one\n").unwrap();
        server.says(r"received 4 bytes: one\n").unwrap(); // accepted: a connection reset before that is passed over
        reset(stream);
        server
            .complains("read: Connection reset by peer (os error 104)")
            .unwrap();
        send_and_end(address, b"good\n");
        server.says(r"received 5 bytes: good\n").unwrap();
    }
}

#[test]
fn the_client_sends_what_it_is_told() {
    let bytes = |name: &str| sent(b"", &["--hostile", name], b"").0;
    assert_eq!(bytes("full"), [&[b'x'; 128][..], b"next\n"].concat());
    assert_eq!(bytes("fits"), b"012345678\n");
    assert_eq!(bytes("nul"), b"quit\0\n");
    assert_eq!(bytes("long"), [&[b'x'; 599][..], b"\n"].concat());
    assert_eq!(bytes("endless"), vec![b'x'; 1 << 20]);
    assert_eq!(bytes("binary"), (0..=255).collect::<Vec<u8>>());
    assert_eq!(bytes("reset").len() % 4, 0); // all or, with the reset close behind, nothing
}

/// Two lines in one read are both sent, the last one needs no newline, and the end of input ends it.
#[test]
fn e3_end_of_input_and_two_lines_in_one_read() {
    let (bytes, client) = sent(b"data1\ndata2\nlast", &[], b"");
    assert_eq!(bytes, b"data1\ndata2\nlast");
    client.says("server terminated").unwrap();
    assert!(client.ends().unwrap().success());
    let long = vec![b'x'; 1 << 20];
    assert_eq!(sent(&long, &[], b"").0, long);
}

#[test]
fn the_client_compares_the_whole_answer() {
    for (answer, code) in [
        (&b"COMMAND OK"[..], 0),
        (b"", 0),
        (b"COMMAND", 1),
        (b"COMMAND OK\n", 1),
        (&[b'x'; 1 << 17], 1),
    ] {
        let (_, client) = sent(b"quit\n", &[], answer);
        assert_eq!(client.ends().unwrap().ending, Ending::Exited(code));
    }
}

#[test]
fn silence_has_an_end() {
    for (host, way) in [("127.0.0.1", "rcvtimeo"), ("::1", "select")] {
        let options = ["--bind", host, "--by", way, "--timeout", "0.3"];
        let (server, address) = server("readtimeout", &options);
        let client = client("bufferclient", address, &["--hostile", "silent"]);
        server.says("received 4 bytes: half").unwrap();
        let heard = Instant::now();
        server.says("read timeout").unwrap();
        assert!(heard.elapsed() > Duration::from_millis(250));
        client.says("server terminated").unwrap();
        assert!(client.ends().unwrap().success());
        send_and_end(address, b"good\n");
        server.says(r"received 5 bytes: good\n").unwrap();
        server.says("client closed").unwrap();
    }
}

/// SO_RCVTIMEO of 0 is no limit, socket(7); a select of 0 does not wait, select(2).
#[test]
fn no_time_means_two_things() {
    let (never, address) = server("readtimeout", &["--timeout", "0"]);
    let mut stream = connect(address);
    stream.write_all(b"one\n").unwrap();
    never.says("received 4 bytes").unwrap();
    drop(stream);
    never.says("client closed").unwrap();
    let (at_once, address) = server("readtimeout", &["--by", "select", "--timeout", "0"]);
    let _silent = connect(address);
    at_once.says("read timeout").unwrap();
}

/// A byte each second: each read is in time, so no read ever takes too long.
#[test]
fn a_dribble_is_in_time() {
    let (server, address) = server("readtimeout", &["--timeout", "15"]);
    let client = client("bufferclient", address, &["--hostile", "dribble"]);
    server.says("received 1 bytes: x").unwrap();
    server.says("received 1 bytes: x").unwrap();
    client.signal(Signal::SIGINT);
    server.says("client closed").unwrap();
}

#[test]
fn a_length_that_is_a_lie() {
    for (arguments, header) in [
        (&[][..], b"\0\0\xff\xff\0\0\0\x01"),
        (&["--announce", "4294967295"], b"\xff\xff\xff\xff\0\0\0\x01"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let liar = client("samplebuffer02", listener.local_addr().unwrap(), arguments);
        let mut stream = impatient(listener.accept().unwrap().0);
        let mut message = [0; 20];
        stream.read_exact(&mut message).unwrap();
        assert_eq!(message[..], [&header[..], b"just for fun"].concat());
        liar.says("send bytes: 20").unwrap();
        match arguments {
            [] => {
                drop(stream);
                liar.says("server terminated").unwrap();
                assert!(liar.ends().unwrap().success());
            }
            _ => {
                reset(stream);
                liar.complains("Error: read: Connection reset by peer (os error 104)")
                    .unwrap();
                assert_eq!(liar.ends().unwrap().ending, Ending::Exited(1));
            }
        }
    }
}

#[test]
fn bad_addresses_and_busy_ports_are_clear_errors() {
    for program in ["bufferclient", "samplebuffer02"] {
        let refused = chap_18(&[program, "127.0.0.1", "--port", "1"]);
        refused
            .complains("Error: connect 127.0.0.1:1: Connection refused (os error 111)")
            .unwrap();
        assert_eq!(refused.ends().unwrap().ending, Ending::Exited(1));
        chap_18(&[program, "no such host"])
            .complains("Error: resolve no such host: ")
            .unwrap();
    }
    for program in SERVERS {
        let (_server, address) = server(program, &[]);
        let second = chap_18(&[program, "--port", &address.port().to_string()]);
        let busy = format!("Error: bind {address}: Address already in use (os error 98)");
        second.complains(&busy).unwrap();
        assert_eq!(second.ends().unwrap().ending, Ending::Exited(1));
    }
    for wrong in [
        &["samplebuffer03", "--version", "4"][..],
        &["samplebuffer03", "--size", "0"],
        &["samplebuffer03", "--size", "65537"],
        &["readtimeout", "--timeout", "-1"],
        &["readtimeout", "--by", "prayer"],
    ] {
        let ending = chap_18(wrong).ends().unwrap().ending;
        assert_eq!(ending, Ending::Exited(2), "{wrong:?}");
    }
}

#[test]
fn ctrl_c_ends_all() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        for program in SERVERS {
            let (server, address) = server(program, &[]);
            let client = client("bufferclient", address, &[]);
            client.types("good").unwrap();
            server.says(r"received 5 bytes: good\n").unwrap();
            for program in [client, server] {
                program.signal(signal);
                assert_eq!(program.ends().unwrap().ending, Ending::Killed(signal));
            }
        }
    }
}
