//! The lesson's programs, over real sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use common::text::rot13;
use drive::{Ending, Program, Signal, asks, greedy};
use nix::sys::resource::{Resource, setrlimit};

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-22"));
    command.args(arguments);
    command
}

fn chap_22(arguments: &[&str]) -> Program {
    Program::start(arguments[0], &mut command(arguments)).unwrap()
}

/// A server on a free port, and that port. It takes its clients at once.
fn server(host: &str, options: &[&str]) -> (Program, String) {
    let fixed = ["nonblockingserver", "--port", "0", "--bind", host];
    let delay: &[&str] = match options.contains(&"--accept-delay") {
        true => &[],
        false => &["--accept-delay", "0"],
    };
    let server = chap_22(&[&fixed, delay, options].concat());
    let port = server.listens().unwrap().port().to_string();
    (server, port)
}

/// A server of which nearly all descriptors up to a number are taken, and which may have so many.
fn crowded_server(taken: i32, limit: u64) -> (Program, String) {
    let arguments = ["nonblockingserver", "--port", "0", "--accept-delay", "0"];
    let mut command = command(&arguments);
    let prepare = move || {
        setrlimit(Resource::RLIMIT_NOFILE, limit, limit)?;
        for number in 10..=taken {
            // SAFETY: the process is ours until exec, and has nothing at these numbers.
            if unsafe { libc::dup2(2, number) } < 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: only system calls are made between fork and exec.
    unsafe { command.pre_exec(prepare) };
    let server = Program::start("nonblockingserver", &mut command).unwrap();
    let port = server.listens().unwrap().port().to_string();
    (server, port)
}

fn connect_to(host: &str, port: &str) -> TcpStream {
    let stream = TcpStream::connect((host, port.parse().unwrap())).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

fn connect(port: &str) -> TcpStream {
    connect_to("127.0.0.1", port)
}

fn rotated(data: &[u8]) -> Vec<u8> {
    data.iter().copied().map(rot13).collect()
}

/// Sends a question, and reads an answer of the same length.
fn answer(stream: &mut TcpStream, data: &[u8]) -> Vec<u8> {
    let mut writer = stream.try_clone().unwrap();
    let mut answer = vec![0; data.len()];
    thread::scope(|scope| {
        scope.spawn(|| writer.write_all(data).unwrap());
        stream.read_exact(&mut answer).unwrap();
    });
    answer
}

fn ends(server: &Program) {
    server.signal(Signal::SIGTERM);
    assert!(server.ends().unwrap().success());
}

#[test]
fn letters_are_moved_by_13_places() {
    for host in ["127.0.0.1", "::1"] {
        let (server, port) = server(host, &[]);
        let mut clients = [(); 3].map(|()| connect_to(host, &port));
        for client in &mut clients {
            assert_eq!(answer(client, b"Hello, 13\r\n"), b"Uryyb, 13\r\n");
        }
        drop(clients);
        for _ in 0..3 {
            server.says("client closed").unwrap();
        }
        ends(&server);
        assert_eq!(server.err().text(), "");
    }
}

/// A line longer than the buffer comes back whole, with whatever else is going on.
#[test]
fn e3_long_lines_lose_nothing() {
    let (_server, port) = server("127.0.0.1", &[]);
    let mut idle = connect(&port);
    idle.write_all(b"half a li").unwrap();
    for length in [1023, 1024, 1025, 2048, 1 << 20] {
        let mut client = connect(&port);
        let line = [vec![b'x'; length - 1], b"\n".to_vec()].concat();
        assert!(answer(&mut client, &line) == rotated(&line), "{length}");
    }
    assert_eq!(answer(&mut idle, b"ne\n").len(), 3);
}

/// In any split, without a newline, binary: as many bytes come back as were sent.
#[test]
fn every_byte_is_answered() {
    let (_server, port) = server("127.0.0.1", &[]);
    let mut client = connect(&port);
    client.set_nodelay(true).unwrap();
    let all: Vec<u8> = (0..=255).collect();
    for byte in &all {
        assert_eq!(answer(&mut client, &[*byte]), [rot13(*byte)]);
    }
    assert_eq!(answer(&mut client, &all), rotated(&all));
}

/// The mistake of the course's code, kept as an option.
#[test]
fn careless_drops_what_does_not_fit() {
    let (_server, port) = server("127.0.0.1", &["--careless"]);
    for (length, kept) in [(100, 100), (1024, 1024), (1025, 1024), (5000, 1024)] {
        let mut client = connect(&port);
        let line = [vec![b'x'; length - 1], b"\n".to_vec()].concat();
        client.write_all(&line).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, rotated(&line)[..kept]);
    }
}

/// What a client has asked before it ended is answered (E1.8).
#[test]
fn e1_08_a_half_close_loses_no_answer() {
    let (server, port) = server("127.0.0.1", &[]);
    let mut client = connect(&port);
    let data = vec![b'a'; 300_000];
    let mut writer = client.try_clone().unwrap();
    let sent = data.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut back = Vec::new();
    client.read_to_end(&mut back).unwrap();
    writing.join().unwrap();
    assert!(back == rotated(&data));
    server.says("client closed").unwrap();
}

/// A client that sends and does not read delays nobody, and the server takes only so much from it.
#[test]
fn e1_05_a_client_that_does_not_read_delays_nobody() {
    let (_server, port) = server("127.0.0.1", &[]);
    let mut other = connect(&port);
    greedy(connect(&port), || asks(&mut other, b"data1", b"qngn1"));
}

/// A reset ends one connection only, and no signal comes.
#[test]
fn e1_10_a_reset_ends_one_client_only() {
    let (server, port) = server("127.0.0.1", &[]);
    let mut other = connect(&port);
    let mut gone = connect(&port);
    assert_eq!(answer(&mut gone, b"data1"), b"qngn1");
    drive::reset(gone).unwrap();
    server
        .complains("read: Connection reset by peer (os error 104)")
        .unwrap();
    assert_eq!(answer(&mut other, b"data2"), b"qngn2");
}

/// Descriptor 1023 is served and 1024 is refused, and that costs nobody else anything.
#[test]
fn e3_the_limit_is_off_by_none() {
    let (server, port) = crowded_server(1019, 2000);
    let mut clients: Vec<TcpStream> = Vec::new();
    let mut refused = loop {
        let mut client = connect(&port);
        client.write_all(b"data1").unwrap();
        match client.read_exact(&mut [0; 5]) {
            Ok(()) => clients.push(client),
            Err(_) => break client,
        }
        assert!(clients.len() < 20);
    };
    server
        .complains("descriptor 1024: select takes only numbers below 1024 (FD_SETSIZE)")
        .unwrap();
    assert!(!server.err().text().contains("descriptor 1023"));
    // The data that nobody read makes it a reset; either way it is the end, and at once.
    assert_eq!(refused.read(&mut [0; 5]).unwrap_or(0), 0);
    for client in &mut clients {
        assert_eq!(answer(client, b"data2"), b"qngn2");
    }
    drop(clients.pop());
    server.says("client closed").unwrap();
    assert_eq!(answer(&mut connect(&port), b"data3"), b"qngn3");
}

/// At the limit of descriptors the server neither ends nor spins; when one has left, the next is served.
#[test]
fn e1_11_no_descriptor_left() {
    let (server, port) = crowded_server(28, 30);
    let clients: Vec<_> = (0..12).map(|_| connect(&port)).collect();
    server
        .complains("accept: Too many open files (os error 24): waiting until a client leaves")
        .unwrap();
    for mut client in clients {
        assert_eq!(answer(&mut client, b"data1"), b"qngn1");
    }
    let complaints = server.err().text().lines().count();
    assert!((1..=12).contains(&complaints), "{complaints}");
    ends(&server);
}

/// A connection that another process has taken in the meantime is no reason to end: accept finds nothing (EAGAIN).
#[test]
fn e3_eagain_in_accept_is_not_the_end() {
    let (server, port) = server("127.0.0.1", &["--rival", "--accept-delay", "2"]);
    let _taken = connect(&port);
    server.says("listening socket readable").unwrap();
    server.types("").unwrap();
    server.says("the other process takes 127.0.0.1:").unwrap();
    let mut client = connect(&port);
    server.says("client connected 127.0.0.1:").unwrap();
    assert_eq!(answer(&mut client, b"data1"), b"qngn1");
    server.types("").unwrap();
    server.says("the other process finds nobody").unwrap();
    ends(&server);
    assert_eq!(server.err().text(), "");
}

/// With a listening socket that blocks, accept stops everything but the signals.
#[test]
fn a_blocked_accept_ends_at_once() {
    let (server, port) = server(
        "127.0.0.1",
        &["--rival", "--accept-delay", "2", "--blocking-listener"],
    );
    let mut first = connect(&port);
    server.says("client connected").unwrap();
    let _taken = connect(&port);
    server.says("listening socket readable").unwrap();
    server.types("").unwrap();
    server.says("the other process takes 127.0.0.1:").unwrap();
    let syscall = format!("/proc/{}/syscall", server.pid());
    let accepting = || {
        let call = std::fs::read_to_string(&syscall).unwrap();
        call.starts_with(&format!("{} ", libc::SYS_accept4))
    };
    while !accepting() {
        thread::yield_now();
    }
    first.write_all(b"data1").unwrap();
    let short = Some(Duration::from_millis(200));
    first.set_read_timeout(short).unwrap();
    assert!(first.read(&mut [0; 5]).is_err());
    ends(&server);
}

/// A client that has reset its connection while it waited: accept gives it out all the same.
#[test]
fn a_reset_before_accept_is_an_error_of_the_first_read() {
    for listener in [&[][..], &["--blocking-listener"]] {
        let (server, port) = server("127.0.0.1", listener);
        server.signal(Signal::SIGSTOP);
        let client = chap_22(&["nonblockingclient", "127.0.0.1", "--port", &port]);
        assert!(client.ends().unwrap().success());
        client.says("closed").unwrap();
        let mut other = connect(&port);
        server.signal(Signal::SIGCONT);
        server.says("client connected (gone)").unwrap();
        server
            .complains("client (gone): read: Connection reset by peer (os error 104)")
            .unwrap();
        assert_eq!(answer(&mut other, b"data1"), b"qngn1");
        ends(&server);
    }
}

#[test]
fn a_client_may_end_in_good_order() {
    let (server, port) = server("::1", &[]);
    let arguments = ["nonblockingclient", "::1", "--port", &port];
    let client = chap_22(&[&arguments[..], &["--fin", "--hold"]].concat());
    client
        .says(&format!("connected to [::1]:{port} from [::1]:"))
        .unwrap();
    server.says("client connected [::1]:").unwrap();
    client.closes_input();
    assert!(client.ends().unwrap().success());
    server.says("client closed [::1]:").unwrap();
}

#[test]
fn both_signals_end_the_server_wherever_it_is() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (server, port) = server("127.0.0.1", &["--accept-delay", "60"]);
        let _client = connect(&port);
        server.says("listening socket readable").unwrap();
        server.signal(signal);
        assert!(server.ends().unwrap().success());
    }
}

#[test]
fn many_connects_and_what_became_of_each() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let run = |arguments: &[&str]| {
        let program = chap_22(&[&["nonblockingconnect", "--port", &port], arguments].concat());
        let ending = program.ends().unwrap().ending;
        (program.out().text(), program.err().text(), ending)
    };

    let (out, err, ending) = run(&["127.0.0.1", "127.0.0.2", "no such host"]);
    assert!(out.contains(&format!("127.0.0.1:{port}: in progress\n")));
    assert!(out.contains(&format!("127.0.0.1:{port}: connected after 0.")));
    let refused = format!("127.0.0.2:{port}: Connection refused (os error 111) after 0.");
    assert!(out.contains(&refused), "{out}");
    assert!(err.starts_with("resolve no such host: "), "{err}");
    assert!(err.ends_with("Error: 2 of 3 failed\n"), "{err}");
    assert_eq!(ending, Ending::Exited(1));

    let (out, err, ending) = run(&["127.0.0.1", "--blocking"]);
    assert!(!out.contains("in progress") && out.contains(": connected after 0."));
    assert_eq!((err.as_str(), ending), ("", Ending::Exited(0)));
}

/// No answer comes from a listener whose queue is full: the deadline ends the wait.
#[test]
fn a_deadline_gives_up_what_is_in_progress() {
    let full = TcpListener::bind("127.0.0.1:0").unwrap();
    nix::sys::socket::listen(&full, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let port = full.local_addr().unwrap().port().to_string();
    let _first = connect(&port);
    let arguments = ["nonblockingconnect", "127.0.0.1", "--port", &port];
    let program = chap_22(&[&arguments[..], &["--deadline", "0.1"]].concat());
    assert_eq!(program.ends().unwrap().ending, Ending::Exited(1));
    let expected =
        format!("127.0.0.1:{port}: in progress\n127.0.0.1:{port}: no answer, given up\n");
    assert_eq!(program.out().text(), expected);
    assert_eq!(program.err().text(), "Error: 1 of 1 failed\n");
}

fn probe(arguments: &[&str]) -> String {
    let program = chap_22(&[&["probe"], arguments].concat());
    assert!(
        program.ends().unwrap().success(),
        "{}",
        program.err().text()
    );
    program.out().text()
}

#[test]
fn the_table_has_every_cell() {
    let table = probe(&["read-write"]);
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect()
        })
        .collect();
    let cells: Vec<_> = rows.iter().map(|row| &row[row.len() - 2..]).collect();
    assert_eq!(cells[0], ["blocking", "non-blocking"]);
    assert_eq!(cells[1], ["5 at once", "5 at once"]);
    assert_eq!(cells[2], ["waits, then 5", "EAGAIN at once"]);
    assert_eq!(cells[3], ["5 at once", "5 at once"]);
    assert_eq!(cells[4][0], "waits, then 1000000");
    let part: usize = cells[4][1]
        .strip_suffix(" at once")
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..1_000_000).contains(&part));
    assert_eq!(cells[5], ["waits, then 5", "EAGAIN at once"]);
}

#[test]
fn a_part_is_written_and_more_after_reading() {
    let text = probe(&["partial-write"]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(lines[1].ends_with(": EAGAIN") && lines[2].starts_with("not writable, with "));
    assert!(lines[3].starts_with("writable, with "));
    assert!(probe(&["partial-write", "--bytes", "1000"]).starts_with("write 1000 bytes: 1000\n"));
}

#[test]
fn writes_to_a_peer_that_has_closed() {
    let end = "the peer has read it and ended: read returns 0";
    let after = format!("write: 5\n{end}\nwrite: 5\nwrite: EPIPE\n");
    assert_eq!(probe(&["closed-peer"]), after);
    let half = format!("write: 5\n{end}\nwrite: 5\nwrite: 5\n");
    assert_eq!(probe(&["closed-peer", "--half"]), half);
    let waiting = probe(&["closed-peer", "--waiting"]);
    assert!(waiting.starts_with("the peer has closed while the write waited\nwrite: "));
    assert!(
        waiting.ends_with("\nwrite: ECONNRESET\nwrite: EPIPE\n"),
        "{waiting}"
    );
}

#[test]
fn bad_addresses_and_busy_ports_are_clear_errors() {
    let refused = chap_22(&["nonblockingclient", "127.0.0.1", "--port", "1"]);
    refused
        .complains("Error: connect 127.0.0.1:1: Connection refused (os error 111)")
        .unwrap();
    assert_eq!(refused.ends().unwrap().ending, Ending::Exited(1));

    let (_server, port) = server("127.0.0.1", &[]);
    let second = chap_22(&["nonblockingserver", "--port", &port]);
    second
        .complains(&format!(
            "Error: bind 127.0.0.1:{port}: Address already in use (os error 98)"
        ))
        .unwrap();
}
