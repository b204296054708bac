//! The lesson's programs, over real sockets.

use std::fs::{self, create_dir, write};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use drive::{Ending, Program, Signal, asks, awaits, reset};
use tempfile::{TempDir, tempdir};

fn chap_27_in(directory: &Path, arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-27"));
    command
        .args(arguments)
        .current_dir(directory)
        .env("HOME", directory.join("home"));
    Program::start(arguments[0], &mut command).unwrap()
}

fn chap_27(arguments: &[&str]) -> Program {
    chap_27_in(Path::new("/"), arguments)
}

/// A rot13 server on a free port, and its address.
fn rot13_server(arguments: &[&str]) -> (Program, String) {
    let server = chap_27(&[&["poll-server-onethread", "--port", "0"], arguments].concat());
    let address = server.listens().unwrap().to_string();
    (server, address)
}

/// A command server in a directory with `home`, `one` and `one/two`.
fn command_server(arguments: &[&str]) -> (TempDir, Program, String) {
    let directory = tempdir().unwrap();
    for name in ["home", "one", "one/two"] {
        create_dir(directory.path().join(name)).unwrap();
    }
    let options = [&["command-server", "--port", "0"], arguments].concat();
    let server = chap_27_in(directory.path(), &options);
    let address = server.listens().unwrap().to_string();
    (directory, server, address)
}

#[test]
fn clients_are_answered_at_once_by_one_thread() {
    for bind in ["127.0.0.1", "::1"] {
        let (server, address) = rot13_server(&["--bind", bind]);
        let mut first = TcpStream::connect(&address).unwrap();
        let mut second = TcpStream::connect(&address).unwrap();
        asks(&mut first, b"aaa\r\n", b"nnn\r\n");
        asks(&mut second, b"bbb", b"ooo");
        asks(&mut second, b"\0\xffN\n\n", b"\0\xffA\n\n");
        drop(first);
        asks(&mut second, b"ccc\n", b"ppp\n");
        assert_eq!(server.threads().unwrap(), 1);
    }
}

/// The kinds of event of the course's log, in its order; and the lines of the four callbacks, each where it belongs.
#[test]
fn e1_25_the_log_is_the_courses() {
    let (server, address) = rot13_server(&[]);
    let mut stream = TcpStream::connect(address).unwrap();
    asks(&mut stream, b"afadsfaf\r\n", b"nsnqfsns\r\n");
    server.says("write completed").unwrap();
    asks(&mut stream, b"fdafasf\n", b"sqnsnfs\n");
    server.says("write completed").unwrap();
    drop(stream);
    server.says("connection closed").unwrap();
    let out = server.out().text();
    let (_, out) = out.split_once('\n').unwrap();
    let number = out.split_once("connection-").unwrap().1;
    let number = number.lines().next().unwrap();
    // What came first is not printed again with what came next: the original prints its buffer from the beginning.
    let expected = format!(
        "connection completed\nget message from tcp connection connection-{number}\nafadsfaf\nwrite completed\n\
         get message from tcp connection connection-{number}\nfdafasf\nwrite completed\nconnection closed\n"
    );
    assert_eq!(out, expected);
    for event in [
        "set poll as dispatcher, main thread",
        "add channel fd == ",
        "poll added channel fd==",
        "event loop run, main thread",
        "activate channel fd == ",
        &format!("new connection established, socket == {number}"),
        &format!("add channel fd == {number}, main thread"),
        &format!("poll added channel fd=={number}"),
        &format!("activate channel fd == {number}, revents=2, main thread"),
        &format!("activate channel fd == {number}, revents=2, main thread"),
        &format!("poll delete channel fd=={number}"),
    ] {
        server.complains(&format!("[msg] {event}")).unwrap();
    }
}

#[test]
fn quiet_says_where_it_listens_and_no_more() {
    let (server, address) = rot13_server(&["--quiet"]);
    asks(&mut TcpStream::connect(&address).unwrap(), b"a", b"n");
    server.signal(Signal::SIGTERM);
    assert!(server.ends().unwrap().success());
    assert_eq!(server.out().text(), format!("listening on {address}\n"));
    assert_eq!(server.err().text(), "");
}

/// After the client has ended its direction, what it is owed is still sent, however long it is.
#[test]
fn e1_08_a_long_line_comes_back_whole_after_a_half_close() {
    let (_server, address) = rot13_server(&[]);
    for length in [0, 65_535, 65_536, 65_537, 1 << 20] {
        let mut stream = TcpStream::connect(&address).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let sends = thread::spawn(move || {
            writer.write_all(&vec![b'a'; length]).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer == vec![b'n'; length], "{} of {length}", answer.len());
        sends.join().unwrap();
    }
}

/// The original waits in its loop for this client, and everybody waits with it.
#[test]
fn e1_05_a_client_that_does_not_read_delays_nobody() {
    let (server, address) = rot13_server(&["--quiet"]);
    let greedy = TcpStream::connect(&address).unwrap();
    greedy.set_nonblocking(true).unwrap();
    let mut stuck = 0;
    let chunk = vec![b'a'; 64 * 1024];
    while stuck < 100 {
        // Until it takes no more, for good: both directions are full.
        let written = (&greedy).write(&chunk).unwrap_or(0);
        stuck = if written > 0 { 0 } else { stuck + 1 };
        thread::sleep(Duration::from_millis(u64::from(written == 0)));
    }
    let mut other = TcpStream::connect(&address).unwrap();
    for _ in 0..100 {
        asks(&mut other, b"hello\n", b"uryyb\n");
    }
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.unwrap().trim().trim_end_matches(" kB");
    assert!(resident.parse::<u32>().unwrap() < 100_000, "{resident} kB");
}

#[test]
fn e1_01_clients_that_leave_take_their_descriptors_along() {
    let (server, address) = rot13_server(&["--quiet"]);
    let before = (server.threads().unwrap(), server.descriptors().unwrap());
    for round in 0..200 {
        let mut stream = TcpStream::connect(&address).unwrap();
        asks(&mut stream, b"a", b"n");
        if round % 2 == 0 {
            reset(stream).unwrap();
        }
    }
    awaits("something is left", || {
        (server.threads().unwrap(), server.descriptors().unwrap()) == before
    });
    asks(&mut TcpStream::connect(&address).unwrap(), b"c", b"p");
}

/// A client that has reset while an answer to it is under way: the original dies of SIGPIPE.
#[test]
fn e1_10_a_gone_peer_ends_only_its_connection() {
    let (server, address) = rot13_server(&["--quiet"]);
    for _ in 0..20 {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(&[b'a'; 300_000]).unwrap();
        reset(stream).unwrap();
    }
    asks(&mut TcpStream::connect(&address).unwrap(), b"c", b"p");
    assert!(server.ended().is_none());
}

#[test]
fn ctrl_c_stops_in_order() {
    for program in ["poll-server-onethread", "command-server"] {
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            let server = chap_27(&[program, "--port", "0"]);
            let mut stream = TcpStream::connect(server.listens().unwrap()).unwrap();
            server.says("connect").unwrap();
            server.signal(signal);
            assert_eq!(server.ends().unwrap().ending, Ending::Exited(0));
            assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
        }
    }
}

#[test]
fn a_busy_port_and_wrong_options_are_told() {
    for program in ["poll-server-onethread", "command-server"] {
        let busy = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = busy.local_addr().unwrap();
        let second = chap_27(&[program, "--port", &address.port().to_string()]);
        assert_eq!(second.ends().unwrap().ending, Ending::Exited(1));
        let errors = second.err().text();
        let expected = format!("Error: bind {address}: Address already in use (os error 98)\n");
        assert!(errors.ends_with(&expected), "{errors}");
        let wrong = chap_27(&[program, "--bind", "x"]);
        assert_eq!(wrong.ends().unwrap().ending, Ending::Exited(2));
    }
    let wrong = chap_27(&["command-server", "--idle", "-1"]);
    assert_eq!(wrong.ends().unwrap().ending, Ending::Exited(2));
}

/// A client of the command server.
struct Shell(BufReader<TcpStream>);

impl Shell {
    fn new(address: &str) -> Self {
        Self(BufReader::new(TcpStream::connect(address).unwrap()))
    }

    fn sends(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    fn reply(&mut self) -> String {
        let mut length = String::new();
        self.0.read_line(&mut length).unwrap();
        let mut reply = vec![0; length.trim_end().parse().unwrap()];
        self.0.read_exact(&mut reply).unwrap();
        String::from_utf8_lossy(&reply).into_owned()
    }

    fn asks(&mut self, command: &str) -> String {
        self.sends(format!("{command}\n").as_bytes());
        self.reply()
    }

    /// Nothing more comes.
    fn ends(&mut self) {
        assert_eq!(self.0.read(&mut [0; 8]).unwrap(), 0);
    }
}

#[test]
fn each_client_has_a_directory_of_its_own() {
    for bind in ["127.0.0.1", "::1"] {
        let (directory, server, address) = command_server(&["--bind", bind]);
        let root = directory.path().canonicalize().unwrap();
        let root = root.to_str().unwrap();
        let (mut first, mut second) = (Shell::new(&address), Shell::new(&address));
        assert_eq!(first.asks("cd one"), "");
        assert_eq!(second.asks("pwd"), format!("{root}\n"));
        assert_eq!(first.asks("ls"), "two\n");
        assert_eq!(second.asks("ls\r"), "home\none\n");
        assert_eq!(second.asks("cd ~"), "");
        assert_eq!(first.asks("cd two"), "");
        assert_eq!(second.asks("pwd"), format!("{root}/home\n"));
        assert_eq!(first.asks("cd -"), "");
        assert_eq!(first.asks("pwd"), format!("{root}/one\n"));
        assert_eq!(
            Shell::new(&address).asks("cd -"),
            "error: cd -: there is no previous directory\n"
        );
        first.sends(b"quit\n");
        first.ends();
        drop(first);
        server.says("client quit ").unwrap();
        assert_eq!(second.asks("pwd"), format!("{root}/home\n"));
        assert_eq!(server.err().text(), "");
        assert!(server.out().text().contains("\nreceived 6 bytes: cd one\n"));
    }
}

/// The working directory of a process is everybody's.
#[test]
fn one_directory_is_wrong() {
    let (_directory, _server, address) = command_server(&["--one-directory"]);
    let (mut first, mut second) = (Shell::new(&address), Shell::new(&address));
    assert_eq!(first.asks("cd one"), "");
    assert!(second.asks("pwd").ends_with("/one\n"));
}

/// The original takes "l" for ls, and an empty line for everything.
#[test]
fn e3_bad_input_is_answered() {
    let (_directory, server, address) = command_server(&[]);
    let mut shell = Shell::new(&address);
    assert_eq!(shell.asks(""), "error: an empty line is no command\n");
    assert_eq!(shell.asks("l"), "error: unknown command: l\n");
    let nowhere = "error: cd nowhere: No such file or directory (os error 2)\n";
    assert_eq!(shell.asks("cd nowhere"), nowhere);
    shell.sends(b"\0\xff\x01\r\n");
    assert_eq!(shell.reply(), "error: unknown command: \\0\\xff\\x01\n");
    shell.sends(&[b'y'; 1 << 20]);
    let too_long = "error: a command has 4112 bytes at most\n";
    assert_eq!(shell.asks(""), too_long);
    assert_eq!(shell.asks("ls"), "home\none\n");
    // In the smallest pieces.
    shell.0.get_ref().set_nodelay(true).unwrap();
    for byte in b"ls\n" {
        shell.sends(&[*byte]);
    }
    assert_eq!(shell.reply(), "home\none\n");
    // Half a command, and gone.
    shell.sends(b"pw");
    shell.0.get_ref().shutdown(Shutdown::Write).unwrap();
    shell.ends();
    server
        .complains("cut off in the middle of a command")
        .unwrap();
    let gone = Shell::new(&address);
    reset(gone.0.into_inner()).unwrap();
    server.complains("reset by the peer").unwrap();
    assert_eq!(Shell::new(&address).asks("ls"), "home\none\n");
}

/// All of them are answered, though they come in one segment, with the end behind them; and whoever comes meanwhile has an
/// answer before.
#[test]
fn e1_08_many_commands_at_once_are_all_answered() {
    let (_directory, _server, address) = command_server(&[]);
    let mut shell = Shell::new(&address);
    let count = 20_000;
    shell.sends(&b"ls\n".repeat(count));
    shell.0.get_ref().shutdown(Shutdown::Write).unwrap();
    assert_eq!(Shell::new(&address).asks("ls"), "home\none\n");
    for _ in 0..count {
        assert_eq!(shell.reply(), "home\none\n");
    }
    shell.ends();
}

/// The original's buffer ends after 16 KiB.
#[test]
fn e3_a_long_listing_arrives_whole() {
    let (directory, server, address) = command_server(&["--idle", "2"]);
    let mut expected = String::from("home\n");
    for number in 0..3000 {
        let name = format!("name-of-a-file-{number:04}");
        write(directory.path().join(&name), "").unwrap();
        expected += &format!("{name}\n");
    }
    expected += "one\n";
    let mut shell = Shell::new(&address);
    assert_eq!(shell.asks("ls"), expected);
    // It says nothing more.
    server.complains("silent for too long").unwrap();
    shell.ends();
}
