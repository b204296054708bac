//! The lab's own tests: does the wire do what it is told, is a crash silent, and is a false claim found out?

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use lab::lab::Lab;
use lab::prelude::*;
use lab::programs::Programs;
use lab::run::{Bench, Status};
use lab::sandbox::{self, Sandbox};
use libtest_mimic::{Arguments, Failed, Trial};

type Story = fn(&Lab) -> Outcome;

/// What the run of a story must come to.
enum Expected {
    Pass,
    Fail(&'static str),
}

const STORIES: &[(&str, Story, Expected)] = &[
    (
        "a wire carries datagrams both ways",
        datagrams,
        Expected::Pass,
    ),
    (
        "a cut wire loses everything and tells nobody",
        cut,
        Expected::Pass,
    ),
    (
        "the n-th packet is lost, and only that one",
        lose,
        Expected::Pass,
    ),
    ("a packet is doubled", double, Expected::Pass),
    ("two packets are swapped", swap, Expected::Pass),
    ("a packet is altered", alter, Expected::Pass),
    (
        "a held packet comes when it is injected",
        hold,
        Expected::Pass,
    ),
    ("a wire with delay delays", delay, Expected::Pass),
    (
        "a crash sends neither FIN nor RST, and a reboot forgets",
        crash,
        Expected::Pass,
    ),
    (
        "a router forwards, and refuses with ICMP",
        router,
        Expected::Pass,
    ),
    (
        "segments on a wire are of the wire's size",
        segments,
        Expected::Pass,
    ),
    (
        "a kernel variable survives a reboot",
        variables,
        Expected::Pass,
    ),
    (
        "a false claim is found out",
        false_claim,
        Expected::Fail("one is two"),
    ),
    (
        "a claim that its control does not break is found out",
        no_control,
        Expected::Fail("holds in the control too"),
    ),
    (
        "a control that breaks off is found out",
        broken_control,
        Expected::Fail("the control broke off"),
    ),
    (
        "a story without a central claim is found out",
        no_centre,
        Expected::Fail("no central claim"),
    ),
    (
        "a panic is a failure of the experiment",
        panics,
        Expected::Fail("the experiment panicked: as arranged"),
    ),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(None)).exit_code();
    }
    let sandbox = sandbox::enter();
    if let Sandbox::Loopback { why } = &sandbox {
        eprintln!("skipped: no namespaces here ({why})");
        return ExitCode::SUCCESS;
    }
    let bench = Arc::new(Bench {
        sandbox,
        programs: Programs::default(),
        trace: false,
    });
    libtest_mimic::run(&arguments, trials(Some(&bench))).exit_code()
}

fn trials(bench: Option<&Arc<Bench>>) -> Vec<Trial> {
    let trial = |(name, story, expected): &'static (&str, Story, Expected)| {
        let bench = bench.cloned();
        Trial::test(*name, move || {
            bench.map_or(Ok(()), |bench| check(&bench, name, *story, expected))
        })
    };
    STORIES.iter().map(trial).collect()
}

fn check(
    bench: &Bench,
    name: &'static str,
    story: Story,
    expected: &Expected,
) -> Result<(), Failed> {
    let experiment = Experiment::new(name, name, story, "nothing of the kind is done");
    let status = bench
        .report(&experiment, matches!(expected, Expected::Fail(_)))
        .status;
    match (&status, expected) {
        (Status::Pass, Expected::Pass) => Ok(()),
        (Status::Fail(why), Expected::Fail(part)) if why.contains(part) => Ok(()),
        _ => Err(format!("{status:?}").into()),
    }
}

/// A socket on each of two hosts.
fn two_sockets(lab: &Lab) -> Result<([Host; 2], UdpSocket, UdpSocket), LabError> {
    let hosts = lab.hosts(["left", "right"])?;
    let socket = |host: &Host| {
        let address = (host.address(), PORT);
        host.enter(move || {
            let socket = UdpSocket::bind(address)?;
            socket.set_read_timeout(Some(Duration::from_secs(10)))?;
            Ok(socket)
        })
    };
    let (left, right) = (socket(&hosts[0])?, socket(&hosts[1])?);
    left.connect(right.local_addr()?)?;
    right.connect(left.local_addr()?)?;
    Ok((hosts, left, right))
}

fn receive(socket: &UdpSocket, count: usize) -> io::Result<String> {
    let mut text = String::new();
    for _ in 0..count {
        let mut buffer = [0; 16];
        let length = socket.recv(&mut buffer)?;
        text += &String::from_utf8_lossy(&buffer[..length]);
    }
    Ok(text)
}

fn datagrams(lab: &Lab) -> Outcome {
    let (hosts, left, right) = two_sockets(lab)?;
    left.send(b"a")?;
    right.send(b"b")?;
    lab.central("there", equal(receive(&right, 1)?, "a"));
    lab.claim("back", equal(receive(&left, 1)?, "b"));
    lab.claim(
        "and both were seen",
        lab.packets().udp().arrived().exactly(2),
    );
    lab.claim(
        "from their hosts",
        lab.packets().udp().from(&hosts[0]).to(&hosts[1]).exactly(1),
    );
    lab.claim("and nothing else passed", lab.packets().exactly(2));
    lab.done()
}

fn cut(lab: &Lab) -> Outcome {
    let (hosts, left, right) = two_sockets(lab)?;
    hosts[0].wire().cut();
    left.send(b"a")?;
    lab.until("the packet is on the wire", || lab.packets().some())?;
    hosts[0].wire().mend();
    left.send(b"b")?;
    lab.central("only the second arrives", equal(receive(&right, 1)?, "b"));
    lab.claim(
        "the first is in the record as lost",
        lab.packets().lost().exactly(1),
    );
    lab.done()
}

fn lose(lab: &Lab) -> Outcome {
    let (hosts, left, right) = two_sockets(lab)?;
    // Each rule counts every packet that fits, those that another one treats as well.
    for nth in [1, 3] {
        hosts[0].wire().lose(nth, |packet| packet.length > 0);
    }
    for byte in [b"a", b"b", b"c", b"d"] {
        left.send(byte)?;
    }
    lab.central(
        "the first and the third are missing",
        equal(receive(&right, 2)?, "bd"),
    );
    lab.done()
}

fn double(lab: &Lab) -> Outcome {
    let (hosts, left, right) = two_sockets(lab)?;
    hosts[0].wire().double(1, |packet| packet.length > 0);
    left.send(b"a")?;
    left.send(b"b")?;
    lab.central("the first comes twice", equal(receive(&right, 3)?, "aab"));
    lab.done()
}

fn swap(lab: &Lab) -> Outcome {
    let (hosts, left, right) = two_sockets(lab)?;
    hosts[0].wire().swap(1, |packet| packet.length > 0);
    for byte in [b"a", b"b", b"c"] {
        left.send(byte)?;
    }
    lab.central("the second comes first", equal(receive(&right, 3)?, "bac"));
    lab.done()
}

fn alter(lab: &Lab) -> Outcome {
    let (hosts, left, right) = two_sockets(lab)?;
    // The data begins behind the headers of Ethernet (14), IP (20) and UDP (8). A change breaks the checksum.
    hosts[0].wire().alter(1, |_| true, |frame| frame[42] ^= 1);
    left.send(b"a")?;
    left.send(b"b")?;
    lab.central(
        "the altered datagram is thrown away",
        equal(receive(&right, 1)?, "b"),
    );
    lab.claim(
        "as the kernel has counted",
        within(hosts[1].counter("Udp", "InCsumErrors")?, 1..),
    );
    lab.done()
}

fn hold(lab: &Lab) -> Outcome {
    let (hosts, left, right) = two_sockets(lab)?;
    let wire = hosts[0].wire();
    wire.hold(1, |packet| packet.length > 0);
    left.send(b"a")?;
    left.send(b"b")?;
    let before = receive(&right, 1)?;
    wire.held().iter().for_each(|packet| wire.inject(packet));
    lab.central(
        "it comes after what was sent later",
        equal(before + &receive(&right, 1)?, "ba"),
    );
    lab.done()
}

fn delay(lab: &Lab) -> Outcome {
    let (hosts, left, right) = two_sockets(lab)?;
    hosts[0].wire().delay(Duration::from_millis(50));
    let start = Instant::now();
    left.send(b"a")?;
    receive(&right, 1)?;
    lab.central(
        "50 ms pass",
        within(start.elapsed(), Duration::from_millis(50)..),
    );
    lab.done()
}

fn crash(lab: &Lab) -> Outcome {
    let [client, server] = lab.hosts(["client", "server"])?;
    let address = (server.address(), PORT);
    let listener = server.enter(|| TcpListener::bind(address))?;
    let mut stream = client.enter(|| TcpStream::connect(address))?;
    let (accepted, _) = listener.accept()?;
    server.crashes()?;
    drop((listener, accepted));
    lab.watches_for(Duration::from_millis(50));
    lab.central(
        "nothing is heard of it",
        lab.packets()
            .from(&server)
            .arrived()
            .lacks(FIN)
            .and(lab.packets().from(&server).lacks(RST)),
    );
    server.boots()?;
    stream.write_all(b"hello")?;
    let error = stream.read(&mut [0; 1]).map_err(|error| error.kind());
    lab.claim(
        "the new system knows nothing of the connection",
        equal(error, Err(io::ErrorKind::ConnectionReset)),
    );
    lab.done()
}

fn router(lab: &Lab) -> Outcome {
    let [client, router, server] = lab.routed(["client", "router", "server"])?;
    let address = (server.address(), PORT);
    let listener = server.enter(|| TcpListener::bind(address))?;
    let mut stream = client.enter(|| TcpStream::connect(address))?;
    let (mut accepted, _) = listener.accept()?;
    accepted.write_all(b"x")?;
    stream.read_exact(&mut [0; 1])?;
    router.routes(
        "10.0.2.99".parse().map_err(io::Error::other)?,
        32,
        Route::Unreachable,
    )?;
    let refused = client
        .enter(|| Ok(TcpStream::connect(("10.0.2.99", PORT)).map_err(|error| error.kind())))?;
    lab.central("it forwards", lab.packets().with(SYN | ACK).some());
    lab.claim(
        "it refuses",
        equal(refused.map(drop), Err(io::ErrorKind::HostUnreachable)),
    );
    lab.claim("by ICMP", lab.packets().from(&router).icmp(3, 1).exactly(1));
    lab.done()
}

fn segments(lab: &Lab) -> Outcome {
    let [client, server] = lab.hosts(["client", "server"])?;
    let address = (server.address(), PORT);
    let listener = server.enter(|| TcpListener::bind(address))?;
    let mut stream = client.enter(|| TcpStream::connect(address))?;
    let (mut accepted, _) = listener.accept()?;
    stream.write_all(&vec![7; 200_000])?;
    drop(stream);
    let mut data = Vec::new();
    accepted.read_to_end(&mut data)?;
    lab.central("all bytes arrive", equal(data.len(), 200_000));
    let largest = lab.packets().iter().map(|packet| packet.frame.len()).max();
    lab.claim(
        "in frames of at most 1514 bytes",
        within(largest, Some(1000)..=Some(1514)),
    );
    lab.done()
}

fn variables(lab: &Lab) -> Outcome {
    let [host, _other] = lab.hosts(["host", "other"])?;
    host.sets("net.ipv4.tcp_retries2", 3)?;
    host.crashes()?;
    host.boots()?;
    lab.central(
        "it is what it was",
        equal(host.variable("net.ipv4.tcp_retries2")?, "3"),
    );
    lab.done()
}

fn false_claim(lab: &Lab) -> Outcome {
    lab.central("one is two", equal(1, 2));
    lab.done()
}

fn no_control(lab: &Lab) -> Outcome {
    lab.central("one is one", equal(1, 1));
    lab.done()
}

fn broken_control(lab: &Lab) -> Outcome {
    lab.central("it is no control", equal(lab.is_control(), false));
    lab.vary(Ok(()), Err(io::Error::other("broken")))?;
    lab.done()
}

fn no_centre(lab: &Lab) -> Outcome {
    lab.claim("one is one", equal(1, 1));
    lab.done()
}

fn panics(_: &Lab) -> Outcome {
    panic!("as arranged")
}
