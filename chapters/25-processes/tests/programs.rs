//! The lesson's programs, over real sockets.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use drive::{Ending, Program, Signal, asks, awaits, reset};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::geteuid;

fn chap_25(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-25"));
    Program::start(arguments[0], command.args(arguments)).unwrap()
}

/// A server on a free port, and its address.
fn server(arguments: &[&str]) -> (Program, String) {
    let server = chap_25(&[arguments, &["--port", "0"]].concat());
    let address = server.listens().unwrap().to_string();
    (server, address)
}

/// The child that has taken the next client.
fn child(server: &Program) -> String {
    let line = server.says("child ").unwrap().rest();
    line.split(' ').next().unwrap_or_default().to_string()
}

/// The children that a server has, those included that have ended and were not waited for.
fn children(server: &Program) -> usize {
    let pid = server.pid();
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().count()
}

/// The four ways to bury children, and the children that are there before.
const SERVERS: [&[&str]; 5] = [
    &["fork01"],
    &["fork01", "--reap", "wait"],
    &["fork01", "--reap", "none"],
    &["fork01", "--reap", "signalfd"],
    &["prefork", "--children", "3"],
];

#[test]
fn two_clients_are_answered_at_once() {
    for bind in ["127.0.0.1", "::1"] {
        for arguments in SERVERS {
            let (server, address) = server(&[arguments, &["--bind", bind]].concat());
            let mut first = TcpStream::connect(&address).unwrap();
            let mut second = TcpStream::connect(&address).unwrap();
            asks(&mut first, b"afasfa\r\n", b"nsnfsn\r\n");
            asks(&mut second, b"agas", b"ntnf"); // no line, and an answer all the same
            asks(&mut second, b"\0\xffN\n\n", b"\0\xffA\n\n");
            drop(first);
            asks(&mut second, b"gasg\n", b"tnft\n");
            assert_eq!(server.err().text(), "");
        }
    }
}

/// A line of a megabyte, and one of exactly the buffer's size: nothing is dropped. The original keeps 4097 bytes.
#[test]
fn e3_excess_input_is_not_dropped() {
    for arguments in SERVERS {
        let (_server, address) = server(arguments);
        for length in [4095, 4096, 4097, 1 << 20] {
            let mut stream = TcpStream::connect(&address).unwrap();
            let mut writer = stream.try_clone().unwrap();
            let sends = std::thread::spawn(move || {
                writer.write_all(&vec![b'a'; length]).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            assert!(answer == vec![b'n'; length], "{} of {length}", answer.len());
            sends.join().unwrap();
        }
    }
}

/// fork fails by returning -1. The original takes that for the parent's side, and the client waits for ever.
#[test]
fn e3_fork_failure_is_told_to_the_client() {
    // The limit counts the processes of a user, and does not hold for root: another user, who can reach the program.
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let program = directory.path().join("chap-25");
    fs::copy(env!("CARGO_BIN_EXE_chap-25"), &program).unwrap();
    let mut command = Command::new(&program);
    command.args(["fork01", "--port", "0"]);
    if geteuid().is_root() {
        command.uid(47_111);
    }
    let one = || Ok(setrlimit(Resource::RLIMIT_NPROC, 1, 1)?);
    // SAFETY: setrlimit(2) is a system call and nothing else.
    unsafe { command.pre_exec(one) };
    let server = Program::start("fork01", &mut command).unwrap();
    let address = server.listens().unwrap();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "no process to be had, try again later\n");
        server
            .complains("Resource temporarily unavailable (os error 11)")
            .unwrap();
    }
    assert!(server.ended().is_none());
}

#[test]
fn a_reset_ends_one_client_only() {
    for arguments in SERVERS {
        let (server, address) = server(arguments);
        let mut other = TcpStream::connect(&address).unwrap();
        asks(&mut other, b"a", b"n");
        let mut stream = TcpStream::connect(&address).unwrap();
        asks(&mut stream, b"a", b"n");
        reset(stream).unwrap();
        server
            .complains("Error: read: Connection reset by peer (os error 104)")
            .unwrap();
        asks(&mut other, b"b", b"o");
        asks(&mut TcpStream::connect(&address).unwrap(), b"c", b"p");
    }
}

#[test]
fn ended_children_are_waited_for() {
    for reap in ["waitpid", "signalfd"] {
        let (server, address) = server(&["fork01", "--reap", reap]);
        let streams: Vec<_> = (0..20)
            .map(|_| TcpStream::connect(&address).unwrap())
            .collect();
        for _ in &streams {
            child(&server);
        }
        drop(streams);
        awaits("a child is left", || children(&server) == 0);
    }
}

#[test]
fn without_waiting_they_stay() {
    let (server, address) = server(&["fork01", "--reap", "none"]);
    for count in 1..=3 {
        let mut stream = TcpStream::connect(&address).unwrap();
        asks(&mut stream, b"a", b"n");
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
        assert_eq!(children(&server), count);
    }
}

#[test]
fn a_killed_child_is_replaced() {
    let (server, address) = server(&["prefork", "--children", "2"]);
    let mut stream = TcpStream::connect(&address).unwrap();
    let victim = child(&server);
    asks(&mut stream, b"a", b"n");
    let killed = Command::new("kill").args(["-KILL", &victim]).status();
    assert!(killed.unwrap().success());
    server
        .says(&format!("child {victim} terminated: SIGKILL"))
        .unwrap();
    awaits("no child in its place", || children(&server) == 2);
    let mut streams: Vec<_> = (0..2)
        .map(|_| TcpStream::connect(&address).unwrap())
        .collect();
    for stream in &mut streams {
        asks(stream, b"a", b"n");
    }
}

/// SIGTERM and Ctrl-C end the parent, and its children with it; so does SIGKILL, by the kernel's hand.
#[test]
fn prefork_leaves_nobody_behind() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGKILL] {
        let (server, address) = server(&["prefork", "--children", "3"]);
        let mut stream = TcpStream::connect(&address).unwrap();
        asks(&mut stream, b"a", b"n");
        server.signal(signal);
        let end = server.ends().unwrap();
        match signal {
            Signal::SIGKILL => assert_eq!(end.ending, Ending::Killed(signal)),
            _ => assert!(end.success()),
        }
        // Nobody has the connection, nor the listener.
        assert!(matches!(stream.read(&mut [0; 8]), Ok(0) | Err(_)));
        awaits("somebody still listens", || {
            TcpStream::connect(&address).is_err()
        });
    }
}

#[test]
fn signalfd_ends_the_server_in_good_order() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (server, address) = server(&["fork01", "--reap", "signalfd"]);
        let mut stream = TcpStream::connect(&address).unwrap();
        child(&server);
        server.signal(signal);
        assert!(server.ends().unwrap().success());
        asks(&mut stream, b"a", b"n"); // the child goes on with its client
    }
}

#[test]
fn a_busy_port_and_a_wrong_address_are_told() {
    for program in ["fork01", "prefork"] {
        let (_server, address) = server(&[program]);
        let port = address.rsplit(':').next().unwrap();
        let second = chap_25(&[program, "--port", port]);
        assert_eq!(second.ends().unwrap().ending, Ending::Exited(1));
        let expected = format!("Error: bind {address}: Address already in use (os error 98)\n");
        assert_eq!(second.err().text(), expected);
        let wrong = chap_25(&[program, "--bind", "nonsense"]);
        assert_eq!(wrong.ends().unwrap().ending, Ending::Exited(2));
    }
}
