//! Peers that do everything except what they should, while an honest one is served all along.

mod support;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use reactor::{DispatcherKind, Handler, Input, TcpConnection};
use support::child::Child;
use support::*;

#[test]
#[ignore = "the server process of other tests"]
fn child_server() {
    support::child::serve();
}

/// Each server, with no threads and with two.
fn every_child(test: impl Fn(&Child)) {
    for kind in DispatcherKind::ALL {
        for threads in ["0", "2"] {
            eprintln!("{kind}, {threads} threads");
            let child = Child::start(&[("DISPATCHER", &kind.to_string()), ("THREADS", threads)]);
            let before = child.descriptors().len();
            test(&child);
            until("every descriptor is closed", || {
                child.descriptors().len() == before
            });
            child.stop();
        }
    }
}

/// The median time of an exchange with an honest client.
fn median(address: SocketAddr) -> Duration {
    let mut stream = connect(address);
    let mut times: Vec<_> = (0..51)
        .map(|_| {
            let begun = Instant::now();
            assert_eq!(exchange(&mut stream, b"honest"), b"honest");
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[25]
}

#[test]
fn peers_that_connect_and_vanish_by_the_thousand() {
    every_child(|child| {
        let address = child.address;
        let vanishing = thread::spawn(move || {
            for number in 0..2000 {
                let stream = connect(address);
                if number % 2 == 0 {
                    reset(stream);
                }
            }
        });
        while !vanishing.is_finished() {
            assert!(median(address) < Duration::from_millis(200));
        }
        vanishing.join().unwrap();
    });
}

/// Connect, a part of a message, the rest, half the answer, the end: cut by a reset after each step.
#[test]
fn resets_at_every_moment() {
    every_child(|child| {
        for round in 0..60 {
            let mut stream = connect(child.address);
            let steps = round % 6;
            if steps > 0 {
                stream.write_all(&[1; 5000]).unwrap();
            }
            if steps > 1 {
                stream.write_all(&[2; 200_000]).unwrap();
            }
            if steps > 2 {
                stream.read_exact(&mut [0; 2500]).unwrap();
            }
            if steps > 3 {
                finish(&stream);
            }
            if steps > 4 {
                stream.read_exact(&mut vec![0; 202_500]).unwrap();
            }
            reset(stream);
        }
        assert!(median(child.address) < Duration::from_millis(200));
    });
}

#[test]
fn peers_that_never_read_and_peers_that_dribble() {
    every_child(|child| {
        let mut deaf: Vec<_> = (0..20).map(|_| connect(child.address)).collect();
        for stream in &mut deaf {
            stream.set_nonblocking(true).unwrap();
            while stream.write(&[0; 65536]).is_ok() {}
        }
        let mut slow: Vec<_> = (0..20).map(|_| connect(child.address)).collect();
        for byte in b"one byte at a time" {
            for stream in &mut slow {
                assert_eq!(exchange(stream, &[*byte]), [*byte]);
            }
        }
        assert!(median(child.address) < Duration::from_millis(200));
    });
}

/// Says no, and goes.
struct Busy(usize);

impl Handler for Busy {
    fn connected(&mut self, connection: &mut TcpConnection<Self>) {
        if connection.event_loop().connections() > self.0 {
            connection.send(b"busy");
            connection.shutdown();
        }
    }
    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        connection.send(input.take());
    }
}

/// One connection too many gets a last word, whatever it has sent, and its place is free again.
#[test]
fn the_refused_get_a_last_word() {
    every_dispatcher(|options| {
        let server = serve(options, |_| Busy(5));
        let mut served: Vec<_> = (0..5).map(|_| connect(server.address)).collect();
        for stream in &mut served {
            assert_eq!(exchange(stream, b"first"), b"first");
        }
        for _ in 0..20 {
            let mut refused = connect(server.address);
            refused.write_all(&[0; 10_000]).unwrap();
            assert_eq!(read_to_end(&mut refused), b"busy");
        }
        drop(served.pop());
        until("there is a place", || {
            let mut stream = connect(server.address);
            stream.write_all(b"next").unwrap();
            read_exactly(&mut stream, 4) == b"next"
        });
        drop(served);
        server.stop();
    });
}

/// A peer that goes on sending after our end is read from no longer than `Limits::discard`.
#[test]
fn a_flood_after_the_end_is_cut_off() {
    every_dispatcher(|mut options| {
        options.limits.discard = 300_000;
        options.limits.linger = DEADLINE;
        let server = serve(options, |_| Busy(0));
        let mut stream = connect(server.address);
        assert_eq!(read_exactly(&mut stream, 4), b"busy");
        let begun = Instant::now();
        let sent = (0..10_000).take_while(|_| stream.write_all(&[0; 10_000]).is_ok());
        assert!(sent.count() < 10_000);
        assert!(begun.elapsed() < DEADLINE / 2);
        server.stop();
    });
}

/// A connection that always has more to say, and one that is always sent more, do not keep the loop to themselves.
#[test]
fn one_busy_connection_is_not_the_only_one() {
    struct Flood(bool);
    impl Handler for Flood {
        fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
            self.0 |= input[0] == b'!';
            connection.send(input.take());
        }
        fn write_complete(&mut self, connection: &mut TcpConnection<Self>) {
            if self.0 {
                connection.send(b"and more");
            }
        }
    }
    every_dispatcher(|options| {
        let server = serve(options, |_| Flood(false));
        let mut greedy = connect(server.address);
        greedy.write_all(b"!").unwrap();
        let mut reader = greedy.try_clone().unwrap();
        let mut scratch = vec![0; 1 << 20];
        let reading =
            thread::spawn(move || while reader.read(&mut scratch).is_ok_and(|n| n > 0) {});
        let mut writer = connect(server.address);
        writer.set_nonblocking(true).unwrap();
        for _ in 0..50 {
            let _ = writer.write(&[0; 65536]);
        }
        assert!(median(server.address) < Duration::from_millis(200));
        greedy.shutdown(std::net::Shutdown::Both).unwrap();
        reading.join().unwrap();
        drop((greedy, writer));
        server.stop();
    });
}

/// Many threads, random delays, everything at once: a substitute for a race detector, and cheap enough to run always.
#[test]
fn everything_at_once() {
    every(|options| {
        let server = serve(options, |_| Echo);
        let address = server.address;
        let threads: Vec<_> = (0..8u64)
            .map(|seed| {
                thread::spawn(move || {
                    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
                    for _ in 0..30 {
                        // xorshift, Marsaglia 2003.
                        random ^= random << 13;
                        random ^= random >> 7;
                        random ^= random << 17;
                        let mut stream = connect(address);
                        let data = pattern((random % 50_000) as usize);
                        if random & 1 == 0 {
                            thread::sleep(Duration::from_micros(random % 1000));
                        }
                        match random % 5 {
                            0 => reset(stream),
                            1 => drop(stream),
                            _ => {
                                let mut writer = stream.try_clone().unwrap();
                                let sent = data.clone();
                                let writing = thread::spawn(move || {
                                    writer.write_all(&sent).unwrap();
                                    finish(&writer);
                                });
                                assert!(read_to_end(&mut stream) == data);
                                writing.join().unwrap();
                            }
                        }
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        server.stop();
    });
}
