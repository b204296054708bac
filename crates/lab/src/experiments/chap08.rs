//! Chapter 8: tools.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use drive::Program;
use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl::set_no_new_privs;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, connect, socket};

use crate::check::{Check, all, equal};
use crate::doctor;
use crate::net::sock_diag::Socket;
use crate::prelude::*;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "8/ping",
        "a host that answers is counted and timed; of a silent one every request is lost",
        ping,
        "the second host answers, too",
    )
    .isolated(),
    Experiment::new(
        "8/traceroute",
        "each router on the way names itself, by saying that a packet's time to live is used up",
        traceroute,
        "the messages of the router are lost",
    )
    .isolated(),
    Experiment::new(
        "8/netstat-agrees",
        "netstat shows the sockets, states and queues that the kernel has, and that ss(8) shows",
        netstat_agrees,
        "a connection is closed between the two looks",
    )
    .isolated(),
    Experiment::new(
        "8/tcpdump-agrees",
        "tcpdump shows each packet that passes, with the flags and numbers that tcpdump(8) shows",
        tcpdump_agrees,
        "it is told to show the segments with SYN only",
    )
    .also(&["chap-11"])
    .isolated(),
    Experiment::new(
        "8/who-has-the-port",
        "where bind fails because the address is in use, lsof names the process that has it",
        who_has_the_port,
        "the first server has another port",
    )
    .also(&["chap-11"]),
    Experiment::new(
        "8/who-has-the-socket",
        "lsof names the process behind a socket file",
        who_has_the_socket,
        "the server has been killed, and its file is still there",
    )
    .also(&["chap-7"]),
    Experiment::new(
        "8/udp-capture",
        "tcpdump shows datagrams as it shows segments",
        udp_capture,
        "the expression asks for TCP",
    )
    .also(&["chap-6"])
    .isolated(),
];

/// Starts a program on a host that is no part of the story: it has no column in the ladder. The lesson's own, or a tool of
/// the system; `None`, with a word in the ladder, where that is not installed.
fn aside(lab: &Lab, host: &Host, words: &[&str]) -> Result<Option<Program>, LabError> {
    let (name, arguments) = words.split_first().unwrap_or((&"", &[]));
    let path = match name.starts_with("chap-") {
        true => lab
            .shared
            .programs
            .path(name)
            .map_err(LabError::Impossible)?,
        false => match doctor::found(name) {
            Some(path) => path,
            None => {
                lab.notes(&format!(
                    "{name} is not installed here: nothing is compared with it"
                ));
                return Ok(None);
            }
        },
    };
    let start = || {
        let mut command = Command::new(path);
        // SAFETY: between fork and exec two system calls are made, nothing is allocated and no lock is taken.
        unsafe { command.pre_exec(pretend_setgroups) };
        Program::start(name, command.args(arguments)).map_err(io::Error::other)
    };
    Ok(Some(host.enter(start)?))
}

/// Makes setgroups(2) succeed without being done. tcpdump(8) calls it as root and gives up when it is refused, as it is in the
/// namespace of an ordinary user: user_namespaces(7). The filter is a program for the kernel, seccomp(2): what number has the
/// call? If it is this one, return 0, otherwise do what was asked.
fn pretend_setgroups() -> io::Result<()> {
    let step = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let mut steps = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            libc::SYS_setgroups as u32,
        ),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: steps.len() as u16,
        filter: steps.as_mut_ptr(),
    };
    set_no_new_privs()?;
    // SAFETY: the filter and its steps outlive the call, which copies them.
    let result = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    Errno::result(result)?;
    Ok(())
}

/// What such a program prints until it ends.
fn prints(lab: &Lab, host: &Host, words: &[&str]) -> Result<Option<Vec<String>>, LabError> {
    let Some(program) = aside(lab, host, words)? else {
        return Ok(None);
    };
    program.ends()?;
    Ok(Some(lines(&program)))
}

/// Says in the ladder whose packets the next ones are.
fn notes_same(lab: &Lab, tool: &str) {
    if doctor::found(tool).is_some() {
        lab.notes(&format!("{tool}(8) does the same"));
    }
}

fn lines(program: &Program) -> Vec<String> {
    let text = program.out().text();
    let some = text.lines().filter(|line| !line.is_empty());
    some.map(String::from).collect()
}

/// The same lines, in whatever order; what is only in one of them is seen.
fn same(ours: &[String], theirs: &[String]) -> Check {
    let lacks = |these: &[String], those: &[String]| -> Vec<String> {
        let mut those = those.to_vec();
        let mut lack = Vec::new();
        for line in these {
            match those.iter().position(|other| other == line) {
                Some(found) => drop(those.swap_remove(found)),
                None => lack.push(line.clone()),
            }
        }
        lack
    };
    let (more, less) = (lacks(ours, theirs), lacks(theirs, ours));
    let seen = match more.is_empty() && less.is_empty() {
        true => format!("{} lines, all the same", ours.len()),
        false => format!("only ours {more:?}, only theirs {less:?}"),
    };
    Check::new(more.is_empty() && less.is_empty() && !ours.is_empty(), seen)
}

/// The lines about replies, without their times.
fn replies(lines: &[String]) -> Vec<String> {
    let untimed = |line: &String| {
        line.split_once(" time=")
            .map(|(start, _)| start.to_string())
    };
    lines.iter().filter_map(untimed).collect()
}

fn ping(lab: &Lab) -> Outcome {
    let [client, server] = lab.hosts(["client", "server"])?;
    client.wire().delay(Duration::from_millis(10));
    let first = client.start("chap-8 ping 10.0.0.2 --count 2 --interval 0.2 --timeout 15")?;
    first.ends()?;
    let packets = lab.packets();
    lab.claim(
        "two requests go out, of type 8, and two replies come back, of type 0",
        packets
            .clone()
            .from(&client)
            .icmp(8, 0)
            .exactly(2)
            .and(packets.from(&server).icmp(0, 0).exactly(2)),
    );
    lab.claim(
        "both replies are counted",
        first
            .output()
            .says("2 packets transmitted, 2 received, 0% packet loss"),
    );
    let time = |line: &String| {
        line.split_once(" time=")?
            .1
            .strip_suffix(" ms")?
            .parse::<f64>()
            .ok()
    };
    let times: Vec<f64> = first.output().lines().iter().filter_map(time).collect();
    lab.claim(
        "each took at least the 20 ms that the wire takes for both ways",
        Check::new(
            times.len() == 2 && times.iter().all(|time| *time >= 20.0),
            format_args!("{times:?} ms"),
        ),
    );
    let ours = replies(first.output().lines());
    let words = ["ping", "-n", "-c", "2", "-i", "0.2", "-W", "15", "10.0.0.2"];
    notes_same(lab, "ping");
    if let Some(theirs) = prints(lab, &client, &words)? {
        lab.claim(
            "ping(8) shows the same sizes, numbers and times to live",
            same(&ours, &replies(&theirs)),
        );
    }

    server.sets("net.ipv4.icmp_echo_ignore_all", lab.vary(1, 0))?;
    lab.notes(lab.vary(
        "the server is told to ignore echo requests",
        "the server goes on answering",
    ));
    let before = lab.now();
    let wait = lab.vary(1, 15); // none, in the control
    let second = client.start(&format!(
        "chap-8 ping 10.0.0.2 --count 2 --interval 0.2 --timeout {wait}"
    ))?;
    let end = second.ends()?;
    let packets = lab.packets().since(before);
    lab.claim(
        "the requests to the silent host do arrive",
        packets
            .clone()
            .from(&client)
            .icmp(8, 0)
            .arrived()
            .exactly(2),
    );
    lab.central("it sends nothing back", packets.from(&server).none());
    lab.central(
        "all of them count as lost",
        second
            .output()
            .says("2 packets transmitted, 0 received, 100% packet loss"),
    );
    lab.central("ping ends with code 1", end.exited_with(1));
    ping_v6(lab)
}

/// The reports of multicast groups (RFC 3810), which an interface with IPv6 sends of its own accord.
fn of_multicast(packet: &Packet) -> bool {
    matches!(packet.kind, Kind::Icmp { kind: 143, .. })
}

/// The same over IPv6, whose types have other numbers.
fn ping_v6(lab: &Lab) -> Outcome {
    lab.leaves_out_packets(of_multicast);
    let [client, server] = lab.hosts_v6(["client6", "server6"])?;
    let ping = client.start("chap-8 ping fd00::2 --count 1 --timeout 15")?;
    ping.ends()?;
    let packets = lab.packets();
    lab.claim(
        "over IPv6 the types are 128 and 129",
        packets
            .clone()
            .from(&client)
            .icmp(128, 0)
            .exactly(1)
            .and(packets.from(&server).icmp(129, 0).exactly(1)),
    );
    lab.claim(
        "that reply is counted, too",
        ping.output()
            .says("1 packets transmitted, 1 received, 0% packet loss"),
    );
    lab.done()
}

/// The router or host that each line about a hop names: the words are the hop's number, the name, and a time.
fn named(lines: &[String]) -> Vec<String> {
    let hop = |line: &String| {
        let mut words = line.split_whitespace();
        words.next()?.parse::<u8>().ok()?;
        words.next().map(String::from)
    };
    lines.iter().filter_map(hop).collect()
}

fn traceroute(lab: &Lab) -> Outcome {
    lab.leaves_out_packets(of_multicast);
    let names = ["client", "router", "server"];
    for (v6, hops) in [
        (false, ["10.0.1.1", "10.0.2.2"]),
        (true, ["fd00:1::1", "fd00:2::2"]),
    ] {
        let [client, router, server] = match v6 {
            false => lab.routed(names)?,
            true => lab.routed_v6(names.map(|name| match name {
                "client" => "client6",
                "router" => "router6",
                _ => "server6",
            }))?,
        };
        server.sets(
            if v6 {
                "net.ipv6.icmp.ratelimit"
            } else {
                "net.ipv4.icmp_ratelimit"
            },
            0,
        )?;
        // Type and code of "time exceeded in transit", and of "port unreachable".
        let (exceeded, unreachable) = if v6 {
            ((3, 0), (1, 4))
        } else {
            ((11, 0), (3, 3))
        };
        if lab.is_control() {
            client.wire().lose_all(move |packet| {
                packet.kind
                    == Kind::Icmp {
                        kind: exceeded.0,
                        code: exceeded.1,
                    }
            });
        }
        let before = lab.now();
        let wait = lab.vary("15", "0.3");
        let program = client.start(&format!(
            "chap-8 traceroute {} --queries 1 --wait {wait}",
            hops[1]
        ))?;
        let end = program.ends()?;
        let packets = lab.packets().since(before);
        let family = if v6 { "IPv6" } else { "IPv4" };
        lab.central(
            &format!(
                "over {family} the first hop is named, the router, and the second, the server"
            ),
            equal(named(program.output().lines()), hops),
        );
        lab.claim(
            &format!("over {family} the router has said that the first request's time is used up"),
            packets
                .clone()
                .from(&router)
                .icmp(exceeded.0, exceeded.1)
                .exactly(1),
        );
        lab.claim(
            &format!(
                "over {family} the server has said that nobody listens at the second request's port"
            ),
            packets
                .from(&server)
                .icmp(unreachable.0, unreachable.1)
                .check(end.success())
                .and(
                    lab.packets()
                        .since(before)
                        .from(&server)
                        .icmp(unreachable.0, unreachable.1)
                        .some(),
                ),
        );
        let words = [
            "traceroute",
            "-n",
            "-q",
            "1",
            "-N",
            "1",
            "-w",
            wait,
            "-m",
            "4",
            hops[1],
        ];
        notes_same(lab, "traceroute");
        if let Some(theirs) = prints(lab, &client, &words)? {
            lab.claim(
                &format!("over {family} traceroute(8) names the same"),
                equal(named(program.output().lines()), named(&theirs)),
            );
        }
    }
    lab.done()
}

/// Sockets that the experiment holds open.
#[derive(Default)]
struct Held {
    streams: Vec<TcpStream>,
    listeners: Vec<TcpListener>,
    datagrams: Vec<UdpSocket>,
    others: Vec<OwnedFd>,
}

/// Waits until so many of a host's sockets are in a state: in the control, too, as long as it takes. [`Lab::until`] is short
/// there, because it may wait for what cannot come.
fn reaches(lab: &Lab, host: &Host, state: TcpState, count: usize) -> Outcome {
    let look = || {
        let sockets = host.sockets();
        let there = |all: Vec<_>| {
            all.iter()
                .filter(|socket: &&Socket| socket.state == state)
                .count()
        };
        sockets.map_or_else(Check::unseen, |all| equal(there(all), count))
    };
    let awaited = format!("{count} connections are in {state}");
    for _ in 0..6 {
        if lab.until(&awaited, look).is_ok() {
            break;
        }
    }
    lab.until(&awaited, look)
}

/// Fifty connections of the client, in six states, and some other sockets.
fn fifty(lab: &Lab, client: &Host, server: &Host) -> Result<Held, LabError> {
    use std::io::Write;
    use std::net::Shutdown::Write as Sending;
    let mut held = Held::default();
    let connect_all = |count: usize| -> Result<Vec<(TcpStream, TcpStream)>, LabError> {
        let listener = server.enter(|| TcpListener::bind(("10.0.0.2", PORT)))?;
        let mut pairs = Vec::new();
        for _ in 0..count {
            let near = client.enter(|| TcpStream::connect(("10.0.0.2", PORT)))?;
            pairs.push((near, server.enter(|| Ok(listener.accept()?.0))?));
        }
        Ok(pairs)
    };
    // All connections share one listener, which is closed again: it would stand in the server's table only.
    let mut pairs = connect_all(42)?;
    // ESTABLISHED, each with other data that nobody reads.
    for (number, (_, far)) in pairs[..10].iter_mut().enumerate() {
        far.write_all(&vec![b'x'; 100 + number])
            .map_err(|error| LabError::Impossible(error.to_string()))?;
    }
    let shut = |stream: &TcpStream| {
        stream
            .shutdown(Sending)
            .map_err(|error| LabError::Impossible(error.to_string()))
    };
    for (_, far) in &pairs[10..18] {
        shut(far)?; // the client's end: CLOSE_WAIT
    }
    for (near, _) in &pairs[18..34] {
        shut(near)?; // FIN_WAIT2
    }
    reaches(lab, client, TcpState::FinWait2, 16)?;
    reaches(lab, client, TcpState::CloseWait, 8)?;
    for (_, far) in &pairs[26..34] {
        shut(far)?; // TIME_WAIT
    }
    reaches(lab, client, TcpState::TimeWait, 8)?;
    client.wire().cut();
    for (near, _) in &mut pairs[34..42] {
        near.write_all(&[b'x'; 200])
            .map_err(|error| LabError::Impossible(error.to_string()))?;
        shut(near)?; // FIN_WAIT1: neither the data nor the FIN arrives
    }
    let address: SocketAddr = ([10, 0, 0, 2], PORT).into();
    for _ in 0..8 {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let knocking = || {
            let knocking = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
            match connect(knocking.as_raw_fd(), &SockaddrStorage::from(address)) {
                Ok(()) | Err(Errno::EINPROGRESS) => Ok(knocking), // SYN_SENT
                Err(error) => Err(error.into()),
            }
        };
        held.others.push(client.enter(knocking)?);
    }
    // A listener for IPv6 with a connection in its queue, and datagram sockets: one with a datagram that waits.
    let local = |port: u16| SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    client.enter(|| {
        held.listeners.push(TcpListener::bind(local(PORT))?);
        held.streams.push(TcpStream::connect(local(PORT))?);
        held.datagrams.push(UdpSocket::bind(local(PORT))?);
        held.datagrams.push(UdpSocket::bind(("127.0.0.1", PORT))?);
        held.datagrams[0].send_to(b"data1", local(PORT)).map(drop)
    })?;
    held.streams
        .extend(pairs.into_iter().flat_map(|(near, far)| [near, far]));
    Ok(held)
}

/// Protocol, state, queues and addresses of each socket, in one form.
fn table(lines: &[String], columns: [usize; 6]) -> Vec<String> {
    let row = |line: &String| {
        let mut words: Vec<String> = line
            .split_whitespace()
            .map(|word| word.replace('-', "_"))
            .collect();
        // Of UDP netstat has nothing to say here, and ss has this.
        words.resize(words.len().max(6), "UNCONN".into());
        let words = columns.map(|column| words[column].clone());
        let [protocol, state, receive, send, local, remote] = words;
        let state = match state.as_str() {
            "ESTAB" => "ESTABLISHED".into(),
            "FIN_WAIT_1" => "FIN_WAIT1".into(),
            "FIN_WAIT_2" => "FIN_WAIT2".into(),
            state => state.to_string(),
        };
        let protocol = protocol.trim_end_matches('6');
        let known = ["tcp", "udp"].contains(&protocol);
        known.then(|| format!("{protocol} {state} {receive} {send} {local} {remote}"))
    };
    lines.iter().filter_map(row).collect()
}

fn netstat_agrees(lab: &Lab) -> Outcome {
    lab.leaves_out(PORT..=PORT);
    let [client, server] = lab.hosts(["client", "server"])?;
    let mut held = fifty(lab, &client, &server)?;
    lab.notes("50 connections of the client are in six states");
    let netstat = client.start("chap-8 netstat --all --tcp --udp")?;
    netstat.ends()?;
    if lab.is_control() {
        // The first pair: a connection with unread data. It is gone with its close, and the wire is cut.
        let before = client.sockets()?.len();
        drop(held.streams.drain(1..3));
        lab.until("it is gone", || {
            let now = client.sockets().map_or(before, |sockets| sockets.len());
            Check::new(now < before, "all are there")
        })?;
    }
    let ours = table(netstat.output().lines(), [0, 5, 1, 2, 3, 4]);
    let sockets = client.sockets()?;
    let in_kernel = |state: TcpState| {
        sockets
            .iter()
            .filter(|socket| socket.state == state)
            .count()
    };
    lab.claim(
        "fifty of the client's connections are to the server",
        equal(
            ours.iter()
                .filter(|line| line.contains("10.0.0.2:43211"))
                .count(),
            50,
        ),
    );
    let states = [
        (TcpState::SynSent, "SYN_SENT"),
        (TcpState::Established, "ESTABLISHED"),
        (TcpState::FinWait1, "FIN_WAIT1"),
        (TcpState::FinWait2, "FIN_WAIT2"),
        (TcpState::CloseWait, "CLOSE_WAIT"),
        (TcpState::TimeWait, "TIME_WAIT"),
        (TcpState::Listen, "LISTEN"),
    ];
    let shown = |name: &str| {
        ours.iter()
            .filter(|line| line.split(' ').nth(1) == Some(name))
            .count()
    };
    let counts = states.map(|(state, name)| ((name, shown(name)), (name, in_kernel(state))));
    lab.central(
        "netstat shows as many in each state as the kernel has",
        Check::new(
            counts.iter().all(|(ours, kernel)| ours == kernel),
            format_args!("{:?}", counts.map(|(ours, _)| ours)),
        ),
    );
    let queues: u32 = sockets.iter().map(|socket| socket.receive_queue).sum();
    let shown = ours.iter().filter(|line| line.starts_with("tcp"));
    let received: u32 = shown
        .filter_map(|line| line.split(' ').nth(2)?.parse::<u32>().ok())
        .sum();
    lab.central(
        "and as many bytes that wait to be read",
        equal(received, queues),
    );
    if let Some(theirs) = prints(lab, &client, &["ss", "-t", "-u", "-a", "-n", "-H"])? {
        let theirs = table(&theirs, [0, 1, 2, 3, 4, 5]);
        lab.central(
            "ss(8) shows the same sockets, states and queues",
            same(&ours, &theirs),
        );
    }
    lab.done()
}

/// tcpdump(8), which prints at once, as root and without names. With the snapshot length of its own, 256 KiB, there would be
/// room for eight packets only in the memory that it shares with the kernel, and a burst of nine would lose one.
const TCPDUMP: [&str; 9] = [
    "tcpdump",
    "--immediate-mode",
    "-s",
    "2048",
    "-Z",
    "root",
    "-l",
    "-n",
    "-t",
];

/// The letters and the length of each segment on the wire, as tcpdump writes them.
fn segments(packets: &[Passed]) -> Vec<String> {
    let letters = [
        (FIN, 'F'),
        (SYN, 'S'),
        (RST, 'R'),
        (PSH, 'P'),
        (ACK, '.'),
        (URG, 'U'),
    ];
    let shown = |packet: &Passed| {
        let tcp = packet.tcp()?;
        let set: String = letters
            .iter()
            .filter(|(flag, _)| tcp.flags.has(*flag))
            .map(|(_, letter)| letter)
            .collect();
        Some(format!("[{set}] {}", packet.length))
    };
    packets.iter().filter_map(shown).collect()
}

/// The same of printed lines.
fn printed(lines: &[String]) -> Vec<String> {
    let shown = |line: &String| {
        let (flags, rest) = line.split_once("Flags ")?.1.split_once(',')?;
        Some(format!("{flags} {}", rest.rsplit_once("length ")?.1))
    };
    lines.iter().filter_map(shown).collect()
}

fn tcpdump_agrees(lab: &Lab) -> Outcome {
    const LOCAL: u16 = 5000;
    lab.leaves_out(LOCAL..=LOCAL);
    let [client, server] = lab.hosts(["client", "server"])?;
    let expression = lab.vary("tcp", "tcp[13]&2 != 0");
    let shown = client
        .program("chap-8 tcpdump -t -i wire0")
        .arg(expression)
        .start()?;
    shown.complains("listening on")?;
    // On all interfaces, with the IP headers and checksums, and no part of the ladder: their lines are long.
    let ours = aside(lab, &client, &["chap-8", "tcpdump", "-t", "-v", expression])?;
    let syn = aside(lab, &client, &["chap-8", "tcpdump", "-t", "tcp[13]&2 != 0"])?;
    let theirs = aside(
        lab,
        &client,
        &[&TCPDUMP[..], &["-v", "-i", "any", "tcp"]].concat(),
    )?;
    for program in [&ours, &syn, &theirs].into_iter().flatten() {
        program.complains("listening on")?;
    }

    // Over IPv6, on the loopback interface, whose packets have no right checksums.
    client.enter(|| {
        use std::io::Write;
        let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, LOCAL))?;
        let mut stream = TcpStream::connect((Ipv6Addr::LOCALHOST, LOCAL))?;
        stream
            .write_all(b"data1")
            .and_then(|()| listener.accept().map(drop)) // closed with data unread: a reset
    })?;
    // Without timestamps the lines of the ladder are short enough to be read.
    for host in [&client, &server] {
        host.sets("net.ipv4.tcp_timestamps", 0)?;
    }
    let server = server
        .program("chap-11 graceserver --bind 10.0.0.2 --pause 1")
        .start()?;
    server.listens()?;
    // One step after the other, so that it can be read beside the packets. In the control most steps are not shown.
    let sees = |text: &str| -> Outcome {
        if !lab.is_control() {
            shown.says(text)?;
        }
        Ok(())
    };
    let user = client.start("chap-11 graceclient 10.0.0.2 --stay 0")?;
    sees("Flags [.], ack 1, ")?;
    user.types("data1")?;
    server.says("received 5 bytes: data1")?;
    sees("Flags [.], ack 6, ")?;
    user.types("data2")?;
    sees("Flags [.], ack 11, ")?;
    user.says("send bytes: 5")?;
    user.says("send bytes: 5")?;
    user.types("close")?;
    sees("Flags [.], ack 12, ")?;
    server.ends()?;
    let wire = lab
        .packets()
        .tcp()
        .that(|packet| packet.source.port() == PORT || packet.destination.port() == PORT);
    lab.claim(
        "the story has a SYN, data, a FIN and a reset",
        all([SYN, PSH, FIN, RST].map(|flag| wire.clone().has(flag))),
    );
    // The reset is the last packet. In the control nobody shows it.
    let last = "Flags [R], ";
    for program in [&ours, &theirs].into_iter().flatten() {
        if !lab.is_control() || program.name() == "tcpdump" {
            program.says("wire0 Out")?;
            program.says(last)?;
        }
    }
    sees(last)?;
    for program in [&ours, &syn, &theirs].into_iter().flatten() {
        program.signal(Signal::SIGINT);
        program.ends()?;
    }
    shown.types_ctrl_c();
    shown.ends()?;

    lab.central(
        "every segment on the wire is shown, with its flags and its length",
        same(&printed(shown.output().lines()), &segments(&wire)),
    );
    if let (Some(ours), Some(theirs)) = (&ours, &theirs) {
        lab.central("tcpdump(8) shows the same, numbers, windows, options and checksums included, and IPv6 alike", same(&lines(ours), &lines(theirs)));
    }
    let syns: Vec<_> = syn.iter().flat_map(lines).collect();
    lab.claim(
        "the expression tcp[13]&2 != 0 leaves the two segments with SYN of each connection",
        equal(printed(&syns), ["[S] 0", "[S.] 0", "[S] 0", "[S.] 0"]),
    );
    lab.done()
}

/// The process numbers in lsof's lines.
fn pids(program: &Process) -> Vec<i32> {
    let lines = program.output().lines().to_vec();
    lines
        .iter()
        .filter_map(|line| line.split_whitespace().nth(1)?.parse().ok())
        .collect()
}

fn who_has_the_port(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let port = lab.vary(PORT, PORT + 1);
    let first = host.start(&format!("chap-11 graceserver --port {port}"))?;
    first.listens()?;
    let second = host.start("chap-11 graceserver")?;
    if lab.is_control() {
        second.listens()?;
    } else {
        second.ends()?;
    }
    lab.central(
        "the second server's bind fails with EADDRINUSE",
        second.errors().says("Address already in use (os error 98)"),
    );
    let lsof = host.start(&format!("chap-8 lsof -i :{PORT}"))?;
    lsof.ends()?;
    lab.central(
        "lsof names the process that has the port",
        equal(pids(&lsof), [first.pid().as_raw()]),
    );
    let listens = host
        .sockets()?
        .iter()
        .any(|socket| socket.local.port() == PORT && socket.state == TcpState::Listen);
    lab.claim(
        "somebody listens there",
        Check::new(listens, format_args!("a listener on {PORT}: {listens}")),
    );
    let filter = format!("sport = :{PORT}");
    if let Some(theirs) = prints(lab, &host, &["ss", "-l", "-t", "-n", "-p", "-H", &filter])? {
        let theirs = theirs.join("; ");
        lab.central(
            "ss(8) names the same process",
            Check::new(theirs.contains(&format!("pid={},", first.pid())), theirs),
        );
    }
    lab.done()
}

fn who_has_the_socket(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start("chap-7 unixstreamserver socket")?;
    server.says("listening on")?;
    let pid = server.pid();
    // The number of the socket in the kernel's table of open files, and not the number of the file.
    let files = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    let links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    let sockets: Vec<_> = links
        .filter_map(|link| {
            Some(
                link.to_str()?
                    .strip_prefix("socket:[")?
                    .strip_suffix(']')?
                    .to_string(),
            )
        })
        .collect();
    if lab.is_control() {
        server.kill()?;
    }
    let lsof = host.start("chap-8 lsof socket")?;
    let end = lsof.ends()?;
    lab.central(
        "lsof names the process that listens there",
        equal(pids(&lsof), [pid.as_raw()]),
    );
    let node = |line: &String| line.split_whitespace().nth(5).map(String::from);
    let nodes: Vec<_> = lsof
        .output()
        .lines()
        .iter()
        .skip(1)
        .filter_map(node)
        .collect();
    lab.central(
        "by the number of a socket that /proc shows among its descriptors",
        Check::new(
            !nodes.is_empty() && nodes.iter().all(|node| sockets.contains(node)),
            format_args!("{nodes:?} of {sockets:?}"),
        ),
    );
    lab.central("it ends with code 0", end.exited_with(0));
    let file = std::fs::symlink_metadata(lab.shared.directory.join("socket"));
    lab.claim(
        "the socket file is there",
        Check::new(file.is_ok(), format_args!("{file:?}")),
    );
    lab.done()
}

fn udp_capture(lab: &Lab) -> Outcome {
    let [client, server] = lab.hosts(["client", "server"])?;
    let expression = lab.vary("udp and port 43211", "tcp and port 43211");
    let shown = client.program("chap-8 tcpdump -t -i wire0");
    let shown = shown.arg(expression).start()?;
    shown.complains("listening on")?;
    // The same with the bytes of each packet, and no part of the ladder.
    let ours = ["chap-8", "tcpdump", "-t", "-X", "-i", "wire0", expression];
    let ours = aside(lab, &client, &ours)?;
    let asked = ["-X", "-i", "wire0", "udp and port 43211"];
    let theirs = aside(lab, &client, &[&TCPDUMP[..], &asked].concat())?;
    for program in [&ours, &theirs].into_iter().flatten() {
        program.complains("listening on")?;
    }
    let udpserver = server.start("chap-6 udpserver --bind 10.0.0.2")?;
    udpserver.listens()?;
    let user = client.start("chap-6 udpclient 10.0.0.2 --timeout 15")?;
    user.types("data1")?;
    user.says("Hi, data1")?;
    // The last line of the answer's bytes. In the control only tcpdump(8) has anything to say.
    for program in [&ours, &theirs].into_iter().flatten() {
        if !lab.is_control() || program.name() == "tcpdump" {
            program.says("UDP, length 9")?;
            program.says("0x0020:")?;
        }
    }
    if !lab.is_control() {
        shown.says("UDP, length 9")?;
    }
    for program in [&ours, &theirs].into_iter().flatten() {
        program.signal(Signal::SIGINT);
        program.ends()?;
    }
    shown.types_ctrl_c();
    shown.ends()?;

    let packets = lab.packets().udp();
    let lengths: Vec<_> = packets.iter().map(|packet| packet.length).collect();
    lab.claim(
        "a datagram of 5 bytes goes to the server, and one of 9 comes back",
        equal(&lengths, &[5, 9]),
    );
    let length = |line: &String| line.rsplit_once("UDP, length ")?.1.parse().ok();
    let printed: Vec<usize> = shown.output().lines().iter().filter_map(length).collect();
    lab.central("tcpdump shows both", equal(&printed, &lengths));
    let ours: Vec<_> = ours.iter().flat_map(lines).collect();
    lab.central(
        "with -X it shows every byte of both packets, from the IP header on",
        equal(
            dumped(&ours),
            packets
                .iter()
                .map(|packet| packet.frame[14..].to_vec())
                .collect::<Vec<_>>(),
        ),
    );
    if let Some(theirs) = &theirs {
        lab.central(
            "tcpdump(8) shows the same, byte for byte",
            same(&ours, &lines(theirs)),
        );
    }
    lab.done()
}

/// The bytes of each packet in lines such as `\t0x0010:  0a00 0002 ed7a  .....z`.
fn dumped(lines: &[String]) -> Vec<Vec<u8>> {
    let mut packets: Vec<Vec<u8>> = Vec::new();
    for line in lines {
        match line
            .trim_start()
            .strip_prefix("0x")
            .and_then(|line| line.split_once(":  "))
        {
            None => packets.push(Vec::new()),
            Some((_, rest)) => {
                let digits: String = rest
                    .chars()
                    .take(40)
                    .filter(char::is_ascii_hexdigit)
                    .collect();
                let byte = |pair: &str| u8::from_str_radix(pair, 16).ok();
                let bytes =
                    (0..digits.len() / 2).filter_map(|at| byte(&digits[2 * at..2 * at + 2]));
                if let Some(packet) = packets.last_mut() {
                    packet.extend(bytes);
                }
            }
        }
    }
    packets
}
