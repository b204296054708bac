//! `bench count` against the floor, of which we know what it does.

use std::process::Command;

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
