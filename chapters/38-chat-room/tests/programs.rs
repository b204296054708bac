//! The lesson's programs, over real sockets.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use drive::{Ending, Program, Signal, reset};

fn chap_38(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-38"));
    Program::start(arguments[0], command.args(arguments)).unwrap()
}

/// A server on a free port, and its address.
fn server(arguments: &[&str]) -> (Program, String) {
    let server = chap_38(&[&["chat-server", "--port", "0"], arguments].concat());
    let address = server.listens().unwrap().to_string();
    (server, address)
}

/// A user whom the server has let in.
fn user(server: &Program, address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    server.says("come a new user").unwrap();
    stream
}

fn hears(mut user: &TcpStream, expected: &[u8]) {
    let mut found = vec![0; expected.len()];
    user.read_exact(&mut found).unwrap();
    assert_eq!(
        found.escape_ascii().to_string(),
        expected.escape_ascii().to_string()
    );
}

fn hears_nothing(mut user: &TcpStream) {
    user.set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    assert!(user.read(&mut [0; 8]).is_err());
    user.set_read_timeout(None).unwrap();
}

#[test]
fn everybody_else_hears_each_line() {
    for bind in ["127.0.0.1", "::1"] {
        let (server, address) = server(&["--bind", bind]);
        let users: Vec<_> = (0..3).map(|_| user(&server, &address)).collect();
        (&users[0]).write_all(b"hello\n").unwrap();
        hears(&users[1], b"hello\n");
        hears(&users[2], b"hello\n");
        (&users[1])
            .write_all(b"binary \0\xff\r\n\ntwo\nthr")
            .unwrap();
        hears(&users[0], b"binary \0\xff\r\n\ntwo\n");
        (&users[1]).write_all(b"ee\n").unwrap();
        hears(&users[0], b"three\n");
        hears(&users[2], b"binary \0\xff\r\n\ntwo\nthree\n");
        users.iter().for_each(hears_nothing);
        server.says("received 6 bytes from").unwrap();
        assert_eq!(server.err().text(), "");
    }
}

/// The original keeps one message per user, and sends the first 63 bytes of it.
#[test]
fn e3_no_line_is_lost_torn_or_out_of_order() {
    const USERS: usize = 5;
    const LINES: usize = 1000;
    let (server, address) = server(&["--backlog", "20000"]);
    let users: Vec<_> = (0..USERS).map(|_| user(&server, &address)).collect();
    let line = |user: usize, number: usize| {
        let text = ((user * 7 + number) % 26) as u8 + b'a';
        format!(
            "{user} {number} {}",
            char::from(text).to_string().repeat(number * 31 % 700)
        )
    };
    thread::scope(|scope| {
        for (number, mut stream) in users.iter().enumerate() {
            scope.spawn(move || {
                for count in 0..LINES {
                    stream
                        .write_all(format!("{}\n", line(number, count)).as_bytes())
                        .unwrap();
                }
            });
            scope.spawn(move || {
                // One of them does not listen for a while.
                thread::sleep(Duration::from_millis(if number == 3 { 300 } else { 0 }));
                let mut next = [0; USERS];
                let mut lines = BufReader::new(stream).lines();
                for _ in 0..(USERS - 1) * LINES {
                    let heard = lines.next().unwrap().unwrap();
                    let from: usize = heard.split(' ').next().unwrap().parse().unwrap();
                    assert_eq!(heard, line(from, next[from]));
                    next[from] += 1;
                }
                assert_eq!(next[number], 0);
            });
        }
    });
}

/// What is wrong on purpose is wrong: lines are missing.
#[test]
fn overwriting_loses_lines() {
    let (server, address) = server(&["--overwrite"]);
    let (speaker, listener) = (user(&server, &address), user(&server, &address));
    let text = [
        vec![b'x'; 4000],
        b"
"
        .to_vec(),
    ]
    .concat()
    .repeat(5000);
    let mut writer = &speaker;
    writer.write_all(&text).unwrap();
    speaker.shutdown(Shutdown::Write).unwrap();
    server.says("a client left").unwrap();
    listener.shutdown(Shutdown::Write).unwrap();
    let mut heard = Vec::new();
    (&listener).read_to_end(&mut heard).unwrap();
    assert!(heard.len() < text.len());
}

/// Somebody who never reads costs the others a moment of patience, and no memory.
#[test]
fn e1_05_somebody_who_never_reads_has_to_go() {
    let (server, address) = server(&["--patience", "1"]);
    let _deaf = user(&server, &address);
    let (mut speaker, listener) = (user(&server, &address), user(&server, &address));
    let listens = thread::spawn(move || {
        let mut heard = Vec::new();
        (&listener).read_to_end(&mut heard).unwrap();
        heard.len()
    });
    let text = [
        vec![b'x'; 4000],
        b"
"
        .to_vec(),
    ]
    .concat()
    .repeat(8000);
    speaker.write_all(&text).unwrap();
    server.complains("hears nothing").unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let memory = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let memory: u32 = memory.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(memory < 16_384, "{memory} kB");
    speaker.write_all(b"the end\n").unwrap();
    server.says("the end").unwrap();
    server.signal(Signal::SIGTERM);
    assert!(server.ends().unwrap().success());
    assert_eq!(listens.join().unwrap(), text.len() + 8);
}

#[test]
fn a_line_that_is_too_long_ends_its_user_only() {
    let (server, address) = server(&[]);
    let (first, second) = (user(&server, &address), user(&server, &address));
    let longest = [vec![b'x'; 4095], b"\n".to_vec()].concat();
    (&first).write_all(&longest).unwrap();
    hears(&second, &longest);
    for endless in [
        vec![b'y'; 4096],
        [vec![b'y'; 1 << 20], b"\n".to_vec()].concat(),
    ] {
        let mut third = user(&server, &address);
        let _ = third.write_all(&endless);
        server
            .complains("a line is longer than 4096 bytes")
            .unwrap();
        assert!(matches!(third.read(&mut [0; 8]), Ok(0) | Err(_)));
    }
    (&first).write_all(b"still here\n").unwrap();
    hears(&second, b"still here\n");
}

#[test]
fn the_sixth_is_sent_away_and_a_place_becomes_free_at_once() {
    let (server, address) = server(&[]);
    let mut users: Vec<_> = (0..5).map(|_| user(&server, &address)).collect();
    for _ in 0..20 {
        let mut sixth = TcpStream::connect(&address).unwrap();
        sixth.write_all(b"let me in\n").unwrap();
        let mut said = String::new();
        sixth.read_to_string(&mut said).unwrap();
        assert_eq!(said, "too many users\n");
        server.says("too many users").unwrap();
    }
    drop(users.pop());
    server
        .says("a client left, now have 4 users online")
        .unwrap();
    users.push(user(&server, &address));
    (&users[4]).write_all(b"thanks\n").unwrap();
    hears(&users[0], b"thanks\n");
}

/// The original reads the error and keeps the socket: poll returns at once, for ever.
#[test]
fn e3_a_reset_ends_one_user_and_does_not_spin() {
    let (server, address) = server(&[]);
    let (first, second) = (user(&server, &address), user(&server, &address));
    for _ in 0..10 {
        let third = user(&server, &address);
        reset(third).unwrap();
        server.complains("Connection reset by peer").unwrap();
        server
            .says("a client left, now have 2 users online")
            .unwrap();
    }
    server.rests();
    (&first).write_all(b"hello\n").unwrap();
    hears(&second, b"hello\n");
}

/// The last line without an end is a line, and who has said all hears what was said before.
#[test]
fn half_closed_users_are_heard_and_hear() {
    let (server, address) = server(&[]);
    let (first, mut second) = (user(&server, &address), user(&server, &address));
    (&first).write_all(b"question\n").unwrap();
    second.write_all(b"last word").unwrap();
    second.shutdown(Shutdown::Write).unwrap();
    hears(&first, b"last word\n");
    let mut heard = String::new();
    second.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "question\n");
}

#[test]
fn two_clients_talk() {
    for copy in [&[][..], &["--copy"]] {
        let (server, address) = server(&[]);
        let (host, port) = address.rsplit_once(':').unwrap();
        let client = || {
            let client = chap_38(&[&["chat-client", host, port], copy].concat());
            server.says("come a new user").unwrap();
            client
        };
        let (first, second) = (client(), client());
        first.types("hello").unwrap();
        second.says("hello").unwrap();
        second
            .types_bytes(b"two\nlines \0\xff\nand an unfinished one")
            .unwrap();
        second.closes_input();
        assert!(second.ends().unwrap().success());
        first.says("two").unwrap();
        first.says("lines \\0\\xff").unwrap();
        first.says("and an unfinished one").unwrap();
        // More than a pipe holds, in one go.
        let third = client();
        let long = "y".repeat(4000);
        let text = format!("{long}\n").repeat(100);
        third.types_bytes(text.as_bytes()).unwrap();
        for _ in 0..100 {
            assert_eq!(first.says("y").unwrap().line.text, long);
        }
        server.signal(Signal::SIGTERM);
        assert!(server.ends().unwrap().success());
        for client in [first, third] {
            assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
            assert_eq!(client.err().text(), "Error: server closed the connection\n");
        }
    }
}

/// At the end of its input the original asks poll again and again.
#[test]
fn e3_the_end_of_input_does_not_spin() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let client = chap_38(&["chat-client", "127.0.0.1", &port]);
    let (mut peer, _) = listener.accept().unwrap();
    client.types_bytes(b"bye").unwrap();
    client.closes_input();
    let mut said = String::new();
    peer.read_to_string(&mut said).unwrap();
    assert_eq!(said, "bye");
    client.rests();
    peer.write_all(b"goodbye\n").unwrap();
    client.says("goodbye").unwrap();
    drop(peer);
    assert!(client.ends().unwrap().success());
}

#[test]
fn the_client_reports_what_ends_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let client = chap_38(&["chat-client", "127.0.0.1", &port]);
    client.says("connected").unwrap();
    reset(listener.accept().unwrap().0).unwrap();
    assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
    assert_eq!(
        client.err().text(),
        "Error: read: Connection reset by peer (os error 104)\n"
    );
    drop(listener);
    let client = chap_38(&["chat-client", "127.0.0.1", &port]);
    assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
    let expected = format!("Error: connect 127.0.0.1:{port}: Connection refused (os error 111)\n");
    assert_eq!(client.err().text(), expected);
}

#[test]
fn signals_and_wrong_options() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (server, address) = server(&[]);
        let mut stream = user(&server, &address);
        server.signal(signal);
        assert!(server.ends().unwrap().success());
        assert!(matches!(stream.read(&mut [0; 8]), Ok(0) | Err(_)));
    }
    let (_server, address) = server(&[]);
    let port = address.rsplit(':').next().unwrap();
    let second = chap_38(&["chat-server", "--port", port]);
    assert_eq!(second.ends().unwrap().ending, Ending::Exited(1));
    let expected = format!("Error: bind {address}: Address already in use (os error 98)\n");
    assert_eq!(second.err().text(), expected);
    for arguments in [["--limit", "0"], ["--bind", "x"], ["--patience", "-1"]] {
        let wrong = chap_38(&[&["chat-server"][..], &arguments].concat());
        assert_eq!(wrong.ends().unwrap().ending, Ending::Exited(2));
    }
}
