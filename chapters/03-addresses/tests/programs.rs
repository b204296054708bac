//! The lesson's program.

use std::path::Path;
use std::process::Command;

use drive::{Ending, Program};

fn addresses(arguments: &[&str]) -> String {
    let program = start(arguments);
    assert!(
        program.ends().unwrap().success(),
        "{}",
        program.err().text()
    );
    program.out().text()
}

fn start(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-3"));
    Program::start("addresses", command.arg("addresses").args(arguments)).unwrap()
}

#[test]
fn the_layouts_are_listed() {
    let text = addresses(&[]);
    for line in [
        "sockaddr: 16 bytes",
        "sockaddr_in: 16 bytes",
        "  sin_port      offset  2,   2 bytes",
        "sockaddr_in6: 28 bytes",
        "  sin6_scope_id offset 24,   4 bytes",
        "sockaddr_un: 110 bytes",
        "  sun_path      offset  2, 108 bytes",
        "sockaddr_storage: 128 bytes",
    ] {
        assert!(
            text.lines().any(|seen| seen == line),
            "{line:?} is missing in\n{text}"
        );
    }
}

#[test]
fn the_bytes_of_each_family() {
    let text = addresses(&["127.0.0.1:43211", "[::1]:43211", "/tmp/a"]);
    assert!(
        text.contains("sin_port      a8 cb  (43211, most significant byte first)"),
        "{text}"
    );
    assert!(text.contains("sin_addr      7f 00 00 01"), "{text}");
    assert!(
        text.contains("sin6_addr     00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01"),
        "{text}"
    );
    assert!(text.contains("/tmp/a: 9 bytes of sockaddr_un"), "{text}");
    assert!(text.contains(r"2f 74 6d 70 2f 61 00  (/tmp/a\0)"), "{text}");
}

#[test]
fn without_htons_the_port_is_another_one() {
    let text = addresses(&["127.0.0.1:43211", "--host-order"]);
    assert!(
        text.contains("sin_port      cb a8  (52136, most significant byte first)"),
        "{text}"
    );
}

#[test]
fn the_kernel_insists_on_the_length() {
    let path = format!("{}/a-socket", env!("CARGO_TARGET_TMPDIR"));
    let text = addresses(&["127.0.0.1:0", "[::1]:0", &path, "--ask-kernel"]);
    assert!(!Path::new(&path).exists());
    for line in [
        "bind with 15 bytes: EINVAL",
        "bind with 16 bytes: success",
        "getsockname: 16 bytes",
        "bind with 23 bytes: EINVAL",
        "bind with 24 bytes: success",
        "getsockname: 28 bytes",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn what_is_no_address_is_refused() {
    for (bad, complaint) in [
        ("127.0.0.1", "neither ADDRESS:PORT"),
        ("127.0.0.1:70000", "neither ADDRESS:PORT"),
        ("300.0.0.1:1", "neither ADDRESS:PORT"),
        (
            &format!("/tmp/{}", "x".repeat(103)),
            "a path of 108 bytes; at most 107 fit",
        ),
    ] {
        let program = start(&[bad]);
        program.complains(complaint).unwrap();
        assert_eq!(program.ends().unwrap().ending, Ending::Exited(2));
    }
    assert!(
        addresses(&[&format!("/tmp/{}", "x".repeat(102))]).contains("110 bytes of sockaddr_un")
    );
}
