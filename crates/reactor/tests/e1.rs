//! The defects of the course's framework, each as a test that it is not ours.
//!
//! Elsewhere: e1_15 (a wake-up for each task) is counted in `cost.rs`; e1_26 (sending from any thread, unguarded) does not
//! compile, see the documentation of `TcpConnection`; e1_30 (an unknown host becomes localhost) is a test of `common`.
//! Without a counterpart here: e1_12 (locks inside assert, gone in a release build): there is one lock, and `loom.rs` goes
//! through its file; e1_29 (the listener leaks in the one-client helper): there is no such helper, and that a stop
//! closes the listener is e1_16.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use reactor::{
    Buffer, DispatcherKind, End, EventLoop, Handler, Input, Interest, Limits, Next, ServerOptions,
    TcpConnection, Token,
};
use support::child::Child;
use support::*;

#[test]
#[ignore = "the server process of other tests"]
fn child_server() {
    support::child::serve();
}

#[test]
fn e1_01_closing_frees_the_descriptor() {
    for kind in DispatcherKind::ALL {
        for threads in ["0", "4"] {
            let child = Child::start(&[("DISPATCHER", &kind.to_string()), ("THREADS", threads)]);
            let before = child.descriptors().len();
            let clients: Vec<_> = (0..200).map(|_| connect(child.address)).collect();
            until("200 are connected", || child.sockets() == 201);
            for (number, mut client) in clients.into_iter().enumerate() {
                match number % 3 {
                    0 => drop(client),
                    1 => reset(client),
                    _ => assert_eq!(exchange(&mut client, b"x"), b"x"),
                }
            }
            until("all are closed", || child.descriptors().len() == before);
            child.stop();
        }
    }
}

/// All calls of a connection come from one thread, `connected` first.
#[test]
fn e1_02_nobody_sees_a_connection_half_built() {
    struct First(Option<thread::ThreadId>);
    impl Handler for First {
        fn connected(&mut self, connection: &mut TcpConnection<Self>) {
            assert_eq!(self.0.replace(thread::current().id()), None);
            connection.send(b"hello");
        }
        fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
            assert_eq!(self.0, Some(thread::current().id()));
            connection.send(input.take());
        }
    }
    every(|options| {
        let server = serve(options, |_| First(None));
        let address = server.address;
        let clients: Vec<_> = (0..4)
            .map(|_| {
                thread::spawn(move || {
                    for _ in 0..25 {
                        let mut stream = connect(address);
                        stream.write_all(b"at once").unwrap();
                        finish(&stream);
                        assert_eq!(read_to_end(&mut stream), b"helloat once");
                    }
                })
            })
            .collect();
        clients
            .into_iter()
            .for_each(|client| client.join().unwrap());
        server.stop();
    });
}

/// A dispatcher that writes down what it is told.
struct Spy(Box<dyn reactor::Dispatcher>, Arc<Mutex<Vec<Interest>>>);

impl reactor::Dispatcher for Spy {
    fn call(&self) -> &'static str {
        self.0.call()
    }
    fn trigger(&self) -> reactor::Trigger {
        self.0.trigger()
    }
    fn add(
        &mut self,
        fd: std::os::fd::BorrowedFd,
        token: Token,
        interest: Interest,
    ) -> Result<(), common::CallError> {
        self.0.add(fd, token, interest)
    }
    fn update(
        &mut self,
        fd: std::os::fd::BorrowedFd,
        token: Token,
        interest: Interest,
    ) -> Result<(), common::CallError> {
        self.1.lock().unwrap().push(interest);
        self.0.update(fd, token, interest)
    }
    fn remove(
        &mut self,
        fd: std::os::fd::BorrowedFd,
        token: Token,
    ) -> Result<(), common::CallError> {
        self.0.remove(fd, token)
    }
    fn wait(
        &mut self,
        events: &mut Vec<reactor::Event>,
        timeout: Option<Duration>,
    ) -> Result<(), common::CallError> {
        self.0.wait(events, timeout)
    }
}

/// Write interest is on while there is something to write, and reading pauses above the high-water mark.
#[test]
fn e1_03_write_interest_goes_on_and_off() {
    for kind in DispatcherKind::ALL {
        let told = Arc::new(Mutex::new(Vec::new()));
        let spy = Spy(kind.open().unwrap(), Arc::clone(&told));
        let mut event_loop = EventLoop::new("main", Box::new(spy), Limits::default()).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let token = event_loop.adopt(ours.into(), None, Echo).unwrap();
        let data = pattern(5_000_000);
        event_loop.with(token, |_, connection| {
            connection.send(b"");
            connection.send(&data);
        });
        assert_eq!(*told.lock().unwrap(), [Interest::WRITE]);
        let mut read = Vec::new();
        turn_until(&mut event_loop, || {
            let _ = (&theirs).read_to_end(&mut read);
            read.len() == data.len()
        });
        assert!(read == data);
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        let told = told.lock().unwrap();
        assert_eq!(told.last(), Some(&Interest::READ), "{told:?}");
        assert!(told.len() <= 3, "{told:?}");
    }
}

/// What a full socket refuses is sent later, once, and in order.
#[test]
fn e1_04_would_block_is_not_success() {
    every_dispatcher(|options| {
        let server = serve(options, |_| Echo);
        let mut stream = connect(server.address);
        let data = pattern(2_000_000);
        let (sent, mut writer) = (data.clone(), stream.try_clone().unwrap());
        let writing = thread::spawn(move || writer.write_all(&sent).unwrap());
        // Everything between here and there is full before the first byte is read.
        thread::sleep(Duration::from_millis(50));
        assert!(read_exactly(&mut stream, data.len()) == data);
        writing.join().unwrap();
        server.stop();
    });
}

#[test]
fn e1_05_a_client_that_does_not_read_stops_nobody() {
    every_dispatcher(|options| {
        let (give, given) = channel();
        let server = serve_with(
            options,
            |_| Echo,
            move |server| {
                give.send(server.loops()).unwrap();
            },
        );
        let mut deaf = connect(server.address);
        deaf.set_nonblocking(true).unwrap();
        let mut full = Instant::now();
        let mut other = connect(server.address);
        let mut sent = 0;
        while full.elapsed() < Duration::from_millis(100) {
            if let Ok(count) = deaf.write(&[0; 65536]) {
                (sent, full) = (sent + count, Instant::now());
            }
            assert_eq!(exchange(&mut other, b"alive"), b"alive");
        }
        // What it is owed in our memory is bounded, whatever it sent.
        let (tell, told) = channel();
        given.recv().unwrap()[0]
            .queue(move |event_loop| {
                let _ = tell.send(event_loop.connections());
            })
            .unwrap();
        assert_eq!(told.recv_timeout(DEADLINE), Ok(2));
        assert!(sent < 64 * 1024 * 1024);
        drop(deaf);
        server.stop();
    });
}

/// After a reset, and after a hang-up, the next client that gets the descriptor is served; what had been sent before a hang-up
/// is read.
#[test]
fn e1_06_error_and_hang_up_leave_nothing_behind() {
    every_dispatcher(|options| {
        let (server, told) = Teller::serve(options.clone(), true);
        for _ in 0..50 {
            let mut stream = connect(server.address);
            assert_eq!(exchange(&mut stream, b"x"), b"x");
            reset(stream);
        }
        let mut resets = 0;
        while resets < 50 {
            match next(&told) {
                Call::Closed(End::Reset) => resets += 1,
                Call::Closed(end) => panic!("{end}"),
                _ => {}
            }
        }
        server.stop();

        let mut event_loop = new_loop(options.dispatcher);
        let (tell, told) = channel();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        event_loop
            .adopt(ours.into(), None, Teller { tell, echo: false })
            .unwrap();
        theirs.write_all(b"last words").unwrap();
        drop(theirs);
        let mut calls = Vec::new();
        turn_until(&mut event_loop, || {
            calls.extend(told.try_iter());
            matches!(calls.last(), Some(Call::Closed(_)))
        });
        assert_eq!(calls[1], Call::Message(b"last words".to_vec()));
        assert_eq!(calls.last(), Some(&Call::Closed(End::Finished)));
    });
}

/// One event says readable and writable; the handler closes in its message call: nothing is called after `closed`.
#[test]
fn e1_07_no_call_after_the_channel_is_gone() {
    struct Closing(std::sync::mpsc::Sender<&'static str>);
    impl Handler for Closing {
        fn message(&mut self, connection: &mut TcpConnection<Self>, _: &mut Input) {
            self.0.send("message").unwrap();
            connection.send(b"never seen");
            connection.close();
        }
        fn write_complete(&mut self, _: &mut TcpConnection<Self>) {
            self.0.send("write complete").unwrap();
        }
        fn closed(&mut self, _: &mut TcpConnection<Self>, _: End) {
            self.0.send("closed").unwrap();
        }
    }
    for kind in DispatcherKind::ALL {
        let mut event_loop = new_loop(kind);
        let (tell, told) = channel();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let token = event_loop.adopt(ours.into(), None, Closing(tell)).unwrap();
        (&theirs).write_all(b"x").unwrap();
        turn_until(&mut event_loop, || told.try_recv() == Ok("message"));
        assert_eq!(told.try_iter().collect::<Vec<_>>(), ["closed"]);
        assert!(event_loop.with(token, |_, _| ()).is_none());
    }
}

/// A channel that another one's callback removes in the same round, and whose descriptor is a new channel's at once.
#[test]
fn e1_07_an_event_for_the_former_owner_of_a_descriptor_reaches_nobody() {
    for kind in DispatcherKind::ALL {
        let mut event_loop = new_loop::<Echo>(kind);
        let (log, logged) = channel();
        let pairs: Vec<_> = (0..2).map(|_| UnixStream::pair().unwrap()).collect();
        let tokens = Arc::new(Mutex::new(Vec::new()));
        for (number, (ours, _)) in pairs.iter().enumerate() {
            let (log, tokens_seen) = (log.clone(), Arc::clone(&tokens));
            let ready = move |event_loop: &mut EventLoop<Echo>, _: &mut UnixStream, _| {
                log.send(number).unwrap();
                // Whoever comes first removes the other, and a stranger gets its descriptor.
                let other = tokens_seen.lock().unwrap()[1 - number];
                event_loop.remove(other);
                let (stranger, _) = UnixStream::pair().unwrap();
                let log = log.clone();
                let ready = move |_: &mut EventLoop<Echo>, _: &mut UnixStream, _| {
                    log.send(100).unwrap();
                    Next::Remove
                };
                event_loop.watch(stranger, Interest::NONE, ready).unwrap();
                Next::Remove
            };
            let ours = ours.try_clone().unwrap();
            let token = event_loop.watch(ours, Interest::READ, ready).unwrap();
            tokens.lock().unwrap().push(token);
        }
        for (_, theirs) in &pairs {
            (&*theirs).write_all(b"x").unwrap();
        }
        event_loop.turn(Some(DEADLINE)).unwrap();
        assert_eq!(logged.try_iter().count(), 1, "{kind}");
    }
}

/// A source that is removed in its own call, and another one added there: the place of the first is not given away before it
/// has left the dispatcher.
#[test]
fn e1_07_a_source_that_removes_itself_leaves_nothing_behind() {
    for kind in DispatcherKind::ALL {
        let mut event_loop = new_loop::<Echo>(kind);
        let (own, asked) = (Arc::new(Mutex::new(None)), channel());
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (other, others_end) = UnixStream::pair().unwrap();
        let (token, mut other) = (Arc::clone(&own), Some(other));
        let ready = move |event_loop: &mut EventLoop<Echo>, _: &mut UnixStream, _| {
            event_loop.remove(token.lock().unwrap().unwrap());
            let tell = asked.0.clone();
            let ready = move |_: &mut EventLoop<Echo>, other: &mut UnixStream, _| {
                tell.send(other.read(&mut [0; 10]).unwrap()).unwrap();
                Next::Keep
            };
            let other = other.take().expect("called once");
            event_loop.watch(other, Interest::READ, ready).unwrap();
            Next::Keep
        };
        *own.lock().unwrap() = Some(event_loop.watch(ours, Interest::READ, ready).unwrap());
        (&theirs).write_all(b"x").unwrap();
        event_loop.turn(Some(DEADLINE)).unwrap();
        (&others_end).write_all(b"hello").unwrap();
        event_loop.turn(Some(DEADLINE)).unwrap();
        assert_eq!(asked.1.try_recv(), Ok(5), "{kind}");
        let begun = Instant::now();
        event_loop.turn(Some(Duration::from_millis(50))).unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(50), "{kind} spins");
    }
}

/// The four outcomes of a read are four different things.
#[test]
fn e1_08_end_of_file_reset_and_nothing_yet_differ() {
    every(|options| {
        let (server, told) = Teller::serve(options, true);
        let mut stream = connect(server.address);
        stream.write_all(b"question").unwrap();
        finish(&stream);
        assert_eq!(read_to_end(&mut stream), b"question");
        drop(stream);
        let mut calls = Vec::new();
        while !matches!(calls.last(), Some(Call::Closed(_))) {
            calls.push(next(&told));
        }
        assert!(calls.contains(&Call::InputEnded(Vec::new())), "{calls:?}");
        assert_eq!(calls.last(), Some(&Call::Closed(End::Finished)));

        let mut stream = connect(server.address);
        assert_eq!(exchange(&mut stream, b"x"), b"x");
        reset(stream);
        while !matches!(calls.last(), Some(Call::Closed(End::Reset))) {
            calls.push(next(&told));
        }
        server.stop();
    });
}

#[test]
fn e1_09_shutdown_sends_what_is_pending() {
    struct Reply;
    impl Handler for Reply {
        fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
            input.take();
            connection.send(&[7; 3_000_000]);
            connection.shutdown();
        }
    }
    every(|options| {
        let server = serve(options, |_| Reply);
        let mut stream = connect(server.address);
        stream.write_all(b"x").unwrap();
        // More, that nobody will read: it must not turn the end into a reset.
        stream.write_all(&[b'y'; 1000]).unwrap();
        assert!(read_to_end(&mut stream) == [7; 3_000_000]);
        drop(stream);
        server.stop();
    });
}

#[test]
fn e1_10_a_write_to_a_gone_peer_kills_nobody() {
    for kind in DispatcherKind::ALL {
        let child = Child::start(&[("SIGPIPE", "default"), ("DISPATCHER", &kind.to_string())]);
        for _ in 0..50 {
            let mut stream = connect(child.address);
            stream.write_all(&[0; 100_000]).unwrap();
            reset(stream);
        }
        let mut stream = connect(child.address);
        assert_eq!(exchange(&mut stream, b"alive"), b"alive");
        drop(stream);
        child.stop();
    }
}

/// Out of descriptors: those connected are served, nothing spins, and those that wait are served when some are free.
#[test]
fn e1_11_out_of_descriptors() {
    for kind in DispatcherKind::ALL {
        for threads in ["0", "2"] {
            let kind = kind.to_string();
            let child = Child::start(&[
                ("NOFILE", "40"),
                ("DISPATCHER", &kind),
                ("THREADS", threads),
            ]);
            let mut clients: Vec<_> = (0..60).map(|_| connect(child.address)).collect();
            let allowed = |number: &str| number.parse::<u32>().unwrap() < 40;
            until("descriptors have run out", || {
                child
                    .descriptors()
                    .iter()
                    .filter(|one| allowed(&one.0))
                    .count()
                    == 40
            });
            let before = child.processor_time();
            let waited = Instant::now();
            assert_eq!(exchange(&mut clients[0], b"held"), b"held");
            thread::sleep(Duration::from_millis(600));
            let used = child.processor_time() - before;
            assert!(
                used.as_secs_f64() < 0.05 * waited.elapsed().as_secs_f64() + 0.02,
                "{used:?}"
            );
            let waiting = clients.split_off(20);
            drop(clients);
            // Forty are left, of which some were connected all along.
            drop(waiting.into_iter().rev().take(20).collect::<Vec<_>>());
            let mut late = connect(child.address);
            assert_eq!(exchange(&mut late, b"late"), b"late");
            drop(late);
            child.stop();
        }
    }
}

/// A task may queue tasks, and tasks that are never run are dropped.
#[test]
fn e1_13_tasks_run_without_the_lock_and_do_not_leak() {
    let mut event_loop = new_loop::<Echo>(DispatcherKind::default());
    let handle = event_loop.handle();
    let witness = Arc::new(());
    let (first, again, second) = (Arc::clone(&witness), handle.clone(), Arc::clone(&witness));
    handle
        .queue(move |_| {
            let _first = first;
            again.queue(move |_| drop(second)).unwrap();
        })
        .unwrap();
    turn_until(&mut event_loop, || Arc::strong_count(&witness) == 1);
    let never = Arc::clone(&witness);
    handle.queue(move |_| drop(never)).unwrap();
    drop(event_loop);
    assert_eq!(Arc::strong_count(&witness), 1);
    assert!(handle.queue(|_| {}).is_err());
}

#[test]
fn e1_14_any_token_is_safe_to_look_up() {
    let mut event_loop = new_loop::<Echo>(DispatcherKind::default());
    for bits in [
        0,
        1,
        7,
        u64::MAX,
        1 << 32,
        12345 << 32 | 1,
        u64::from(u32::MAX),
    ] {
        let token = Token::from_bits(bits);
        assert_eq!(token.to_bits(), bits);
        assert!(event_loop.with(token, |_, _| ()).is_none());
        // The waker is a channel too, and has the first token.
        if bits != 0 {
            event_loop.remove(token);
            assert!(!event_loop.set_interest(token, Interest::READ));
        }
    }
}

#[test]
fn e1_16_a_server_stops_and_its_threads_end() {
    every_child(|child| {
        let clients: Vec<_> = (0..10).map(|_| connect(child.address)).collect();
        child.stop();
        assert!(
            TcpStream::connect(child.address).is_err(),
            "the listener is closed"
        );
        drop(clients);
    });
}

fn every_child(test: impl Fn(&Child)) {
    for kind in DispatcherKind::ALL {
        for threads in ["0", "1", "4"] {
            test(&Child::start(&[
                ("DISPATCHER", &kind.to_string()),
                ("THREADS", threads),
            ]));
        }
    }
}

#[test]
fn e1_17_timers_fire_in_order_and_in_time() {
    for kind in DispatcherKind::ALL {
        let mut event_loop = new_loop::<Echo>(kind);
        let (tell, told) = channel();
        let begun = Instant::now();
        for after in [60, 20, 40, 1] {
            let tell = tell.clone();
            event_loop.after(Duration::from_millis(after), move |_| {
                tell.send((after, begun.elapsed())).unwrap();
            });
        }
        let never = event_loop.after(Duration::from_millis(30), |_| panic!("cancelled"));
        assert!(event_loop.cancel(never) && !event_loop.cancel(never));
        let mut fired = Vec::new();
        turn_until(&mut event_loop, || {
            fired.extend(told.try_iter());
            fired.len() == 4
        });
        assert_eq!(
            fired.iter().map(|one| one.0).collect::<Vec<_>>(),
            [1, 20, 40, 60]
        );
        assert!(
            fired
                .iter()
                .all(|(after, at)| *at >= Duration::from_millis(*after))
        );
    }
}

/// Few descriptors allowed, and signals that interrupt the wait.
#[test]
fn e1_18_few_descriptors_and_interrupted_waits_are_no_end() {
    for kind in DispatcherKind::ALL {
        let child = Child::start(&[("NOFILE", "20"), ("DISPATCHER", &kind.to_string())]);
        let mut stream = connect(child.address);
        for _ in 0..20 {
            // Both interrupt a wait, signal(7).
            child.program.signal(drive::Signal::SIGSTOP);
            child.program.signal(drive::Signal::SIGCONT);
            assert_eq!(exchange(&mut stream, b"alive"), b"alive");
        }
        drop(stream);
        child.stop();
    }
}

/// Select cannot watch descriptors past 1023: those clients are told so by a close, and the others are served.
#[test]
fn e1_19_clients_past_1024_do_not_hang() {
    let child = Child::start(&[("DISPATCHER", "select")]);
    let mut clients: Vec<_> = (0..1100).map(|_| connect(child.address)).collect();
    let mut last = clients.pop().unwrap();
    assert!(matches!(last.read(&mut [0]), Ok(0) | Err(_)));
    assert_eq!(exchange(&mut clients[0], b"served"), b"served");
    clients.truncate(500);
    until("there is room again", || child.sockets() < 600);
    clients.push(connect(child.address));
    assert_eq!(exchange(clients.last_mut().unwrap(), b"served"), b"served");
    drop(clients);
    child.stop();
}

/// Errors and hang-ups that a dispatcher reports without end do not keep the loop busy.
#[test]
fn e1_20_errors_and_hang_ups_do_not_spin() {
    struct Deaf;
    impl Handler for Deaf {
        fn connected(&mut self, connection: &mut TcpConnection<Self>) {
            connection.pause();
        }
        fn message(&mut self, _: &mut TcpConnection<Self>, _: &mut Input) {
            panic!("it is paused");
        }
    }
    for kind in DispatcherKind::ALL {
        let mut event_loop = new_loop(kind);
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let token = event_loop.adopt(ours.into(), None, Deaf).unwrap();
        theirs.write_all(b"x").unwrap();
        drop(theirs);
        for _ in 0..5 {
            event_loop.turn(Some(Duration::ZERO)).unwrap();
        }
        let begun = Instant::now();
        event_loop.turn(Some(Duration::from_millis(50))).unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(50), "{kind} spins");
        assert!(
            event_loop
                .with(token, |_, connection| connection.close())
                .is_some()
        );
    }
}

#[test]
fn e1_21_a_descriptor_that_cannot_be_watched_is_an_error() {
    let mut event_loop = new_loop::<Echo>(DispatcherKind::default());
    let file = tempfile::tempfile().unwrap();
    let error = event_loop
        .watch(file, Interest::READ, |_, _, _| Next::Keep)
        .unwrap_err();
    assert_eq!(error.errno(), Some(nix::errno::Errno::EPERM));
    event_loop.turn(Some(Duration::ZERO)).unwrap();
}

/// Input that nobody consumes and output that nobody takes have bounds; a buffer gives its room back.
#[test]
fn e1_22_buffers_are_bounded() {
    struct Hoard;
    impl Handler for Hoard {
        fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
            if input[0] == b'o' {
                input.take();
                while connection.is_open() && connection.queued() <= 1_000_000 {
                    connection.send(&[0; 100_000]);
                }
            }
        }
    }
    every_dispatcher(|mut options| {
        options.limits.input = 100_000;
        options.limits.output = 1_000_000;
        let server = serve(options, |_| Hoard);
        for first in [b"i", b"o"] {
            let mut stream = connect(server.address);
            stream.write_all(first).unwrap();
            // The write or the read fails, or the read ends: the connection is given up.
            let _ = (0..1000).try_for_each(|_| stream.write_all(&[b'i'; 10_000]));
            let mut scratch = [0; 65536];
            while stream.read(&mut scratch).is_ok_and(|count| count > 0) {}
        }
        server.stop();
    });
    let mut buffer = Buffer::with_capacity(100);
    for _ in 0..1000 {
        buffer.append(&[1; 90]);
        buffer.consume(90);
    }
    assert_eq!(buffer.capacity(), 100);
}

/// A loop's thread needs no large stack to read into.
#[test]
fn e1_23_a_read_does_not_take_the_stack() {
    let thread = thread::Builder::new().stack_size(48 * 1024).spawn(|| {
        let mut event_loop = new_loop(DispatcherKind::default());
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        event_loop.adopt(ours.into(), None, Echo).unwrap();
        let sent = (&theirs).write(&vec![7; 100_000]).unwrap();
        let mut read = Vec::new();
        turn_until(&mut event_loop, || {
            let _ = (&theirs).read_to_end(&mut read);
            read.len() == sent
        });
    });
    thread.unwrap().join().unwrap();
}

#[test]
fn e1_24_large_descriptor_numbers() {
    for kind in [DispatcherKind::Poll, DispatcherKind::default()] {
        let mut event_loop = new_loop(kind);
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let raw = fcntl(ours.as_fd(), FcntlArg::F_DUPFD_CLOEXEC(12_345)).unwrap();
        assert!(raw >= 12_345);
        // SAFETY: the kernel has just made this descriptor for us.
        let high = unsafe { OwnedFd::from_raw_fd(raw) };
        event_loop.adopt(high, None, Echo).unwrap();
        theirs.write_all(b"hello").unwrap();
        event_loop.turn(Some(DEADLINE)).unwrap();
        let mut answer = [0; 5];
        theirs.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
    }
}

#[test]
fn e1_25_write_complete_means_complete() {
    every_dispatcher(|options| {
        let mut event_loop = new_loop(options.dispatcher);
        let (tell, told) = channel();
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let token = event_loop
            .adopt(ours.into(), None, Teller { tell, echo: false })
            .unwrap();
        assert_eq!(told.try_recv(), Ok(Call::Connected));
        // Small: complete at once.
        event_loop.with(token, |_, connection| connection.send(b"small"));
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [Call::WriteComplete]);
        // Large: in parts, and complete after the last one.
        event_loop.with(token, |_, connection| connection.send(&[1; 3_000_000]));
        let (mut read, mut parts) = (Vec::new(), 0);
        let mut complete = false;
        turn_until(&mut event_loop, || {
            if !complete {
                complete = told.try_recv().is_ok();
            }
            // All but what the kernel can still hold must have been read by then.
            assert!(!complete || read.len() > 1_500_000);
            parts += usize::from((&theirs).read_to_end(&mut read).is_err());
            read.len() == 3_000_005 && complete
        });
        assert!(parts > 2);
        assert_eq!(told.try_iter().count(), 0);
    });
}

#[test]
fn e1_27_other_flags_survive() {
    let mut event_loop = new_loop(DispatcherKind::default());
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let kept = ours.try_clone().unwrap();
    fcntl(&kept, FcntlArg::F_SETFL(OFlag::O_APPEND)).unwrap();
    event_loop.adopt(ours.into(), None, Echo).unwrap();
    let flags = OFlag::from_bits_retain(fcntl(&kept, FcntlArg::F_GETFL).unwrap());
    assert!(flags.contains(OFlag::O_APPEND | OFlag::O_NONBLOCK));
}

#[test]
fn e1_28_every_descriptor_is_closed_on_exec() {
    let child = Child::start(&[("THREADS", "2")]);
    let mut stream = connect(child.address);
    assert_eq!(exchange(&mut stream, b"x"), b"x");
    let mut seen = 0;
    for (number, link) in child.descriptors() {
        // Those that it was started with are none of ours.
        if !link.starts_with("socket:") && !link.starts_with("anon_inode:") {
            continue;
        }
        let info = format!("/proc/{}/fdinfo/{number}", child.program.pid());
        let info = std::fs::read_to_string(info).unwrap();
        let flags = info
            .lines()
            .find_map(|line| line.strip_prefix("flags:"))
            .unwrap();
        let flags = i32::from_str_radix(flags.trim(), 8).unwrap();
        assert_ne!(flags & nix::libc::O_CLOEXEC, 0, "{number} -> {link}");
        seen += 1;
    }
    // Listener, connection, signals, and for each of three loops an epoll and an event descriptor.
    assert_eq!(seen, 9);
    drop(stream);
    child.stop();
}

/// Each thread has its own memory: what many clients send at the same time is not mixed.
#[test]
fn e1_31_threads_share_no_buffers() {
    let server = serve(
        ServerOptions {
            threads: 4,
            ..Default::default()
        },
        |_| Echo,
    );
    let address = server.address;
    let clients: Vec<_> = (0..8u8)
        .map(|number| {
            thread::spawn(move || {
                let mut stream = connect(address);
                for round in 0..200 {
                    let data = vec![number; 1 + round * 97 % 5000];
                    assert!(exchange(&mut stream, &data) == data);
                }
            })
        })
        .collect();
    clients
        .into_iter()
        .for_each(|client| client.join().unwrap());
    server.stop();
}
