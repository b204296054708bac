//! `bench count` against the floor, of which we know what it does.

use std::fs;
use std::process::Command;

use drive::{Program, Signal, asks};
use nix::sys::signal::kill;
use nix::unistd::Pid;

fn installed(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok()
}

#[test]
fn the_floor_waits_reads_and_writes_and_allocates_nothing() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    let output = command
        .args(["count", "--contestants", "floor"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    for load in ["keep-alive", "echo-1024"] {
        let line = text.lines().find(|line| line.starts_with(load)).unwrap();
        let fields: Vec<_> = line.split_whitespace().collect();
        if installed("strace") {
            assert_eq!(fields[2], "3.00", "{line}");
            assert!(
                line.ends_with("epoll_wait 1.00, read 1.00, sendto 1.00"),
                "{line}"
            );
        } else {
            assert!(
                text.contains("strace is not installed: apt-get install strace"),
                "{text}"
            );
        }
        if installed("valgrind") {
            assert_eq!(fields[3], "0.00", "{line}");
            assert!(
                fields[4].parse::<u32>().is_ok_and(|count| count > 50),
                "{line}"
            );
        } else {
            assert!(
                text.contains("valgrind is not installed: apt-get install valgrind"),
                "{text}"
            );
        }
    }
}

#[test]
fn an_unknown_name_is_an_error() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    let output = command
        .args(["count", "--contestants", "apache"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        complaint.contains("\"apache\" is none of those"),
        "{complaint}"
    );
}

/// Instructions that the floor makes for so many messages.
fn steps(messages: usize) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("steps");
    let program = env!("CARGO_BIN_EXE_bench");
    let mut command = Command::new(program);
    command.arg("step").arg("--out").arg(&out);
    let stepper = Program::start("step", command.args(["--", program, "serve", "floor-echo"]));
    let mut stepper = stepper.unwrap();
    stepper.deadline(std::time::Duration::from_secs(30));
    let mut client = drive::connect(stepper.listens().unwrap());
    asks(&mut client, b"hello", b"hello");
    let pid = stepper.pid();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let server = Pid::from_raw(children.trim().parse().unwrap());
    let ask = |client: &mut _| {
        drive::awaits("a server that waits", || {
            let stat = fs::read_to_string(format!("/proc/{server}/stat")).unwrap();
            stat.rsplit(") ").next().unwrap().starts_with('S')
        });
        asks(client, b"hello", b"hello");
    };
    ask(&mut client);
    kill(server, Signal::SIGWINCH).unwrap();
    for _ in 0..messages {
        ask(&mut client);
    }
    kill(server, Signal::SIGTERM).unwrap();
    assert!(stepper.ends().unwrap().success());
    fs::read_to_string(out).unwrap().parse().unwrap()
}

#[test]
fn steps_are_as_many_as_there_are_messages() {
    let [few, more, many] = [8, 16, 24].map(steps);
    let (eight, other) = (more - few, many - more);
    assert!(eight > 8 * 50, "{eight} instructions for eight messages");
    // The wait that the signal has interrupted may begin again, or have a message at once.
    assert!(eight.abs_diff(other) < eight / 16, "{eight} and {other}");
}

#[test]
fn a_program_that_is_not_there_is_not_counted() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    let output = command
        .args(["step", "--out", "/nowhere", "--", "/no/program"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(
        complaint.starts_with("Error: start /no/program: No such file"),
        "{complaint}"
    );
}
