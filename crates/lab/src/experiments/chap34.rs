//! Chapter 34: an HTTP server.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Instant;

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};

use crate::browser::Browser;
use crate::doctor;
use crate::net::sock_diag::Socket;
use crate::prelude::*;
use crate::tracer::SystemCall;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "34/curl",
        "a page is asked for: status, length and body come back, and the connection stays",
        curl,
        "the request asks for the connection to be closed",
    ),
    Experiment::new(
        "34/split-request",
        "a request is cut in two at each of its bytes, and gets the same answer each time",
        split_request,
        "the client ends its side after the first piece",
    ),
    Experiment::new(
        "34/pipelined",
        "twenty requests come in one segment: twenty answers leave in one, in order",
        pipelined,
        "the third request lacks its Host field",
    ),
    Experiment::new(
        "34/keep-alive",
        "a connection of HTTP/1.0 ends with its answer, one of HTTP/1.1 carries a thousand requests",
        keep_alive,
        "all requests are HTTP/1.0",
    ),
    Experiment::new(
        "34/browser",
        "a real browser shows the page, the picture, and a page that keeps itself up to date",
        browser,
        "the bytes of the picture are called a page",
    ),
    Experiment::new(
        "34/slowloris",
        "two hundred clients send a byte each second: nobody waits for them, and they are ended in time",
        slowloris,
        "a request may take an hour",
    ),
    Experiment::new(
        "34/bad-requests",
        "twenty requests that are wrong in twenty ways: each is told so and closed, and the next client is served",
        bad_requests,
        "nothing is wrong with the requests",
    ),
];

const PAGE: &str = "<html><head><title>This is network programming</title></head><body><h1>Hello, network programming</h1></body></html>";
const NETWORK: &str = "hello, network programming";

fn server_on(host: &Host, options: &str) -> Result<Process, LabError> {
    let server = host.start(&format!("chap-34 http-server01 {options}"))?;
    server.listens()?;
    Ok(server)
}

/// A client's connection. What was read and is not yet used waits in it.
type Client = BufReader<TcpStream>;

fn client_of(stream: TcpStream) -> io::Result<Client> {
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

fn connects(host: &Host) -> Result<Client, LabError> {
    let client = host.enter(|| client_of(TcpStream::connect(("127.0.0.1", PORT))?))?;
    host.look();
    Ok(client)
}

fn sends(client: &mut Client, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    client.get_mut().write_all(bytes.as_ref())
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn says(&self, field: &str) -> Check {
        let found = self
            .head
            .lines()
            .any(|line| line.eq_ignore_ascii_case(field));
        Check::new(found, format_args!("{:?}", self.head))
    }
}

/// Reads one answer and leaves what follows; none at the end of the stream, however it came.
fn answer(client: &mut Client) -> Option<Answer> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let count = client.read_line(&mut head).ok()?;
        if count == 0 {
            return None;
        }
    }
    let field = |line: &str| line.strip_prefix("Content-Length: ")?.trim().parse().ok();
    let mut body = vec![0; head.lines().find_map(field).unwrap_or(0)];
    client.read_exact(&mut body).ok()?;
    Some(Answer {
        status: head.get(9..12)?.parse().ok()?,
        body: String::from_utf8_lossy(&body).into_owned(),
        head,
    })
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:43211\r\n\r\n")
}

fn asks(client: &mut Client, path: &str) -> Option<Answer> {
    sends(client, get(path)).ok()?;
    answer(client)
}

fn of_server(socket: &Socket) -> bool {
    socket.local.port() == PORT && socket.remote.port() != 0
}

/// Waits until the server has no connection any more.
fn until_over(lab: &Lab, host: &Host) -> Result<(), LabError> {
    lab.until("the connection is over", || match host.sockets() {
        Ok(sockets) => {
            let alive = |socket: &&Socket| of_server(socket) && socket.state != TcpState::TimeWait;
            equal(sockets.iter().filter(alive).count(), 0)
        }
        Err(error) => Check::unseen(error),
    })?;
    host.look();
    Ok(())
}

fn curl(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.names_own_hand("client");
    server_on(&host, "")?;
    let mut client = connects(&host)?;
    let close = lab.vary("", "Connection: close\r\n");
    let request = format!(
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:43211\r\nUser-Agent: curl/7.54.0\r\nAccept: */*\r\n{close}\r\n"
    );
    sends(&mut client, request)?;
    let Some(answer) = answer(&mut client) else {
        return Err(LabError::Impossible("there is no answer".into()));
    };
    if lab.is_control() {
        lab.until("the server has closed", || {
            !host.has(TcpState::Established, of_server)
        })?;
    }
    let stays = host.has(TcpState::Established, of_server);
    drop(client);
    until_over(lab, &host)?;
    lab.claim("the status is 200", equal(answer.status, 200));
    lab.claim("the length is 116", answer.says("Content-Length: 116"));
    lab.claim(
        "so many bytes follow, and they are the course's page",
        equal(&*answer.body, PAGE),
    );
    lab.central(
        "the server says that it keeps the connection",
        answer.says("Connection: Keep-Alive"),
    );
    lab.central("and so it does: it stays established", stays);
    if doctor::found("curl").is_some() {
        lab.ends_the_ladder();
        let run = || {
            let mut curl = std::process::Command::new("curl");
            let options = ["--silent", "--max-time", "20", "--noproxy", "*"];
            curl.args(options).arg("http://127.0.0.1:43211/").output()
        };
        let output = host.enter(run)?;
        lab.claim(
            "curl itself prints the page",
            equal(String::from_utf8_lossy(&output.stdout), PAGE),
        );
    }
    lab.done()
}

/// A read of a connection that brought something.
fn brought_something(call: &SystemCall) -> bool {
    let socket = call
        .descriptor
        .as_deref()
        .is_some_and(|name| name.starts_with("socket:"));
    socket
        && matches!(&*call.name, "read" | "readv" | "recvfrom")
        && matches!(call.result, Some(Ok(1..)))
}

fn split_request(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.names_own_hand("client");
    let server = host
        .program("chap-34 http-server01")
        .traced_drawing(&["recvfrom"])
        .start()?;
    server.listens()?;
    let request = get("/");
    let middle = request.len() / 2;
    let reads = || server.calls().filtered(brought_something).len();
    let mut statuses = Vec::new();
    let mut bodies = Vec::new();
    // The one that is drawn is cut in the middle.
    let others = (1..request.len()).filter(|&cut| cut != middle);
    let before = reads();
    for cut in [middle].into_iter().chain(others) {
        let mut client = connects(&host)?;
        let (first, second) = request.split_at(cut);
        let so_far = reads();
        sends(&mut client, first)?;
        lab.until("the server has read the first piece", || {
            equal(reads(), so_far + 1)
        })?;
        if lab.is_control() {
            client.get_ref().shutdown(Shutdown::Write)?;
        } else {
            sends(&mut client, second)?;
        }
        if let Some(answer) = answer(&mut client) {
            statuses.push(answer.status);
            bodies.push(answer.body);
        }
        drop(client);
        if cut == middle {
            until_over(lab, &host)?;
            server.draws_no_more_calls();
            lab.ends_the_ladder();
        }
    }
    let cuts = request.len() - 1;
    lab.central(
        "the request is answered wherever it was cut",
        equal(statuses.len(), cuts).and(all(statuses.iter().map(|&status| equal(status, 200)))),
    );
    lab.central(
        "the server has read each of them in two pieces",
        equal(reads() - before, 2 * cuts),
    );
    bodies.dedup();
    lab.central("the answer is always the same page", equal(bodies, [PAGE]));
    lab.figure("bytes of the request", request.len());
    lab.figure("cuts", cuts);
    lab.done()
}

fn pipelined(lab: &Lab) -> Outcome {
    const REQUESTS: usize = 20;
    let host = lab.host()?;
    host.names_own_hand("client");
    server_on(&host, "")?;
    let mut client = connects(&host)?;
    let paths = ["/", "/network", "/nothing", "/network"].repeat(REQUESTS / 4);
    let mut requests: Vec<_> = paths.iter().map(|path| get(path)).collect();
    if lab.is_control() {
        requests[2] = "GET /nothing HTTP/1.1\r\n\r\n".into();
    }
    lab.notes("twenty requests with one write");
    sends(&mut client, requests.concat())?;
    client.get_ref().shutdown(Shutdown::Write)?;
    let mut answers = Vec::new();
    while let Some(answer) = answer(&mut client) {
        answers.push(answer);
    }
    until_over(lab, &host)?;
    let carrying = |to_server: bool| {
        lab.packets()
            .tcp()
            .carrying_data()
            .that(|packet| (packet.destination.port() == PORT) == to_server)
    };
    lab.claim(
        "one segment carries all the requests",
        carrying(true).exactly(1),
    );
    let bodies: Vec<_> = answers.iter().map(|answer| &*answer.body).collect();
    let expected = |path: &str| match path {
        "/" => PAGE,
        "/network" => NETWORK,
        _ => "Not Found\n",
    };
    let in_order = bodies == paths.iter().map(|path| expected(path)).collect::<Vec<_>>();
    lab.central(
        "there are twenty answers, in the order of the requests",
        Check::new(in_order, format_args!("{} answers", bodies.len())),
    );
    lab.claim(
        "one segment carries all the answers",
        carrying(false).exactly(1),
    );
    let lengths: usize = answers
        .iter()
        .map(|answer| answer.head.len() + answer.body.len())
        .sum();
    lab.claim(
        "nothing else is in it",
        equal(carrying(false).bytes(), lengths),
    );
    lab.done()
}

fn keep_alive(lab: &Lab) -> Outcome {
    const REQUESTS: usize = 1000;
    let host = lab.host()?;
    host.names_own_hand("client");
    server_on(&host, "")?;
    let old = "GET /network HTTP/1.0\r\n\r\n".to_string();

    lab.notes("a request of HTTP/1.0");
    let mut first = connects(&host)?;
    sends(&mut first, &old)?;
    let status = answer(&mut first).map(|answer| answer.status);
    let end = first.read(&mut [0])?;
    drop(first);
    lab.eventually(
        "the server has closed the connection first: it is the one in TIME-WAIT",
        || host.has(TcpState::TimeWait, of_server),
    );
    host.look();
    lab.claim(
        "it has answered before",
        equal((status, end), (Some(200), 0)),
    );

    let new = lab.vary(get("/network"), old);
    lab.notes("requests of HTTP/1.1");
    let mut second = connects(&host)?;
    let mut answered = 0;
    for number in 0..REQUESTS {
        if sends(&mut second, &new).is_err() || answer(&mut second).is_none() {
            break;
        }
        answered += 1;
        if number == 1 {
            lab.ends_the_ladder();
        }
    }
    lab.central(
        "a thousand requests are answered on one connection",
        equal(answered, REQUESTS),
    );
    lab.central("it is still established", {
        host.has(TcpState::Established, of_server)
    });
    lab.claim("no other was made for them", {
        let syn = lab.packets().tcp().with(SYN).without(ACK);
        syn.exactly(2)
    });
    lab.done()
}

fn browser(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    lab.leaves_out(PORT..=PORT + 1);
    lab.leaves_out_packets(|packet| packet.tcp().is_none());
    let directory = lab.shared.directory.clone();
    let root = directory.join("root");
    let mut browser = Browser::start(&host, &directory)?;
    let server = host.program("chap-34 http-server01").named("server");
    server.start()?.listens()?;
    let site = format!("http://127.0.0.1:{PORT}");

    lab.notes("the browser goes to /");
    browser.goes_to(&site)?;
    let mut heading = String::new();
    lab.until("the page is there", || {
        heading = text(&mut browser, "document.querySelector('h1').innerText");
        Check::new(!heading.is_empty(), &heading)
    })?;
    lab.claim(
        "the page has its heading, as the browser sets it",
        equal(&*heading, "Hello, network programming"),
    );

    let photo = match lab.is_control() {
        false => format!("{site}/photo"),
        true => {
            let picture = host.enter(|| {
                let client = client_of(TcpStream::connect(("127.0.0.1", PORT))?)?;
                photo_of(client)
            })?;
            fs::create_dir(&root)?;
            fs::write(root.join("photo.html"), picture)?;
            let other = format!("--root {} --port {}", root.display(), PORT + 1);
            host.start(&format!("chap-34 http-server01 {other}"))?
                .listens()?;
            format!("http://127.0.0.1:{}/photo.html", PORT + 1)
        }
    };
    lab.notes("the browser goes to /photo");
    browser.goes_to(&photo)?;
    lab.until("the photo is there", || {
        let complete = "document.readyState + ' ' + location.pathname.slice(0, 6)";
        let state = text(&mut browser, complete);
        Check::new(state == "complete /photo", &state)
    })?;
    let kind = text(&mut browser, "document.contentType");
    let size = "(image => image && image.complete ? image.naturalWidth + ' by ' + image.naturalHeight : '')(document.images[0])";
    let size = text(&mut browser, size);
    lab.central(
        "the browser takes the bytes for what the server calls them, a picture",
        equal(&*kind, "image/png"),
    );
    lab.central(
        "the browser shows a picture of 882 by 592 points",
        equal(&*size, "882 by 592"),
    );

    lab.notes("the browser goes to /status");
    browser.goes_to(&format!("{site}/status"))?;
    let mut peer = String::new();
    lab.until("the first event has come", || {
        peer = text(&mut browser, "document.getElementById('peer').innerText");
        Check::new(peer.starts_with("127."), &peer)
    })?;
    let first_event = lab.now();
    let served = text(&mut browser, "document.getElementById('loop').innerText");
    let of_page = |socket: &Socket| of_server(socket) && socket.remote.to_string() == peer;
    lab.claim(
        "the page names its own connection, and the kernel has it",
        host.has(TcpState::Established, of_page),
    );
    lab.claim("one of the two loops serves it", {
        Check::new(served.starts_with("Thread-"), &served)
    });
    // The bytes that the loop of this page has sent, as the page shows them: they grow by the page's own events.
    let sent = "[...document.querySelectorAll('tr.you td')].at(6).innerText";
    let mut seen = Vec::new();
    lab.until("it has changed three times by itself", || {
        seen.push(text(&mut browser, sent));
        seen.dedup();
        within(seen.len(), 4..)
    })?;
    lab.claim(
        "it changes by itself, again and again",
        within(seen.len(), 4..),
    );
    let asked = lab.packets().tcp().carrying_data().since(first_event);
    let asked = asked.that(|packet| packet.source.to_string() == peer);
    lab.claim(
        "meanwhile the browser asks for nothing on that connection",
        asked.none(),
    );
    lab.table(
        &["path", "what the browser shows"],
        vec![
            vec!["/".into(), heading],
            vec!["/photo".into(), format!("a picture, {size}")],
            vec!["/status".into(), format!("a table that changes; {served}")],
        ],
        usize::MAX,
    );
    lab.done()
}

/// The text that an expression gives in the page; empty where there is none.
fn text(browser: &mut Browser, expression: &str) -> String {
    let value = browser.value(expression);
    let value = value
        .ok()
        .and_then(|value| value.as_str().map(String::from));
    value.unwrap_or_default()
}

/// Asks for the picture without a browser.
fn photo_of(mut client: Client) -> io::Result<Vec<u8>> {
    sends(
        &mut client,
        "GET /photo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )?;
    let mut all = Vec::new();
    client.read_to_end(&mut all)?;
    let head = all.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    Ok(all.split_off(head.map_or(0, |at| at + 4)))
}

/// Ports of a crowd of clients, above those that the kernel gives by itself.
const CROWD: u16 = 61_000;

/// A client with a port of our choice, so that the ladder can leave it out.
fn connects_from(host: &Host, port: u16) -> Result<Client, LabError> {
    let address = |port| {
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        SockaddrStorage::from(SocketAddr::from(address))
    };
    host.enter(|| {
        let client: OwnedFd = socket(
            AddressFamily::Inet,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC,
            None,
        )?;
        setsockopt(&client, sockopt::ReuseAddr, &true)?;
        bind(client.as_raw_fd(), &address(port))?;
        connect(client.as_raw_fd(), &address(PORT))?;
        client_of(client.into())
    })
}

fn slowloris(lab: &Lab) -> Outcome {
    const SLOW: u16 = 200;
    const DEADLINE: Duration = Duration::from_secs(3);
    let host = lab.host()?;
    host.names_own_hand("client");
    lab.leaves_out(CROWD..=CROWD + SLOW);
    let deadline = lab.vary(DEADLINE.as_secs(), 3600);
    server_on(&host, &format!("--threads 1 --deadline {deadline}"))?;
    lab.notes("200 clients begin a request, this is one of them");
    let mut slow = vec![connects(&host)?];
    for number in 1..SLOW {
        slow.push(connects_from(&host, CROWD + number)?);
    }
    let mut normal = connects_from(&host, CROWD)?;
    let mut waits = Vec::new();
    for byte in ["G", "E", "T"] {
        for client in &mut slow {
            sends(client, byte)?;
        }
        let second = Instant::now();
        while second.elapsed() < Duration::from_secs(1) {
            let begun = Instant::now();
            if asks(&mut normal, "/network").is_some_and(|answer| answer.body == NETWORK) {
                waits.push(begun.elapsed());
            }
            lab.watches_for(Duration::from_millis(50));
        }
    }
    // In the control none of them will be told anything.
    let patience = lab.vary(Duration::from_secs(20), Duration::from_millis(1));
    let mut told = 0;
    for client in &mut slow {
        client.get_ref().set_read_timeout(Some(patience))?;
        told += usize::from(answer(client).is_some_and(|answer| answer.status == 408));
    }
    let from_server = |fits: fn(&Passed) -> bool| {
        let packets = lab.packets().tcp().that(fits);
        packets.that(|packet| packet.source.port() == PORT && packet.destination.port() != CROWD)
    };
    let first_byte = lab.packets().tcp().carrying_data();
    let first_byte = first_byte.iter().map(|packet| packet.sent).min();
    let first_end = from_server(|packet| packet.tcp().is_some_and(|tcp| tcp.flags.has(FIN)));
    let first_end = first_end.iter().map(|packet| packet.sent).min();
    drop(slow);
    // The first to leave is the one that is drawn.
    let to_server = |packet: &Passed| packet.destination.port() == PORT;
    lab.until("the first of them has left", || {
        lab.packets().with(FIN).that(to_server).some()
    })?;
    lab.central(
        "every one of the 200 is told 408",
        equal(told, usize::from(SLOW)),
    );
    lab.central(
        "not before its three seconds are over, however often it has sent",
        {
            let time = first_end.zip(first_byte).map(|(end, begin)| end - begin);
            within(time, Some(DEADLINE - Duration::from_millis(100))..)
        },
    );
    waits.sort();
    lab.claim(
        "meanwhile a normal client is answered again and again",
        within(waits.len(), 10..),
    );
    lab.claim("it never waits as long as the slow ones do", {
        within(waits.last().copied().unwrap_or_default(), ..DEADLINE)
    });
    let median = waits.get(waits.len() / 2).copied().unwrap_or_default();
    lab.figure("answers to the normal client", waits.len());
    lab.figure("its median wait", format!("{median:.1?}"));
    lab.done()
}

/// Requests that are wrong: in which way, all of it, and the status that tells so.
fn wrong_requests() -> Vec<(&'static str, String, u16)> {
    let header = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
    vec![
        ("Host is missing", "GET / HTTP/1.1\r\n\r\n".into(), 400),
        ("there are two Hosts", header("Host: b"), 400),
        ("a blank before the colon", header("X : y"), 400),
        ("a folded line", header("X: y\r\n z"), 400),
        ("a CR within a line", header("X: y\rz"), 400),
        ("a NUL in a value", header("X: y\0z"), 400),
        (
            "lines without CR",
            "GET / HTTP/1.1\nHost: a\n\n".into(),
            400,
        ),
        (
            "two blanks",
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            400,
        ),
        (
            "letters beyond ASCII",
            "GET /\u{e4} HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            400,
        ),
        ("a length with a sign", header("Content-Length: +5"), 400),
        (
            "a length in hexadecimal",
            header("Content-Length: 0x5"),
            400,
        ),
        (
            "two lengths that differ",
            header("Content-Length: 5\r\nContent-Length: 6"),
            400,
        ),
        (
            "a length beyond 64 bits",
            header("Content-Length: 18446744073709551616"),
            400,
        ),
        (
            "a length, and chunks",
            header("Content-Length: 5\r\nTransfer-Encoding: chunked"),
            400,
        ),
        (
            "a chunk's size is no number",
            header("Transfer-Encoding: chunked") + "x\r\n",
            400,
        ),
        (
            "an unknown coding",
            header("Transfer-Encoding: rot13, chunked"),
            501,
        ),
        (
            "an unknown method",
            "BREW / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            501,
        ),
        (
            "another version",
            "GET / HTTP/2.0\r\nHost: a\r\n\r\n".into(),
            505,
        ),
        (
            "a target of 10 000 bytes",
            get(&format!("/{}", "a".repeat(10_000))),
            414,
        ),
        (
            "a header of 20 000 bytes",
            header(&format!("X: {}", "y".repeat(20_000))),
            431,
        ),
    ]
}

fn bad_requests(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.names_own_hand("client");
    server_on(&host, "")?;
    let wrong = wrong_requests();
    let (mut statuses, mut rows) = (Vec::new(), Vec::new());
    let (mut alone, mut next) = (0, 0);
    for (way, request, _) in &wrong {
        let mut client = connects(&host)?;
        let request = lab.vary(request.clone(), get("/"));
        // Another request is right behind: it must not be answered.
        sends(&mut client, request + &get("/network"))?;
        let refused = answer(&mut client);
        let status = refused.as_ref().map_or(0, |answer| answer.status);
        rows.push(vec![way.to_string(), status.to_string()]);
        statuses.push(status);
        client.get_ref().set_read_timeout(Some(
            lab.vary(Duration::from_secs(20), Duration::from_millis(1)),
        ))?;
        alone += usize::from(matches!(client.read(&mut [0]), Ok(0)));
        drop(client);
        if statuses.len() == 1 {
            until_over(lab, &host)?;
            lab.ends_the_ladder();
        }
        let answered = asks(&mut connects(&host)?, "/network");
        next += usize::from(answered.is_some_and(|answer| answer.body == NETWORK));
    }
    let expected: Vec<_> = wrong.iter().map(|&(.., status)| status).collect();
    lab.central("each is told what is wrong", equal(statuses, expected));
    lab.central(
        "the end of the connection follows at once: what comes behind is not answered",
        equal(alone, wrong.len()),
    );
    lab.claim("the client can read that: no reset destroys it", {
        let packets = lab.packets().tcp();
        packets
            .that(|packet| packet.source.port() == PORT)
            .lacks(RST)
    });
    lab.claim(
        "the next client is served each time",
        equal(next, wrong.len()),
    );
    lab.table(&["what is wrong", "status"], rows, usize::MAX);
    lab.done()
}
