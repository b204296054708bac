//! Programs are traced for real. Where no tool does what is wanted, the program is this test binary, see [`tracee`].

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use drive::{Ending, Program, Signal};
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, kill, sigaction};
use nix::sys::socket::{self, AddressFamily, Backlog, MsgFlags, SockFlag, SockType, SockaddrIn};
use nix::unistd::Pid;

use super::{Calls, SystemCall, keeper};

const PART: &str = "LAB_TRACEE";

fn start(command: Command) -> (Program, Arc<Calls>) {
    let calls = Arc::new(Calls::default());
    let program = Program::start_kept("it", command, keeper(Arc::clone(&calls))).unwrap();
    (program, calls)
}

fn shell(script: &str) -> (Program, Arc<Calls>) {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    start(command)
}

/// This test binary, playing a part of [`tracee`].
fn play(part: &str) -> (Program, Arc<Calls>) {
    // Not by its path: a build that runs meanwhile may have replaced it.
    let mut command = Command::new("/proc/self/exe");
    let name = concat!(module_path!(), "::tracee");
    let name = name.split_once("::").unwrap().1;
    command
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(PART, part);
    start(command)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn is_gone(pid: Pid) -> bool {
    kill(pid, None) == Err(Errno::ESRCH)
}

/// Sends the thread in accept4 a signal.
fn interrupt(calls: &Calls) -> SystemCall {
    let call = calls
        .await_call(|call| call.name == "accept4", soon())
        .unwrap();
    // SAFETY: no memory is involved.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_tgkill,
            call.pid.as_raw(),
            call.tid.as_raw(),
            libc::SIGUSR1,
        )
    };
    assert_eq!(sent, 0);
    call
}

extern "C" fn nothing(_: i32) {}

/// What the traced programs do; nothing when it runs as a test among the others.
#[test]
fn tracee() {
    let Ok(part) = std::env::var(PART) else {
        return;
    };
    let (family, stream) = (AddressFamily::Inet, SockType::Stream);
    let listener = socket::socket(family, stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    socket::bind(listener.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    socket::listen(&listener, Backlog::new(8).unwrap()).unwrap();
    let handles = |flags| {
        let action = SigAction::new(SigHandler::Handler(nothing), flags, SigSet::empty());
        // SAFETY: the handler does nothing.
        unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();
    };
    let accept = || {
        let accepted = socket::accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC)?;
        // SAFETY: the kernel has just made it for us.
        Ok::<_, Errno>(unsafe { OwnedFd::from_raw_fd(accepted) })
    };
    let own: SockaddrIn = socket::getsockname(listener.as_raw_fd()).unwrap();
    println!("listening on {own}");
    match part.as_str() {
        "interrupted" => handles(SaFlags::empty()),
        "restarted" => handles(SaFlags::SA_RESTART),
        "threads" => {
            let exec = || {
                drop(std::os::unix::process::CommandExt::exec(
                    Command::new("true").arg("argument"),
                ))
            };
            thread::spawn(exec).join().unwrap();
        }
        _ => {}
    }
    let accepted = accept().map_err(|error| println!("accept: {error}"));
    let mut buffer = [0; 512];
    while let Ok(connection) = &accepted {
        let length = socket::recv(connection.as_raw_fd(), &mut buffer, MsgFlags::empty()).unwrap();
        if length == 0 {
            break;
        }
        socket::send(
            connection.as_raw_fd(),
            &buffer[..length],
            MsgFlags::MSG_NOSIGNAL,
        )
        .unwrap();
    }
    // SAFETY: it ends the process; libtest has nothing to add.
    unsafe { libc::_exit(7) };
}

fn shown(calls: &[SystemCall]) -> Vec<String> {
    calls.iter().map(|call| call.to_string()).collect()
}

#[test]
fn a_server_is_seen_from_socket_to_exit() {
    let (program, calls) = play("server");
    let address = program.listens().unwrap();
    let blocked = calls
        .await_call(|call| call.name == "accept4", soon())
        .unwrap();
    assert_eq!((blocked.result, blocked.blocks()), (None, true));
    assert_eq!(blocked.to_string(), "accept4(3, SOCK_CLOEXEC) …");
    assert!(
        blocked.descriptor.clone().unwrap().starts_with("socket:["),
        "{blocked:?}"
    );
    assert!(shown(&calls.blocked()).contains(&blocked.to_string()));

    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"data1").unwrap();
    client.read_exact(&mut [0; 5]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(program.ends().unwrap().ending, Ending::Exited(7));
    assert!(is_gone(program.pid()));

    let all = calls.filtered(SystemCall::interesting);
    let all: Vec<_> = all
        .iter()
        .skip_while(|call| call.name != "socket")
        .cloned()
        .collect();
    let (peer, wanted) = (client.local_addr().unwrap(), "SOCK_STREAM|SOCK_CLOEXEC");
    let expected = [
        format!("socket(AF_INET, {wanted}) = 3"),
        "bind(3, 127.0.0.1:0) = 0".into(),
        "listen(3, 8) = 0".into(),
        format!("getsockname(3, {address}) = 0"),
        format!("accept4(3, {peer}, SOCK_CLOEXEC) = 4"),
        "recvfrom(4, up to 512 bytes) = 5".into(),
        "sendto(4, 5 bytes, MSG_NOSIGNAL) = 5".into(),
        "recvfrom(4, up to 512 bytes) = 0".into(),
        "exit_group(7)".into(),
    ];
    // accept4 of nix asks for no address.
    let expected = expected.map(|line| line.replace(&format!("{peer}, "), ""));
    assert_eq!(shown(&all), expected);
    assert!(all.iter().all(|call| call.pid == program.pid()), "{all:?}");
    assert!(
        all.iter()
            .all(|call| call.ended_at.is_some_and(|end| end >= call.at)),
        "{all:?}"
    );
    assert!(calls.count_of("mmap") > 0);
    assert_eq!(calls.returned("recvfrom"), [Ok(5), Ok(0)]);
    assert_eq!(calls.counts()["recvfrom"], 2);
}

#[test]
fn an_interrupted_call_fails_with_eintr() {
    let (program, calls) = play("interrupted");
    interrupt(&calls);
    program.says("accept: EINTR").unwrap();
    assert_eq!(program.ends().unwrap().ending, Ending::Exited(7));
    assert_eq!(
        shown(&calls.named("accept4")),
        ["accept4(3, SOCK_CLOEXEC) = EINTR"]
    );
    assert!(calls.named("accept4")[0].failed_with(Errno::EINTR));
}

#[test]
fn a_restarted_call_is_made_again() {
    let (program, calls) = play("restarted");
    let first = interrupt(&calls);
    let again = calls.await_call(|call| call.name == "accept4" && call.at > first.at, soon());
    assert!(again.unwrap().blocks());
    drop(TcpStream::connect(program.listens().unwrap()).unwrap());
    assert_eq!(program.ends().unwrap().ending, Ending::Exited(7));
    let expected = ["accept4(3, SOCK_CLOEXEC)", "accept4(3, SOCK_CLOEXEC) = 4"];
    assert_eq!(shown(&calls.named("accept4")), expected);
}

#[test]
fn an_exec_by_a_thread_ends_the_others() {
    let (program, calls) = play("threads");
    assert_eq!(program.ends().unwrap().ending, Ending::Exited(0));
    let execs = calls.filtered(|call| call.name == "execve" && call.succeeded());
    assert_eq!(execs.len(), 1, "{execs:?}");
    assert!(execs[0].tid != execs[0].pid && execs[0].pid == program.pid());
    // The thread that was waiting for it never came back.
    assert!(calls.blocked().is_empty(), "{:?}", calls.blocked());
    assert_eq!(
        calls.of_pid(program.pid()).last().unwrap().decoded,
        "exit_group(0)"
    );
}

#[test]
fn a_thousand_requests_are_traced() {
    let (program, calls) = play("server");
    let mut client = TcpStream::connect(program.listens().unwrap()).unwrap();
    for _ in 0..1000 {
        client.write_all(b"data1").unwrap();
        client.read_exact(&mut [0; 5]).unwrap();
    }
    drop(client);
    assert_eq!(program.ends().unwrap().ending, Ending::Exited(7));
    assert_eq!(
        (calls.count_of("recvfrom"), calls.count_of("sendto")),
        (1001, 1000)
    );
}

#[test]
fn children_are_followed() {
    let (program, calls) = shell("sh -c 'kill -TERM $$'; echo $?; true | cat; exit 3");
    program.says("143").unwrap();
    assert_eq!(program.ends().unwrap().ending, Ending::Exited(3));
    let of_shell = calls.of_pid(program.pid());
    let ended = of_shell
        .iter()
        .find(|call| call.decoded.contains("killed by SIGTERM"))
        .unwrap();
    let child = Pid::from_raw(ended.result.unwrap().unwrap() as i32);
    let killed = calls.of_pid(child);
    let itself = format!("kill({child}, SIGTERM)");
    assert!(
        shown(&killed).iter().any(|call| call.starts_with(&itself)),
        "{:?}",
        shown(&killed)
    );
    let executed = killed
        .iter()
        .find(|call| call.name == "execve" && call.succeeded())
        .unwrap();
    assert!(executed.decoded.ends_with("/sh\")"), "{executed}");
    assert_eq!(calls.filtered(|call| call.name == "exit_group").len(), 3);
}

#[test]
fn a_signal_kills_and_reaches_handlers() {
    let script = "trap 'echo caught; kill -KILL $$' USR1; echo ready; while :; do read line; done";
    let (program, calls) = shell(script);
    program.says("ready").unwrap();
    calls
        .await_call(
            |call| call.name == "read" && call.blocks() && call.arguments[0] == 0,
            soon(),
        )
        .unwrap();
    program.signal(Signal::SIGUSR1);
    // Some shells look at their traps only after the line; by then others have ended.
    let _ = program.types("go");
    program.says("caught").unwrap();
    assert_eq!(
        program.ends().unwrap().ending,
        Ending::Killed(Signal::SIGKILL)
    );
    assert!(is_gone(program.pid()));
}

#[test]
fn a_stopped_program_stays_stopped() {
    let (program, calls) = shell("while read line; do echo got $line; done");
    let state = || {
        let status = std::fs::read_to_string(format!("/proc/{}/stat", program.pid())).unwrap();
        status.split(' ').nth(2).unwrap().to_string()
    };
    let reads = |call: &SystemCall| call.name == "read" && call.blocks() && call.arguments[0] == 0;
    calls.await_call(reads, soon()).unwrap();
    while state() != "S" {
        thread::yield_now();
    }
    program.signal(Signal::SIGSTOP);
    while state() == "S" {
        thread::yield_now();
    }
    program.types("one").unwrap();
    // What must not happen cannot be awaited.
    thread::sleep(Duration::from_millis(100));
    assert_eq!(program.out().text(), "");
    program.signal(Signal::SIGCONT);
    program.says("got one").unwrap();
    program.closes_input();
    assert_eq!(program.ends().unwrap().ending, Ending::Exited(0));
}

#[test]
fn orphans_are_still_traced() {
    let (program, calls) = shell("exec 3<&0; (read line <&3; exit 5) & exit 0");
    assert_eq!(program.ends().unwrap().ending, Ending::Exited(0));
    assert!(is_gone(program.pid()));
    program.types("go").unwrap();
    let ended = |call: &SystemCall| call.decoded == "exit_group(5)";
    let ended = calls.await_call(ended, soon()).unwrap();
    assert_ne!(ended.pid, program.pid());
    // Nothing is left to trace: there is no need to wait for the deadline.
    let begun = Instant::now();
    assert!(calls.await_call(|_| false, soon()).is_none());
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn many_at_once_do_not_mix() {
    let one = |code: i32| {
        let (program, calls) = shell(&format!("sh -c 'exit {code}'; exit $?"));
        assert_eq!(program.ends().unwrap().ending, Ending::Exited(code));
        assert!(is_gone(program.pid()));
        let exits = calls.named("exit_group");
        assert_eq!(
            shown(&exits),
            [format!("exit_group({code})"), format!("exit_group({code})")]
        );
        assert_eq!(exits[1].pid, program.pid());
    };
    thread::scope(|scope| {
        for number in 0..20 {
            scope.spawn(move || one(100 + number));
        }
    });
}

#[test]
fn a_program_that_cannot_start_is_an_error() {
    let calls = Arc::new(Calls::default());
    let command = Command::new("/nonexistent/program");
    let error = Program::start_kept("it", command, keeper(Arc::clone(&calls))).unwrap_err();
    assert!(
        error.to_string().starts_with("start it: No such file"),
        "{error}"
    );
    assert!(calls.await_call(|_| true, soon()).is_none());
}
