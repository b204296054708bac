//! Everything that threads can do to a server, at the same time and with random pauses between the steps: a substitute for
//! a race detector, and something for one to look at. Bounded to about ten seconds.
//!
//! With nightly's ThreadSanitizer:
//! `RUSTFLAGS=-Zsanitizer=thread cargo +nightly test -Zbuild-std --target x86_64-unknown-linux-gnu -p reactor --test stress`

mod support;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use reactor::{
    DispatcherKind, End, Handler, Input, LoopHandle, Remote, ServerOptions, TcpConnection, Timeout,
    Workers,
};
use support::*;

/// For one server, so that twelve take about ten seconds.
const TIME: Duration = Duration::from_millis(600);

/// xorshift, Marsaglia 2003.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    /// Nothing, a turn for other threads, or some microseconds.
    fn pause(&mut self) {
        match self.below(4) {
            0 => thread::yield_now(),
            1 => thread::sleep(Duration::from_micros(self.below(300))),
            _ => {}
        }
    }
}

#[derive(Default)]
struct Counts {
    made: AtomicUsize,
    connected: AtomicUsize,
    closed: AtomicUsize,
    dropped: AtomicUsize,
}

/// Answers each byte by a way that the byte names: here, by a worker, by another thread, or in the next turn.
struct Everything {
    workers: Arc<Workers>,
    others: Sender<(Remote<Self>, Vec<u8>)>,
    counts: Arc<Counts>,
    home: Option<thread::ThreadId>,
}

impl Everything {
    /// All calls are in the thread that `connected` was in.
    fn at_home(&self) {
        assert_eq!(self.home, Some(thread::current().id()));
    }
}

impl Handler for Everything {
    fn connected(&mut self, connection: &mut TcpConnection<Self>) {
        self.home = Some(thread::current().id());
        self.counts.connected.fetch_add(1, SeqCst);
        connection.set_idle(Some(Duration::from_secs(5)));
    }

    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        self.at_home();
        let way = input[0] % 4;
        let count = input.iter().take_while(|byte| **byte % 4 == way).count();
        let data = input.consume(count).to_vec();
        match way {
            0 => connection.send(&data),
            1 => connection.compute(
                &self.workers,
                move || data,
                |handler, connection, data| {
                    handler.at_home();
                    connection.send(&data);
                },
            ),
            2 => {
                // Nothing else must overtake it.
                connection.pause();
                let _ = self.others.send((connection.remote(), data));
                return;
            }
            _ => connection.out().append(&data),
        }
        if !input.is_empty() {
            connection.again();
        }
    }

    fn input_ended(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        self.at_home();
        assert!(input.is_empty());
        connection.shutdown();
    }

    fn timeout(&mut self, connection: &mut TcpConnection<Self>, _: Timeout) {
        self.at_home();
        connection.close();
    }

    fn closed(&mut self, _: &mut TcpConnection<Self>, _: End) {
        self.at_home();
        self.counts.closed.fetch_add(1, SeqCst);
    }
}

impl Drop for Everything {
    fn drop(&mut self) {
        self.counts.dropped.fetch_add(1, SeqCst);
    }
}

/// Answers from another thread, and lets the connection read on.
fn answer_from_outside(queue: &Mutex<Receiver<(Remote<Everything>, Vec<u8>)>>, seed: u64) {
    let mut random = Random::new(seed);
    loop {
        let next = queue.lock().unwrap().recv_timeout(DEADLINE);
        let Ok((remote, data)) = next else {
            return;
        };
        random.pause();
        let _ = remote.queue(move |handler, connection| {
            handler.at_home();
            connection.send(&data);
            connection.resume();
        });
    }
}

/// Clients come, talk, and go in every way; each gets its bytes back in order.
fn clients(address: SocketAddr, seed: u64, until: Instant) {
    let mut random = Random::new(seed);
    while Instant::now() < until {
        let mut stream = connect(address);
        random.pause();
        // Ways do not mix within a message: an answer of a worker may be overtaken by what is sent directly.
        let way = random.below(4) as u8;
        for _ in 0..random.below(8) {
            let length = 1 + random.below(3000) as usize;
            let data: Vec<u8> = (0..length).map(|i| (i * 4) as u8 | way).collect();
            for piece in data.chunks(1 + random.below(2000) as usize) {
                stream.write_all(piece).unwrap();
                random.pause();
            }
            assert_eq!(read_exactly(&mut stream, length), data);
        }
        match random.below(4) {
            0 => reset(stream),
            1 => drop(stream),
            2 => {
                let _ = stream.write_all(&[0, 1, 2, 3, 4, 5, 6, 7]);
            }
            _ => {
                finish(&stream);
                assert_eq!(read_to_end(&mut stream), b"");
            }
        }
    }
}

/// Tasks from outside: timers that are set and cancelled, looks at the loop, tasks that queue tasks.
fn bother(loops: &[LoopHandle<Everything>], seed: u64, until: Instant, done: &Arc<AtomicUsize>) {
    let mut random = Random::new(seed);
    while Instant::now() < until {
        let one = &loops[random.below(loops.len() as u64) as usize];
        let (again, done) = (one.clone(), Arc::clone(done));
        let after = Duration::from_micros(random.below(5000));
        one.queue(move |event_loop| {
            let timer = event_loop.after(after, |_| {});
            let _ = again.queue(move |event_loop| {
                event_loop.cancel(timer);
                done.fetch_add(1, SeqCst);
            });
        })
        .unwrap();
        random.pause();
    }
}

fn stress(options: ServerOptions, seed: u64) {
    let until = Instant::now() + TIME;
    let workers = Arc::new(Workers::new(2).unwrap());
    let counts = Arc::new(Counts::default());
    let (others, queue) = channel();
    let queue = Arc::new(Mutex::new(queue));
    let (give, given) = channel();
    let made = Arc::clone(&counts);
    let server = serve_with(
        options,
        move |_| {
            made.made.fetch_add(1, SeqCst);
            Everything {
                workers: Arc::clone(&workers),
                others: others.clone(),
                counts: Arc::clone(&made),
                home: None,
            }
        },
        move |server| give.send(server.loops()).unwrap(),
    );
    let loops = given.recv().unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let asked = thread::scope(|scope| {
        for number in 0..2 {
            let queue = Arc::clone(&queue);
            scope.spawn(move || answer_from_outside(&queue, seed + 100 + number));
        }
        let address = server.address;
        let talking: Vec<_> = (0..5)
            .map(|number| scope.spawn(move || clients(address, seed + number, until)))
            .collect();
        scope.spawn(|| bother(&loops, seed + 200, until, &done));
        talking.into_iter().for_each(|one| one.join().unwrap());
        let asked = counts.made.load(SeqCst);
        // Several threads stop it at once.
        for _ in 0..2 {
            let stopper = server.stopper.clone();
            scope.spawn(move || stopper.stop());
        }
        // The threads that answer end when the last handler, and what makes them, is gone.
        server.stop();
        asked
    });
    let count = |one: &AtomicUsize| one.load(SeqCst);
    assert!(asked > 0 && count(&counts.made) >= asked);
    assert_eq!(count(&counts.connected), count(&counts.closed));
    assert_eq!(count(&counts.made), count(&counts.dropped));
    assert!(count(&done) > 0);
}

#[test]
fn everything_from_many_threads_on_every_dispatcher() {
    for (number, dispatcher) in (0u64..).zip(DispatcherKind::ALL) {
        for (step, threads) in (0u64..).zip([0, 1, 4]) {
            let seed = number * 10_000 + step * 1000;
            let placement = PLACEMENTS[(seed / 1000 % 4) as usize];
            eprintln!("{dispatcher}, {threads} threads, {placement}");
            let options = ServerOptions {
                threads,
                dispatcher,
                placement,
                ..Default::default()
            };
            stress(options, seed);
        }
    }
}
