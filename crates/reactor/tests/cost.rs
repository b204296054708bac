//! What a message costs: system calls and allocations, counted.
//!
//! The counting of system calls needs no tracer: this program defines the C library's `read`, `send` and so on itself, and
//! the linker prefers ours. Each counts, for its thread, and makes the system call.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::io::{IoSlice, Write};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::libc;
use reactor::{DispatcherKind, EventLoop, Handler, Input, Limits, TcpConnection, Trigger};
use support::*;

const NAMES: [&str; 12] = [
    "read",
    "write",
    "send",
    "sendmsg",
    "epoll_wait",
    "epoll_ctl",
    "poll",
    "select",
    "accept4",
    "shutdown",
    "close",
    "recv",
];

thread_local! {
    static CALLS: [Cell<u64>; NAMES.len()] = const { [const { Cell::new(0) }; NAMES.len()] };
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count(index: usize) {
    CALLS.with(|calls| calls[index].set(calls[index].get() + 1));
}

/// A C function that counts and passes its arguments on to the system call.
macro_rules! counted {
    ($($index:literal $name:ident $number:ident ($($argument:ident: $type:ty),*) -> $result:ty;)*) => { $(
        // SAFETY: the signature is that of the C library's function, and so is what it does.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($argument: $type),*) -> $result {
            count($index);
            // SAFETY: the caller vouches for the arguments. libc::syscall sets errno as the function would.
            unsafe { libc::syscall(libc::$number, $($argument),*) as $result }
        }
    )* };
}

counted! {
    0 read SYS_read(fd: i32, data: *mut c_void, length: usize) -> isize;
    1 write SYS_write(fd: i32, data: *const c_void, length: usize) -> isize;
    3 sendmsg SYS_sendmsg(fd: i32, message: *const libc::msghdr, flags: i32) -> isize;
    4 epoll_wait SYS_epoll_wait(fd: i32, events: *mut libc::epoll_event, most: i32, timeout: i32) -> i32;
    5 epoll_ctl SYS_epoll_ctl(fd: i32, what: i32, which: i32, event: *mut libc::epoll_event) -> i32;
    6 poll SYS_poll(entries: *mut libc::pollfd, most: libc::nfds_t, timeout: i32) -> i32;
    8 accept4 SYS_accept4(fd: i32, address: *mut libc::sockaddr, length: *mut libc::socklen_t, flags: i32) -> i32;
    9 shutdown SYS_shutdown(fd: i32, how: i32) -> i32;
    10 close SYS_close(fd: i32) -> i32;
}

// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "C" fn send(fd: i32, data: *const c_void, length: usize, flags: i32) -> isize {
    count(2);
    let nobody = std::ptr::null::<c_void>();
    // SAFETY: send(2) is sendto(2) without an address.
    unsafe { libc::syscall(libc::SYS_sendto, fd, data, length, flags, nobody, 0) as isize }
}

// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "C" fn recv(fd: i32, data: *mut c_void, length: usize, flags: i32) -> isize {
    count(11);
    let nobody = std::ptr::null::<c_void>();
    // SAFETY: recv(2) is recvfrom(2) without an address.
    unsafe { libc::syscall(libc::SYS_recvfrom, fd, data, length, flags, nobody, nobody) as isize }
}

// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "C" fn select(
    end: i32,
    read: *mut libc::fd_set,
    write: *mut libc::fd_set,
    except: *mut libc::fd_set,
    time: *mut libc::timeval,
) -> i32 {
    count(7);
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_select, end, read, write, except, time) as i32 }
}

struct Counting;

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller vouches for the layout.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls so far, and allocations so far.
fn costs() -> ([u64; NAMES.len()], u64) {
    let calls = CALLS.with(|calls| std::array::from_fn(|index| calls[index].get()));
    (calls, ALLOCATIONS.with(Cell::get))
}

fn since(before: [u64; NAMES.len()]) -> BTreeMap<&'static str, u64> {
    let now = costs().0;
    let spent = NAMES.iter().zip(now).zip(before);
    spent
        .map(|((name, now), before)| (*name, now - before))
        .filter(|one| one.1 > 0)
        .collect()
}

/// A loop in this thread, with one connection whose other end is a thread that says `first`, gets an answer of the same
/// length, and so on; the costs of `messages` such exchanges, after a few to warm up.
fn measure<H: Handler>(
    kind: DispatcherKind,
    handler: H,
    limits: Limits,
    message: &'static [u8],
    messages: u64,
) -> (BTreeMap<&'static str, u64>, u64) {
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
    let (calls, _) = costs();
    for _ in 0..messages {
        // The channel between the threads allocates: that is not the loop's.
        next.send(()).unwrap();
        let before = costs().1;
        event_loop.turn(Some(DEADLINE)).unwrap();
        allocations += costs().1 - before;
    }
    let spent = since(calls);
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
        assert_eq!(calls, BTreeMap::from(expected), "{kind}");
        assert_eq!(allocations, 0, "{kind}");
    }
}

/// An answer made in pieces is one write all the same, by either way of making it.
#[test]
fn an_answer_in_pieces_is_one_write() {
    struct Pieces(bool);
    impl Handler for Pieces {
        fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
            let (head, tail) = input.take().split_at(2);
            if self.0 {
                connection.send_parts(&[IoSlice::new(head), IoSlice::new(tail)]);
            } else {
                connection.out().append(head);
                write!(connection.out(), "{}", str::from_utf8(tail).unwrap()).unwrap();
            }
        }
    }
    let kind = DispatcherKind::default();
    for (parts, call) in [(true, "sendmsg"), (false, "send")] {
        let (calls, allocations) =
            measure(kind, Pieces(parts), Limits::default(), b"hello", MESSAGES);
        let expected = [
            ("epoll_wait", MESSAGES),
            ("recv", MESSAGES),
            (call, MESSAGES),
        ];
        assert_eq!(calls, BTreeMap::from(expected));
        assert_eq!(allocations, 0);
    }
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
        let before = costs().1;
        event_loop.turn(Some(DEADLINE)).unwrap();
        client.write_all(b"lo\n").unwrap();
        event_loop.turn(Some(DEADLINE)).unwrap();
        assert!(!check || costs().1 == before);
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
            let (calls, allocations) = costs();
            for (ours, theirs) in pairs {
                ours.set_nonblocking(true).unwrap();
                event_loop.adopt(ours.into(), None, Echo).unwrap();
                others.push(theirs);
            }
            (since(calls), costs().1 - allocations)
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
        let (before, _) = costs();
        for _ in 0..1000 {
            let done = Arc::clone(&counter);
            handle
                .queue(move |_| {
                    done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                })
                .unwrap();
        }
        since(before)
    });
    assert_eq!(writes.join().unwrap(), BTreeMap::from([("write", 1)]));
    let (before, _) = costs();
    event_loop.turn(Some(DEADLINE)).unwrap();
    assert_eq!(
        since(before),
        BTreeMap::from([("epoll_wait", 1), ("read", 1)])
    );
    assert_eq!(done.load(std::sync::atomic::Ordering::Relaxed), 1000);
}
