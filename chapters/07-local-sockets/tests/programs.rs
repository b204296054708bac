//! The lesson's programs, over real sockets.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use drive::{Ending, Program, Signal};
use tempfile::TempDir;

fn chap_7(directory: &Path, arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-7"));
    let command = command
        .args(arguments)
        .current_dir(directory)
        .env("TMPDIR", directory);
    Program::start(arguments[0], command).unwrap()
}

/// A directory of the test's own, and a server of this kind on `s.sock` in it.
fn server(arguments: &[&str]) -> (TempDir, Program, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let server = chap_7(directory.path(), arguments);
    server.says("listening on s.sock").unwrap();
    let path = directory.path().join("s.sock");
    (directory, server, path)
}

fn streamserver() -> (TempDir, Program, PathBuf) {
    server(&["unixstreamserver", "s.sock"])
}

fn dataserver() -> (TempDir, Program, PathBuf) {
    server(&["unixdataserver", "s.sock"])
}

fn names(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Ends with this error on standard error, and exit code 1.
fn fails(program: &Program, error: &str) {
    assert_eq!(program.ends().unwrap().ending, Ending::Exited(1));
    assert_eq!(program.err().text(), format!("Error: {error}\n"));
}

/// A datagram socket of the test's own that does not wait for ever.
fn datagram_socket(name: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(name).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    socket
}

/// Waits until nobody holds the socket of this file: a process that another test starts at this moment holds what we have
/// open, until its exec.
fn awaits_stale(path: &Path) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match UnixDatagram::unbound().unwrap().connect(path) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return,
            outcome => assert!(Instant::now() < end, "{outcome:?}"),
        }
        std::thread::yield_now();
    }
}

#[test]
fn lines_go_and_come() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (directory, server, _) = streamserver();
        let client = chap_7(directory.path(), &["unixstreamclient", "s.sock"]);
        for line in ["g1", "g2", "g3"] {
            client.types(line).unwrap();
            client.says(&format!("Hi, {line}")).unwrap();
        }
        client.signal(signal);
        assert_eq!(client.ends().unwrap().ending, Ending::Killed(signal));
        server.says("client closed").unwrap();
        server.signal(signal);
        assert!(server.ends().unwrap().success());
        let said = ["g1", "g2", "g3"].map(|line| format!("now sending {line}\nHi, {line}\n"));
        assert_eq!(client.out().text(), said.concat());
        let heard = ["g1", "g2", "g3"].map(|line| format!("received 2 bytes: {line}\n"));
        let heard = format!("listening on s.sock\n{}client closed\n", heard.concat());
        assert_eq!(server.out().text(), heard);
        assert_eq!(names(&directory), [""; 0]);
    }
}

/// What goes over the socket is the line and nothing else: no more bytes than were typed.
#[test]
fn e3_exact_bytes_and_pieces() {
    let (_directory, server, path) = streamserver();
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"ha").unwrap();
    stream.write_all(b"lf\n\0\xff\x1b\n\nlast").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers).unwrap();
    assert_eq!(answers, b"Hi, half\nHi, \0\xff\x1b\nHi, \nHi, last\n");
    server.says("received 4 bytes: half").unwrap();
    server.says(r"received 3 bytes: \0\xff\x1b").unwrap();
    server.says("received 0 bytes: ").unwrap();
    server.says("client closed").unwrap();

    let directory = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(directory.path().join("s.sock")).unwrap();
    let client = chap_7(directory.path(), &["unixstreamclient", "s.sock"]);
    let (mut connection, _) = listener.accept().unwrap();
    client.types_bytes(b"g1\ng2\nlast").unwrap();
    client.closes_input();
    connection.write_all(b"one\ntwo\nthree\n").unwrap();
    let mut heard = Vec::new();
    connection.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"g1\ng2\nlast\n");
    assert!(client.ends().unwrap().success());
    assert!(client.out().text().ends_with("now sending last\nthree\n"));
}

/// A line of exactly the size of a read, and one far larger, lose nothing.
#[test]
fn e3_exactly_full_buffer() {
    let (directory, _server, _) = streamserver();
    for size in [4095, 4096, 1 << 20] {
        let client = chap_7(directory.path(), &["unixstreamclient", "s.sock"]);
        let line = "x".repeat(size);
        client.types(&line).unwrap();
        client.closes_input();
        assert!(client.ends().unwrap().success());
        assert_eq!(
            client.out().text(),
            format!("now sending {line}\nHi, {line}\n")
        );
    }
}

#[test]
fn a_line_without_end_and_a_client_that_does_not_read_are_no_end_of_the_service() {
    let (directory, server, path) = streamserver();
    let mut stream = UnixStream::connect(&path).unwrap();
    // Until the server has had enough.
    while stream.write_all(&[b'x'; 65_536]).is_ok() {}
    server
        .complains("client: a line of more than 16777216 bytes")
        .unwrap();

    // Its answers fill the buffers, and it does not read: the server waits, but not for ever.
    let deaf = UnixStream::connect(&path).unwrap();
    deaf.set_nonblocking(true).unwrap();
    let mut total = 0;
    while let Ok(count) = (&deaf).write(b"xxxxxxx\n") {
        total += count;
    }
    assert!(total > 0);
    server.says("received 7 bytes: xxxxxxx").unwrap();
    server.signal(Signal::SIGTERM);
    assert!(server.ends().unwrap().success());
    assert_eq!(names(&directory), [""; 0]);
}

#[test]
fn a_killed_client_and_one_with_unread_answers() {
    let (directory, server, path) = streamserver();
    let client = chap_7(
        directory.path(),
        &["unixstreamclient", "s.sock", "--pause", "600"],
    );
    client.types("g1").unwrap();
    client.says("the answer waits").unwrap();
    client.kill().unwrap();
    server
        .complains("client: read: Connection reset by peer (os error 104)")
        .unwrap();
    // The answer of one who has gone cannot be sent.
    let mut gone = UnixStream::connect(&path).unwrap();
    gone.shutdown(Shutdown::Read).unwrap();
    gone.write_all(b"g2\n").unwrap();
    server
        .complains("client: send: Broken pipe (os error 32)")
        .unwrap();
    let client = chap_7(directory.path(), &["unixstreamclient", "s.sock"]);
    client.types("g3").unwrap();
    client.says("Hi, g3").unwrap();
    server.kill().unwrap();
    client.types("g4").unwrap();
    fails(&client, "send: Broken pipe (os error 32)");
}

#[test]
fn a_server_that_ends_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(directory.path().join("s.sock")).unwrap();
    let client = chap_7(directory.path(), &["unixstreamclient", "s.sock"]);
    client.types("g1").unwrap();
    let (mut connection, _) = listener.accept().unwrap();
    connection.read_exact(&mut [0; 3]).unwrap();
    drop(connection);
    fails(&client, "server terminated");
}

#[test]
fn datagrams_go_and_come() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (directory, server, _) = dataserver();
        let clients = [&["--bind", "c.sock"][..], &[]].map(|own| {
            chap_7(
                directory.path(),
                &[&["unixdataclient", "s.sock"], own].concat(),
            )
        });
        for (client, line) in clients.iter().zip(["g1", "g2"]) {
            client.types(line).unwrap();
            client.says(&format!("Hi, {line}")).unwrap();
            client.types("").unwrap();
            client.says("Hi, ").unwrap();
        }
        assert_eq!(names(&directory).len(), 3);
        let [first, second] = clients;
        first.signal(signal);
        second.closes_input();
        for client in [&first, &second] {
            assert!(client.ends().unwrap().success());
            assert_eq!(client.err().text(), "");
        }
        assert_eq!(
            first.out().text(),
            "now sending g1\nHi, g1\nnow sending \nHi, \n"
        );
        server.signal(signal);
        assert!(server.ends().unwrap().success());
        let heard = ["g1", "g2"].map(|line| {
            format!("received 2 bytes: {line}\nnow sending Hi, {line}\nreceived 0 bytes: \nnow sending Hi, \n")
        });
        assert_eq!(
            server.out().text(),
            format!("listening on s.sock\n{}", heard.concat())
        );
        assert_eq!(names(&directory), [""; 0]);
    }
}

/// Neither an empty datagram, nor a client without a name, nor one that is gone or does not read ends the server.
#[test]
fn e3_odd_datagrams_are_no_end() {
    let (directory, server, path) = dataserver();
    let unbound = UnixDatagram::unbound().unwrap();
    unbound.send_to(b"", &path).unwrap();
    server.says("received 0 bytes: ").unwrap();
    server
        .complains("no answer: the client has no name")
        .unwrap();
    let gone = directory.path().join("gone.sock");
    let socket = datagram_socket(&gone);
    // While it stands still, so that the client is gone by the time of the answer.
    server.signal(Signal::SIGSTOP);
    socket.send_to(b"g1", &path).unwrap();
    drop(socket);
    awaits_stale(&gone);
    server.signal(Signal::SIGCONT);
    server
        .complains(&format!(
            "sendto {}: Connection refused (os error 111)",
            gone.display()
        ))
        .unwrap();

    let deaf = datagram_socket(&directory.path().join("deaf.sock"));
    while !server
        .err()
        .text()
        .contains("Resource temporarily unavailable (os error 11)")
    {
        deaf.send_to(b"g2", &path).unwrap();
    }

    // Each is answered whole, and nothing of a longer one remains in the next.
    let socket = datagram_socket(&directory.path().join("c.sock"));
    let mut answer = vec![0; 200_000];
    for sent in [&[b'x'; 150_000][..], &[b'y'; 4096], b"\0\xff\n", b""] {
        socket.send_to(sent, &path).unwrap();
        let length = socket.recv(&mut answer).unwrap();
        assert_eq!(answer[..length], [b"Hi, ", sent].concat());
    }
}

#[test]
fn e3_answers_of_strangers_late_answers_and_none() {
    let directory = tempfile::tempdir().unwrap();
    let server = datagram_socket(&directory.path().join("s.sock"));
    let arguments = [
        "unixdataclient",
        "s.sock",
        "--bind",
        "c.sock",
        "--timeout",
        "0.05",
    ];
    let client = chap_7(directory.path(), &arguments);
    client.types("g1").unwrap();
    let mut message = [0; 16];
    assert_eq!(server.recv(&mut message).unwrap(), 2);
    client.complains("no answer in time").unwrap();
    let own = directory.path().join("c.sock");
    let refused = UnixDatagram::unbound()
        .unwrap()
        .send_to(b"Hi, thief", &own)
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    server.send_to(b"Hi, g1", &own).unwrap();
    client.types("g2").unwrap();
    client.says("late answer: Hi, g1").unwrap();
    client.complains("no answer in time").unwrap();
    drop(server);
    awaits_stale(&directory.path().join("s.sock"));
    client.types("g3").unwrap();
    fails_last(&client, "Error: send: Connection refused (os error 111)");
    assert_eq!(names(&directory), ["s.sock"]);
}

fn fails_last(program: &Program, error: &str) {
    assert_eq!(program.ends().unwrap().ending, Ending::Exited(1));
    assert_eq!(program.err().lines().last().unwrap().text, error);
}

#[test]
fn a_datagram_that_is_too_long_is_a_clear_error() {
    let (directory, _server, _) = dataserver();
    let client = chap_7(directory.path(), &["unixdataclient", "s.sock"]);
    client.types(&"x".repeat(1 << 20)).unwrap();
    fails(&client, "send: Message too long (os error 90)");
    assert_eq!(names(&directory), ["s.sock"]);
}

#[test]
fn no_server_and_the_wrong_one() {
    let directory = tempfile::tempdir().unwrap();
    for client in ["unixstreamclient", "unixdataclient"] {
        let client = chap_7(directory.path(), &[client, "s.sock"]);
        fails(
            &client,
            "connect s.sock: No such file or directory (os error 2)",
        );
    }
    let client = chap_7(directory.path(), &["unixstreamclient", "@chap-7 nobody"]);
    fails(
        &client,
        "connect @chap-7 nobody: Connection refused (os error 111)",
    );
    for (kind, client) in [
        ("unixdataserver", "unixstreamclient"),
        ("unixstreamserver", "unixdataclient"),
    ] {
        let (directory, _server, _) = server(&[kind, "s.sock"]);
        let client = chap_7(directory.path(), &[client, "s.sock"]);
        fails(
            &client,
            "connect s.sock: Protocol wrong type for socket (os error 91)",
        );
        assert_eq!(names(&directory), ["s.sock"]);
    }
}

/// Only a socket file whose server is gone is ever removed.
#[test]
fn e3_nothing_but_a_stale_socket_file_is_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s.sock");
    let kinds = ["unixstreamserver", "unixdataserver", "peercred"].map(|kind| vec![kind, "s.sock"]);
    let kinds = kinds
        .into_iter()
        .chain([vec!["fd-pass", "receiver", "s.sock"]]);
    for arguments in kinds {
        let in_use = || {
            let server = chap_7(directory.path(), &arguments);
            fails(&server, "bind s.sock: Address already in use (os error 98)");
        };
        fs::write(&path, "precious").unwrap();
        in_use();
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        fs::remove_file(&path).unwrap();

        fs::create_dir(&path).unwrap();
        in_use();
        fs::remove_dir(&path).unwrap();

        // A link to a stale socket is a link.
        let stale = directory.path().join("stale.sock");
        drop(UnixListener::bind(&stale).unwrap());
        symlink(&stale, &path).unwrap();
        in_use();
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink() && stale.exists());
        fs::remove_file(&path).unwrap();

        // A living server, of either type, keeps its file and hears nothing.
        let living = UnixListener::bind(&path).unwrap();
        in_use();
        living.set_nonblocking(true).unwrap();
        assert_eq!(living.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        fs::remove_file(&path).unwrap();
        let living = UnixDatagram::bind(&path).unwrap();
        in_use();
        drop(living);

        awaits_stale(&path);
        let kept = chap_7(
            directory.path(),
            &[&arguments[..], &["--no-unlink"]].concat(),
        );
        fails(&kept, "bind s.sock: Address already in use (os error 98)");
        let server = chap_7(directory.path(), &arguments);
        server.says("listening on s.sock").unwrap();
        let file = fs::metadata(&path).unwrap();
        assert!(file.file_type().is_socket() && file.size() == 0);

        // What another has put there meanwhile is not its own to remove.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        server.signal(Signal::SIGINT);
        assert!(server.ends().unwrap().success());
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        fs::remove_file(&path).unwrap();
        fs::remove_file(&stale).unwrap();
    }
}

#[test]
fn e3_long_and_odd_names() {
    let directory = tempfile::tempdir().unwrap();
    let fits = "x".repeat(107);
    let long = "x".repeat(108);
    for kind in [
        "unixstreamserver",
        "unixdataserver",
        "unixstreamclient",
        "unixdataclient",
    ] {
        for name in [long.clone(), "x".repeat(5000), format!("@{long}")] {
            let length = name.trim_start_matches('@').len();
            let program = chap_7(directory.path(), &[kind, &name]);
            let why = format!("a name of {length} bytes, of which 107 fit into a socket address");
            fails(
                &program,
                &format!("{name}: {why}: File name too long (os error 36)"),
            );
        }
        let program = chap_7(directory.path(), &[kind, ""]);
        fails(
            &program,
            "a local socket without a name: Invalid argument (os error 22)",
        );
    }
    assert_eq!(names(&directory), [""; 0]);
    let server = chap_7(directory.path(), &["unixstreamserver", &fits]);
    server.says(&format!("listening on {fits}")).unwrap();
    assert_eq!(names(&directory), [fits]);
    let nowhere = chap_7(directory.path(), &["unixstreamserver", "no/such/directory"]);
    fails(
        &nowhere,
        "bind no/such/directory: No such file or directory (os error 2)",
    );
}

#[test]
fn abstract_names() {
    let directory = tempfile::tempdir().unwrap();
    let name = format!("@chap-7 {}", std::process::id());
    for (kind, client) in [
        ("unixstreamserver", "unixstreamclient"),
        ("unixdataserver", "unixdataclient"),
    ] {
        let server = chap_7(directory.path(), &[kind, &name]);
        server.says(&format!("listening on {name}")).unwrap();
        let own: &[&str] = match client {
            "unixdataclient" => &["--bind", "@chap-7 client"],
            _ => &[],
        };
        let client = chap_7(directory.path(), &[&[client, &name], own].concat());
        client.types("g1").unwrap();
        client.says("Hi, g1").unwrap();
        let second = chap_7(directory.path(), &[kind, &name]);
        fails(
            &second,
            &format!("bind {name}: Address already in use (os error 98)"),
        );
        server.kill().unwrap();
        assert_eq!(names(&directory), [""; 0]);
    }
}

#[test]
fn an_unbound_client_gets_no_answer() {
    let (directory, server, _) = dataserver();
    let client = chap_7(directory.path(), &["unixdataclient", "s.sock", "--unbound"]);
    client.types("g1").unwrap();
    server
        .complains("no answer: the client has no name")
        .unwrap();
    client.signal(Signal::SIGINT);
    assert!(client.ends().unwrap().success());
    assert_eq!(client.out().text(), "now sending g1\n");
}

#[test]
fn the_kernel_says_who_the_client_is() {
    let (directory, server, path) = server(&["peercred", "s.sock"]);
    let client = chap_7(directory.path(), &["unixstreamclient", "s.sock"]);
    let file = fs::metadata(path).unwrap();
    let who = format!(
        "client: process {}, user {}, group {}",
        client.pid(),
        file.uid(),
        nix::unistd::getegid()
    );
    server.says(&who).unwrap();
    client.types("g1").unwrap();
    client
        .says(&format!("Hi, user {}, g1", file.uid()))
        .unwrap();
    client.closes_input();
    server.says("client closed").unwrap();
    assert!(client.ends().unwrap().success());
}

#[test]
fn a_descriptor_is_passed() {
    let (directory, receiver, _) = server(&["fd-pass", "receiver", "s.sock"]);
    fs::write(directory.path().join("file"), "first second\n").unwrap();
    let sender = chap_7(
        directory.path(),
        &["fd-pass", "sender", "s.sock", "file", "--read", "6"],
    );
    sender.says("read 6 bytes: first ").unwrap();
    sender.says("closed descriptor ").unwrap();
    assert!(sender.ends().unwrap().success());
    receiver.says("received descriptor ").unwrap();
    receiver.says("sender closed").unwrap();
    receiver.says(r"read 7 bytes: second\n").unwrap();
    assert!(receiver.ends().unwrap().success());
    assert_eq!(names(&directory), ["file"]);

    // A long and binary file, in pieces, with nothing cut.
    let (directory, receiver, _) = server(&["fd-pass", "receiver", "s.sock"]);
    fs::write(directory.path().join("file"), [0xff; 5000]).unwrap();
    let sender = chap_7(directory.path(), &["fd-pass", "sender", "s.sock", "file"]);
    assert!(sender.ends().unwrap().success() && receiver.ends().unwrap().success());
    assert_eq!(receiver.out().text().matches(r"\xff").count(), 5000);
}

#[test]
fn a_number_is_no_descriptor() {
    let (directory, receiver, path) = server(&["fd-pass", "receiver", "s.sock"]);
    fs::write(directory.path().join("file"), "text").unwrap();
    let sender = chap_7(
        directory.path(),
        &["fd-pass", "sender", "s.sock", "file", "--number-only"],
    );
    assert!(sender.ends().unwrap().success());
    fails(&receiver, "no descriptor came with them");
    assert!(!path.exists());

    let receiver = chap_7(directory.path(), &["fd-pass", "receiver", "s.sock"]);
    receiver.says("listening on").unwrap();
    drop(UnixStream::connect(&path).unwrap());
    fails(&receiver, "the sender closed without a word");

    let receiver = chap_7(directory.path(), &["fd-pass", "receiver", "s.sock"]);
    receiver.says("listening on").unwrap();
    let sender = chap_7(
        directory.path(),
        &["fd-pass", "sender", "s.sock", "no such file"],
    );
    fails(
        &sender,
        "open no such file: No such file or directory (os error 2)",
    );
    fails(&receiver, "the sender closed without a word");
}

/// Ctrl-C ends it while it waits for anything: a sender, its message, its end.
#[test]
fn a_waiting_receiver_can_be_stopped() {
    for connected in [false, true] {
        let (directory, receiver, path) = server(&["fd-pass", "receiver", "s.sock"]);
        let _sender = connected.then(|| UnixStream::connect(&path).unwrap());
        receiver.signal(Signal::SIGINT);
        assert!(receiver.ends().unwrap().success());
        assert_eq!(names(&directory), [""; 0]);
    }
}

/// The file's permissions count: write permission on it, and on its directory for those who make it.
#[test]
fn permissions() {
    if nix::unistd::geteuid().is_root() {
        return; // Root passes every check; experiments 7/no-permission and 7/other-user give that right up.
    }
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let server = chap_7(directory.path(), &["unixstreamserver", "s.sock"]);
    fails(&server, "bind s.sock: Permission denied (os error 13)");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();

    let server = chap_7(directory.path(), &["unixstreamserver", "s.sock"]);
    server.says("listening on").unwrap();
    let path = directory.path().join("s.sock");
    fs::set_permissions(path, fs::Permissions::from_mode(0o555)).unwrap();
    let client = chap_7(directory.path(), &["unixstreamclient", "s.sock"]);
    fails(&client, "connect s.sock: Permission denied (os error 13)");
}

#[test]
fn round_trips_are_measured() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = [
        "round-trips",
        "--count",
        "10",
        "--rounds",
        "3",
        "--throughput",
        "64,4096",
    ];
    let program = chap_7(directory.path(), &arguments);
    program
        .says("local: 64 bytes there and back cost ")
        .unwrap();
    program.says("TCP: 64 bytes there and back cost ").unwrap();
    program
        .says("writes of 64 bytes, one processor: local ")
        .unwrap();
    program
        .says("writes of 4096 bytes, one processor: local ")
        .unwrap();
    assert!(program.ends().unwrap().success());
    let program = chap_7(
        directory.path(),
        &["round-trips", "local", "--rounds", "1", "--count", "3"],
    );
    assert!(program.ends().unwrap().success());
    assert_eq!(
        program.out().text(),
        "local: 64 bytes there and back, 3 times\n"
    );
}
