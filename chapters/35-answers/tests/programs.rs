//! The lesson's program, over real sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::thread;

use drive::{Ending, Program, Signal, asks, reset};

fn server(options: &[&str]) -> (Program, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-35"));
    let arguments = [&["write-first", "--port", "0"], options].concat();
    let server = Program::start("write-first", command.args(arguments)).unwrap();
    let address = server.listens().unwrap().to_string();
    (server, address)
}

const WAYS: [&[&str]; 2] = [&[], &["--through-buffer"]];

#[test]
fn both_ways_give_the_same_answers() {
    for (way, copied) in [(WAYS[0], 0), (WAYS[1], 11)] {
        for bind in ["127.0.0.1", "::1"] {
            let (server, address) = server(&[way, &["--bind", bind]].concat());
            let mut stream = TcpStream::connect(&address).unwrap();
            asks(&mut stream, b"hello\n", b"uryyb\n");
            asks(&mut stream, b"\0\xffabc", b"\0\xffnop");
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
            server
                .says(&format!("closed, copied {copied} bytes"))
                .unwrap();
            assert_eq!(server.err().text(), "");
        }
    }
}

#[test]
fn a_client_that_reads_late_gets_all_of_it() {
    for way in WAYS {
        let (server, address) = server(way);
        let mut stream = TcpStream::connect(&address).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let sends = thread::spawn(move || {
            writer.write_all(&vec![b'a'; 20_000_000]).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut other = TcpStream::connect(&address).unwrap();
        asks(&mut other, b"b\n", b"o\n"); // who does not read delays nobody
        let mut found = Vec::new();
        stream.read_to_end(&mut found).unwrap();
        assert!(found == vec![b'n'; 20_000_000], "{}", found.len());
        sends.join().unwrap();
        server.says("closed, copied").unwrap();
    }
}

#[test]
fn a_reset_ends_one_client_only() {
    for way in WAYS {
        let (server, address) = server(way);
        let mut good = TcpStream::connect(&address).unwrap();
        let mut bad = TcpStream::connect(&address).unwrap();
        asks(&mut bad, b"a", b"n");
        reset(bad).unwrap();
        server.complains("Connection reset by peer").unwrap();
        asks(&mut good, b"a", b"n");
        server.signal(Signal::SIGTERM);
        assert!(server.ends().unwrap().success());
    }
}

#[test]
fn a_busy_port_is_told() {
    let (_server, address) = server(&[]);
    let port = address.rsplit(':').next().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-35"));
    let second = Program::start("second", command.args(["write-first", "--port", port])).unwrap();
    assert_eq!(second.ends().unwrap().ending, Ending::Exited(1));
    let expected = format!("Error: bind {address}: Address already in use (os error 98)\n");
    assert_eq!(second.err().text(), expected);
}
