//! The lesson's program, over real sockets. How its parts behave is tested in `httpd`.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use drive::{Ending, Program, Signal, connect, reset};

fn chap_34(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-34"));
    Program::start(
        "http-server01",
        command.arg("http-server01").args(arguments),
    )
    .unwrap()
}

/// A server on a free port, and its address.
fn server(options: &[&str]) -> (Program, String) {
    let server = chap_34(&[options, &["--port", "0"]].concat());
    let address = server.listens().unwrap().to_string();
    (server, address)
}

/// An answer: its head without the date, which is looked at, and its body.
struct Answer {
    head: String,
    body: Vec<u8>,
}

/// Reads one answer and not a byte more.
fn answer(stream: &mut TcpStream) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let (dates, others): (Vec<_>, Vec<_>) = head
        .split_inclusive("\r\n")
        .partition(|line| line.starts_with("Date: "));
    assert!(dates.len() == 1 && dates[0].ends_with(" GMT\r\n"), "{head}");
    let head = others.concat();
    let field = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0, |value| value.parse().unwrap())
    };
    let mut body = vec![0; field("Content-Length: ")];
    stream.read_exact(&mut body).unwrap();
    Answer { head, body }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:43211\r\n\r\n")
}

fn asks(stream: &mut TcpStream, path: &str) -> Answer {
    stream.write_all(get(path).as_bytes()).unwrap();
    answer(stream)
}

fn head(status: &str, content_type: &str, length: usize) -> String {
    format!(
        "HTTP/1.1 {status}\r\nConnection: Keep-Alive\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    )
}

const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const PAGE: &[u8] = b"<html><head><title>This is network programming</title></head><body><h1>Hello, network programming</h1></body></html>";

/// The next client is served as if nothing had happened.
fn is_well(address: &str) {
    assert_eq!(
        asks(&mut connect(address), "/network").body,
        b"hello, network programming"
    );
}

#[test]
fn the_paths_of_the_course_however_the_loops_wait() {
    for dispatcher in ["select", "poll", "epoll"] {
        for threads in ["0", "1", "2"] {
            for bind in ["127.0.0.1", "::1"] {
                let (server, address) = server(&[
                    "--dispatcher",
                    dispatcher,
                    "--threads",
                    threads,
                    "--bind",
                    bind,
                ]);
                let mut stream = connect(&address);
                let page = asks(&mut stream, "/?name=value");
                assert_eq!(page.head, head("200 OK", HTML, 116));
                assert_eq!(page.body, PAGE);
                let text = asks(&mut stream, "/network");
                assert_eq!(text.head, head("200 OK", TEXT, 26));
                assert_eq!(text.body, b"hello, network programming");
                let nothing = asks(&mut stream, "/nothing");
                assert_eq!(nothing.head, head("404 Not Found", TEXT, 10));
                assert_eq!(nothing.body, b"Not Found\n");
                // All of that was one connection, and it goes on.
                assert_eq!(asks(&mut stream, "/").body, PAGE);
                assert_eq!(server.err().text(), "");
            }
        }
    }
}

#[test]
fn the_photo_is_a_picture() {
    let (_server, address) = server(&[]);
    let photo = asks(&mut connect(&address), "/photo");
    assert_eq!(photo.head, head("200 OK", "image/png", photo.body.len()));
    assert!(photo.body == include_bytes!("../src/photo.png"));
    assert!(photo.body.starts_with(b"\x89PNG\r\n\x1a\n") && photo.body.len() < 200_000);
}

#[test]
fn a_root_serves_files_and_leaves_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("site");
    fs::create_dir_all(path.join("sub")).unwrap();
    fs::write(path.join("index.html"), "<p>index</p>").unwrap();
    fs::write(path.join("sub/index.html"), "<p>sub</p>").unwrap();
    fs::write(path.join("style.css"), "p {}").unwrap();
    fs::write(directory.path().join("secret"), "secret").unwrap();
    let (_server, address) = server(&["--root", path.to_str().unwrap()]);
    let mut stream = connect(&address);
    for (target, content_type, body) in [
        ("/", HTML, "<p>index</p>"),
        ("/index.html", HTML, "<p>index</p>"),
        ("/sub/", HTML, "<p>sub</p>"),
        ("/style.css", "text/css; charset=utf-8", "p {}"),
        ("/network", TEXT, "hello, network programming"),
        ("/nothing", TEXT, "Not Found\n"),
        ("/../secret", TEXT, "Not Found\n"),
        ("/%2e%2e/secret", TEXT, "Not Found\n"),
        ("/sub/..%2f..%2fsecret", TEXT, "Bad Request\n"),
    ] {
        let answer = asks(&mut stream, target);
        assert!(
            answer.head.contains(content_type),
            "{target} {}",
            answer.head
        );
        assert_eq!(String::from_utf8_lossy(&answer.body), body, "{target}");
    }
    assert!(asks(&mut stream, "/photo").head.contains("image/png"));
    assert!(asks(&mut stream, "/status").head.contains(HTML));
    assert!(asks(&mut stream, "/sub").head.contains("Location: /sub/"));
}

/// Connections take turns between the loops, and the live page says which loop has which.
#[test]
fn the_live_page_tells_who_serves_whom() {
    let (_server, address) = server(&[]);
    let mut streams: Vec<_> = (0..4).map(|_| connect(&address)).collect();
    for stream in &mut streams {
        asks(stream, "/network");
    }
    let mut events = streams.pop().unwrap();
    events.write_all(get("/status/events").as_bytes()).unwrap();
    let mut seen = String::new();
    while seen.matches("data: ").count() < 3 {
        let mut bytes = [0; 4096];
        let count = events.read(&mut bytes).unwrap();
        assert_ne!(count, 0, "{seen}");
        seen.push_str(str::from_utf8(&bytes[..count]).unwrap());
    }
    assert!(
        seen.contains("Content-Type: text/event-stream\r\n"),
        "{seen}"
    );
    let last = seen.rsplit("data: ").nth(1).unwrap();
    for number in ["Thread-1", "Thread-2"] {
        let of_loop = format!(r#"{{"name":"{number}","open":2,"accepted":2,"#);
        assert!(last.contains(&of_loop), "{last}");
    }
    let own = events.local_addr().unwrap();
    assert!(last.contains(&format!(r#""peer":"{own}""#)), "{last}");
    for stream in &streams {
        let peer = format!(r#""{}""#, stream.local_addr().unwrap());
        assert!(last.contains(&peer), "{peer} {last}");
    }
}

#[test]
fn a_line_in_the_log_for_each_answer() {
    let (server, address) = server(&["--log", "--bind", "::1"]);
    let mut stream = connect(&address);
    asks(&mut stream, "/?a=b");
    stream.write_all(b"\0\r\n\r\n").unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    for (beginning, end) in [
        ("::1 - - [", r#" +0000] "GET /?a=b HTTP/1.1" 200 116"#),
        ("::1 - - [", r#" +0000] "-" 400 "#),
    ] {
        let rest = server.says(beginning).unwrap().rest();
        assert!(rest.contains(end), "{rest}");
    }
}

/// A partial request spins the thread.
#[test]
fn e2_01_a_request_in_two_pieces_is_one_request() {
    let (_server, address) = server(&[]);
    for cut in 1..get("/").len() {
        let mut stream = connect(&address);
        stream.set_nodelay(true).unwrap();
        let request = get("/");
        stream.write_all(&request.as_bytes()[..cut]).unwrap();
        stream.write_all(&request.as_bytes()[cut..]).unwrap();
        assert_eq!(answer(&mut stream).body, PAGE, "cut at {cut}");
    }
}

/// Two pipelined requests get one answer.
#[test]
fn e2_09_every_pipelined_request_is_answered_in_order() {
    let (_server, address) = server(&[]);
    let mut stream = connect(&address);
    let requests = [get("/"), get("/network"), get("/nothing")].concat();
    stream.write_all(requests.repeat(20).as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    for _ in 0..20 {
        assert_eq!(answer(&mut stream).body, PAGE);
        assert_eq!(answer(&mut stream).body, b"hello, network programming");
        assert_eq!(answer(&mut stream).body, b"Not Found\n");
    }
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

/// The 400 is cut to 8 bytes and parsing goes on.
#[test]
fn e2_10_garbage_gets_one_whole_answer() {
    let (_server, address) = server(&[]);
    let long = [b"GET /".to_vec(), vec![b'a'; 1_000_000]].concat();
    let binary: Vec<u8> = (0..=255).collect();
    for (bytes, status) in [
        (&b"hello\r\n\r\n"[..], "400 Bad Request"),
        (b"GET / HTTP/1.1\r\n\r\n", "400 Bad Request"),
        (b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", "501 Not Implemented"),
        (&long, "414 URI Too Long"),
        (&binary, "400 Bad Request"),
    ] {
        let mut stream = connect(&address);
        // It may be told before it has said all.
        let _ = stream.write_all(bytes);
        let _ = stream.write_all(get("/").as_bytes());
        let refused = answer(&mut stream);
        let first = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
        assert!(refused.head.starts_with(&first), "{}", refused.head);
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty());
        is_well(&address);
    }
}

/// HEAD has a body.
#[test]
fn e2_12_head_has_the_head_of_get_and_no_body() {
    let (_server, address) = server(&[]);
    let mut stream = connect(&address);
    let request = "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut found = String::new();
    stream.read_to_string(&mut found).unwrap();
    assert!(
        found.contains("Content-Length: 116\r\n") && found.ends_with("\r\n\r\n"),
        "{found}"
    );
}

/// The port argument is ignored.
#[test]
fn e2_13_a_busy_port_is_an_error_that_names_it() {
    let (_server, address) = server(&[]);
    let port = address.rsplit(':').next().unwrap();
    let second = chap_34(&["--port", port]);
    assert_eq!(second.ends().unwrap().ending, Ending::Exited(1));
    let expected = format!("Error: bind {address}: Address already in use (os error 98)\n");
    assert_eq!(second.err().text(), expected);
}

#[test]
fn a_head_that_drips_is_ended_in_time() {
    let (_server, address) = server(&["--deadline", "0.3", "--idle", "0.3"]);
    let mut stream = connect(&address);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").unwrap();
    let begun = Instant::now();
    assert!(answer(&mut stream).head.starts_with("HTTP/1.1 408 "));
    assert!(begun.elapsed() >= Duration::from_millis(250));
    // A silent one is closed without a word.
    assert_eq!(connect(&address).read(&mut [0]).unwrap(), 0);
}

#[test]
fn peers_that_go_harm_nobody() {
    let (server, address) = server(&["--threads", "1"]);
    let mut good = connect(&address);
    for _ in 0..20 {
        for begun in [&b"GET / HT"[..], get("/photo").as_bytes()] {
            let mut bad = connect(&address);
            bad.write_all(begun).unwrap();
            reset(bad).unwrap();
        }
        assert_eq!(asks(&mut good, "/").body, PAGE);
    }
    assert_eq!(server.err().text(), "");
}

#[test]
fn signals_end_it_while_clients_are_there() {
    for (threads, signal) in [("0", Signal::SIGINT), ("2", Signal::SIGTERM)] {
        let (server, address) = server(&["--threads", threads]);
        let mut idle = connect(&address);
        asks(&mut idle, "/");
        let mut live = connect(&address);
        live.write_all(get("/status/events").as_bytes()).unwrap();
        live.read_exact(&mut [0]).unwrap();
        server.signal(signal);
        let begun = Instant::now();
        // The stream is ended, and its reader, who does not read, has two seconds to do so.
        assert_eq!(server.ends().unwrap().ending, Ending::Exited(0));
        assert!(begun.elapsed() < Duration::from_secs(8));
        assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    }
}

#[test]
fn wrong_options_are_named() {
    let wrong = chap_34(&["--root", "/no/such/directory"]);
    assert_eq!(wrong.ends().unwrap().ending, Ending::Exited(1));
    assert_eq!(
        wrong.err().text(),
        "Error: open /no/such/directory: No such file or directory (os error 2)\n"
    );
    for options in [
        ["--dispatcher", "x"],
        ["--threads", "x"],
        ["--deadline", "-1"],
    ] {
        assert_eq!(chap_34(&options).ends().unwrap().ending, Ending::Exited(2));
    }
}
