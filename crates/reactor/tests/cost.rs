//! What a message costs: system calls and allocations, counted.

#[path = "support/counting.rs"]
mod counting;
mod support;

use std::io::Write;
use std::os::fd::AsRawFd;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use counting::{Calls, Costs, costs, live};
use reactor::{
    DispatcherKind, EventLoop, Handler, Input, Limits, ServerOptions, TcpConnection, TcpServer,
    Trigger,
};
use support::*;

/// A loop in this thread, with one connection whose other end is a thread that says `first`, gets an answer of the same
/// length, and so on; the costs of `messages` such exchanges, after a few to warm up.
fn measure<H: Handler>(
    kind: DispatcherKind,
    handler: H,
    limits: Limits,
    message: &'static [u8],
    messages: u64,
) -> (Calls, u64) {
    let mut event_loop = EventLoop::new("main thread", kind.open().unwrap(), limits).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (next, wait) = channel::<()>();
    let client = thread::spawn(move || {
        let mut stream = connect(address);
        while wait.recv().is_ok() {
            assert_eq!(exchange(&mut stream, message), message);
        }
    });
    let (socket, peer) = listener.accept().unwrap();
    socket.set_nodelay(true).unwrap();
    event_loop
        .adopt(socket.into(), Some(peer), handler)
        .unwrap();
    for _ in 0..10 {
        next.send(()).unwrap();
        event_loop.turn(Some(DEADLINE)).unwrap();
    }
    let mut allocations = 0;
    let before = Costs::now();
    for _ in 0..messages {
        // The channel between the threads allocates: that is not the loop's.
        next.send(()).unwrap();
        allocations += costs(|| event_loop.turn(Some(DEADLINE)).unwrap()).1;
    }
    let (spent, _) = before.since();
    drop(next);
    client.join().unwrap();
    (spent, allocations)
}

const MESSAGES: u64 = 1000;

/// For tests that cannot run at the same time: one needs descriptors below 1024, the other takes thousands.
static DESCRIPTORS: Mutex<()> = Mutex::new(());

#[test]
fn one_wait_one_read_one_write_and_no_allocation() {
    let _few = DESCRIPTORS.lock();
    for kind in DispatcherKind::ALL {
        let wait = match kind {
            DispatcherKind::Select => "select",
            DispatcherKind::Poll => "poll",
            DispatcherKind::Epoll(_) => "epoll_wait",
        };
        let limits = Limits {
            idle: Some(Duration::from_secs(60)),
            ..Default::default()
        };
        let (calls, allocations) = measure(kind, Echo, limits, b"hello", MESSAGES);
        let expected = [(wait, MESSAGES), ("recv", MESSAGES), ("send", MESSAGES)];
        assert_eq!(calls, Calls::from(expected), "{kind}");
        assert_eq!(allocations, 0, "{kind}");
    }
}

/// An answer made in pieces is one write all the same.
#[test]
fn an_answer_in_pieces_is_one_write() {
    struct Pieces;
    impl Handler for Pieces {
        fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
            let (head, tail) = input.take().split_at(2);
            connection.out().append(head);
            write!(connection.out(), "{}", str::from_utf8(tail).unwrap()).unwrap();
        }
    }
    let kind = DispatcherKind::default();
    let (calls, allocations) = measure(kind, Pieces, Limits::default(), b"hello", MESSAGES);
    let names = ["epoll_wait", "recv", "send"];
    assert_eq!(calls, Calls::from(names.map(|name| (name, MESSAGES))));
    assert_eq!(allocations, 0);
}

/// A deadline that moves with every message costs no timer.
#[test]
fn a_deadline_for_each_message_costs_nothing() {
    struct Deadlines;
    impl Handler for Deadlines {
        fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
            connection.set_deadline(Some(Duration::from_secs(30)));
            connection.send(input.take());
        }
    }
    let kind = DispatcherKind::Epoll(Trigger::Level);
    let (calls, allocations) = measure(kind, Deadlines, Limits::default(), b"hello", MESSAGES);
    assert_eq!(calls.values().sum::<u64>(), 3 * MESSAGES, "{calls:?}");
    assert_eq!(allocations, 0);
}

/// Messages that arrive in two pieces: what is kept meanwhile lies in lent memory.
#[test]
fn keeping_a_part_of_a_message_does_not_allocate() {
    struct Lines;
    impl Handler for Lines {
        fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
            while let Some(line) = input.line() {
                connection.send(line);
            }
        }
    }
    let mut event_loop = EventLoop::new(
        "main",
        DispatcherKind::default().open().unwrap(),
        Limits::default(),
    )
    .unwrap();
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    event_loop.adopt(ours.into(), None, Lines).unwrap();
    let mut exchange = |check: bool| {
        let mut client = &theirs;
        client.write_all(b"hel").unwrap();
        let before = Costs::now();
        event_loop.turn(Some(DEADLINE)).unwrap();
        client.write_all(b"lo\n").unwrap();
        event_loop.turn(Some(DEADLINE)).unwrap();
        assert!(!check || before.since().1 == 0);
        let mut answer = [0; 6];
        std::io::Read::read_exact(&mut client, &mut answer).unwrap();
        assert_eq!(&answer, b"hello\n");
    };
    exchange(false);
    for _ in 0..100 {
        exchange(true);
    }
}

/// The hundredth connection and the four-thousandth cost the same to add: one system call, and no more memory than
/// doubling tables takes.
#[test]
fn adding_a_connection_costs_the_same_however_many_there_are() {
    let _many = DESCRIPTORS.lock();
    common::descriptors::raise_limit().unwrap();
    for kind in [DispatcherKind::Poll, DispatcherKind::default()] {
        let mut event_loop =
            EventLoop::new("main", kind.open().unwrap(), Limits::default()).unwrap();
        let mut others = Vec::new();
        let mut add = |count: usize| {
            let pairs: Vec<_> = (0..count)
                .map(|_| std::os::unix::net::UnixStream::pair().unwrap())
                .collect();
            let before = Costs::now();
            for (ours, theirs) in pairs {
                ours.set_nonblocking(true).unwrap();
                event_loop.adopt(ours.into(), None, Echo).unwrap();
                others.push(theirs);
            }
            before.since()
        };
        add(10);
        let (few, _) = add(100);
        add(4000);
        let (many, allocations) = add(100);
        assert_eq!(few, many, "{kind}");
        assert!(many.values().sum::<u64>() <= 100, "{many:?}");
        assert!(allocations < 110, "{allocations}");
    }
}

/// A connection that is asked, answered and closed at once: where the peer speaks first, it never reaches the dispatcher.
#[test]
fn a_connection_for_one_question_is_four_calls() {
    struct Once;
    impl Handler for Once {
        const PEER_SPEAKS_FIRST: bool = true;

        fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
            connection.send(input.take());
            connection.close_when_sent();
        }
    }
    let _few = DESCRIPTORS.lock();
    for dispatcher in DispatcherKind::ALL {
        let options = ServerOptions {
            dispatcher,
            ..Default::default()
        };
        let address = "127.0.0.1:0".parse().unwrap();
        let mut server = TcpServer::bind(&address, options, |_| Once).unwrap();
        let mut client = connect(server.local_address().unwrap());
        client.write_all(b"hello").unwrap();
        let (calls, _) = costs(|| server.main_loop().turn(Some(DEADLINE)).unwrap());
        assert_eq!(read_to_end(&mut client), b"hello");
        let served = ["recv", "send", "close", "epoll_ctl"].map(|name| calls.get(name).copied());
        assert_eq!(served, [Some(1), Some(1), Some(1), None], "{dispatcher}");
        // Who is told only once has to hear that nobody else is there.
        let edge = dispatcher == DispatcherKind::Epoll(Trigger::Edge);
        assert_eq!(calls["accept4"], if edge { 2 } else { 1 }, "{dispatcher}");
    }
}

/// A thousand tasks queued while the loop is busy wake it once.
#[test]
fn e1_15_a_batch_of_tasks_is_one_wake_up() {
    let mut event_loop = EventLoop::<Echo>::new(
        "main",
        DispatcherKind::default().open().unwrap(),
        Limits::default(),
    )
    .unwrap();
    let handle = event_loop.handle();
    let done = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = Arc::clone(&done);
    let writes = thread::spawn(move || {
        let before = Costs::now();
        for _ in 0..1000 {
            let done = Arc::clone(&counter);
            handle
                .queue(move |_| {
                    done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                })
                .unwrap();
        }
        before.since().0
    });
    assert_eq!(writes.join().unwrap(), Calls::from([("write", 1)]));
    let (calls, _) = costs(|| event_loop.turn(Some(DEADLINE)).unwrap());
    assert_eq!(calls, Calls::from([("epoll_wait", 1), ("read", 1)]));
    assert_eq!(done.load(std::sync::atomic::Ordering::Relaxed), 1000);
}

/// User memory of a connection that has been used and now waits, in bytes.
#[test]
fn an_idle_connection_is_small() {
    const COUNT: i64 = 1000;
    let _many = DESCRIPTORS.lock();
    common::descriptors::raise_limit().unwrap();
    let limits = Limits {
        idle: Some(Duration::from_secs(60)),
        ..Default::default()
    };
    let dispatcher = DispatcherKind::default().open().unwrap();
    let mut event_loop = EventLoop::new("main", dispatcher, limits).unwrap();
    let mut others = Vec::with_capacity(2 * COUNT as usize);
    let mut open = || {
        for _ in 0..COUNT {
            let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            event_loop.adopt(ours.into(), None, Echo).unwrap();
            theirs.write_all(b"hello").unwrap();
            others.push(theirs);
        }
        while others.iter().any(|other| available(other) < 5) {
            event_loop.turn(Some(DEADLINE)).unwrap();
        }
        live()
    };
    let before = open();
    let each = (open() - before) / COUNT;
    assert!(each < 512, "{each}");
}

/// How many bytes could be read at once, FIONREAD in ioctl_tty(2).
fn available(stream: &std::os::unix::net::UnixStream) -> i32 {
    let mut count = 0;
    // SAFETY: the call writes one int, which lives through it.
    let result = unsafe { nix::libc::ioctl(stream.as_raw_fd(), nix::libc::FIONREAD, &mut count) };
    assert_eq!(result, 0);
    count
}
