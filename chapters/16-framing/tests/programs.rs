//! The lesson's programs, over real sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use drive::{Ending, Program, Signal, connect, reset};

fn chap_16(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-16"));
    Program::start(arguments[0], command.args(arguments)).unwrap()
}

/// A server on a free port, and its address.
fn server(program: &str, arguments: &[&str]) -> (Program, SocketAddr) {
    let server = chap_16(&[&[program, "--port", "0"], arguments].concat());
    let address = server.listens().unwrap();
    (server, address)
}

fn streamclient(address: SocketAddr, arguments: &[&str]) -> Program {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    chap_16(&[&["streamclient", &host, "--port", &port], arguments].concat())
}

fn impatient(stream: TcpStream) -> TcpStream {
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
        .set_write_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

/// Sends bytes, ends our direction, and waits until the server has ended its own.
fn send_and_end(address: SocketAddr, bytes: &[u8]) {
    let mut stream = connect(address);
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

/// What the client puts on the wire for this input.
fn sent(input: &[u8], arguments: &[&str]) -> (Vec<u8>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = streamclient(listener.local_addr().unwrap(), arguments);
    let mut stream = impatient(listener.accept().unwrap().0);
    client.types_bytes(input).unwrap();
    client.closes_input();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    drop(stream);
    assert!(client.ends().unwrap().success());
    (heard, client.err().text())
}

const GOOD: &[u8] = b"\0\0\0\x05\0\0\0\x01good\n";

#[test]
fn messages_are_printed_and_counted() {
    for (host, signal) in [("127.0.0.1", Signal::SIGINT), ("::1", Signal::SIGTERM)] {
        let (server, address) = server("streamserver", &["--bind", host]);
        let client = streamclient(address, &[]);
        client.types("network").unwrap();
        server.says(r"received 8 bytes: network\n").unwrap();
        client.types("good").unwrap();
        server.says(r"received 5 bytes: good\n").unwrap();
        client.closes_input();
        assert!(client.ends().unwrap().success());
        server.says("client closed").unwrap();
        server.signal(signal);
        assert!(server.ends().unwrap().success());
        let heard = r"received 8 bytes: network\n
received 5 bytes: good\n
client closed
received 2 messages
";
        assert!(server.out().text().ends_with(heard));
        assert_eq!(server.err().text() + &client.err().text(), "");
    }
}

/// The original sent the type in the order of the machine.
#[test]
fn e3_the_client_sends_length_and_type_in_network_order() {
    assert_eq!(sent(b"good\n", &[]), (GOOD.to_vec(), String::new()));
    let nothing = (Vec::new(), String::new());
    assert_eq!(sent(b"", &[]), nothing);
    let (bytes, _) = sent(b"\ngood", &[]);
    assert_eq!(bytes, b"\0\0\0\x01\0\0\0\x01\n\0\0\0\x04\0\0\0\x01good");
}

#[test]
fn the_client_does_wrong_as_it_is_told() {
    let (bytes, _) = sent(b"good\n", &["--announce", "4294967295"]);
    assert_eq!(bytes, b"\xff\xff\xff\xff\0\0\0\x01good\n");
    let (bytes, _) = sent(b"good\n", &["--host-order"]);
    let header = [5_u32.to_ne_bytes(), 1_u32.to_ne_bytes()].concat();
    assert_eq!(bytes, [&header, &b"good\n"[..]].concat());
    let (bytes, _) = sent(b"good\n\n", &["--no-newline"]);
    assert_eq!(bytes, b"\0\0\0\x04\0\0\0\x01good\0\0\0\0\0\0\0\x01");
    let (bytes, _) = sent(b"one\rtwo\xff\0", &["--plain"]);
    assert_eq!(bytes, b"one\rtwo\xff\0");
}

/// 128 bytes with the newline, the longest line, and one more: nothing is cut, and what is too long is said.
#[test]
fn e3_lines_that_just_fit_and_just_do_not() {
    let fits = [&[b'x'; 127][..], b"\n"].concat();
    let (bytes, complaint) = sent(&fits, &[]);
    assert_eq!(bytes, [b"\0\0\0\x80\0\0\0\x01", &fits[..]].concat());
    assert_eq!(complaint, "");
    let mut input = vec![b'x'; 1 << 20];
    input.extend(b"\ngood\n");
    let complaint = "not sent: 1048577 bytes, the limit is 128\n";
    assert_eq!(sent(&input, &[]), (GOOD.to_vec(), complaint.into()));
    let (bytes, complaint) = sent(&[&[b'x'; 128][..], b"\n"].concat(), &[]);
    assert_eq!(
        (bytes.len(), &complaint[..]),
        (0, "not sent: 129 bytes, the limit is 128\n")
    );
}

#[test]
fn chunks_make_the_same_stream() {
    for chunks in ["1", "11,21", "27,5", "65535"] {
        let (server, address) = server("streamserver", &[]);
        let client = streamclient(address, &["--chunk", chunks]);
        client.types_bytes(b"network\nprogram\n").unwrap();
        client.closes_input();
        server.says(r"received 8 bytes: network\n").unwrap();
        server.says(r"received 8 bytes: program\n").unwrap();
        server.says("client closed").unwrap();
        assert!(client.ends().unwrap().success());
        assert_eq!(server.out().lines().len(), 4);
    }
    let (bytes, _) = sent(b"network\nprogram\n", &["--plain", "--chunk", "3,1,2"]);
    assert_eq!(bytes, b"network\nprogram\n");
}

/// A message of exactly the limit loses nothing and overwrites nothing.
#[test]
fn e3_exactly_full_buffer() {
    let (server, address) = server("streamserver", &[]);
    let body = [b'x'; 128];
    send_and_end(
        address,
        &[b"\0\0\0\x80\0\0\0\x01", &body[..], GOOD].concat(),
    );
    let heard = server.says("received 128 bytes: ").unwrap().rest();
    assert_eq!(heard.as_bytes(), body);
    server.says(r"received 5 bytes: good\n").unwrap();
    server.says("client closed").unwrap();
}

/// An empty message, a message that is cut off and end of file are three things.
#[test]
fn e3_empty_cut_off_and_closed() {
    let (server, address) = server("streamserver", &[]);
    send_and_end(address, b"\0\0\0\0\0\0\0\x01");
    server.says("received 0 bytes: ").unwrap();
    server.says("client closed").unwrap();
    send_and_end(address, b"");
    server.says("client closed").unwrap();
    send_and_end(address, b"\0\0\0");
    let complaint = "cut off after 3 of the 8 bytes of a header";
    server.complains(complaint).unwrap();
    send_and_end(address, &GOOD[..12]);
    let complaint = "cut off after 4 of the 5 bytes of a body";
    server.complains(complaint).unwrap();
    assert_eq!(server.out().lines().len(), 4);
}

#[test]
fn a_bad_client_ends_only_its_own_connection() {
    let (server, address) = server("streamserver", &[]);
    for (bytes, announced) in [
        (&b"\0\0\0\x81\0\0\0\x01"[..], "129"),
        (b"\xff\xff\xff\xff\0\0\0\x01", "4294967295"),
        (b"GET / HTTP/1.1\r\n\r\n", "1195725856"),
    ] {
        let mut stream = connect(address);
        stream.write_all(bytes).unwrap();
        server
            .complains(&format!(
                "client {}: a message of {announced} bytes is announced, the limit is 128",
                stream.local_addr().unwrap()
            ))
            .unwrap();
        // End of file, or a reset where something is unread.
        assert!(!stream.read(&mut [0]).is_ok_and(|length| length > 0));
    }
    let mut stream = connect(address);
    stream.write_all(&[GOOD, &GOOD[..10]].concat()).unwrap();
    server.says(r"received 5 bytes: good\n").unwrap(); // accepted: a connection reset before that is passed over
    reset(stream).unwrap();
    server
        .complains("read: Connection reset by peer (os error 104)")
        .unwrap();
    // Any type, and bytes that are no text.
    send_and_end(address, b"\0\0\0\x04\0\0\0\x07\0\xff\x1b\n");
    server
        .says(r"received 4 bytes of type 7: \0\xff\x1b\n")
        .unwrap();
    send_and_end(address, GOOD);
    server.says(r"received 5 bytes: good\n").unwrap();
}

/// A megabyte with a limit that allows it, and a lie with a limit that allows everything: the server waits, that is all.
#[test]
fn the_limit_is_an_option() {
    let (server, address) = server("streamserver", &["--limit", "4294967295"]);
    let long = [b"\0\x10\0\0\0\0\0\x01", &vec![b'x'; 1 << 20][..]].concat();
    send_and_end(address, &long);
    let heard = server.says("received 1048576 bytes: ").unwrap().rest();
    assert_eq!(heard.len(), 1 << 20);
    send_and_end(address, b"\xff\xff\xff\xff\0\0\0\x01good\n");
    let complaint = "cut off after 5 of the 4294967295 bytes of a body";
    server.complains(complaint).unwrap();
}

#[test]
fn a_read_is_no_message() {
    let (server, address) = server("streamserver", &["--read-once"]);
    send_and_end(address, &[GOOD, GOOD].concat());
    server.says("client closed").unwrap();
    let printed = r"\0\0\0\x05\0\0\0\x01good\n".to_string();
    assert_eq!(
        server.out().lines()[1].text,
        format!("received 26 bytes: {printed}{printed}")
    );
}

/// Ctrl-C counts also what came before a message that is still under way.
#[test]
fn ctrl_c_in_the_middle_of_a_message() {
    let (server, address) = server("streamserver", &[]);
    let mut stream = connect(address);
    stream.write_all(GOOD).unwrap();
    stream.write_all(&GOOD[..10]).unwrap();
    server.says("received 5 bytes").unwrap();
    server.signal(Signal::SIGINT);
    server.says("received 1 messages").unwrap();
    assert!(server.ends().unwrap().success());
}

#[test]
fn the_client_learns_that_it_was_refused() {
    let (server, address) = server("streamserver", &[]);
    let client = streamclient(address, &["--announce", "129"]);
    client.types("good").unwrap();
    server.complains("a message of 129 bytes").unwrap();
    client.closes_input();
    client
        .complains("Error: read: Connection reset by peer (os error 104)")
        .unwrap();
    assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
}

#[test]
fn lines_end_in_three_ways() {
    for host in ["127.0.0.1", "::1"] {
        for chunks in ["100", "4", "1"] {
            let (server, address) = server("lineserver", &["--bind", host]);
            let client = streamclient(address, &["--plain", "--chunk", chunks]);
            client.types_bytes(b"one\r\ntwo\rthree\n\r\n").unwrap();
            client.closes_input();
            server.says("client closed").unwrap();
            assert!(client.ends().unwrap().success());
            let heard = "received 3 bytes: one\nreceived 3 bytes: two\nreceived 5 bytes: three\nreceived 0 bytes: \n";
            let text = server.out().text();
            assert!(text.ends_with(&format!("{heard}client closed\n")), "{text}");
        }
    }
}

/// The original waited for the byte after a CR before it gave the line out.
#[test]
fn a_line_that_ends_with_cr_does_not_wait_for_more() {
    let (server, address) = server("lineserver", &[]);
    let mut stream = connect(address);
    stream.write_all(b"one\r").unwrap();
    server.says("received 3 bytes: one").unwrap();
    stream.write_all(b"\ntwo\n").unwrap();
    server.says("received 3 bytes: two").unwrap();
    assert_eq!(server.out().lines().len(), 3);
    stream.write_all(b"three").unwrap();
    drop(stream);
    server.complains("cut off after 5 bytes of a line").unwrap();
}

#[test]
fn a_forgetful_server_sees_an_empty_line_in_cr_lf() {
    let (server, address) = server("lineserver", &["--forget"]);
    send_and_end(address, b"one\r\ntwo\n");
    server.says("client closed").unwrap();
    let heard = "received 3 bytes: one\nreceived 0 bytes: \nreceived 3 bytes: two\nclient closed\n";
    assert!(server.out().text().ends_with(heard));
}

/// A line of exactly the limit is one, and one of a megabyte ends its own connection.
#[test]
fn e3_long_lines_and_binary_ones() {
    let (server, address) = server("lineserver", &["--limit", "8"]);
    send_and_end(address, b"12345678\r\n\0\xff\x1b\n");
    server.says("received 8 bytes: 12345678").unwrap();
    server.says(r"received 3 bytes: \0\xff\x1b").unwrap();
    let mut stream = connect(address);
    // The server may be gone before it is all sent.
    let _ = stream.write_all(&vec![b'x'; 1 << 20]);
    server.complains("a line of more than 8 bytes").unwrap();
    let mut stream = connect(address);
    stream.write_all(b"one\ntwo").unwrap();
    server.says("received 3 bytes: one").unwrap();
    reset(stream).unwrap();
    server
        .complains("read: Connection reset by peer (os error 104)")
        .unwrap();
    send_and_end(address, b"good\n");
    server.says("received 4 bytes: good").unwrap();
}

#[test]
fn byteorder_prints_both() {
    let prints = |number: &str| {
        let program = chap_16(&["byteorder", number]);
        assert!(program.ends().unwrap().success());
        program.out().text()
    };
    if cfg!(target_endian = "little") {
        let printed = "5 in this machine's memory: 05 00 00 00
htonl(5) = 83886080, in memory: 00 00 00 05
5.to_be_bytes(): 00 00 00 05
htons(5) = 1280, in memory: 00 05
sent without htonl, it is received as 83886080
";
        assert_eq!(prints("5"), printed);
    }
    assert!(prints("0x0201").contains("513.to_be_bytes(): 00 00 02 01\n"));
    assert!(!prints("65536").contains("htons"));
    let wrong = chap_16(&["byteorder", "five"]);
    assert_eq!(wrong.ends().unwrap().ending, Ending::Exited(2));
}

#[test]
fn bad_addresses_and_busy_ports_are_clear_errors() {
    let refused = chap_16(&["streamclient", "127.0.0.1", "--port", "1"]);
    refused
        .complains("Error: connect 127.0.0.1:1: Connection refused (os error 111)")
        .unwrap();
    assert_eq!(refused.ends().unwrap().ending, Ending::Exited(1));
    chap_16(&["streamclient", "no such host"])
        .complains("Error: resolve no such host: ")
        .unwrap();

    for program in ["streamserver", "lineserver"] {
        let (_server, address) = server(program, &[]);
        let second = chap_16(&[program, "--port", &address.port().to_string()]);
        let busy = format!("Error: bind {address}: Address already in use (os error 98)");
        second.complains(&busy).unwrap();
        assert_eq!(second.ends().unwrap().ending, Ending::Exited(1));
    }
}

/// The client and the line server have nothing to say at their end: they leave the signals as they are.
#[test]
fn ctrl_c_ends_the_others() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (server, address) = server("lineserver", &[]);
        let client = streamclient(address, &["--plain"]);
        client.types("good").unwrap();
        server.says("received 4 bytes: good").unwrap();
        for program in [client, server] {
            program.signal(signal);
            assert_eq!(program.ends().unwrap().ending, Ending::Killed(signal));
        }
    }
}
