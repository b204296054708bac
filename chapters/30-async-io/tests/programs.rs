//! The lesson's programs, over real files and sockets.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use drive::{Ending, Program, Signal, connect};

const HOSTS: [&str; 2] = ["127.0.0.1", "::1"];
/// Each way to be an echo server. Two small buffers run out all the time.
const SERVERS: [&[&str]; 4] = [
    &["epoll-echo"],
    &["uring-echo"],
    &["uring-echo", "--oneshot"],
    &["uring-echo", "--buffers", "2", "--buffer-size", "64"],
];

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-30"));
    command.args(arguments);
    command
}

fn chap_30(arguments: &[&str]) -> Program {
    Program::start(arguments[0], &mut command(arguments)).unwrap()
}

/// The servers that can run here: some sandboxes forbid io_uring.
fn servers() -> impl Iterator<Item = &'static [&'static str]> {
    let file = tempfile::tempdir().unwrap();
    let path = file.path().join("probe");
    let probe = chap_30(&["uring-file", path.to_str().unwrap()]);
    probe.ends().unwrap();
    let allowed = !probe.err().text().contains("io_uring_setup");
    let runs = move |server: &&[&str]| allowed || server[0] == "epoll-echo";
    SERVERS.into_iter().filter(runs)
}

/// A server on a free port, and its address.
fn server(arguments: &[&str], host: &str) -> (Program, String) {
    let server = chap_30(&[arguments, &["--port", "0", "--bind", host]].concat());
    let address = server.listens().unwrap().to_string();
    (server, address)
}

/// Sends the data and ends its own direction; what comes back until the end.
fn echo_of(address: &str, data: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    let mut reader = stream.try_clone().unwrap();
    let answer = thread::spawn(move || {
        let mut answer = Vec::new();
        reader.read_to_end(&mut answer).map(|_| answer)
    });
    stream.write_all(data).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    answer.join().unwrap().unwrap()
}

fn asks(stream: &mut TcpStream, data: &[u8]) {
    stream.write_all(data).unwrap();
    let mut answer = vec![0; data.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, data);
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 % 251) as u8).collect()
}

/// Waits until something is so.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !so() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A line of /proc/PID/status as a number.
fn status(program: &Program, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

const WAYS: [&[&str]; 5] = [
    &["aio01"],
    &["aio02"],
    &["aio03"],
    &["aio03", "--by", "sigwaitinfo"],
    &["aio02", "--sync"],
];

fn ways() -> Vec<&'static [&'static str]> {
    let uring: &[&str] = &["uring-file"];
    let allowed = servers().count() > 1;
    WAYS.into_iter().chain(allowed.then_some(uring)).collect()
}

/// The bytes are in the file, and were read back and compared.
#[test]
fn a_file_is_written_and_read_back() {
    let directory = tempfile::tempdir().unwrap();
    for (number, way) in ways().into_iter().enumerate() {
        let path = directory.path().join(format!("file{number}"));
        let program = chap_30(&[way, &[path.to_str().unwrap()]].concat());
        assert!(
            program.ends().unwrap().success(),
            "{way:?}: {}",
            program.err().text()
        );
        assert_eq!(fs::read(&path).unwrap(), [0xfa; 512]);
        let text = program.out().text();
        assert!(
            text.starts_with(&format!("made {}\n", path.display())),
            "{text}"
        );
        assert!(text.contains("\n512 bytes written\n"), "{text}");
        assert!(
            text.contains("\n512 bytes read, equal\nSuccess.\n"),
            "{text}"
        );
    }
}

#[test]
fn a_file_that_is_there_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("precious");
    fs::write(&path, "mine").unwrap();
    for way in ways() {
        let program = chap_30(&[way, &[path.to_str().unwrap()]].concat());
        assert_eq!(program.ends().unwrap().ending, Ending::Exited(1));
        let error = program.err().text();
        assert!(
            error.ends_with("precious: File exists (os error 17)\n"),
            "{error}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}

#[test]
fn a_socket_is_written_and_read_back() {
    for host in HOSTS {
        let (_server, address) = server(&["epoll-echo"], host);
        let port = address.rsplit_once(':').unwrap().1;
        for way in ways() {
            let program = chap_30(&[way, &["--connect", host, "--port", port]].concat());
            assert!(
                program.ends().unwrap().success(),
                "{way:?}: {}",
                program.err().text()
            );
            assert!(
                program
                    .out()
                    .text()
                    .contains("512 bytes read, equal\nSuccess.\n")
            );
        }
    }
}

/// A peer that sends back something else, in two pieces; and one that sends too little.
#[test]
fn e3_what_was_read_is_compared() {
    for (pieces, told) in [
        (2, "512 bytes read, not equal"),
        (1, "256 bytes read, not equal"),
    ] {
        for way in ways().into_iter().filter(|way| !way.contains(&"--sync")) {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port().to_string();
            let program = chap_30(&[way, &["--connect", "127.0.0.1", "--port", &port]].concat());
            let (mut peer, _) = listener.accept().unwrap();
            let mut heard = [0; 512];
            peer.read_exact(&mut heard).unwrap();
            assert_eq!(heard, [0xfa; 512]);
            for _ in 0..pieces {
                peer.write_all(&[0x55; 256]).unwrap();
            }
            peer.shutdown(Shutdown::Write).unwrap();
            program.says(told).unwrap();
            assert_eq!(program.ends().unwrap().ending, Ending::Exited(1), "{way:?}");
            assert_eq!(
                program.err().text(),
                "Error: what was read is not what was written\n"
            );
        }
    }
}

/// While the peer keeps them waiting, all but the first sleep.
#[test]
fn e3_no_busy_wait() {
    for way in ways() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let program = chap_30(&[way, &["--connect", "127.0.0.1", "--port", &port]].concat());
        let (mut peer, _) = listener.accept().unwrap();
        let mut data = [0; 512];
        peer.read_exact(&mut data).unwrap();
        let (before, start) = (program.processor_time().unwrap(), Instant::now());
        if way == ["aio01"] {
            until("it is busy", || {
                program.processor_time().unwrap() - before >= Duration::from_millis(100)
            });
        } else {
            while start.elapsed() < Duration::from_millis(300) {
                thread::sleep(Duration::from_millis(10));
            }
            assert!(
                program.processor_time().unwrap() - before < Duration::from_millis(50),
                "{way:?}"
            );
        }
        peer.write_all(&data).unwrap();
        assert!(program.ends().unwrap().success());
    }
}

#[test]
fn aio_suspend_has_a_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let arguments = [
        "aio02",
        "--timeout",
        "0.1",
        "--connect",
        "127.0.0.1",
        "--port",
        &port,
    ];
    let program = chap_30(&arguments);
    assert_eq!(program.ends().unwrap().ending, Ending::Exited(1));
    assert!(
        program
            .out()
            .text()
            .ends_with("reading...\naio_cancel: too late\n")
    );
    let error = "Error: it takes longer than 0.1 s: aio_suspend: Resource temporarily unavailable (os error 11)\n";
    assert_eq!(program.err().text(), error);
}

#[test]
fn no_server_is_an_error() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port().to_string()
    };
    for way in ways() {
        let program = chap_30(&[way, &["--connect", "127.0.0.1", "--port", &port]].concat());
        assert_eq!(program.ends().unwrap().ending, Ending::Exited(1));
        let error = format!("Error: connect 127.0.0.1:{port}: Connection refused (os error 111)\n");
        assert_eq!(program.err().text(), error);
    }
}

#[test]
fn everything_comes_back() {
    for host in HOSTS {
        for arguments in servers() {
            let (server, address) = server(arguments, host);
            // Text, nothing, every byte, the sizes of the buffers, a line of a megabyte.
            let all: Vec<u8> = (0..=255).collect();
            for data in [
                b"hello\n".to_vec(),
                Vec::new(),
                all,
                bytes(64),
                bytes(16_384),
                bytes(16_385),
                bytes(65_536),
                bytes(65_537),
                bytes(1 << 20),
            ] {
                assert!(
                    echo_of(&address, &data) == data,
                    "{arguments:?}: {} bytes",
                    data.len()
                );
            }
            server.signal(Signal::SIGTERM);
            assert!(server.ends().unwrap().success());
            assert!(server.err().is_empty(), "{}", server.err().text());
            let text = server.out().text();
            assert!(
                text.starts_with(&format!("listening on {address}\nclient connected ")),
                "{text}"
            );
        }
    }
}

#[test]
fn a_hundred_clients_at_once() {
    for arguments in servers() {
        let (server, address) = server(arguments, "127.0.0.1");
        let mut clients: Vec<_> = (0..100).map(|_| connect(&address)).collect();
        for round in 0..20_usize {
            let message = |number: usize| bytes(1 + (number * 31 + round * 97) % 300);
            for (number, client) in clients.iter_mut().enumerate() {
                client.write_all(&message(number)).unwrap();
            }
            for (number, client) in clients.iter_mut().enumerate() {
                let mut answer = message(number);
                answer.fill(0);
                client.read_exact(&mut answer).unwrap();
                assert!(answer == message(number), "{arguments:?}");
            }
        }
        drop(clients);
        until("all have gone", || {
            server.out().text().matches("client closed ").count() == 100
        });
        assert!(server.err().is_empty(), "{}", server.err().text());
    }
}

/// A client that sends and does not read delays nobody, does not fill the memory, and gets all of it when it reads.
#[test]
fn e3_a_slow_reader_is_bounded() {
    for arguments in servers() {
        let (server, address) = server(arguments, "127.0.0.1");
        let mut slow = connect(&address);
        let mut fast = connect(&address);
        asks(&mut fast, b"one");
        slow.set_nonblocking(true).unwrap();
        let block = bytes(1 << 16);
        let (mut sent, mut full) = (0, 0);
        // Until nothing has moved for a while: buffers on both sides are full, and the server takes no more.
        while full < 200 {
            match slow.write(&block[sent % block.len()..]) {
                Ok(count) => (sent, full) = (sent + count, 0),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    full += 1;
                    thread::sleep(Duration::from_millis(1));
                }
                Err(error) => panic!("{error}"),
            }
            assert!(sent < 100 << 20, "{arguments:?} takes everything");
            if full % 50 == 1 {
                asks(&mut fast, b"two");
            }
        }
        assert!(
            status(&server, "VmRSS:") < 32 << 10,
            "{arguments:?}: {} KiB",
            status(&server, "VmRSS:")
        );
        let before = server.processor_time().unwrap();
        for _ in 0..100 {
            asks(&mut fast, b"three");
        }
        assert!(
            server.processor_time().unwrap() - before < Duration::from_millis(200),
            "{arguments:?} spins"
        );

        slow.set_nonblocking(false).unwrap();
        slow.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        slow.read_to_end(&mut back).unwrap();
        let same = back
            .iter()
            .enumerate()
            .all(|(index, byte)| *byte == block[index % block.len()]);
        assert!(
            back.len() == sent && same,
            "{arguments:?}: {} of {sent} bytes",
            back.len()
        );
        asks(&mut fast, b"four");
    }
}

/// A peer that resets, with and without something waiting for it, ends its own connection only.
#[test]
fn a_reset_ends_one_client_only() {
    for arguments in servers() {
        let (server, address) = server(arguments, "127.0.0.1");
        let mut stays = connect(&address);
        asks(&mut stays, b"before");
        let mut idle = connect(&address);
        asks(&mut idle, b"idle");
        drive::reset(idle).unwrap();
        server
            .complains("Connection reset by peer (os error 104)")
            .unwrap();
        let mut slow = connect(&address);
        slow.set_nonblocking(true).unwrap();
        let block = vec![0; 1 << 16];
        let mut full = 0;
        while full < 50 {
            full = if slow.write(&block).is_ok() {
                0
            } else {
                full + 1
            };
            thread::sleep(Duration::from_millis(1));
        }
        drive::reset(slow).unwrap();
        server.complains("client 127.0.0.1:").unwrap();
        asks(&mut stays, b"after");
        assert_eq!(server.err().len(), 2);
        server.signal(Signal::SIGINT);
        assert!(server.ends().unwrap().success());
    }
}

/// Signals end a server whatever its clients do at that moment.
#[test]
fn signals_end_it_with_clients() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        for arguments in servers() {
            let (server, address) = server(arguments, "::1");
            let mut idle = connect(&address);
            asks(&mut idle, b"hello");
            let mut slow = connect(&address);
            slow.set_nonblocking(true).unwrap();
            while slow.write(&[0; 1 << 16]).is_ok() {}
            asks(&mut idle, b"hello");
            server.signal(signal);
            assert!(server.ends().unwrap().success(), "{arguments:?}");
            assert!(server.err().is_empty());
        }
    }
}

#[test]
fn a_busy_port_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    for arguments in servers() {
        let server = chap_30(&[arguments, &["--port", &port]].concat());
        assert_eq!(server.ends().unwrap().ending, Ending::Exited(1));
        let error = format!("Error: bind 127.0.0.1:{port}: Address already in use (os error 98)\n");
        assert_eq!(server.err().text(), error);
    }
}

#[test]
fn wrong_arguments_are_refused() {
    for arguments in [
        &["uring-echo", "--buffers", "3"][..],
        &["uring-echo", "--buffers", "65536"],
        &["uring-echo", "--buffer-size", "0"],
        &["uring-echo", "--bind", "nowhere"],
        &["aio01", "file", "--connect", "127.0.0.1"],
    ] {
        let program = chap_30(arguments);
        assert_eq!(
            program.ends().unwrap().ending,
            Ending::Exited(2),
            "{arguments:?}"
        );
    }
}

/// Out of descriptors it says so once, does not spin, serves those who are there, and new ones when there is room.
#[test]
fn without_descriptors_it_waits() {
    for arguments in servers() {
        let mut command = command(&[arguments, &["--port", "0"]].concat());
        let limit = || {
            let few = libc::rlimit {
                rlim_cur: 16,
                rlim_max: 16,
            };
            // SAFETY: a valid structure; a plain system call.
            unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &few) };
            Ok(())
        };
        // SAFETY: between fork and exec only a system call is made.
        unsafe { command.pre_exec(limit) };
        let server = Program::start("server", &mut command).unwrap();
        let address = server.listens().unwrap().to_string();
        let mut clients: Vec<_> = (0..20).map(|_| connect(&address)).collect();
        server
            .complains("accept: Too many open files (os error 24)")
            .unwrap();
        let before = server.processor_time().unwrap();
        for _ in 0..10 {
            asks(&mut clients[0], b"still here");
            thread::sleep(Duration::from_millis(30));
        }
        assert!(
            server.processor_time().unwrap() - before < Duration::from_millis(100),
            "{arguments:?} spins"
        );
        let mut last = clients.pop().unwrap();
        drop(clients);
        asks(&mut last, b"at last");
    }
}

/// A program in a sandbox without io_uring says so; the other programs need none.
#[test]
fn where_io_uring_is_forbidden_it_says_so() {
    for (arguments, ending) in [
        (&["uring-echo", "--port", "0"][..], 1),
        (&["uring-file"], 1),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mut command = command(arguments);
        if arguments.len() == 1 {
            command.arg(directory.path().join("file"));
        }
        // SAFETY: between fork and exec only system calls are made.
        unsafe { command.pre_exec(forbid_io_uring) };
        let program = Program::start("it", &mut command).unwrap();
        assert_eq!(program.ends().unwrap().ending, Ending::Exited(ending));
        let error = program.err().text();
        assert!(
            error.starts_with("Error: io_uring is forbidden here"),
            "{error}"
        );
        assert!(
            error.ends_with(": io_uring_setup: Operation not permitted (os error 1)\n"),
            "{error}"
        );
        assert!(program.out().is_empty() && !Path::new("file").exists());
    }
}

/// A filter of system calls as containers have it, seccomp(2): io_uring_setup fails with EPERM.
fn forbid_io_uring() -> std::io::Result<()> {
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let (load, equal, back) = (0x20, 0x15, 0x06);
    let filter = [
        step(load, 0, 0, 0), // the number of the call
        step(equal, 0, 1, libc::SYS_io_uring_setup as u32),
        step(back, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        step(back, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: plain system calls; the filter lives until they return.
    let refused = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            ) != 0
    };
    match refused {
        true => Err(std::io::Error::last_os_error()),
        false => Ok(()),
    }
}
