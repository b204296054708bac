//! The lesson's programs.

use std::collections::BTreeSet;
use std::process::Command;

use drive::{Ending, Program, Signal};

fn chap_2(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-2"));
    Program::start(arguments[0], command.args(arguments)).unwrap()
}

fn said(arguments: &[&str]) -> String {
    let program = chap_2(arguments);
    assert!(
        program.ends().unwrap().success(),
        "{}",
        program.err().text()
    );
    program.out().text()
}

#[test]
fn a_network_is_taken_apart() {
    let text = said(&["subnet", "192.168.1.77/26"]);
    let expected = "network    192.168.1.64/26\nnetmask    255.255.255.192\nbroadcast  192.168.1.127\n\
                    first host 192.168.1.65\nlast host  192.168.1.126\naddresses  64\nclass      C\n\
                    reserved   192.168.0.0/16: private use, RFC 1918\n";
    assert_eq!(text, expected);
}

/// The course's first question: why 16 networks of class B, and 256 of class C.
#[test]
fn the_reserved_blocks_in_classes() {
    for (block, count, sentence) in [
        ("10.0.0.0/8", "16777216", "class      A\n"),
        (
            "172.16.0.0/12",
            "1048576",
            "16 networks of this class: 172.16.0.0 to 172.31.0.0\n",
        ),
        (
            "192.168.0.0/16",
            "65536",
            "256 networks of this class: 192.168.0.0 to 192.168.255.0\n",
        ),
    ] {
        let text = said(&["subnet", block]);
        assert!(
            text.contains(&format!("addresses  {count}\n")) && text.contains(sentence),
            "{text}"
        );
    }
}

/// glibc would take 65 536 for 0.
#[test]
fn a_port_beyond_16_bits_is_none() {
    for port in ["65536", "99999999999999999999"] {
        let program = chap_2(&["resolve", "127.0.0.1", port]);
        assert_eq!(program.ends().unwrap().ending, Ending::Exited(1));
        assert!(program.err().text().contains("not a port"));
    }
}

#[test]
fn the_smallest_and_the_largest() {
    assert!(
        said(&["subnet", "8.8.8.8/32"])
            .contains("host       8.8.8.8, the only one\naddresses  1\n")
    );
    assert!(
        said(&["subnet", "192.0.2.12/30"])
            .contains("first host 192.0.2.13\nlast host  192.0.2.14\naddresses  4\n")
    );
    assert!(said(&["subnet", "192.0.2.12/31"]).contains("192.0.2.12 and 192.0.2.13"));
    assert!(
        said(&["subnet", "1.2.3.4/0"])
            .contains("addresses  4294967296\nclass      A to E (never used)\nreserved   no\n")
    );
    assert!(said(&["subnet", "8.8.8.8/24"]).ends_with("reserved   no\n"));
}

#[test]
fn bad_subnets_are_refused() {
    for bad in [
        "10.0.0.0",
        "10.0.0/8",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "::1/64",
        "",
    ] {
        assert_eq!(
            chap_2(&["subnet", bad]).ends().unwrap().ending,
            Ending::Exited(2),
            "{bad}"
        );
    }
}

#[test]
fn names_resolve() {
    assert!(said(&["resolve", "127.0.0.1", "80"]).contains("stream   127.0.0.1:80\n"));
    assert!(said(&["resolve", "::1", "80"]).contains("stream   [::1]:80\n"));
    let unknown = chap_2(&["resolve", "no such host"]);
    unknown.complains("Error: resolve no such host: ").unwrap();
    assert_eq!(unknown.ends().unwrap().ending, Ending::Exited(1));
}

#[test]
fn both_ends_name_the_same_connections() {
    for host in ["127.0.0.1", "::1"] {
        let server = chap_2(&["four-tuple", "--serve", "--port", "0", "--bind", host]);
        let address = server.listens().unwrap();
        let port = address.port().to_string();
        let client = chap_2(&["four-tuple", host, "--port", &port, "--connections", "3"]);
        let mut ports = BTreeSet::new();
        for _ in 0..3 {
            let line = client.says("own end ").unwrap().rest();
            let (own, other) = line.split_once(", other end ").unwrap();
            assert_eq!(other, address.to_string());
            server
                .says(&format!("own end {address}, other end {own}"))
                .unwrap();
            ports.insert(own.to_string());
        }
        assert_eq!(ports.len(), 3);
        client.closes_input();
        assert!(client.ends().unwrap().success());
        // The server goes on.
        let next = chap_2(&["four-tuple", host, "--port", &port, "--connections", "1"]);
        next.says("own end ").unwrap();
        server.says("own end ").unwrap();
        server.signal(Signal::SIGTERM);
        assert_eq!(
            server.ends().unwrap().ending,
            Ending::Killed(Signal::SIGTERM)
        );
    }
}

#[test]
fn a_server_that_is_not_there_is_an_error() {
    let client = chap_2(&["four-tuple", "127.0.0.1", "--port", "1"]);
    client
        .complains("Error: connect 127.0.0.1:1: Connection refused (os error 111)")
        .unwrap();
    let client = chap_2(&["four-tuple", "127.0.0.1", "--service", "no-such-service"]);
    client.complains("Error: resolve 127.0.0.1: ").unwrap();
}
