//! The lesson's programs, over real sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::thread;

use drive::{Ending, Program, Signal, connect, reset};

fn chap_32(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-32"));
    Program::start(arguments[0], command.args(arguments)).unwrap()
}

fn asks(stream: &mut TcpStream) {
    stream.write_all(b"Hello\n").unwrap();
    let mut answer = [0; 6];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"Uryyb\n");
}

/// A server for each dispatcher, on free ports.
fn dispatchers(options: &[&str]) -> (Program, Vec<SocketAddr>) {
    let server = chap_32(&[&["dispatchers", "--port", "0"], options].concat());
    let count = options
        .iter()
        .find(|one| one.contains(','))
        .map_or(3, |list| list.split(',').count());
    let addresses = (0..count).map(|_| server.listens().unwrap()).collect();
    (server, addresses)
}

const MAPS: [&str; 2] = ["token", "descriptor"];

fn stale_event(options: &[&str]) -> (Program, SocketAddr) {
    let server = chap_32(&[&["stale-event", "--port", "0"], options].concat());
    let address = server.listens().unwrap();
    (server, address)
}

#[test]
fn every_dispatcher_gives_the_same_answers() {
    for bind in ["127.0.0.1", "::1"] {
        let list = "select,poll,epoll,epoll-edge";
        let (server, addresses) = dispatchers(&["--bind", bind, "--dispatchers", list]);
        let out = server.out().text();
        for (line, name) in out.lines().zip(list.split(',')) {
            assert!(line.starts_with(&format!("{name}: listening on ")), "{out}");
        }
        for address in addresses {
            let mut clients: Vec<_> = (0..10).map(|_| connect(address)).collect();
            clients.iter_mut().for_each(asks);
            let mut one = connect(address);
            one.write_all(b"no newline \0\xff").unwrap();
            one.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            one.read_to_end(&mut answer).unwrap();
            assert_eq!(answer, b"ab arjyvar \0\xff");
        }
        assert_eq!(server.err().text(), "");
    }
}

#[test]
fn ports_in_a_row() {
    // Three free ports in a row are not to be had for certain: any run of them will do.
    for port in (20_011..30_000).step_by(97) {
        let server = chap_32(&["dispatchers", "--port", &port.to_string()]);
        if server.says("epoll: listening on ").is_ok() {
            for (line, number) in server.out().text().lines().zip(port..) {
                assert!(line.ends_with(&format!(" on 127.0.0.1:{number}")), "{line}");
            }
            return;
        }
    }
    panic!("no three free ports");
}

#[test]
fn a_bad_peer_ends_its_connection_only() {
    let (_server, addresses) = dispatchers(&[]);
    for address in addresses {
        let mut good = connect(address);
        let mut silent = connect(address);
        silent.set_nonblocking(true).unwrap();
        while silent.write(&[b'x'; 65536]).is_ok() {}
        for _ in 0..10 {
            let mut bad = connect(address);
            bad.write_all(b"a").unwrap();
            reset(bad).unwrap();
            asks(&mut good);
        }
        let (mut writer, long) = (good.try_clone().unwrap(), vec![b'a'; 1_000_000]);
        let sends = thread::spawn(move || writer.write_all(&long).unwrap());
        let mut found = vec![0; 1_000_000];
        good.read_exact(&mut found).unwrap();
        sends.join().unwrap();
        assert!(found.iter().all(|&byte| byte == b'n'));
    }
}

/// A table that has had five thousand channels is small again, and finds nobody under a name of old.
#[test]
fn e1_14_the_map_grows_and_shrinks() {
    let map = |options: &[&str]| {
        let program = chap_32(&[&["channel-map"], options].concat());
        assert!(program.ends().unwrap().success());
        program.out().text()
    };
    let text = map(&["--channels", "5000"]);
    assert!(text.contains("channels: 4097, room for 8192\n"), "{text}");
    let last = text.lines().last().unwrap();
    let room: u32 = last
        .strip_prefix("channels: 0, room for ")
        .unwrap()
        .parse()
        .unwrap();
    assert!(room < 200, "{text}");
    // Who came last sits at the end and keeps the table as large as it was.
    let oldest = map(&["--channels", "5000", "--first", "oldest"]);
    assert_eq!(
        oldest
            .lines()
            .filter(|line| line.contains("room for 8192"))
            .count(),
        1
    );
    assert!(oldest.lines().count() < text.lines().count(), "{oldest}");
    assert!(map(&["--channels", "1"]).starts_with("channels: 1, room for "));
}

#[test]
fn kick_closes_the_others() {
    for map in MAPS {
        for bind in ["127.0.0.1", "::1"] {
            let (server, address) = stale_event(&["--map", map, "--bind", bind]);
            let mut clients: Vec<_> = (0..3).map(|_| connect(address)).collect();
            clients.iter_mut().for_each(asks);
            let mut kicker = clients.remove(1);
            kicker.write_all(b"kick\n").unwrap();
            server.says("received 4 bytes: kick").unwrap();
            for mut other in clients {
                assert_eq!(other.read(&mut [0]).unwrap(), 0, "{map}");
            }
            asks(&mut kicker);
            asks(&mut connect(address));
        }
    }
}

/// Three events in one round: who kicks, a new client, and the one who is kicked. The new one has the kicked one's number.
#[test]
fn e1_06_an_event_of_old_does_not_reach_the_new_owner() {
    for (map, lives) in [("token", true), ("descriptor", false)] {
        let (server, address) = stale_event(&["--map", map]);
        let (mut kicker, mut kicked) = (connect(address), connect(address));
        asks(&mut kicker);
        asks(&mut kicked);
        let becomes = |state: char| {
            let stat = || std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
            while !stat().rsplit(") ").next().unwrap().starts_with(state) {
                thread::yield_now();
            }
        };
        // Asleep, it has looked at everything that was ready before: what comes now, comes in this order.
        becomes('S');
        server.signal(Signal::SIGSTOP);
        becomes('T');
        kicker.write_all(b"kick\n").unwrap();
        let mut new = connect(address);
        kicked.write_all(b"a\n").unwrap();
        server.signal(Signal::SIGCONT);
        server.says("client connected: descriptor ").unwrap();
        match lives {
            true => asks(&mut new),
            false => assert_eq!(new.read(&mut [0]).unwrap(), 0),
        }
    }
}

#[test]
fn signals_and_wrong_options() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (server, addresses) = dispatchers(&[]);
        let mut held: Vec<_> = addresses.into_iter().map(connect).collect();
        held.iter_mut().for_each(asks);
        server.signal(signal);
        assert!(server.ends().unwrap().success());
        for map in MAPS {
            let (server, address) = stale_event(&["--map", map]);
            asks(&mut connect(address));
            server.signal(signal);
            assert!(server.ends().unwrap().success());
        }
    }
    let (_server, address) = stale_event(&[]);
    let port = address.port().to_string();
    for program in [
        &["dispatchers"][..],
        &["stale-event"],
        &["stale-event", "--map", "descriptor"],
    ] {
        let second = chap_32(&[program, &["--port", &port]].concat());
        assert_eq!(second.ends().unwrap().ending, Ending::Exited(1));
        let expected = format!("Error: bind {address}: Address already in use (os error 98)\n");
        assert_eq!(second.err().text(), expected);
    }
    let high = chap_32(&["dispatchers", "--port", "65534"]);
    assert_eq!(high.ends().unwrap().ending, Ending::Exited(1));
    let wrong: [&[&str]; 3] = [
        &["dispatchers", "--dispatchers", "select,x"],
        &["stale-event", "--map", "x"],
        &["channel-map", "--channels", "0"],
    ];
    for wrong in wrong {
        assert_eq!(chap_32(wrong).ends().unwrap().ending, Ending::Exited(2));
    }
}
