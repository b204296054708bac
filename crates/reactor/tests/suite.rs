//! What every dispatcher, trigger and number of threads must do alike.

mod support;

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use reactor::{
    Connect, ConnectError, DispatcherKind, End, EventLoop, Handler, Input, Interest, Limits, Next,
    Remote, ServerOptions, TcpConnection, Timeout, Workers,
};
use support::*;

#[test]
fn many_clients_get_their_own_bytes_back() {
    every(|options| {
        let server = serve(options, |_| Echo);
        let address = server.address;
        let clients: Vec<_> = (0..20usize)
            .map(|number| {
                thread::spawn(move || {
                    let mut stream = connect(address);
                    let data = pattern(1000 + number * 37);
                    for piece in data.chunks(101 + number) {
                        assert_eq!(exchange(&mut stream, piece), piece);
                    }
                    finish(&stream);
                    assert_eq!(read_to_end(&mut stream), b"");
                })
            })
            .collect();
        for client in clients {
            client.join().unwrap();
        }
        server.stop();
    });
}

/// Read from before it is registered, a connection is served like any other, whenever its peer speaks, ends or is gone.
#[test]
fn a_peer_that_may_speak_first_is_heard_first_or_later() {
    struct Listening;
    impl Handler for Listening {
        const PEER_SPEAKS_FIRST: bool = true;

        fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
            connection.send(input.take());
        }
    }
    every(|options| {
        let server = serve(options, |_| Listening);
        for number in 0..40 {
            let mut stream = connect(server.address);
            match number % 4 {
                0 => {
                    stream.write_all(b"at once").unwrap();
                    finish(&stream);
                    assert_eq!(read_to_end(&mut stream), b"at once");
                }
                1 => {
                    let mut served = connect(server.address);
                    assert_eq!(exchange(&mut served, b"others first"), b"others first");
                    assert_eq!(exchange(&mut stream, b"later"), b"later");
                    let data = pattern(300_000);
                    let (sent, mut writer) = (data.clone(), stream.try_clone().unwrap());
                    let writing = thread::spawn(move || writer.write_all(&sent).unwrap());
                    assert!(read_exactly(&mut stream, data.len()) == data);
                    writing.join().unwrap();
                }
                2 => {
                    stream.write_all(b"gone").unwrap();
                    reset(stream);
                }
                _ => drop(stream),
            }
        }
        server.stop();
    });
}

#[test]
fn large_data_comes_back_whole_while_the_client_writes_and_reads() {
    every(|options| {
        let server = serve(options, |_| Echo);
        let mut stream = connect(server.address);
        let data = pattern(3_000_000);
        let mut writer = stream.try_clone().unwrap();
        let sent = data.clone();
        let writing = thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            finish(&writer);
        });
        assert!(read_to_end(&mut stream) == data);
        writing.join().unwrap();
        server.stop();
    });
}

/// The peer's end is not ours: what was sent before it is answered.
#[test]
fn the_answer_to_a_half_closed_peer_arrives() {
    every(|options| {
        let server = serve(options, |_| Echo);
        let mut stream = connect(server.address);
        stream.write_all(b"last words").unwrap();
        finish(&stream);
        assert_eq!(read_to_end(&mut stream), b"last words");
        server.stop();
    });
}

/// Answers each line with its length, and leaves what is no line yet.
struct Lines;

impl Handler for Lines {
    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        while let Some(line) = input.line() {
            write!(connection.out(), "{} ", line.len()).unwrap();
        }
    }

    fn input_ended(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        write!(connection.out(), "cut off: {}", input.len()).unwrap();
        connection.shutdown();
    }
}

#[test]
fn input_that_is_not_consumed_is_kept() {
    every(|options| {
        let server = serve(options, |_| Lines);
        let mut stream = connect(server.address);
        for byte in b"one\ntwo" {
            stream.write_all(&[*byte]).unwrap();
        }
        assert_eq!(read_exactly(&mut stream, 2), b"4 ");
        let long = [&[b'x'; 100_000][..], b"\nthree\nrest"].concat();
        stream.write_all(&long).unwrap();
        finish(&stream);
        assert_eq!(read_to_end(&mut stream), b"100004 6 cut off: 4");
        server.stop();
    });
}

/// Sends 4 MB piece by piece, the next when the last one has gone.
struct Stream(usize);

impl Handler for Stream {
    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        input.take();
        self.write_complete(connection);
    }

    fn write_complete(&mut self, connection: &mut TcpConnection<Self>) {
        assert_eq!(connection.queued(), 0);
        match self.0.checked_sub(1) {
            Some(left) => {
                self.0 = left;
                connection.send(&[self.0 as u8; 20_000]);
            }
            None => connection.shutdown(),
        }
    }
}

#[test]
fn a_handler_may_produce_as_the_peer_takes() {
    every(|options| {
        let server = serve(options, |_| Stream(200));
        let mut stream = connect(server.address);
        stream.write_all(b"go").unwrap();
        let all = read_to_end(&mut stream);
        assert_eq!(all.len(), 4_000_000);
        assert!(
            all.chunks(20_000)
                .rev()
                .enumerate()
                .all(|(n, piece)| piece[0] == n as u8)
        );
        drop(stream);
        server.stop();
    });
}

/// Sends a head, a file and a tail, for each byte it gets.
struct Files(Arc<OwnedFd>, u64);

impl Handler for Files {
    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        for _ in input.take() {
            connection.out().append(b"head");
            connection.send_file(Arc::clone(&self.0), 10, self.1);
            connection.out().append(b"tail");
        }
    }
}

#[test]
fn files_go_out_in_order_with_bytes() {
    let content = pattern(3_000_010);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&content).unwrap();
    let file = Arc::new(OwnedFd::from(file));
    let expected = [b"head", &content[10..], b"tail"].concat();
    every(|options| {
        let file = Arc::clone(&file);
        let server = serve(options, move |_| Files(Arc::clone(&file), 3_000_000));
        let mut stream = connect(server.address);
        stream.write_all(b"12").unwrap();
        for _ in 0..2 {
            assert!(read_exactly(&mut stream, expected.len()) == expected);
        }
        finish(&stream);
        assert_eq!(read_to_end(&mut stream), b"");
        server.stop();
    });
}

#[test]
fn a_file_shorter_than_promised_ends_the_connection() {
    let file = Arc::new(OwnedFd::from(tempfile::tempfile().unwrap()));
    every_dispatcher(|options| {
        let file = Arc::clone(&file);
        let server = serve(options, move |_| Files(Arc::clone(&file), 100));
        let mut stream = connect(server.address);
        stream.write_all(b"1").unwrap();
        assert_eq!(read_to_end(&mut stream), b"head");
        server.stop();
    });
}

/// Computes each byte's square, the earlier ones taking longer.
struct Squares(Arc<Workers>);

impl Handler for Squares {
    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        for &byte in input.take() {
            let job = move || {
                thread::sleep(Duration::from_millis(u64::from(20_u8.saturating_sub(byte))));
                u32::from(byte).pow(2)
            };
            connection.compute(&self.0, job, |_, connection, square| {
                write!(connection.out(), "{square} ").unwrap();
            });
        }
    }
}

#[test]
fn answers_of_workers_come_in_order_even_after_a_half_close() {
    let workers = Arc::new(Workers::new(4).unwrap());
    every(|options| {
        let workers = Arc::clone(&workers);
        let server = serve(options, move |_| Squares(Arc::clone(&workers)));
        let mut streams: Vec<_> = (0..3).map(|_| connect(server.address)).collect();
        // More than the limit of jobs, and in two messages: the second waits in the kernel.
        let questions: Vec<u8> = (0..40).collect();
        for stream in &mut streams {
            stream.write_all(&questions[..20]).unwrap();
            stream.write_all(&questions[20..]).unwrap();
            finish(stream);
        }
        let expected: String = (0..40u32).map(|n| format!("{} ", n * n)).collect();
        for stream in &mut streams {
            assert_eq!(read_to_end(stream), expected.as_bytes());
        }
        server.stop();
    });
}

/// A job that panics, and one whose connection is gone.
#[test]
fn lost_answers_harm_nobody() {
    struct Panics(Arc<Workers>);
    impl Handler for Panics {
        fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
            let byte = input.take()[0];
            let job = move || assert_ne!(byte, b'!', "on purpose");
            connection.compute(&self.0, job, |_, connection, ()| connection.send(b"ok"));
            if byte == b'.' {
                connection.close();
            }
        }
    }
    let workers = Arc::new(Workers::new(2).unwrap());
    every_dispatcher(|options| {
        let workers = Arc::clone(&workers);
        let server = serve(options, move |_| Panics(Arc::clone(&workers)));
        for ends in [b"!", b"."] {
            let mut stream = connect(server.address);
            stream.write_all(ends).unwrap();
            assert_eq!(read_to_end(&mut stream), b"");
        }
        let mut stream = connect(server.address);
        assert_eq!(exchange(&mut stream, b"12"), b"ok");
        server.stop();
    });
}

/// Passes each message on to a thread, which sends it from there.
#[test]
fn other_threads_send_through_a_remote() {
    struct Relay(std::sync::mpsc::Sender<(Remote<Relay>, Vec<u8>)>);
    impl Handler for Relay {
        fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
            let _ = self.0.send((connection.remote(), input.take().to_vec()));
        }
    }
    every(|options| {
        let (tell, told) = channel();
        let server = serve(options, move |_| Relay(tell.clone()));
        let relay = thread::spawn(move || {
            let mut first = None;
            for (remote, data) in told {
                remote.send(data).unwrap();
                first.get_or_insert(remote);
            }
            let first = first.unwrap();
            until("its loop ends", || first.send("nobody").is_err());
        });
        for _ in 0..5 {
            let mut stream = connect(server.address);
            assert_eq!(exchange(&mut stream, b"hello"), b"hello");
        }
        server.stop();
        relay.join().unwrap();
    });
}

/// Stops reading for a while, and leaves its input meanwhile.
struct Pausing(bool);

impl Handler for Pausing {
    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        if self.0 {
            return connection.send(input.take());
        }
        connection.pause();
        let token = connection.token();
        let later = Duration::from_millis(30);
        connection.event_loop().after(later, move |event_loop| {
            event_loop.with(token, |handler: &mut Self, connection| {
                handler.0 = true;
                connection.resume();
            });
        });
    }
}

#[test]
fn a_paused_connection_goes_on_where_it_was() {
    every(|options| {
        let server = serve(options, |_| Pausing(false));
        let mut stream = connect(server.address);
        stream.write_all(b"before").unwrap();
        finish(&stream);
        assert_eq!(read_to_end(&mut stream), b"before");
        server.stop();
    });
}

/// Answers a line in each turn, and says what it was told last.
struct LineByLine;

impl Handler for LineByLine {
    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        if let Some(line) = input.line() {
            connection.send(line);
            connection.again();
        }
    }

    fn input_ended(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        write!(connection.out(), "end, {} left", input.len()).unwrap();
        connection.shutdown();
    }
}

/// Asked for in the next turn, the rest of the input comes before anything that arrived behind it, and before the end.
#[test]
fn a_handler_may_take_its_input_in_turns() {
    every(|options| {
        let server = serve(options, |_| LineByLine);
        let mut stream = connect(server.address);
        let lines: String = (0..500).map(|number| format!("line {number}\n")).collect();
        stream.write_all(lines.as_bytes()).unwrap();
        stream.write_all(b"rest").unwrap();
        finish(&stream);
        let answer = String::from_utf8(read_to_end(&mut stream)).unwrap();
        assert_eq!(answer, lines + "end, 4 left");
        server.stop();
    });
}

#[test]
fn idle_connections_time_out_and_busy_ones_do_not() {
    every(|mut options| {
        // Long enough that a busy machine does not stop us for so long between two exchanges.
        let idle_time = Duration::from_secs(1);
        options.limits.idle = Some(idle_time);
        let (server, told) = Teller::serve(options, true);
        let begun = Instant::now();
        let mut busy = connect(server.address);
        while begun.elapsed() < idle_time + Duration::from_millis(200) {
            assert_eq!(exchange(&mut busy, b"x"), b"x");
            thread::sleep(Duration::from_millis(5));
        }
        drop(busy);
        while !matches!(next(&told), Call::Closed(End::Finished)) {}

        let begun = Instant::now();
        let mut idle = connect(server.address);
        assert_eq!(read_to_end(&mut idle), b"");
        assert!(begun.elapsed() >= idle_time);
        assert_eq!(next(&told), Call::Connected);
        assert_eq!(next(&told), Call::Timeout(Timeout::Idle));
        assert_eq!(next(&told), Call::Closed(End::TimedOut));
        server.stop();
    });
}

/// Ends the connection 50 ms after the first message, whatever comes in between.
struct Deadline;

impl Handler for Deadline {
    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        if input.take().starts_with(b"start") {
            connection.set_deadline(Some(Duration::from_millis(50)));
        }
    }

    fn timeout(&mut self, connection: &mut TcpConnection<Self>, which: Timeout) {
        assert_eq!(which, Timeout::Deadline);
        connection.send(b"late");
        connection.shutdown();
    }
}

#[test]
fn a_deadline_is_not_moved_by_activity() {
    every_dispatcher(|mut options| {
        options.limits.linger = Duration::from_millis(100);
        let server = serve(options, |_| Deadline);
        let mut stream = connect(server.address);
        stream.write_all(b"start").unwrap();
        let mut dribble = stream.try_clone().unwrap();
        let dribbling = thread::spawn(move || while dribble.write_all(b".").is_ok() {});
        assert_eq!(read_exactly(&mut stream, 4), b"late");
        drop(stream);
        server.stop();
        dribbling.join().unwrap();
    });
}

/// What had arrived when the stop came is answered, and computed answers are waited for.
#[test]
fn a_stop_finishes_what_is_in_flight() {
    let workers = Arc::new(Workers::new(2).unwrap());
    every(|options| {
        let workers = Arc::clone(&workers);
        let mut server = serve(options, move |_| Squares(Arc::clone(&workers)));
        let idle = connect(server.address);
        let mut streams: Vec<_> = (0..3).map(|_| connect(server.address)).collect();
        for stream in &mut streams {
            assert_eq!(exchange(stream, &[3])[..1], *b"9");
            stream.read_exact(&mut [0]).unwrap();
            stream.write_all(&[2]).unwrap();
        }
        server.stopper.stop();
        for stream in &mut streams {
            assert_eq!(read_to_end(stream), b"4 ");
        }
        drop((streams, idle));
        server.ended();
    });
}

#[test]
fn a_stop_does_not_wait_longer_than_its_time() {
    every_dispatcher(|mut options| {
        options.stop_within = Duration::from_millis(100);
        let server = serve(options, |_| Echo);
        // It never reads what comes back.
        let mut stream = connect(server.address);
        stream
            .set_write_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        while stream.write_all(&[0; 65536]).is_ok() {}
        let begun = Instant::now();
        server.stop();
        assert!(begun.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn a_thousand_tasks_are_all_done_in_order() {
    every_dispatcher(|options| {
        let (tell, told) = channel();
        let (give, given) = channel();
        let server = serve_with(
            options,
            |_| Echo,
            move |server| {
                give.send(server.main_loop().handle()).unwrap();
            },
        );
        let handle = given.recv().unwrap();
        for number in 0..1000 {
            let tell = tell.clone();
            handle.queue(move |_| tell.send(number).unwrap()).unwrap();
        }
        for number in 0..1000 {
            assert_eq!(told.recv_timeout(DEADLINE), Ok(number));
        }
        server.stop();
        assert!(handle.queue(|_| {}).is_err());
    });
}

/// Connecting, from inside a loop: success, refusal with repetition, and time-out.
#[test]
fn the_client_side_connects_and_gives_up() {
    every_dispatcher(|options| {
        let server = serve(options.clone(), |_| Echo);
        let address = server.address;
        let refused = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        };

        let (tell, told) = channel();
        let dispatcher = options.dispatcher.open().unwrap();
        let mut event_loop = EventLoop::new("client", dispatcher, Limits::default()).unwrap();
        let teller = tell.clone();
        event_loop.connect(Connect::to(address), move |event_loop, outcome| {
            let handler = Teller {
                tell: teller,
                echo: false,
            };
            let token = event_loop
                .adopt(outcome.unwrap(), Some(address), handler)
                .unwrap();
            event_loop.with(token, |_, connection| connection.send(b"hello"));
        });
        let (gave_up, given_up) = channel::<ConnectError>();
        let request = Connect {
            attempts: 3,
            pause: Duration::from_millis(10),
            ..Connect::to(refused)
        };
        let begun = Instant::now();
        event_loop.connect(request, move |_, outcome| {
            gave_up.send(outcome.unwrap_err()).unwrap()
        });
        let mut failed = None;
        let mut calls = Vec::new();
        while failed.is_none() || calls.len() < 3 {
            event_loop.turn(Some(Duration::from_millis(100))).unwrap();
            failed = failed.or(given_up.try_recv().ok());
            calls.extend(told.try_iter());
            assert!(begun.elapsed() < DEADLINE);
        }
        assert_eq!(
            calls,
            [
                Call::Connected,
                Call::WriteComplete,
                Call::Message(b"hello".to_vec())
            ]
        );
        let failed = failed.unwrap();
        assert_eq!(failed.attempts, 3);
        assert_eq!(failed.source.kind(), std::io::ErrorKind::ConnectionRefused);
        assert!(begun.elapsed() >= Duration::from_millis(30));
        drop(event_loop);
        server.stop();
    });
}

/// A listener whose queue is full drops further SYNs: those connects get no answer.
#[test]
fn a_connect_without_an_answer_times_out() {
    let address = "127.0.0.1:0".parse().unwrap();
    let listener = common::tcp::listen(&address).unwrap();
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let address = common::tcp::local_address(&listener).unwrap();
    every_dispatcher(|options| {
        let dispatcher = options.dispatcher.open().unwrap();
        let mut event_loop =
            EventLoop::<Echo>::new("client", dispatcher, Limits::default()).unwrap();
        let (tell, told) = channel();
        // Whoever succeeds keeps a place.
        let mut kept = Vec::new();
        let begun = Instant::now();
        loop {
            let tell = tell.clone();
            let request = Connect {
                timeout: Duration::from_millis(100),
                ..Connect::to(address)
            };
            event_loop.connect(request, move |_, outcome| tell.send(outcome).unwrap());
            let outcome = loop {
                event_loop.turn(Some(Duration::from_millis(10))).unwrap();
                assert!(begun.elapsed() < DEADLINE);
                if let Ok(outcome) = told.try_recv() {
                    break outcome;
                }
            };
            match outcome {
                Ok(socket) => kept.push(socket),
                Err(error) => {
                    assert_eq!(error.source.raw_os_error(), Some(nix::libc::ETIMEDOUT));
                    break;
                }
            }
        }
    });
}

/// Datagrams, signals, pipes: whatever has a descriptor is a channel.
#[test]
fn datagram_sockets_and_pipes_are_channels() {
    for kind in DispatcherKind::ALL {
        let mut event_loop =
            EventLoop::<Echo>::new("main", kind.open().unwrap(), Limits::default()).unwrap();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let echo = event_loop
            .watch(socket, Interest::READ, |_, socket, _| {
                let mut datagram = [0; 100];
                while let Ok((length, from)) = socket.recv_from(&mut datagram) {
                    socket.send_to(&datagram[..length], from).unwrap();
                }
                Next::Keep
            })
            .unwrap();
        let (reader, writer) = nix::unistd::pipe().unwrap();
        let (tell, told) = channel();
        event_loop
            .watch(reader, Interest::READ, move |_, reader, _| {
                let mut bytes = [0; 100];
                match nix::unistd::read(&*reader, &mut bytes).unwrap() {
                    0 => {
                        tell.send(Vec::new()).unwrap();
                        Next::Remove
                    }
                    count => {
                        tell.send(bytes[..count].to_vec()).unwrap();
                        Next::Keep
                    }
                }
            })
            .unwrap();
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        for text in ["one", "two"] {
            client.send_to(text.as_bytes(), address).unwrap();
            nix::unistd::write(&writer, text.as_bytes()).unwrap();
            event_loop.turn(Some(DEADLINE)).unwrap();
            event_loop.turn(Some(Duration::from_millis(10))).unwrap();
            let mut answer = [0; 100];
            assert_eq!(client.recv(&mut answer).unwrap(), 3);
            assert_eq!(&answer[..3], text.as_bytes());
            assert_eq!(told.try_recv().unwrap(), text.as_bytes());
        }
        drop(writer);
        event_loop.turn(Some(DEADLINE)).unwrap();
        assert_eq!(told.try_recv().unwrap(), b"");
        event_loop.remove(echo);
        assert!(!event_loop.set_interest(echo, Interest::READ));
    }
}

#[test]
fn local_sockets_are_served_as_well() {
    use nix::sys::socket::*;
    every(|options| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let bound = path.clone();
        let (tell, told) = channel();
        let server = thread::spawn(move || {
            let flags = SockFlag::SOCK_CLOEXEC;
            let listener = socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
            bind(
                std::os::fd::AsRawFd::as_raw_fd(&listener),
                &UnixAddr::new(&bound).unwrap(),
            )
            .unwrap();
            let server = reactor::TcpServer::on(listener, options, |peer| {
                assert_eq!(peer, None);
                Echo
            });
            let server = server.unwrap();
            tell.send(server.stopper()).unwrap();
            server.run()
        });
        let stopper = told.recv_timeout(DEADLINE).unwrap();
        let data = pattern(100_000);
        let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let sent = data.clone();
        let writing = thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer == data);
        writing.join().unwrap();

        // A hang-up with unread input: the input is read before the end is told.
        let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
        stream.write_all(b"bye").unwrap();
        drop(stream);
        stopper.stop();
        server.join().unwrap().unwrap();
    });
}

#[test]
fn every_placement_serves_and_least_connections_is_even() {
    for placement in PLACEMENTS {
        let (give, given) = channel();
        let options = ServerOptions {
            threads: 4,
            placement,
            ..Default::default()
        };
        let server = serve_with(
            options,
            |_| Echo,
            move |server| give.send(server.loops()).unwrap(),
        );
        let loops = given.recv().unwrap();
        let mut streams: Vec<_> = (0..40).map(|_| connect(server.address)).collect();
        for stream in &mut streams {
            assert_eq!(exchange(stream, b"hello"), b"hello");
        }
        let counts = || {
            loops
                .iter()
                .map(|one| one.connections())
                .collect::<Vec<_>>()
        };
        assert_eq!(counts().iter().sum::<usize>(), 40, "{placement}");
        match placement {
            reactor::Placement::RoundRobin | reactor::Placement::LeastConnections => {
                assert_eq!(counts(), [10; 4]);
            }
            reactor::Placement::PeerHash => assert_eq!(counts().iter().max(), Some(&40)),
            reactor::Placement::ReusePort => {}
        }
        if placement == reactor::Placement::LeastConnections {
            // One loop loses its connections; the next ones go there.
            for index in (0..40).step_by(4).rev() {
                drop(streams.remove(index));
            }
            until("the connections are gone", || {
                counts().iter().sum::<usize>() == 30
            });
            streams.extend((0..10).map(|_| connect(server.address)));
            until("even again", || counts() == [10; 4]);
        }
        drop(streams);
        server.stop();
    }
}

/// However slow a loop's thread is to start, the server listens only when it is there.
#[test]
fn nobody_can_connect_before_every_loop_runs() {
    let started = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&started);
    let options = ServerOptions {
        threads: 2,
        on_start: Some(Arc::new(move |_| {
            thread::sleep(Duration::from_millis(50));
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        })),
        ..Default::default()
    };
    let server = serve(options, |_| Echo);
    assert_eq!(started.load(std::sync::atomic::Ordering::SeqCst), 2);
    server.stop();
}

#[test]
fn a_busy_port_is_an_error_and_leaves_no_thread() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let options = ServerOptions {
        threads: 2,
        ..Default::default()
    };
    let address = taken.local_addr().unwrap();
    let error = reactor::TcpServer::bind(&address, options, |_| Echo)
        .err()
        .unwrap();
    assert!(error.to_string().starts_with("bind 127.0.0.1:"), "{error}");
}
