//! The lesson's programs, over real sockets.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use drive::{Ending, Program, Signal, awaits, connect, reset};

fn chap_39(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-39"));
    Program::start(arguments[0], command.args(arguments)).unwrap()
}

/// A server on a free port, and its address.
fn server(arguments: &[&str]) -> (Program, String) {
    let server = chap_39(&[&["reactor-server", "-p", "0"], arguments].concat());
    let address = server.listens().unwrap().to_string();
    (server, address)
}

/// A stamp without its digits.
const STAMP: &str = "[....-..-.. ..:..:..]server reply: ";

/// An answer with each stamp replaced by `@`. What looks like a stamp and has something else for a digit stays.
fn without_stamps(answer: &[u8]) -> Vec<u8> {
    let mut rest = answer;
    let mut found = Vec::new();
    while let Some(&byte) = rest.first() {
        let is_stamp = rest.len() >= STAMP.len()
            && STAMP.bytes().zip(rest).all(|(wanted, found)| match wanted {
                b'.' => found.is_ascii_digit(),
                wanted => wanted == *found,
            });
        let (show, skip) = if is_stamp {
            (b'@', STAMP.len())
        } else {
            (byte, 1)
        };
        found.push(show);
        rest = &rest[skip..];
    }
    found
}

/// Reads the answer to be expected, and no more.
fn hears(mut stream: &TcpStream, expected: &str) {
    let stamps = expected.matches('@').count();
    let mut answer = vec![0; expected.len() + stamps * (STAMP.len() - 1)];
    stream.read_exact(&mut answer).unwrap();
    let found = without_stamps(&answer);
    assert_eq!(
        found.escape_ascii().to_string(),
        expected.as_bytes().escape_ascii().to_string()
    );
}

fn asks(mut stream: &TcpStream, question: &str) {
    stream.write_all(question.as_bytes()).unwrap();
}

fn descriptors(pid: impl std::fmt::Display) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Memory in use, in KiB.
fn resident(program: &Program) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.unwrap().split_whitespace().nth(1);
    number.unwrap().parse().unwrap()
}

#[test]
fn each_line_is_answered_with_the_time() {
    for bind in ["127.0.0.1", "::1"] {
        for way in [&[][..], &["--write-first"]] {
            let (server, address) = server(&[&["--bind", bind], way].concat());
            let client = connect(&address);
            asks(&client, "hello\n");
            hears(&client, "@hello\n");
            asks(&client, "one\n\ntwo\r\nthr");
            hears(&client, "@one\n@\n@two\r\n@thr");
            asks(&client, "ee\nlast");
            hears(&client, "ee\n@last");
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!((&client).read(&mut [0; 8]).unwrap(), 0);
            server.says("new client connected: ").unwrap();
            server.says("received 6 bytes: hello").unwrap();
            server.says("send bytes: 41").unwrap();
            server.says("client closed: ").unwrap();
            assert_eq!(server.err().text(), "");
        }
    }
}

/// The original stops at the first zero byte, and reads 356 bytes into a buffer of 256.
#[test]
fn e3_any_bytes_of_any_length_come_back() {
    let (_server, address) = server(&[]);
    for length in [255, 256, 257, 4095, 4096, 4097, 1 << 20] {
        let client = connect(&address);
        let question: Vec<u8> = (0..length as u32)
            .map(|number| match (number % 251) as u8 {
                b'\n' | b'[' => 0,
                byte => byte,
            })
            .collect();
        let mut writer = client.try_clone().unwrap();
        let expected = [b"@", &question[..]].concat();
        let sends = thread::spawn(move || {
            writer.write_all(&question).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut answer = Vec::new();
        (&client).read_to_end(&mut answer).unwrap();
        assert!(without_stamps(&answer) == expected, "{length}");
        sends.join().unwrap();
    }
}

#[test]
fn many_small_lines_keep_their_order() {
    for way in [&[][..], &["--write-first"]] {
        let (_server, address) = server(&[&["--quiet"], way].concat());
        thread::scope(|scope| {
            for client in 0..8 {
                let address = &address;
                scope.spawn(move || {
                    let stream = connect(address);
                    let mut writer = stream.try_clone().unwrap();
                    let line = move |number: usize| format!("{client} {number}\n");
                    let writes = thread::spawn(move || {
                        for number in 0..2000 {
                            writer.write_all(line(number).as_bytes()).unwrap();
                        }
                    });
                    for number in 0..2000 {
                        hears(&stream, &format!("@{}", line(number)));
                    }
                    writes.join().unwrap();
                });
            }
        });
    }
}

/// The time is not in memory that the threads share.
#[test]
fn e1_31_stamps_of_several_threads_are_whole() {
    let (_server, address) = server(&["--quiet", "--workers", "8"]);
    let date = Command::new("date").arg("+[%Y-%m-%d %H:").output().unwrap();
    let clients: Vec<_> = (0..8).map(|_| connect(&address)).collect();
    for _ in 0..200 {
        clients.iter().for_each(|client| asks(client, "x\n"));
        clients.iter().for_each(|client| hears(client, "@x\n"));
    }
    asks(&clients[0], "x\n");
    let mut answer = [0; 16];
    (&clients[0]).read_exact(&mut answer).unwrap();
    // Unless the hour has just changed.
    let date_after = Command::new("date").arg("+[%Y-%m-%d %H:").output().unwrap();
    assert!(
        [date.stdout, date_after.stdout]
            .iter()
            .any(|date| date.starts_with(&answer[..15]))
    );
}

/// Five workers, and five clients that do not read: a sixth is served, and the memory has a limit.
#[test]
fn e1_05_clients_that_do_not_read_hold_nobody_up() {
    let (server, address) = server(&["--quiet"]);
    let deaf: Vec<_> = (0..5).map(|_| connect(&address)).collect();
    let lines = "\n".repeat(1 << 16);
    let mut accepted = 0;
    for mut client in &deaf {
        client
            .set_write_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        while accepted < 1 << 30 {
            match client.write(lines.as_bytes()) {
                Ok(count) => accepted += count,
                Err(error) => {
                    assert!(matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut
                    ));
                    break;
                }
            }
        }
    }
    assert!(accepted < 1 << 30, "the server takes everything");
    let client = connect(&address);
    asks(&client, "hello\n");
    hears(&client, "@hello\n");
    server.rests();
    assert!(resident(&server) < 30_000, "{} KiB", resident(&server));
    drop(deaf); // with something unread: resets
    asks(&client, "hello\n");
    hears(&client, "@hello\n");
}

/// Each closes, or resets in the middle of an answer; nothing is left of them.
#[test]
fn e1_01_clients_that_leave_leave_nothing() {
    let (server, address) = server(&[]);
    let client = connect(&address);
    asks(&client, "x");
    hears(&client, "@x");
    let before = descriptors(server.pid());
    for round in 0..100 {
        let stream = connect(&address);
        asks(&stream, "hello\n");
        match round % 4 {
            0 => drop(stream),
            1 => hears(&stream, "@hello\n"),
            2 => reset(stream).unwrap(),
            _ => {
                hears(&stream, "@hello\n");
                reset(stream).unwrap();
            }
        }
    }
    awaits("something is left", || descriptors(server.pid()) == before);
    asks(&client, "y\n");
    hears(&client, "y\n");
    assert!(!server.err().text().contains("panicked"));
}

/// Without a descriptor for them clients wait, and the server neither ends nor spins.
#[test]
fn e1_11_out_of_descriptors_clients_wait() {
    let script = "ulimit -n 16 && exec \"$0\" reactor-server -p 0 --quiet";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_chap-39")]);
    let server = Program::start("reactor-server", &mut command).unwrap();
    let address = server.listens().unwrap().to_string();
    let mut clients: Vec<_> = (0..16).map(|_| connect(&address)).collect();
    server.complains("Too many open files").unwrap();
    server.rests();
    asks(&clients[0], "x\n");
    hears(&clients[0], "@x\n");
    while clients.len() > 4 {
        clients.remove(0);
    }
    for client in &clients {
        asks(client, "x\n");
        hears(client, "@x\n");
    }
    assert_eq!(server.err().len(), 1);
}

/// The original's workers sleep for ever when it is told to stop.
#[test]
fn e1_16_a_signal_stops_it_when_answers_in_flight_are_out() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (server, address) = server(&["--pause", "1", "--workers", "2"]);
        let idle = connect(&address);
        let clients: Vec<_> = (0..4).map(|_| connect(&address)).collect();
        for _ in 0..5 {
            server.says("new client connected").unwrap();
        }
        for client in &clients {
            asks(client, "hello\n"); // two are at work, two in the queue
        }
        for _ in 0..4 {
            server.says("is readable").unwrap();
        }
        server.signal(signal);
        assert_eq!((&idle).read(&mut [0; 8]).unwrap(), 0);
        assert_eq!(
            TcpStream::connect(&address).unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
        for client in &clients {
            hears(client, "@hello\n");
            assert_eq!((&mut &*client).read(&mut [0; 8]).unwrap(), 0);
        }
        assert!(server.ended().is_none(), "the clients have not left yet");
        drop((idle, clients));
        assert_eq!(server.ends().unwrap().ending, Ending::Exited(0));
        assert_eq!(server.err().text(), "");
    }
}

/// A question that lies in the kernel when the signal comes, and one whose client was not accepted yet.
#[test]
fn what_has_arrived_before_the_signal_is_answered() {
    let (server, address) = server(&["--quiet"]);
    let client = connect(&address);
    asks(&client, "one\n");
    hears(&client, "@one\n");
    server.signal(Signal::SIGSTOP);
    asks(&client, &"two\n".repeat(3000)); // more than a read takes
    let late = connect(&address);
    asks(&late, "three\n");
    server.signal(Signal::SIGTERM);
    server.signal(Signal::SIGCONT);
    hears(&client, &"@two\n".repeat(3000));
    hears(&late, "@three\n");
    for mut stream in [&client, &late] {
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    }
    drop((client, late));
    assert_eq!(server.ends().unwrap().ending, Ending::Exited(0));
}

#[test]
fn who_does_not_leave_is_left() {
    let (server, address) = server(&["--deadline", "0.2"]);
    let stays = connect(&address);
    server.says("new client connected").unwrap();
    let start = Instant::now();
    server.signal(Signal::SIGTERM);
    assert_eq!(server.ends().unwrap().ending, Ending::Exited(0));
    assert!(start.elapsed() >= Duration::from_millis(200));
    drop(stays);

    let (server, address) = self::server(&["--deadline", "1000"]);
    let stays = connect(&address);
    server.says("new client connected").unwrap();
    server.signal(Signal::SIGINT);
    assert_eq!((&stays).read(&mut [0; 8]).unwrap(), 0);
    server.signal(Signal::SIGINT);
    assert_eq!(server.ends().unwrap().ending, Ending::Exited(0));
}

/// A daemon that the test has to end.
struct Daemon(i32);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = Command::new("kill")
            .args(["-KILL", &self.0.to_string()])
            .stderr(Stdio::null())
            .status();
    }
}

#[test]
fn a_daemon_has_a_session_and_no_terminal_and_serves() {
    let (parent, address) = server(&["-d"]);
    let said = parent.says("process ").unwrap().rest();
    let pid: i32 = said.split(' ').next().unwrap().parse().unwrap();
    let _daemon = Daemon(pid);
    assert_eq!(parent.ends().unwrap().ending, Ending::Exited(0));
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    assert_eq!((fields[3], fields[4]), (&*pid.to_string(), "0")); // session and terminal
    for fd in 0..3 {
        let target = fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap();
        assert_eq!(target.to_str(), Some("/dev/null"));
    }
    let cwd = fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
    assert_eq!(cwd.to_str(), Some("/"));
    let client = connect(&address);
    asks(&client, "hello\n");
    hears(&client, "@hello\n");
    drop(client);
    Command::new("kill").arg(pid.to_string()).status().unwrap();
    awaits("it goes on", || {
        let gone = |stat: String| {
            stat.rsplit_once(") ")
                .is_some_and(|(_, rest)| rest.starts_with('Z'))
        };
        fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, gone)
    });
    assert!(TcpStream::connect(&address).is_err());
}

/// The original detaches first, and says it to /dev/null.
#[test]
fn a_busy_port_and_wrong_options_are_told() {
    let (_server, address) = server(&[]);
    let port = address.rsplit(':').next().unwrap();
    for way in [&[][..], &["-d"]] {
        let second = chap_39(&[&["reactor-server", "-p", port], way].concat());
        assert_eq!(second.ends().unwrap().ending, Ending::Exited(1));
        let expected = format!("Error: bind {address}: Address already in use (os error 98)\n");
        assert_eq!(second.err().text(), expected);
    }
    for arguments in [
        ["reactor-server", "--bind", "x"],
        ["reactor-server", "--workers", "0"],
        ["reactor-server", "-p", "70000"],
        ["reactor-server", "--mistake", "none"],
        ["wake", "--times", "0"],
    ] {
        assert_eq!(
            chap_39(&arguments).ends().unwrap().ending,
            Ending::Exited(2)
        );
    }
}

/// What is wrong on purpose is wrong.
#[test]
fn mistakes_are_mistakes() {
    let (spins, address) = server(&["--quiet", "--mistake", "both-directions"]);
    let client = connect(&address);
    asks(&client, "x\n");
    hears(&client, "@x\n");
    let used = || spins.processor_time().unwrap();
    let before = used();
    awaits("it does not spin", || {
        used() > before + Duration::from_millis(200)
    });
    drop((client, spins));

    let (closes, address) = server(&["--mistake", "close-at-once"]);
    let client = connect(&address);
    asks(&client, "x\n");
    hears(&client, "@x\n");
    assert_eq!((&client).read(&mut [0; 8]).unwrap(), 0);
    closes.says("closed: ").unwrap();

    let (told, address) = server(&["--quiet", "--mistake", "level-triggered", "--pause", "1"]);
    let client = connect(&address);
    asks(&client, "x\n");
    thread::sleep(Duration::from_millis(300)); // a worker has it
    let used = || told.processor_time().unwrap();
    let before = used();
    asks(&client, "y\n");
    awaits("it does not spin", || {
        used() > before + Duration::from_millis(100)
    });
    hears(&client, "@x\n@y\n");
    drop((client, told));

    let (_forgets, address) = server(&["--quiet", "--mistake", "sleep-first"]);
    let clients: Vec<_> = (0..300).map(|_| connect(&address)).collect();
    for client in &clients {
        asks(client, "x\n");
        client
            .set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
    }
    let waits = clients
        .iter()
        .any(|mut client| client.read(&mut [0; 64]).is_err());
    assert!(waits, "nobody is forgotten");
}

#[test]
fn output_that_nobody_reads_ends_it() {
    let script = "\"$0\" reactor-server -p 0 | { read line; echo \"$line\" >&2; }; echo over";
    let mut command = Command::new("bash");
    let script = format!("set -o pipefail; {script}");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_chap-39")]);
    let shell = Program::start("shell", &mut command).unwrap();
    let address = shell.complains("listening on ").unwrap().rest();
    let mut client = connect(&address);
    asks(&client, "x\n");
    let _ = client.read(&mut [0; 64]); // an answer, an end or a reset
    shell.says("over").unwrap();
    assert!(
        !shell.err().text().contains("panicked"),
        "{}",
        shell.err().text()
    );
}

#[test]
fn every_way_wakes() {
    let program = chap_39(&["wake", "--times", "7"]);
    assert!(program.ends().unwrap().success());
    let out = program.out().text();
    for line in [
        "pipe: woken 7 times before the wait: it returns at once, and 7 bytes are there",
        "pipe: a thread in epoll_wait is woken, 1 event",
        "eventfd: woken 7 times before the wait: it returns at once, and the counter is 7",
        "eventfd: a thread in epoll_wait is woken, 1 event",
        "eventfd: a single byte is no wake-up: EINVAL",
        "eventfd: 18446744073709551613 more fit, then EAGAIN",
        "socketpair: woken 7 times before the wait: it returns at once, and 7 bytes are there",
        "socketpair: a thread in epoll_wait is woken, 1 event",
    ] {
        assert!(out.contains(line), "{out}");
    }
    let one = chap_39(&["wake", "eventfd"]);
    assert!(one.ends().unwrap().success());
    assert_eq!(one.out().len(), 4);
}
