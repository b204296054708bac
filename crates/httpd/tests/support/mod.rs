//! A server in a thread of its own, a loop in this one, and a client that understands answers. Every wait has a deadline.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use httpd::{
    DispatcherKind, HttpConnection, Limits, Method, More, Options, Request, Response, Server,
    ServerError, Service, Status, Stopper,
};
use nix::time::{ClockId, clock_gettime};
use reactor::EventLoop;

pub const DEADLINE: Duration = Duration::from_secs(20);

/// Answers with what was asked; a few paths are special.
pub fn echo(request: &Request, response: &mut Response) {
    match request.path() {
        "/empty" => {
            response.status(Status::NoContent);
        }
        "/close" => {
            response.text("bye\n").close();
        }
        "/large" => {
            response.text(vec![b'x'; 8 * 1024 * 1024]);
        }
        "/panic" => panic!("on purpose"),
        "/stream" => {
            let mut left = 3;
            response.text("").stream(move |part: &mut Vec<u8>| {
                left -= 1;
                part.extend_from_slice(format!("part {left}\n").as_bytes());
                match left {
                    0 => More::End,
                    1 => More::After(Duration::from_millis(1)),
                    _ => More::Now,
                }
            });
        }
        path => {
            let (method, host) = (request.method().as_str(), request.host());
            let method_and_more = format!("{method} {path} at {host}: ");
            response.text(method_and_more).body(request.body());
        }
    }
}

pub struct Running {
    pub address: SocketAddr,
    pub stopper: Stopper,
    thread: Option<JoinHandle<Result<(), ServerError>>>,
}

impl Running {
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Sends all of it, and reads to the end of the connection.
    pub fn exchange(&self, data: impl AsRef<[u8]>) -> Vec<u8> {
        let mut stream = self.connect();
        stream.write_all(data.as_ref()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    }

    /// It serves.
    pub fn is_well(&self) {
        let answer = self.exchange("GET /well HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(answers(&answer, &[])[0].status, 200);
    }

    /// Stops the server, and expects an orderly end.
    pub fn stop(mut self) {
        self.stopper.stop();
        self.ended();
    }

    pub fn ended(&mut self) {
        let thread = self.thread.take().unwrap();
        until("the server ends", || thread.is_finished());
        thread.join().unwrap().unwrap();
    }
}

pub fn serve(options: Options) -> Running {
    serve_with(options, echo)
}

pub fn serve_with(
    options: Options,
    answer: impl Fn(&Request, &mut Response) + Send + Sync + 'static,
) -> Running {
    serve_on("127.0.0.1:0", options, answer)
}

pub fn serve_on(
    address: &'static str,
    options: Options,
    answer: impl Fn(&Request, &mut Response) + Send + Sync + 'static,
) -> Running {
    let (tell, told) = channel();
    let thread = thread::spawn(move || {
        let server = Server::bind(&address.parse().unwrap(), options, answer)?;
        tell.send((server.local_address().unwrap(), server.stopper()))
            .unwrap();
        server.run()
    });
    let (address, stopper) = told.recv_timeout(DEADLINE).expect("the server starts");
    Running {
        address,
        stopper,
        thread: Some(thread),
    }
}

/// What this thread has spent.
pub fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    Duration::new(time.tv_sec() as u64, time.tv_nsec() as u32)
}

/// Awaits a fact of which nothing tells.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A loop in this thread, turned by hand: so it is certain what arrives together and what does not.
pub struct ByHand {
    pub event_loop: EventLoop<HttpConnection>,
    service: Service,
}

impl ByHand {
    pub fn new(limits: Limits) -> Self {
        Self::with(Options {
            limits,
            ..Default::default()
        })
    }

    pub fn with(options: Options) -> Self {
        Self::answering(options, echo)
    }

    pub fn answering(
        options: Options,
        answer: impl Fn(&Request, &mut Response) + Send + Sync + 'static,
    ) -> Self {
        let service = Service::new(options, answer);
        let dispatcher = DispatcherKind::default().open().unwrap();
        let event_loop = EventLoop::new("main", dispatcher, service.loop_limits()).unwrap();
        Self {
            event_loop,
            service,
        }
    }

    /// A client of the loop.
    pub fn connect(&mut self) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let connection = self.service.connection();
        self.event_loop
            .adopt(ours.into(), None, connection)
            .unwrap();
        theirs
    }

    /// Turns until nothing happens any more.
    pub fn settle(&mut self) {
        for _ in 0..3 {
            self.event_loop.turn(Some(Duration::ZERO)).unwrap();
        }
    }

    /// Sends the pieces one after the other; what comes back, and whether the connection was ended then.
    pub fn exchange(&mut self, pieces: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut client = self.connect();
        let mut answer = Vec::new();
        let mut ended = false;
        for piece in pieces {
            // The server may have closed by now: it is not asked to read what follows a refused request.
            let _ = client.write_all(piece);
            self.settle();
            ended |= take(&mut client, &mut answer);
        }
        if pieces.concat().starts_with(b"GET /stream") {
            // There is a pause in it.
            let deadline = Instant::now() + DEADLINE;
            while !answer.windows(6).any(|six| six == b"part 0") {
                assert!(Instant::now() < deadline, "the stream does not end");
                self.event_loop
                    .turn(Some(Duration::from_millis(1)))
                    .unwrap();
                ended |= take(&mut client, &mut answer);
            }
            self.settle();
            ended |= take(&mut client, &mut answer);
        }
        drop(client);
        self.settle();
        (answer, ended)
    }
}

/// Reads what is there. True at the end of the connection.
pub fn take(client: &mut UnixStream, answer: &mut Vec<u8>) -> bool {
    match client.read_to_end(answer) {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => true,
        Err(error) => panic!("{error}"),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}

/// Takes answers apart, strictly: `heads` are the indices of those to HEAD.
pub fn answers(mut bytes: &[u8], heads: &[usize]) -> Vec<Answer> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end =
            end.unwrap_or_else(|| panic!("no head: {:?}", String::from_utf8_lossy(bytes))) + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        bytes = &bytes[end..];
        assert!(
            head.starts_with("HTTP/1.1 ") && &head[12..13] == " ",
            "{head}"
        );
        let mut answer = Answer {
            status: head[9..12].parse().unwrap(),
            head,
            body: Vec::new(),
        };
        let final_ones = found
            .iter()
            .filter(|one: &&Answer| one.status != 100)
            .count();
        let bodiless = matches!(answer.status, 100 | 204 | 304) || heads.contains(&final_ones);
        if answer.status != 100 {
            assert!(
                answer
                    .header("Date")
                    .is_some_and(|date| date.ends_with(" GMT"))
            );
        }
        if !bodiless {
            match answer
                .header("Content-Length")
                .map(|length| length.parse::<usize>().unwrap())
            {
                Some(length) => {
                    answer.body = bytes[..length].to_vec();
                    bytes = &bytes[length..];
                }
                None if answer.header("Transfer-Encoding").is_some() => {
                    bytes = chunks(bytes, &mut answer.body);
                }
                None => {
                    answer.body = bytes.to_vec();
                    bytes = b"";
                }
            }
        }
        found.push(answer);
    }
    found
}

fn chunks<'a>(mut bytes: &'a [u8], body: &mut Vec<u8>) -> &'a [u8] {
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        body.extend_from_slice(&bytes[end + 2..end + 2 + size]);
        assert_eq!(&bytes[end + 2 + size..end + 4 + size], b"\r\n");
        bytes = &bytes[end + 4 + size..];
        if size == 0 {
            return bytes;
        }
    }
}

/// One request with this method on a path, more fields as given.
pub fn request(method: Method, path: &str, fields: &str) -> String {
    format!(
        "{} {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n",
        method.as_str()
    )
}
