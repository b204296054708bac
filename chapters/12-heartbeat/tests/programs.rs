//! The lesson's programs, over real sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::Command;
use std::thread;
use std::time::Duration;

use drive::{Ending, Program, Signal, connect, reset};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;

const LENGTH: usize = 1028;

/// A message as it is on the wire: the type in network order, then zeros.
fn message(kind: u32) -> [u8; LENGTH] {
    let mut message = [0; LENGTH];
    message[..4].copy_from_slice(&kind.to_be_bytes());
    message
}

const PING: u32 = 1;
const PONG: u32 = 2;

fn chap_12(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-12"));
    Program::start(arguments[0], command.args(arguments)).unwrap()
}

/// A server on a free port, and its address.
fn pingserver(arguments: &[&str]) -> (Program, SocketAddr) {
    let server = chap_12(&[&["pingserver", "--port", "0"], arguments].concat());
    let address = server.listens().unwrap();
    (server, address)
}

fn client(program: &[&str], address: SocketAddr, arguments: &[&str]) -> Program {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    chap_12(&[program, &[&host, "--port", &port], arguments].concat())
}

/// A client in a hurry, a hundred times as fast as the text's unless `arguments` say otherwise.
fn pingclient(address: SocketAddr, arguments: &[&str]) -> Program {
    let mut arguments = arguments.to_vec();
    for (option, value) in [("--idle", "0.1"), ("--interval", "0.03")] {
        if !arguments.contains(&option) {
            arguments.extend([option, value]);
        }
    }
    client(&["pingclient"], address, &arguments)
}

/// Nothing in these tests waits for ever: not read, not accept, not write, socket(7).
fn impatient(socket: impl AsFd) {
    let deadline = TimeVal::new(20, 0);
    setsockopt(&socket, sockopt::ReceiveTimeout, &deadline).unwrap();
    setsockopt(&socket, sockopt::SendTimeout, &deadline).unwrap();
}

fn listener(host: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((host, 0)).unwrap();
    impatient(&listener);
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    impatient(&stream);
    stream
}

fn socket(host: &str) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((host, 0)).unwrap();
    impatient(&socket);
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn receive(stream: &mut TcpStream) -> [u8; LENGTH] {
    let mut received = [0; LENGTH];
    stream.read_exact(&mut received).unwrap();
    received
}

fn receive_from(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 4096];
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => return (buffer[..length].to_vec(), from),
            // A call with a timeout is not restarted, signal(7), and the end of a child may interrupt it.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// A message in two segments, two messages in one, and the exact bytes of the answers.
#[test]
fn e3_a_ping_in_pieces_and_two_at_once() {
    for host in ["127.0.0.1", "::1"] {
        let (server, address) = pingserver(&["0", "--bind", host]);
        let mut stream = connect(address);
        for cut in [1, 3, 4, 5, 1027] {
            let ping = message(PING);
            stream.write_all(&ping[..cut]).unwrap();
            stream.write_all(&ping[cut..]).unwrap();
            assert_eq!(receive(&mut stream), message(PONG));
        }
        stream.write_all(&[message(PING); 2].concat()).unwrap();
        for _ in 0..2 {
            assert_eq!(receive(&mut stream), message(PONG));
        }
        stream.write_all(&message(11)).unwrap();
        stream.write_all(&message(21)).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, []);
        server.says("client closed").unwrap();
        let mut heard = format!("listening on {address}\n") + &"received 1028 bytes\n".repeat(8);
        heard += "process MSG_TYPE1\nreceived 1028 bytes\nprocess MSG_TYPE2\nclient closed\n";
        assert_eq!(server.out().text(), heard);
        assert_eq!(server.err().text(), "");
    }
}

/// What ends a client does not end the server.
#[test]
fn e3_a_bad_client_is_no_end_of_the_server() {
    let (server, address) = pingserver(&["0"]);
    for (sent, complaint) in [
        (&message(7)[..], "unknown message type (7)"),
        (&[2; LENGTH], "unknown message type (33686018)"),
        (&message(PONG), "unexpected message type (2)"),
        (
            &message(PING)[..1000],
            "closed after 1000 bytes of a message",
        ),
        (&[b'x'; 1 << 20], "unknown message type (2021161080)"),
    ] {
        let mut stream = connect(address);
        // The server may hang up on a megabyte before it is all sent.
        let _ = stream.write_all(sent);
        let _ = stream.shutdown(Shutdown::Write);
        let own = stream.local_addr().unwrap();
        server
            .complains(&format!("client {own}: {complaint}"))
            .unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let mut stream = connect(address);
    let own = stream.local_addr().unwrap();
    stream.write_all(&message(PING)).unwrap();
    assert_eq!(receive(&mut stream), message(PONG));
    reset(stream).unwrap();
    let complaint = "read: Connection reset by peer (os error 104)";
    server
        .complains(&format!("client {own}: {complaint}"))
        .unwrap();

    // A client that is gone when its PONG comes, and leaves another PING behind.
    let (server, address) = pingserver(&["0.1"]);
    let mut stream = connect(address);
    stream.write_all(&[message(PING); 2].concat()).unwrap();
    server.says("received 1028 bytes").unwrap();
    drop(stream);
    server.complains("client 127.0.0.1:").unwrap();

    let mut stream = connect(address);
    stream.write_all(&message(PING)).unwrap();
    assert_eq!(receive(&mut stream), message(PONG));
}

#[test]
fn a_server_over_udp() {
    for host in ["127.0.0.1", "::1"] {
        let (server, address) = pingserver(&["0", "--udp", "--bind", host]);
        let (socket, own) = socket(host);
        for (sent, complaint) in [
            (&message(PING)[..1027], "not a message of 1028 bytes"),
            (&[0; 1029], "not a message of 1028 bytes"),
            (b"", "not a message of 1028 bytes"),
            (&message(7), "unknown message type (7)"),
            (&message(PONG), "unexpected message type (2)"),
        ] {
            socket.send_to(sent, address).unwrap();
            server
                .complains(&format!("client {own}: {complaint}"))
                .unwrap();
        }
        socket.send_to(&message(21), address).unwrap();
        server.says("process MSG_TYPE2").unwrap();
        socket.send_to(&message(PING), address).unwrap();
        assert_eq!(receive_from(&socket), (message(PONG).to_vec(), address));
    }
}

/// A server that says nothing: three PINGs of exactly the right bytes, and the end.
#[test]
fn e3_a_silent_server_is_dead_after_three_pings() {
    for host in ["127.0.0.1", "::1"] {
        let (listener, address) = listener(host);
        let client = pingclient(address, &[]);
        let mut received = Vec::new();
        accept(&listener).read_to_end(&mut received).unwrap();
        assert_eq!(received, [message(PING); 3].concat());
        assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
        let said = "sending heartbeat #1\nsending heartbeat #2\nsending heartbeat #3\n";
        assert_eq!(client.out().text(), said);
        assert_eq!(client.err().text(), "Error: connection dead\n");
    }
}

/// The text's second transcript: the answer comes after the second PING, and the count begins anew.
#[test]
fn e3_a_pong_in_pieces_or_two_at_once_makes_heartbeats_0() {
    let (listener, address) = listener("127.0.0.1");
    let client = pingclient(address, &["--interval", "0.5"]);
    let mut stream = accept(&listener);
    stream.set_nodelay(true).unwrap();
    for _ in 0..2 {
        client.says("sending heartbeat #1").unwrap();
        client.says("sending heartbeat #2").unwrap();
        let pongs = [message(PONG); 2].concat();
        stream.write_all(&pongs[..2]).unwrap();
        stream.write_all(&pongs[2..]).unwrap();
        for _ in 0..2 {
            client
                .says("received heartbeat, make heartbeats to 0")
                .unwrap();
        }
    }
    for _ in 0..4 {
        assert_eq!(receive(&mut stream), message(PING));
    }
    drop(stream);
    client.complains("Error: server terminated").unwrap();
    assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
}

/// Any other message is no sign of life, and neither is a PONG that never ends: the time goes on.
#[test]
fn e3_only_a_whole_pong_counts() {
    let (listener, address) = listener("127.0.0.1");
    let client = pingclient(address, &[]);
    let mut stream = accept(&listener);
    stream.write_all(&message(11)).unwrap();
    stream.write_all(&message(PING)).unwrap();
    client
        .says("received MSG_TYPE1, which is no heartbeat")
        .unwrap();
    client
        .says("received MSG_PING, which is no heartbeat")
        .unwrap();
    for byte in message(PONG) {
        if stream.write_all(&[byte]).is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(5)); // the pace of the server, not a wait
    }
    client.complains("Error: connection dead").unwrap();
    client.says("sending heartbeat #3").unwrap();
    assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
    assert!(!client.out().text().contains("received heartbeat"));
}

#[test]
fn how_a_connection_ends_is_told_apart() {
    for (sent, complaint) in [
        (&b""[..], "Error: server terminated\n"),
        (
            &message(PONG)[..1027],
            "Error: server terminated after 1027 bytes of a message\n",
        ),
        (&message(7), "Error: unknown message type (7)\n"),
        (
            &[2, 0, 0, 0].repeat(257),
            "Error: unknown message type (33554432)\n",
        ),
    ] {
        let (listener, address) = listener("127.0.0.1");
        let client = pingclient(address, &["--idle", "20"]);
        accept(&listener).write_all(sent).unwrap();
        assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
        assert_eq!(client.err().text(), complaint);
    }
    let (listener, address) = listener("127.0.0.1");
    let client = pingclient(address, &["--idle", "20"]);
    reset(accept(&listener)).unwrap();
    client
        .complains("Error: read: Connection reset by peer (os error 104)")
        .unwrap();
}

/// PONGs come in, but nobody reads the PINGs: sending them must not block for ever.
#[test]
fn a_server_that_does_not_read() {
    let (listener, address) = listener("127.0.0.1");
    let client = pingclient(address, &["--idle", "0"]);
    let mut stream = accept(&listener);
    while stream.write_all(&message(PONG)).is_ok() {}
    client.complains("Error: ").unwrap();
    assert_eq!(client.err().text(), "Error: the server does not read\n");
}

#[test]
fn reconnects_to_a_server_that_is_started_again() {
    for transport in [&[][..], &["--udp"]] {
        let (server, address) = pingserver(&[&["0"], transport].concat());
        let client = pingclient(address, &[&["--reconnect"], transport].concat());
        client.says("received heartbeat").unwrap();
        server.kill().unwrap();
        match transport {
            [] => {
                client.complains("server terminated").unwrap();
                let refused = format!("connect {address}: Connection refused (os error 111)");
                client.complains(&refused).unwrap();
            }
            _ => {
                client.complains("connection dead").unwrap();
            }
        }
        let port = address.port().to_string();
        let again = [&["pingserver", "0", "--port", &port], transport].concat();
        let server = chap_12(&again);
        assert_eq!(server.listens().unwrap(), address);
        client.says("reconnected").unwrap();
        client.says("received heartbeat").unwrap();
        client.signal(Signal::SIGTERM);
        let ending = client.ends().unwrap().ending;
        assert_eq!(ending, Ending::Killed(Signal::SIGTERM));
    }
}

/// The dead connection is closed before there is another one.
#[test]
fn reconnects_after_silence() {
    let (listener, address) = listener("127.0.0.1");
    let client = pingclient(address, &["--reconnect", "--interval", "0.3"]);
    for count in 0..2 {
        let mut received = Vec::new();
        accept(&listener).read_to_end(&mut received).unwrap();
        let said = client.out().text();
        assert_eq!(said.matches("reconnected").count(), count);
        assert_eq!(received, [message(PING); 3].concat());
        client.complains("connection dead").unwrap();
        client.says("reconnected").unwrap();
    }
}

#[test]
fn heartbeats_over_udp() {
    for host in ["127.0.0.1", "::1"] {
        let ((server, address), (stranger, strange)) = (socket(host), socket(host));
        let client = pingclient(address, &["--udp", "--interval", "0.5"]);
        let (ping, from) = receive_from(&server);
        assert_eq!(ping, message(PING));
        // Neither a stranger's PONG nor a part of one from the server is an answer.
        stranger.send_to(&message(PONG), from).unwrap();
        server.send_to(&message(PONG)[..1000], from).unwrap();
        for (length, source) in [(1028, strange), (1000, address)] {
            client
                .complains(&format!("ignored {length} bytes from {source}"))
                .unwrap();
        }
        assert_eq!(client.out().text(), "sending heartbeat #1\n");
        server.send_to(&message(PONG), from).unwrap();
        client
            .says("received heartbeat, make heartbeats to 0")
            .unwrap();
        for _ in 0..3 {
            assert_eq!(receive_from(&server), (message(PING).to_vec(), from));
        }
        client.complains("Error: connection dead").unwrap();
        assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
    }
}

#[test]
fn bad_addresses_and_busy_ports_are_clear_errors() {
    let (_listener, address) = listener("127.0.0.1");
    let (_socket, datagrams) = socket("127.0.0.1");
    for (server, address) in [
        (&["pingserver", "1"][..], address),
        (&["pingserver", "1", "--udp"], datagrams),
        (&["keepalive", "server"], address),
    ] {
        let second = chap_12(&[server, &["--port", &address.port().to_string()]].concat());
        let busy = format!("Error: bind {address}: Address already in use (os error 98)");
        second.complains(&busy).unwrap();
        let elsewhere = chap_12(&[server, &["--port", "0", "--bind", "192.0.2.1"]].concat());
        elsewhere
            .complains("Error: bind 192.0.2.1:0: Cannot assign requested address (os error 99)")
            .unwrap();
    }
    for client in [&["pingclient"][..], &["keepalive", "client"]] {
        let refused = chap_12(&[client, &["127.0.0.1", "--port", "1"]].concat());
        refused
            .complains("Error: connect 127.0.0.1:1: Connection refused (os error 111)")
            .unwrap();
        assert_eq!(refused.ends().unwrap().ending, Ending::Exited(1));
        let unknown = chap_12(&[client, &["no such host"]].concat());
        unknown.complains("Error: resolve no such host: ").unwrap();
    }
}

#[test]
fn ctrl_c_ends_them() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (server, address) = pingserver(&["60"]);
        let client = pingclient(address, &["--interval", "60"]);
        server.says("received 1028 bytes").unwrap();
        let (listener, elsewhere) = listener("127.0.0.1");
        let keepalive = self::client(&["keepalive", "client"], elsewhere, &[]);
        let _connection = accept(&listener);
        keepalive.says("a dead peer").unwrap();
        for program in [client, server, keepalive] {
            program.signal(signal);
            assert_eq!(program.ends().unwrap().ending, Ending::Killed(signal));
        }
    }
}

// keepalive. That the kernel keeps its word takes a wire to cut, which is the lab's.

fn sysctl(name: &str) -> u64 {
    let path = format!("/proc/sys/net/ipv4/tcp_keepalive_{name}");
    std::fs::read_to_string(path)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

#[test]
fn the_systems_values_and_what_is_read() {
    for host in ["127.0.0.1", "::1"] {
        let server = chap_12(&["keepalive", "server", "--port", "0", "--bind", host]);
        let mut stream = connect(server.listens().unwrap());
        let (idle, interval, probes) = (sysctl("time"), sysctl("intvl"), sysctl("probes"));
        let found = idle + interval * probes;
        for line in [
            "SO_KEEPALIVE: on",
            &format!("TCP_KEEPIDLE: {idle} s"),
            &format!("TCP_KEEPINTVL: {interval} s"),
            &format!("TCP_KEEPCNT: {probes}"),
            "TCP_USER_TIMEOUT: 0 ms",
            &format!("a dead peer is noticed after {found} s: "),
        ] {
            server.says(line).unwrap();
        }
        stream.write_all(b"data1\0").unwrap();
        server.says("read returned after ").unwrap();
        server.says(r"received 6 bytes: data1\0").unwrap();
        drop(stream);
        server.says("peer closed").unwrap();
        assert!(server.ends().unwrap().success());
    }
}

#[test]
fn values_of_its_own_and_a_reset() {
    let (listener, address) = listener("127.0.0.1");
    let all = "--idle 7100 --interval 60 --probes 3";
    for (options, found) in [
        (all, "7280 s: 2 h 1 min 20 s"),
        (
            &format!("{all} --user-timeout 7220.001"),
            "7280 s: 2 h 1 min 20 s",
        ),
        (
            &format!("{all} --user-timeout 7220"),
            "7220 s: 2 h 0 min 20 s",
        ),
        (
            &format!("{all} --user-timeout 0.5"),
            "7160 s: 1 h 59 min 20 s",
        ),
    ] {
        let options: Vec<_> = options.split(' ').collect();
        let client = client(&["keepalive", "client"], address, &options);
        let stream = accept(&listener);
        client.says("TCP_KEEPIDLE: 7100 s").unwrap();
        client.says("TCP_KEEPINTVL: 60 s").unwrap();
        client.says("TCP_KEEPCNT: 3").unwrap();
        client
            .says(&format!("a dead peer is noticed after {found}"))
            .unwrap();
        reset(stream).unwrap();
        client.says("read returned after ").unwrap();
        client
            .complains("Error: read: Connection reset by peer (os error 104)")
            .unwrap();
        assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
    }
    let off = client(&["keepalive", "client"], address, &["--off"]);
    let _stream = accept(&listener);
    off.says("SO_KEEPALIVE: off").unwrap();
    off.says("a dead peer is never noticed").unwrap();
}

#[test]
fn what_the_kernel_does_not_take_is_refused() {
    let whole = "the kernel counts this in whole seconds, from 1 to 32767";
    for (option, value, why) in [
        ("idle", "0.5", whole),
        ("idle", "0", whole),
        ("interval", "32768", whole),
        ("interval", "-1", whole),
        ("probes", "128", "128 is not in 1..=127"),
        (
            "user-timeout",
            "0.0001",
            "the kernel counts this in whole milliseconds",
        ),
        ("user-timeout", "2147484", "2147483647 at most"),
    ] {
        let option = format!("--{option}={value}");
        let refused = chap_12(&["keepalive", "client", "127.0.0.1", &option]);
        refused.complains(why).unwrap();
        assert_eq!(refused.ends().unwrap().ending, Ending::Exited(2));
    }
    for arguments in [
        &["pingserver", "-1"][..],
        &["pingclient", "::1", "--probes", "0"],
    ] {
        let refused = chap_12(arguments);
        assert_eq!(refused.ends().unwrap().ending, Ending::Exited(2));
    }
}
