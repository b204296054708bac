//! The midterm's programs, over real sockets.

use std::ffi::OsStr;
use std::fs::{create_dir, write};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use drive::{Ending, Program, Signal};
use tempfile::{TempDir, tempdir};

fn midterm(directory: &Path, arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_midterm"));
    command
        .args(arguments)
        .current_dir(directory)
        .env("HOME", directory.join("home"));
    Program::start(arguments[0], &mut command).unwrap()
}

/// A server in a directory with `home`, `one` and `one/two`; and its port.
fn server(arguments: &[&str]) -> (TempDir, Program, String) {
    let directory = tempdir().unwrap();
    for name in ["home", "one", "one/two"] {
        create_dir(directory.path().join(name)).unwrap();
    }
    let options = [&["telnet-server", "--port", "0"], arguments].concat();
    let server = midterm(directory.path(), &options);
    let port = server.listens().unwrap().port().to_string();
    (directory, server, port)
}

fn client(arguments: &[&str]) -> Program {
    midterm(Path::new("/"), &[&["telnet-client"], arguments].concat())
}

/// A client that we are ourselves.
struct Raw(BufReader<TcpStream>);

impl Raw {
    fn new(port: &str) -> Self {
        Self(BufReader::new(
            TcpStream::connect(format!("127.0.0.1:{port}")).unwrap(),
        ))
    }

    fn sends(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    fn reply(&mut self) -> Vec<u8> {
        let mut length = String::new();
        self.0.read_line(&mut length).unwrap();
        let mut reply = vec![0; length.trim_end().parse().unwrap()];
        self.0.read_exact(&mut reply).unwrap();
        reply
    }

    fn asks(&mut self, command: &str) -> String {
        self.sends(format!("{command}\n").as_bytes());
        String::from_utf8_lossy(&self.reply()).into_owned()
    }
}

#[test]
fn a_session_on_both_families() {
    for host in ["127.0.0.1", "::1"] {
        let (directory, server, port) = server(&["--bind", host]);
        let root = directory.path().canonicalize().unwrap();
        let root = root.to_str().unwrap();
        let client = client(&[host, &port]);
        for line in [
            "pwd",
            "ls",
            "cd one/two",
            "pwd",
            "ls",
            "cd ..",
            "ls",
            "cd -",
            "pwd",
            "cd -",
            "pwd",
        ] {
            client.types(line).unwrap();
        }
        for line in ["cd ~", "pwd", "cd /", "pwd", "quit"] {
            client.types(line).unwrap();
        }
        assert!(client.ends().unwrap().success());
        let expected = format!(
            "{root}\nhome\none\n{root}/one/two\ntwo\n{root}/one/two\n{root}/one\n{root}/home\n/\n"
        );
        assert_eq!(client.out().text(), expected);
        server.says("client quit").unwrap();
        let heard = server.out().text();
        assert!(
            heard.contains("\nreceived 3 bytes: pwd\n")
                && heard.contains("\nreceived 10 bytes: cd one/two\n"),
            "{heard}"
        );
    }
}

/// However a client goes, the next one is served, and begins in the start directory.
#[test]
fn the_next_client_begins_at_the_start() {
    let (directory, server, port) = server(&[]);
    let root = directory.path().canonicalize().unwrap();
    let leaves: [fn(&Program); 5] = [
        |client| client.types("quit").unwrap(),
        |client| client.closes_input(),
        |client| client.signal(Signal::SIGKILL),
        |client| client.signal(Signal::SIGINT),
        |client| client.signal(Signal::SIGTERM),
    ];
    for leave in leaves {
        let client = client(&["127.0.0.1", &port]);
        client.types("cd one").unwrap();
        client.types("pwd").unwrap();
        client.says("/one").unwrap();
        leave(&client);
        client.ends().unwrap();
        let mut next = Raw::new(&port);
        assert_eq!(next.asks("pwd").trim_end(), root.to_str().unwrap());
        assert_eq!(
            next.asks("cd -"),
            "error: cd -: there is no previous directory\n"
        );
        // A reset is the end of this client only.
        drive::reset(next.0.into_inner()).unwrap();
    }
    assert!(server.ended().is_none());
}

/// With one directory for all, the next client is where the last one was.
#[test]
fn keep_is_wrong() {
    let (_directory, _server, port) = server(&["--keep"]);
    assert_eq!(Raw::new(&port).asks("cd one"), "");
    assert!(Raw::new(&port).asks("pwd").ends_with("/one\n"));
}

/// The original takes an empty line for ls on one side and for quit on the other, and then dies of it.
#[test]
fn e3_an_empty_line_and_half_a_word_are_errors() {
    let (_directory, _server, port) = server(&[]);
    let client = client(&["127.0.0.1", &port]);
    for line in ["", "l", "q", "ls"] {
        client.types(line).unwrap();
    }
    client.closes_input();
    assert!(client.ends().unwrap().success());
    let expected = "error: an empty line is no command\nerror: unknown command: l\nerror: unknown command: q\nhome\none\n";
    assert_eq!(client.out().text(), expected);

    let (_directory, _server, port) = server(&["--prefix"]);
    assert_eq!(Raw::new(&port).asks(""), "home\none\n");
}

#[test]
fn bad_input_is_answered() {
    let (directory, server, port) = server(&[]);
    let odd = directory.path().join(OsStr::from_bytes(b"odd\xff\x1b[31m"));
    create_dir(&odd).unwrap();
    write(odd.join("a\nb"), "").unwrap();
    let mut raw = Raw::new(&port);
    for (command, reply) in [
        (
            &b"cd nowhere\n"[..],
            "error: cd nowhere: No such file or directory (os error 2)\n",
        ),
        (
            b"cd /etc/passwd\n",
            "error: cd /etc/passwd: Not a directory (os error 20)\n",
        ),
        (
            b"cd a\0b\n",
            "error: cd a\\0b: Invalid argument (os error 22)\n",
        ),
        (b"\0\xff\x01\r\n", "error: unknown command: \\0\\xff\\x01\n"),
        (b"ls\r\n", "home\nodd\u{fffd}\x1b[31m\none\n"),
        (b"cd odd\xff\x1b[31m\n", ""),
        (b"ls\n", "a\nb\n"),
    ] {
        raw.sends(command);
        assert_eq!(String::from_utf8_lossy(&raw.reply()), reply);
    }
    let long = "x".repeat(4096);
    let refused = raw.asks(&format!("cd {long}"));
    assert!(
        refused.ends_with(": File name too long (os error 36)\n"),
        "{refused}"
    );
    raw.sends(&[b'y'; 1 << 20]);
    assert_eq!(raw.asks(""), "error: a command has 4112 bytes at most\n");
    // The line after it is found.
    assert_eq!(raw.asks("ls"), "a\nb\n");
    drop(raw);
    server.says("client closed").unwrap();

    let mut cut = Raw::new(&port);
    cut.sends(b"pw");
    cut.0.get_ref().shutdown(Shutdown::Write).unwrap();
    server
        .complains(": cut off in the middle of a command")
        .unwrap();
    drop(cut);

    // The client shows such a name without letting it steer the terminal.
    let client = client(&["127.0.0.1", &port]);
    client.types("ls").unwrap();
    client.says("odd\\xff\\x1b[31m").unwrap();
}

#[test]
fn a_directory_without_rights_or_without_a_name() {
    let (directory, _server, port) = server(&[]);
    let mut raw = Raw::new(&port);
    raw.asks("cd one/two");
    std::fs::remove_dir(directory.path().join("one/two")).unwrap();
    assert_eq!(
        raw.asks("pwd"),
        "error: pwd: No such file or directory (os error 2)\n"
    );
    assert_eq!(raw.asks("ls"), "");
    assert_eq!(raw.asks("cd -"), "");
    assert_eq!(raw.asks("ls"), "home\none\n");
}

/// The original's 16 KiB overflow.
#[test]
fn e3_a_listing_of_more_than_16_kib() {
    let (directory, _server, port) = server(&[]);
    let names: Vec<_> = (0..10_000)
        .map(|number| format!("file-{number:04}"))
        .collect();
    for name in &names {
        write(directory.path().join("home").join(name), "").unwrap();
    }
    let expected = names.join("\n") + "\n";
    let listing = |options: &[&str]| {
        let client = client(&[&["127.0.0.1", &port], options].concat());
        for line in ["cd home", "ls", "quit"] {
            client.types(line).unwrap();
        }
        assert!(client.ends().unwrap().success());
        client.out().text()
    };
    assert!(listing(&[]) == expected);
    assert!(listing(&["--at-most", "7"]) == expected);
    // Each read is printed as if it were the whole: a name is cut in two wherever a read ends.
    assert!(listing(&["--read-once"]) != expected);
}

/// Commands in one segment, in segments of one byte, and after quit.
#[test]
fn commands_in_any_pieces() {
    let (_directory, server, port) = server(&[]);
    let mut raw = Raw::new(&port);
    raw.0.get_ref().set_nodelay(true).unwrap();
    for byte in b"cd one\r\nls\r\nl" {
        raw.sends(&[*byte]);
    }
    raw.sends(b"s\nquit\npwd\nls\n");
    assert_eq!(
        [raw.reply(), raw.reply(), raw.reply()],
        [&b""[..], b"two\n", b"two\n"]
    );
    // After quit there is nothing, and the end is no reset.
    let mut rest = Vec::new();
    raw.0.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
    drop(raw);
    server.says("client quit").unwrap();
}

/// A client that says nothing, and one that does not listen, make room for the next.
#[test]
fn idle_clients_have_to_go() {
    let (directory, server, port) = server(&["--idle", "0.2"]);
    let _silent = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    server.complains(": silent for 0.2 s").unwrap();

    for number in 0..2_000 {
        write(
            directory.path().join("one").join(format!("{number:0200}")),
            "",
        )
        .unwrap();
    }
    let mut deaf = Raw::new(&port);
    deaf.sends(b"cd one\n");
    // 400 KB each: more than both buffers, tcp_wmem and tcp_rmem, can ever be.
    deaf.sends(&b"ls\n".repeat(200));
    server
        .complains(": send: Resource temporarily unavailable (os error 11)")
        .unwrap();

    assert_eq!(Raw::new(&port).asks("ls"), "home\none\n");
}

/// The client against a server that lies, is cut off, or says two things at once.
#[test]
fn a_bad_server_is_a_clear_error() {
    for (said, complaint) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            "Error: not the length of a reply: \"HTTP/1.1 400 Bad Req\"",
        ),
        (
            b"99999999999\n",
            "Error: a reply of 99999999999 bytes is announced, the limit is 67108864",
        ),
        (
            b"6\n/ho",
            "Error: server terminated after 5 bytes of a reply",
        ),
        (b"", "Error: server terminated"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let client = client(&["127.0.0.1", &port]);
        let (mut connection, _) = listener.accept().unwrap();
        client.types("pwd").unwrap();
        let mut command = [0; 4];
        connection.read_exact(&mut command).unwrap();
        assert_eq!(&command, b"pwd\n");
        connection.write_all(said).unwrap();
        connection.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
        assert_eq!(client.err().text(), format!("{complaint}\n"));
    }
}

/// Of two lines in one read the second is sent when the first has its reply; end of input does not spin.
#[test]
fn e3_two_lines_in_one_read_and_end_of_input() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let client = client(&["127.0.0.1", &port]);
    let (mut connection, _) = listener.accept().unwrap();
    client.types_bytes(b"pwd\nls\nlast").unwrap();
    client.closes_input();
    for (command, reply) in [
        (&b"pwd\n"[..], &b"2\n/\n"[..]),
        (b"ls\n", b"0\n"),
        (b"last\n", b"2\nx\n"),
    ] {
        let mut heard = vec![0; command.len()];
        connection.read_exact(&mut heard).unwrap();
        assert_eq!(heard, command);
        connection.write_all(reply).unwrap();
    }
    assert_eq!(connection.read(&mut [0; 8]).unwrap(), 0);
    drop(connection);
    assert!(client.ends().unwrap().success());
    assert_eq!(client.out().text(), "/\nx\n");
}

#[test]
fn bad_addresses_and_busy_ports_are_clear_errors() {
    let refused = client(&["127.0.0.1", "1"]);
    refused
        .complains("Error: connect 127.0.0.1:1: Connection refused (os error 111)")
        .unwrap();
    assert_eq!(refused.ends().unwrap().ending, Ending::Exited(1));
    client(&["no such host"])
        .complains("Error: resolve no such host: ")
        .unwrap();

    let (directory, _server, port) = server(&[]);
    let second = midterm(directory.path(), &["telnet-server", "--port", &port]);
    let busy = format!("Error: bind 127.0.0.1:{port}: Address already in use (os error 98)");
    second.complains(&busy).unwrap();
}

#[test]
fn ctrl_c_and_sigterm_end_the_server() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (_directory, server, port) = server(&[]);
        let client = client(&["127.0.0.1", &port]);
        client.types("ls").unwrap();
        client.says("home").unwrap();
        server.signal(signal);
        assert_eq!(server.ends().unwrap().ending, Ending::Killed(signal));
        client.complains("Error: server terminated").unwrap();
        assert_eq!(client.ends().unwrap().ending, Ending::Exited(1));
    }
}
