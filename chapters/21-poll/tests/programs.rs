//! The lesson's programs, over real sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use drive::{Ending, Program, Signal};
use nix::sys::resource::{Resource, setrlimit};

const SERVERS: [&str; 2] = ["pollserver", "pollserver02"];

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-21"));
    command.args(arguments);
    command
}

fn chap_21(arguments: &[&str]) -> Program {
    Program::start(arguments[0], &mut command(arguments)).unwrap()
}

/// A server on a free port, and that port.
fn server(arguments: &[&str]) -> (Program, String) {
    let server = chap_21(&[arguments, &["--port", "0"]].concat());
    let port = server.listens().unwrap().port().to_string();
    (server, port)
}

/// A server that may have so many descriptors.
fn limited(arguments: &[&str], descriptors: u64) -> (Program, String) {
    let mut command = command(&[arguments, &["--port", "0"]].concat());
    let prepare = move || {
        Ok(setrlimit(
            Resource::RLIMIT_NOFILE,
            descriptors,
            descriptors,
        )?)
    };
    // SAFETY: only a system call is made between fork and exec.
    unsafe { command.pre_exec(prepare) };
    let server = Program::start(arguments[0], &mut command).unwrap();
    let port = server.listens().unwrap().port().to_string();
    (server, port)
}

fn connect(port: &str) -> TcpStream {
    drive::connect(format!("127.0.0.1:{port}"))
}

fn echo(stream: &mut TcpStream, data: &[u8]) -> Vec<u8> {
    stream.write_all(data).unwrap();
    let mut echo = vec![0; data.len()];
    stream.read_exact(&mut echo).unwrap();
    echo
}

/// What a client hears until the end.
fn hears(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Sends until the server takes no more for a while, and returns how much it took.
fn sends_until_refused(stream: &mut TcpStream) -> usize {
    stream.set_nonblocking(true).unwrap();
    let (mut sent, mut last) = (0, Instant::now());
    while last.elapsed() < Duration::from_millis(300) {
        match stream.write(&[b'x'; 65536]) {
            Ok(count) => (sent, last) = (sent + count, Instant::now()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        assert!(sent < 1 << 26, "the server takes everything and keeps it");
    }
    stream.set_nonblocking(false).unwrap();
    sent
}

fn ends_well(server: &Program, signal: Signal) {
    server.signal(signal);
    assert!(server.ends().unwrap().success());
}

#[test]
fn what_is_sent_comes_back() {
    for name in SERVERS {
        for host in ["127.0.0.1", "::1"] {
            let (server, port) = server(&[name, "--bind", host]);
            let connect = || TcpStream::connect((host, port.parse().unwrap())).unwrap();
            let (mut first, mut second) = (connect(), connect());
            for data in ["a\n", "aaaaaaaaaaa\n", "afafasfa\n"] {
                assert_eq!(echo(&mut first, data.as_bytes()), data.as_bytes());
                assert_eq!(echo(&mut second, b"bbbbbbb\r\n"), b"bbbbbbb\r\n");
            }
            assert_eq!(echo(&mut first, b"\0\xff\x1b"), b"\0\xff\x1b");
            let address = first.local_addr().unwrap();
            server.says(&format!("client connected {address}")).unwrap();
            first.shutdown(Shutdown::Write).unwrap();
            assert_eq!(hears(first), "");
            server.says(&format!("client closed {address}")).unwrap();
            assert_eq!(echo(&mut second, b"still here"), b"still here");
            ends_well(&server, Signal::SIGTERM);
            assert_eq!(hears(second), "");
            assert_eq!(server.err().text(), "");
        }
    }
}

/// A line of a megabyte, and the end of it: all of it comes back, though the client reads only after it has sent.
#[test]
fn a_long_line_comes_back_whole() {
    for name in SERVERS {
        let (_server, port) = server(&[name]);
        let mut stream = connect(&port);
        let line: Vec<_> = (0..1 << 20).map(|number| number as u8).collect();
        let mut reader = stream.try_clone().unwrap();
        let reading = std::thread::spawn(move || {
            let mut back = Vec::new();
            reader.read_to_end(&mut back).unwrap();
            back
        });
        stream.write_all(&line).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert!(reading.join().unwrap() == line);
    }
}

/// Two answers in one connection, requests in any pieces: as many bytes back as were sent.
#[test]
fn pieces_are_put_together_by_nobody() {
    for name in SERVERS {
        let (_server, port) = server(&[name]);
        let mut stream = connect(&port);
        for piece in [&b"he"[..], b"llo\nwor", b"ld\n"] {
            assert_eq!(echo(&mut stream, piece), piece);
        }
    }
}

/// A client that sends and does not read delays nobody, the server takes only so much from it, and keeps less.
#[test]
fn e3_21_a_slow_reader_delays_nobody() {
    for name in SERVERS {
        let (server, port) = server(&[name]);
        let mut other = connect(&port);
        let mut slow = connect(&port);
        let memory = || {
            let pages = std::fs::read_to_string(format!("/proc/{}/statm", server.pid())).unwrap();
            pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap()
        };
        assert_eq!(echo(&mut other, b"data1"), b"data1");
        let before = memory();
        let sent = sends_until_refused(&mut slow);
        assert_eq!(echo(&mut other, b"data2"), b"data2");
        assert!(memory() - before < 256, "{} pages more", memory() - before);
        server.rests();
        // All of it comes back once it is read.
        slow.shutdown(Shutdown::Write).unwrap();
        assert_eq!(hears(slow), "x".repeat(sent));
        ends_well(&server, Signal::SIGINT);
    }
}

/// The course's own way, which is there to be seen: one slow reader, and nobody is served.
#[test]
fn blocking_is_wrong_on_purpose() {
    let (server, port) = server(&["pollserver", "--blocking"]);
    let mut slow = connect(&port);
    let mut other = connect(&port);
    assert_eq!(echo(&mut other, b"data1"), b"data1");
    let sent = sends_until_refused(&mut slow);
    let short = Some(Duration::from_millis(300));
    other.set_read_timeout(short).unwrap();
    other.write_all(b"data2").unwrap();
    let outcome = other.read(&mut [0; 8]).map_err(|error| error.kind());
    assert_eq!(outcome, Err(ErrorKind::WouldBlock));
    slow.shutdown(Shutdown::Write).unwrap();
    assert_eq!(hears(slow).len(), sent);
    let mut answer = [0; 5];
    other
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    other.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"data2");
    ends_well(&server, Signal::SIGTERM);
}

/// One client more than there are places: it is told, all others are served, and so is the next when one has left.
#[test]
fn e3_21_a_client_too_many_does_not_end_the_server() {
    let (server, port) = server(&["pollserver"]);
    let mut clients: Vec<_> = (0..128).map(|_| connect(&port)).collect();
    for client in &mut clients {
        assert_eq!(echo(client, b"data1"), b"data1");
    }
    for _ in 0..2 {
        let refused = connect(&port);
        let address = refused.local_addr().unwrap();
        assert_eq!(hears(refused), "no place left, try again later\n");
        let complaint = format!("client refused {address}: no place left");
        server.complains(&complaint).unwrap();
    }
    for client in &mut clients {
        assert_eq!(echo(client, b"data2"), b"data2");
    }
    drop(clients.swap_remove(64));
    server.says("client closed").unwrap();
    assert_eq!(echo(&mut connect(&port), b"data3"), b"data3");
    ends_well(&server, Signal::SIGTERM);
}

/// Past 128, and past the 1024 of select: nobody hangs without a word.
#[test]
fn e1_19_the_array_grows() {
    let (server, port) = server(&["pollserver02"]);
    let mut clients: Vec<_> = (0..1500).map(|_| connect(&port)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let text = number.to_string();
        assert_eq!(echo(client, text.as_bytes()), text.as_bytes());
    }
    // Every third leaves, all at once: others move to their places, and keep their answers.
    let (left, mut stay): (Vec<_>, Vec<_>) = clients
        .into_iter()
        .enumerate()
        .partition(|(number, _)| number % 3 == 0);
    drop(left);
    for (number, client) in &mut stay {
        let text = number.to_string();
        assert_eq!(echo(client, text.as_bytes()), text.as_bytes());
    }
    for _ in 0..500 {
        server.says("client closed").unwrap();
    }
    ends_well(&server, Signal::SIGINT);
}

/// poll with more entries than the process may have descriptors fails with EINVAL.
#[test]
fn e1_18_fewer_descriptors_than_places() {
    for name in SERVERS {
        let (server, port) = limited(&[name], 32);
        let mut clients: Vec<_> = (0..10).map(|_| connect(&port)).collect();
        for client in &mut clients {
            assert_eq!(echo(client, b"data1"), b"data1");
        }
        ends_well(&server, Signal::SIGTERM);
        assert_eq!(server.err().text(), "");
    }
}

/// At the limit of descriptors the server neither ends nor spins; when some have left, the next are served.
#[test]
fn e1_11_no_descriptor_left() {
    for name in SERVERS {
        let (server, port) = limited(&[name], 20);
        let mut clients: Vec<_> = (0..30).map(|_| connect(&port)).collect();
        let complaint = "Error: accept: Too many open files (os error 24)";
        server.complains(complaint).unwrap();
        assert_eq!(echo(&mut clients[0], b"data1"), b"data1");
        server.rests();
        let complaints = server.err().text().lines().count();
        assert!(complaints < 50, "{complaints} complaints");
        let late = clients.split_off(15);
        drop(clients);
        for mut client in late {
            assert_eq!(echo(&mut client, b"data2"), b"data2");
        }
        ends_well(&server, Signal::SIGTERM);
    }
}

/// A reset ends one connection only, and no signal comes (E1.10).
#[test]
fn e1_10_a_reset_ends_one_client_only() {
    for name in SERVERS {
        let (server, port) = server(&[name]);
        let mut other = connect(&port);
        let mut gone = connect(&port);
        assert_eq!(echo(&mut gone, b"data1"), b"data1");
        drive::reset(gone).unwrap();
        let complaint = "read: Connection reset by peer (os error 104)";
        server.complains(complaint).unwrap();
        assert_eq!(echo(&mut other, b"data2"), b"data2");
        server.rests();
    }
}

/// Of a client that is not read from poll is asked for POLLOUT alone. Its reset is POLLERR and POLLHUP, and comes unasked:
/// the original ignores them, and spins.
#[test]
fn e1_20_errors_and_ends_come_unasked() {
    for name in SERVERS {
        let (server, port) = server(&[name]);
        let mut other = connect(&port);
        let mut slow = connect(&port);
        sends_until_refused(&mut slow);
        drive::reset(slow).unwrap();
        let complaint = "send: Connection reset by peer (os error 104)";
        server.complains(complaint).unwrap();
        assert_eq!(echo(&mut other, b"data1"), b"data1");
        server.rests();
    }
}

#[test]
fn a_reset_before_accept_is_passed_over() {
    for name in SERVERS {
        let (server, port) = server(&[name]);
        server.signal(Signal::SIGSTOP);
        drive::reset(connect(&port)).unwrap();
        let mut other = connect(&port);
        server.signal(Signal::SIGCONT);
        assert_eq!(echo(&mut other, b"data1"), b"data1");
    }
}

#[test]
fn bad_arguments_and_busy_ports_are_clear_errors() {
    let (_server, port) = server(&["pollserver"]);
    for name in SERVERS {
        let second = chap_21(&[name, "--port", &port]);
        let complaint =
            format!("Error: bind 127.0.0.1:{port}: Address already in use (os error 98)");
        second.complains(&complaint).unwrap();
        assert_eq!(second.ends().unwrap().ending, Ending::Exited(1));
        let elsewhere = chap_21(&[name, "--bind", "nowhere"]);
        elsewhere.complains("invalid value 'nowhere'").unwrap();
    }
    let none = chap_21(&["pollserver", "--places", "0"]);
    none.complains("0 is not in 1..=10000").unwrap();
}

fn probe(arguments: &[&str]) -> String {
    let program = chap_21(&[&["probe"], arguments].concat());
    let ended = program.ends().unwrap();
    assert!(ended.success(), "{}", program.err().text());
    program.out().text()
}

#[test]
fn negative_numbers_are_passed_over() {
    let text = probe(&["negative-fd"]);
    assert!(text.contains("poll returns 1 and says:\n"), "{text}");
    assert_eq!(text.matches("revents 0\n").count(), 3, "{text}");
    assert!(text.ends_with("it returns 0 after 0.2 s\n"), "{text}");
    let text = probe(&["negative-fd", "--positive"]);
    assert_eq!(text.matches("revents IN\n").count(), 4, "{text}");
}

#[test]
fn what_nobody_has_asked_for() {
    let table = probe(&["revents-only"]);
    assert_eq!(table.lines().count(), 12);
    for line in [
        "the peer has ended (FIN)   0                  IN OUT RDHUP               read 0\n",
        "the peer has reset (RST)   ERR HUP            IN OUT ERR HUP RDHUP       read ECONNRESET\n",
        "not open                   NVAL               NVAL                       read EBADF\n",
    ] {
        assert!(table.contains(line), "{table}");
    }
    let table = probe(&["revents-only", "--elsewhere"]);
    assert_eq!(
        table
            .matches("OUT                        read EAGAIN\n")
            .count(),
        10
    );
}
