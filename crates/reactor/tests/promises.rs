//! Promises that were broken once: an audit found what `e1.rs` and `suite.rs` had passed over.
//!
//! Elsewhere: that a timer beyond the wheel's reach is not early is in `model.rs`.

mod support;

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use common::CallError;
use nix::errno::Errno;
use nix::sys::signal::{Signal, raise};
use nix::sys::socket::{Shutdown, shutdown};
use reactor::{
    Connect, Dispatcher, DispatcherKind, End, Event, EventLoop, Handler, Input, Interest, Limits,
    LoopHandle, Next, ServerOptions, Table, TcpConnection, TcpServer, Timeout, Token, Wheel,
    Workers,
};
use support::*;

/// How many turns a loop makes in a tenth of a second in which nothing happens. One that spins makes thousands.
fn turns_while_quiet<H: Handler>(event_loop: &mut EventLoop<H>) -> u32 {
    let (begun, time, mut turns) = (Instant::now(), Duration::from_millis(100), 0);
    while begun.elapsed() < time {
        event_loop.turn(Some(time)).unwrap();
        turns += 1;
    }
    turns
}

/// Runs to the end, which has to come before the deadline.
fn run_to_the_end<H: Handler>(event_loop: &mut EventLoop<H>) {
    event_loop.after(DEADLINE, |_| panic!("it does not end"));
    event_loop.run().unwrap();
}

// Time.

/// However long nothing was due, and whether or not something else is.
#[test]
fn a_timer_set_after_a_long_quiet_time_is_on_time() {
    const HOUR: u64 = 3_600_000;
    for quiet in [HOUR, 24 * HOUR] {
        for more in 0..200 {
            for after in [1, 10, 100, 1000, 60_000] {
                let now = quiet + more * 977;
                let latest = now + after + after / 30 + 1;
                let mut wheel = Wheel::default();
                if more % 2 == 0 {
                    wheel.insert(5 * 24 * HOUR, "far");
                }
                wheel.advance(now);
                wheel.insert(now + after, "near");
                assert!(wheel.next_due() <= latest, "{now} {after}");
                assert_eq!(wheel.pop_due(now + after - 1), None);
                assert_eq!(wheel.pop_due(latest), Some("near"));
            }
        }
    }
}

/// Watches nothing, waits for nobody, and tells how long it was to wait.
struct Impatient(Rc<Cell<Option<Duration>>>);

impl Dispatcher for Impatient {
    fn call(&self) -> &'static str {
        "impatient"
    }
    fn add(&mut self, _: BorrowedFd, _: Token, _: Interest) -> Result<(), CallError> {
        Ok(())
    }
    fn update(&mut self, _: BorrowedFd, _: Token, _: Interest) -> Result<(), CallError> {
        Ok(())
    }
    fn remove(&mut self, _: BorrowedFd, _: Token) -> Result<(), CallError> {
        Ok(())
    }
    fn wait(&mut self, _: &mut Vec<Event>, most: Option<Duration>) -> Result<(), CallError> {
        self.0.set(most);
        Ok(())
    }
}

#[test]
fn a_loop_waits_for_a_timer_set_after_a_quiet_time_no_longer_than_it_takes() {
    let asked = Rc::new(Cell::new(None));
    let dispatcher = Box::new(Impatient(Rc::clone(&asked)));
    let mut event_loop = EventLoop::<Echo>::new("main", dispatcher, Limits::default()).unwrap();
    // Longer than the wheel's first level reaches.
    thread::sleep(Duration::from_millis(300));
    // The first tick behind the end of a slot of its second level, so that this slot would be the worst one.
    let ticks = event_loop.now().elapsed().as_millis() as u64;
    let after = Duration::from_millis(16 - ticks % 8);
    event_loop.after(after, |_| {});
    event_loop.turn(None).unwrap();
    let most = after + Duration::from_millis(1);
    assert!(asked.get().is_some_and(|asked| asked <= most), "{asked:?}");
}

#[test]
fn timers_do_not_keep_the_loop_from_its_descriptors() {
    fn tick(event_loop: &mut EventLoop<Echo>, fired: Rc<Cell<u32>>) {
        fired.set(fired.get() + 1);
        if fired.get() < 50 {
            event_loop.after(Duration::from_millis(1), move |event_loop| {
                tick(event_loop, fired);
            });
            // Work until that is due, and a look at the clock.
            thread::sleep(Duration::from_millis(3));
            event_loop.after(DEADLINE, |_| {});
        }
    }
    let mut event_loop = new_loop(DispatcherKind::default());
    let (fired, served) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let count = Rc::clone(&served);
    let ready = move |_: &mut _, _: &mut _, _| {
        count.set(count.get() + 1);
        Next::Keep
    };
    event_loop.watch(ours, Interest::READ, ready).unwrap();
    theirs.write_all(b"never read").unwrap();
    tick(&mut event_loop, Rc::clone(&fired));
    while fired.get() < 5 {
        let before = (fired.get(), served.get());
        event_loop.turn(Some(DEADLINE)).unwrap();
        assert!(fired.get() <= before.0 + 1 && served.get() == before.1 + 1);
    }
}

/// Writes down which times are up, and when that was.
struct Times(Rc<RefCell<Vec<(Timeout, Instant)>>>);

impl Handler for Times {
    fn message(&mut self, _: &mut TcpConnection<Self>, _: &mut Input) {}
    fn timeout(&mut self, _: &mut TcpConnection<Self>, which: Timeout) {
        self.0.borrow_mut().push((which, Instant::now()));
    }
}

#[test]
fn an_idle_time_that_runs_out_does_not_take_the_deadline_away() {
    let mut event_loop = new_loop(DispatcherKind::default());
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let times = Rc::default();
    let token = event_loop
        .adopt(ours.into(), None, Times(Rc::clone(&times)))
        .unwrap();
    event_loop.with(token, |_, connection| {
        connection.set_idle(Some(Duration::from_millis(20)));
        connection.set_deadline(Some(Duration::from_millis(100)));
    });
    turn_until(&mut event_loop, || {
        let times = times.borrow();
        let is_up = |which| times.iter().any(|up| up.0 == which);
        is_up(Timeout::Idle) && is_up(Timeout::Deadline)
    });
}

#[test]
fn an_idle_time_begins_when_the_connection_is_adopted() {
    let idle = Duration::from_millis(100);
    let limits = Limits {
        idle: Some(idle),
        ..Default::default()
    };
    let dispatcher = DispatcherKind::default().open().unwrap();
    let mut event_loop = EventLoop::new("main", dispatcher, limits).unwrap();
    // Between two turns.
    thread::sleep(2 * idle);
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let (begun, times) = (Instant::now(), Rc::default());
    event_loop
        .adopt(ours.into(), None, Times(Rc::clone(&times)))
        .unwrap();
    turn_until(&mut event_loop, || !times.borrow().is_empty());
    assert!(times.borrow()[0].1 >= begun + idle);
}

// Turns.

/// Level-triggered, the event and the call that was asked for may fall into one turn.
#[test]
fn again_is_once_more_and_not_twice_as_often() {
    for kind in DispatcherKind::ALL {
        let mut event_loop = new_loop::<Echo>(kind);
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(&[0; 1000]).unwrap();
        let calls = Rc::new(Cell::new(0));
        let count = Rc::clone(&calls);
        let ready = move |_: &mut _, ours: &mut UnixStream, _| {
            count.set(count.get() + 1);
            ours.read_exact(&mut [0]).unwrap();
            Next::Again
        };
        event_loop.watch(ours, Interest::READ, ready).unwrap();
        for _ in 0..10 {
            event_loop.turn(Some(Duration::ZERO)).unwrap();
            let calls = calls.take();
            assert!((1..=2).contains(&calls), "{kind}: {calls}");
        }
    }
}

#[test]
#[should_panic(expected = "within a turn")]
fn a_turn_within_a_turn_panics() {
    let mut event_loop = new_loop::<Echo>(DispatcherKind::default());
    let inner = |event_loop: &mut EventLoop<_>| event_loop.turn(Some(Duration::ZERO)).unwrap();
    event_loop.handle().queue(inner).unwrap();
    event_loop.turn(Some(DEADLINE)).unwrap();
}

/// A place that is free has no name, not even the one that marks it as free.
#[test]
fn a_token_of_no_channel_names_none() {
    let mut table = Table::default();
    let tokens = [(); 3].map(|()| table.reserve());
    for token in tokens {
        table.put(token, "ours").unwrap();
    }
    table.remove(tokens[1]).unwrap();
    let forged = Token::from_bits(u64::from(u32::MAX) << 32 | 1);
    assert_eq!(table.put(forged, "forged"), Err("forged"));
    assert_eq!(table.get(forged), None);
    assert_eq!(table.remove(forged), None);
    assert_eq!((table.len(), table.tokens().len()), (2, 2));
}

/// Whoever watches it a second time is refused, or served like the first.
#[test]
fn a_descriptor_is_watched_once_or_for_each_that_asks() {
    for kind in DispatcherKind::ALL {
        let mut event_loop = new_loop::<Echo>(kind);
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"x").unwrap();
        let (ours, calls) = (Rc::new(ours), [Rc::new(Cell::new(0)), Rc::default()]);
        let watched = [0, 1].map(|number| {
            let count = Rc::clone(&calls[number]);
            let ready = move |_: &mut _, _: &mut _, _| {
                count.set(count.get() + 1);
                Next::Keep
            };
            let interest = [Interest::WRITE, Interest::READ][number];
            event_loop.watch(Rc::clone(&ours), interest, ready)
        });
        event_loop.turn(Some(DEADLINE)).unwrap();
        for (watched, calls) in watched.iter().zip(&calls) {
            assert_eq!(watched.is_ok(), calls.get() > 0, "{kind}: {watched:?}");
        }
        assert!(watched[0].is_ok(), "{kind}");
    }
}

#[test]
fn a_listener_that_somebody_has_shut_down_does_not_spin() {
    every_dispatcher(|options| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let shared = listener.try_clone().unwrap();
        let mut server = TcpServer::on(listener.into(), options, |_| Echo).unwrap();
        shutdown(shared.as_raw_fd(), Shutdown::Read).unwrap();
        assert!(turns_while_quiet(server.main_loop()) < 10);
    });
}

// Input and output.

#[test]
fn one_that_sends_without_end_hears_its_peer() {
    struct Endless(Rc<Cell<bool>>);
    impl Handler for Endless {
        fn connected(&mut self, connection: &mut TcpConnection<Self>) {
            connection.send(b"first");
        }
        fn message(&mut self, _: &mut TcpConnection<Self>, input: &mut Input) {
            input.take();
            self.0.set(true);
        }
        fn write_complete(&mut self, connection: &mut TcpConnection<Self>) {
            connection.send(b"and more");
        }
    }
    for kind in DispatcherKind::ALL {
        let mut event_loop = new_loop(kind);
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        theirs.write_all(b"hear me").unwrap();
        let heard = Rc::default();
        event_loop
            .adopt(ours.into(), None, Endless(Rc::clone(&heard)))
            .unwrap();
        for _ in 0..100 {
            event_loop.turn(Some(Duration::ZERO)).unwrap();
            let _ = theirs.read_to_end(&mut Vec::new());
        }
        assert!(heard.get(), "{kind}");
    }
}

#[test]
fn an_output_that_nothing_was_appended_to_is_not_complete() {
    struct Looks(Rc<Cell<u32>>);
    impl Handler for Looks {
        fn connected(&mut self, connection: &mut TcpConnection<Self>) {
            connection.send(b"x");
        }
        fn message(&mut self, _: &mut TcpConnection<Self>, _: &mut Input) {}
        fn write_complete(&mut self, connection: &mut TcpConnection<Self>) {
            self.0.set(self.0.get() + 1);
            connection.out();
        }
    }
    for kind in DispatcherKind::ALL {
        let mut event_loop = new_loop(kind);
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let complete = Rc::default();
        event_loop
            .adopt(ours.into(), None, Looks(Rc::clone(&complete)))
            .unwrap();
        assert!(turns_while_quiet(&mut event_loop) < 10, "{kind}");
        assert_eq!(complete.get(), 1, "{kind}");
    }
}

#[test]
fn what_waits_in_the_output_is_counted() {
    let mut event_loop = new_loop(DispatcherKind::default());
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let token = event_loop.adopt(ours.into(), None, Echo).unwrap();
    event_loop.with(token, |_, connection| {
        connection.out().append(&[0; 50_000]);
        assert_eq!(connection.queued(), 50_000);
    });
}

/// While it is being sent, and after the kernel has refused more for the first time.
#[test]
fn a_file_that_becomes_shorter_ends_the_connection() {
    const LENGTH: u64 = 20_000_000;
    const SHORTER: usize = 12_345_678;
    struct Sends(Arc<OwnedFd>, Rc<Cell<Option<End>>>);
    impl Handler for Sends {
        fn connected(&mut self, connection: &mut TcpConnection<Self>) {
            connection.send_file(Arc::clone(&self.0), 0, LENGTH);
        }
        fn message(&mut self, _: &mut TcpConnection<Self>, _: &mut Input) {}
        fn closed(&mut self, _: &mut TcpConnection<Self>, end: End) {
            self.1.set(Some(end));
        }
    }
    for kind in DispatcherKind::ALL {
        let file = tempfile::tempfile().unwrap();
        file.set_len(LENGTH).unwrap();
        let shared = Arc::new(file.try_clone().unwrap().into());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut theirs = connect(listener.local_addr().unwrap());
        theirs.set_nonblocking(true).unwrap();
        let (ours, peer) = listener.accept().unwrap();
        let mut event_loop = new_loop(kind);
        let end = Rc::default();
        event_loop
            .adopt(ours.into(), Some(peer), Sends(shared, Rc::clone(&end)))
            .unwrap();
        for _ in 0..30 {
            event_loop.turn(Some(Duration::ZERO)).unwrap();
        }
        file.set_len(SHORTER as u64).unwrap();
        let mut read = Vec::new();
        turn_until(&mut event_loop, || {
            let _ = theirs.read_to_end(&mut read);
            end.get().is_some()
        });
        assert_eq!(end.get(), Some(End::Failed(Errno::EIO)), "{kind}");
        theirs.set_nonblocking(false).unwrap();
        theirs.read_to_end(&mut read).unwrap();
        assert_eq!(read.len(), SHORTER, "{kind}");
    }
}

/// What `message` leaves is offered again, though it was not yet kept when the pause ended.
#[test]
fn a_pause_that_ends_within_its_call_leaves_nothing_behind() {
    struct ByteByByte(Rc<Cell<u32>>);
    impl Handler for ByteByByte {
        fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
            self.0.set(self.0.get() + 1);
            input.consume(1);
            connection.pause();
            connection.resume();
        }
    }
    for kind in DispatcherKind::ALL {
        let mut event_loop = new_loop(kind);
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let calls = Rc::default();
        event_loop
            .adopt(ours.into(), None, ByteByByte(Rc::clone(&calls)))
            .unwrap();
        theirs.write_all(b"four").unwrap();
        for _ in 0..20 {
            event_loop.turn(Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(calls.get(), 4, "{kind}");
    }
}

#[test]
fn an_answer_is_not_given_on_a_connection_that_an_earlier_one_has_closed() {
    struct Asks(Arc<Workers>, Sender<&'static str>);
    impl Handler for Asks {
        fn connected(&mut self, connection: &mut TcpConnection<Self>) {
            let (go, gone) = channel();
            let first = move || gone.recv_timeout(DEADLINE).unwrap();
            connection.compute(&self.0, first, |_, connection, ()| connection.close());
            let late = |handler: &mut Self, _: &mut TcpConnection<Self>, _| {
                handler.1.send("answered").unwrap();
            };
            connection.compute(&self.0, || (), late);
            // One worker is with the first job. So this one comes when the second has its answer.
            connection.compute(&self.0, move || go.send(()).unwrap(), late);
        }
        fn message(&mut self, _: &mut TcpConnection<Self>, _: &mut Input) {}
        fn closed(&mut self, _: &mut TcpConnection<Self>, _: End) {
            self.1.send("closed").unwrap();
        }
    }
    let mut event_loop = new_loop(DispatcherKind::default());
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let ((tell, told), workers) = (channel(), Arc::new(Workers::new(2).unwrap()));
    event_loop
        .adopt(ours.into(), None, Asks(workers, tell))
        .unwrap();
    turn_until(&mut event_loop, || {
        told.try_recv().is_ok_and(|told| {
            assert_eq!(told, "closed");
            true
        })
    });
}

// Connecting.

#[test]
fn a_connect_that_select_cannot_watch_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut event_loop = new_loop::<Echo>(DispatcherKind::Select);
    let null = File::open("/dev/null").unwrap();
    let kept: Vec<_> = (0..1024).map(|_| null.try_clone().unwrap()).collect();
    let (tell, told) = channel();
    let request = Connect::to(listener.local_addr().unwrap());
    event_loop.connect(request, move |_, outcome| tell.send(outcome).unwrap());
    let mut outcome = None;
    turn_until(&mut event_loop, || {
        outcome = told.try_recv().ok();
        outcome.is_some()
    });
    drop(kept);
    let error = outcome.unwrap().unwrap_err().source;
    assert_eq!(error.raw_os_error(), Some(nix::libc::EMFILE), "{error}");
}

/// Thousands of times: it is never called from within `connect`, so that nothing grows.
#[test]
fn a_connect_that_fails_at_once_may_be_tried_anew_from_its_end() {
    struct Tries {
        left: Cell<u32>,
        connecting: Cell<bool>,
    }
    fn anew(event_loop: &mut EventLoop<Echo>, tries: Rc<Tries>) {
        // No peer of this family can be reached from there.
        let request = Connect {
            from: Some("[::1]:0".parse().unwrap()),
            ..Connect::to("127.0.0.1:9".parse().unwrap())
        };
        tries.connecting.set(true);
        let again = Rc::clone(&tries);
        event_loop.connect(request, move |event_loop, outcome| {
            assert!(outcome.is_err() && !again.connecting.get());
            again.left.set(again.left.get() - 1);
            if again.left.get() > 0 {
                anew(event_loop, again);
            }
        });
        tries.connecting.set(false);
    }
    let mut event_loop = new_loop(DispatcherKind::default());
    let tries = Rc::new(Tries {
        left: Cell::new(100),
        connecting: Cell::new(false),
    });
    anew(&mut event_loop, Rc::clone(&tries));
    turn_until(&mut event_loop, || tries.left.get() == 0);
}

// The end.

#[test]
fn a_stop_before_the_start_ends_at_once() {
    let (tell, told) = channel();
    thread::spawn(move || {
        let mut event_loop = new_loop::<Echo>(DispatcherKind::default());
        event_loop.stop(Duration::ZERO);
        event_loop.run().unwrap();
        tell.send(()).unwrap();
    });
    told.recv_timeout(DEADLINE).expect("it ends");
}

/// Stays when the others go, and asks for a stop at once when it hears from its peer, which speaks then.
struct Stays(UnixStream);

impl Handler for Stays {
    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        input.take();
        connection.event_loop().stop(Duration::ZERO);
    }
    fn stopping(&mut self, _: &mut TcpConnection<Self>) {
        self.0.write_all(b"enough").unwrap();
    }
}

#[test]
fn a_stop_at_once_holds_for_the_one_that_asks_for_it() {
    let mut event_loop = new_loop(DispatcherKind::default());
    let (ours, theirs) = UnixStream::pair().unwrap();
    event_loop.adopt(ours.into(), None, Stays(theirs)).unwrap();
    event_loop.handle().stop(2 * DEADLINE).unwrap();
    run_to_the_end(&mut event_loop);
}

/// Adopted by a task that was queued behind both stops.
#[test]
fn a_stop_at_once_holds_for_one_that_is_on_its_way() {
    struct Deaf;
    impl Handler for Deaf {
        fn message(&mut self, _: &mut TcpConnection<Self>, _: &mut Input) {}
        fn stopping(&mut self, _: &mut TcpConnection<Self>) {}
    }
    let mut event_loop = new_loop(DispatcherKind::default());
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let handle = event_loop.handle();
    handle.stop(2 * DEADLINE).unwrap();
    handle.stop(Duration::ZERO).unwrap();
    let adopt = |event_loop: &mut EventLoop<_>| {
        event_loop.adopt(ours.into(), None, Deaf).unwrap();
    };
    handle.queue(adopt).unwrap();
    run_to_the_end(&mut event_loop);
}

/// Adopted in the last call of one that the stop has closed.
#[test]
fn a_stop_whose_time_is_up_holds_for_one_that_comes_later() {
    struct Heir(Option<UnixStream>);
    impl Handler for Heir {
        fn message(&mut self, _: &mut TcpConnection<Self>, _: &mut Input) {}
        fn stopping(&mut self, _: &mut TcpConnection<Self>) {}
        fn closed(&mut self, connection: &mut TcpConnection<Self>, _: End) {
            if let Some(next) = self.0.take() {
                let event_loop = connection.event_loop();
                event_loop.adopt(next.into(), None, Self(None)).unwrap();
            }
        }
    }
    let mut event_loop = new_loop(DispatcherKind::default());
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let (next, _its_peer) = UnixStream::pair().unwrap();
    let handler = Heir(Some(next));
    event_loop.adopt(ours.into(), None, handler).unwrap();
    event_loop.handle().stop(Duration::from_millis(10)).unwrap();
    run_to_the_end(&mut event_loop);
}

/// The main loop has no connection to wait for, and still hears the second signal.
#[test]
fn with_threads_a_second_stop_at_once_is_heard_while_the_first_is_waited_for() {
    struct Deaf(Arc<OnceLock<LoopHandle<Deaf>>>);
    impl Deaf {
        /// For the main thread, which has it blocked: it comes to this server and to nobody else.
        fn signal(&self) {
            let signal = |_: &mut _| raise(Signal::SIGTERM).unwrap();
            self.0.get().unwrap().queue(signal).unwrap();
        }
    }
    impl Handler for Deaf {
        fn connected(&mut self, _: &mut TcpConnection<Self>) {
            self.signal();
        }
        fn message(&mut self, _: &mut TcpConnection<Self>, _: &mut Input) {}
        fn stopping(&mut self, _: &mut TcpConnection<Self>) {
            // The main loop ends meanwhile.
            thread::sleep(Duration::from_millis(100));
            self.signal();
        }
    }
    let options = ServerOptions {
        threads: 2,
        stop_on_signals: true,
        stop_within: DEADLINE,
        ..Default::default()
    };
    let main = Arc::new(OnceLock::new());
    let (address, given) = ("127.0.0.1:0".parse().unwrap(), Arc::clone(&main));
    let make = move |_| Deaf(Arc::clone(&given));
    let mut server = TcpServer::bind(&address, options, make).unwrap();
    main.set(server.main_loop().handle()).unwrap();
    let _client = connect(server.local_address().unwrap());
    let begun = Instant::now();
    server.run().unwrap();
    assert!(begun.elapsed() < DEADLINE);
}
