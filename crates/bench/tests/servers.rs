//! The servers that this program is itself, over real sockets.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;

use drive::{Program, Signal, asks};
use tempfile::TempDir;

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const LAST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const TEXT: &str = "hello, network programming";

struct Server {
    program: Program,
    port: u16,
    _files: TempDir,
}

fn serve(arguments: &[&str]) -> Server {
    let files = tempfile::tempdir().unwrap();
    fs::write(files.path().join("100k"), large()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.arg("serve").args(arguments).args(["--port", "0"]);
    if matches!(arguments, ["floor-http"] | ["httpd"]) {
        command.arg("--files").arg(files.path());
    }
    let program = Program::start(arguments[0], &mut command).unwrap();
    let port = program.listens().unwrap().port();
    Server {
        program,
        port,
        _files: files,
    }
}

impl Server {
    fn connect(&self) -> TcpStream {
        drive::connect(("127.0.0.1", self.port))
    }

    /// Whether it waits for something, proc_pid_stat(5).
    fn sleeps(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.program.pid())).unwrap();
        stat.rsplit(") ").next().unwrap().starts_with('S')
    }

    /// All that comes until the server closes.
    fn says_to(&self, requests: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(requests.as_bytes()).unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).unwrap();
        answers
    }
}

fn large() -> Vec<u8> {
    b"ladder.\n".repeat(12_800)
}

/// The head and the body of the first answer, and what follows.
fn answer(text: &str) -> (&str, &str, &str) {
    let (head, rest) = text.split_once("\r\n\r\n").expect("a head");
    let length = head.split_once("Content-Length: ").expect("a length").1;
    let length = length.lines().next().unwrap().parse().unwrap();
    let (body, rest) = rest.split_at(length);
    (head, body, rest)
}

#[test]
fn http_answers_each_request_in_order_and_closes_when_asked() {
    for server in ["floor-http", "httpd"] {
        let server = serve(&[server]);
        let answers = server.says_to(&[REQUEST, REQUEST, LAST].concat());
        let mut rest = answers.as_str();
        for _ in 0..3 {
            let (head, body, further) = answer(rest);
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            assert!(
                head.contains("\r\nDate: ") && head.contains("Content-Type: text/plain"),
                "{head}"
            );
            assert_eq!(body, TEXT);
            rest = further;
        }
        assert_eq!(rest, "");
    }
}

#[test]
fn http_sends_the_file_between_small_answers() {
    for server in ["floor-http", "httpd"] {
        let server = serve(&[server]);
        let file = REQUEST.replace("/ ", "/100k ");
        let answers = server.says_to(&[REQUEST, &file, LAST].concat());
        let (_, body, rest) = answer(&answers);
        assert_eq!(body, TEXT);
        let (_, body, rest) = answer(rest);
        assert!(
            body.as_bytes() == large(),
            "{} bytes of another kind",
            body.len()
        );
        assert_eq!(answer(rest).1, TEXT);
    }
}

/// What it cannot do it says, and goes on.
#[test]
fn the_floor_refuses_a_request_in_pieces() {
    let server = serve(&["floor-http"]);
    assert_eq!(server.says_to("GET / HTTP/1.1\r\nHo"), "");
    server.program.complains("in two pieces").unwrap();
    assert_eq!(answer(&server.says_to(LAST)).1, TEXT);
}

#[test]
fn echoes_send_back_what_comes_however_much() {
    let reactor = |dispatcher| vec!["reactor", "--dispatcher", dispatcher];
    let all = ["epoll", "epoll-edge", "poll", "select"].map(reactor);
    for server in all.into_iter().chain([vec!["floor-echo"]]) {
        let server = serve(&server);
        let (mut one, mut other) = (server.connect(), server.connect());
        let message: Vec<u8> = (0..=255).cycle().take(64 * 1024).collect();
        asks(&mut one, &message, &message);
        asks(&mut other, b"short", b"short");
        one.shutdown(Shutdown::Write).unwrap();
        assert_eq!(one.read(&mut [0; 8]).unwrap(), 0);
        asks(&mut other, b"still there", b"still there");
    }
}

/// A client that reads nothing until the server can send no more: what the kernel does not take is neither lost nor sent twice.
#[test]
fn echoes_wait_for_room() {
    for server in [vec!["floor-echo"], vec!["reactor"]] {
        let server = serve(&server);
        let data: Vec<u8> = (0..=250).cycle().take(64 << 20).collect();
        let mut stream = server.connect();
        stream.set_nonblocking(true).unwrap();
        let mut sent = 0;
        drive::awaits("a server that waits for room", || {
            let count = stream.write(&data[sent..]);
            sent += count.as_ref().unwrap_or(&0);
            count.is_err_and(|error| error.kind() == ErrorKind::WouldBlock) && server.sleeps()
        });
        stream.set_nonblocking(false).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        assert!(back == data[..sent], "{} bytes of {sent}", back.len());
    }
}

#[test]
fn they_end_on_sigterm() {
    for server in ["floor-http", "floor-echo", "httpd", "reactor"] {
        let server = serve(&[server]);
        let _idle = server.connect();
        server.program.signal(Signal::SIGTERM);
        server.program.ends().unwrap();
    }
}

#[test]
fn what_is_not_there_is_said_at_once() {
    for server in ["floor-http", "httpd"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
        command.args(["serve", server, "--files", "/nowhere"]);
        let program = Program::start(server, &mut command).unwrap();
        program.complains("/nowhere").unwrap();
        assert!(!program.ends().unwrap().success());
    }
}
