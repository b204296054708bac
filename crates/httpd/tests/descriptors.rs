//! Out of descriptors. In a program of its own, as the limit is the process's.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use common::tcp;
use httpd::{Method, Options};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::TimeValLike;
use support::*;

/// The server takes what it can, does not spin while it cannot take more, and goes on when it can.
#[test]
fn a_server_without_descriptors_rests_and_recovers() {
    let server = serve(Options::default());
    server.is_well();
    let open = fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let sockets: Vec<_> = (0..20)
        .map(|_| tcp::stream_socket(&server.address).unwrap())
        .collect();
    // The server needs as many, and gets ten.
    setrlimit(Resource::RLIMIT_NOFILE, open + 30, hard).unwrap();
    let connect = |socket| {
        tcp::connect_socket(&socket, &server.address).unwrap();
        let client = TcpStream::from(socket);
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        client
    };
    let mut clients: Vec<_> = sockets.into_iter().map(connect).collect();
    for client in &mut clients {
        client
            .write_all(request(Method::Get, "/", "").as_bytes())
            .unwrap();
    }
    let mut answer = [0; 512];
    assert!(clients[0].read(&mut answer).unwrap() > 0);
    let spent = || {
        let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
        let time = usage.user_time() + usage.system_time();
        Duration::from_micros(time.num_microseconds() as u64)
    };
    let before = spent();
    let last = clients.last_mut().unwrap();
    last.set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    assert!(
        last.read(&mut answer).is_err(),
        "there was a descriptor for the last one as well"
    );
    last.set_read_timeout(Some(DEADLINE)).unwrap();
    assert!(spent() - before < Duration::from_millis(100));
    // The first ones go, the last ones come.
    for client in clients.drain(..10) {
        drop(client);
    }
    for client in &mut clients {
        let count = client.read(&mut answer).unwrap();
        assert_eq!(answers(&answer[..count], &[])[0].status, 200);
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    server.stop();
}
