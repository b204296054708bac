//! The lesson's programs, on the real loopback interface.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;

use drive::{Ending, Program, Signal};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

fn chap_8(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chap-8"));
    Program::start(arguments[0], command.args(arguments)).unwrap()
}

/// What a program prints that ends by itself, with success.
fn prints(arguments: &[&str]) -> String {
    let program = chap_8(arguments);
    assert!(
        program.ends().unwrap().success(),
        "{}",
        program.err().text()
    );
    program.out().text()
}

fn refuses(arguments: &[&str], complaint: &str) {
    let program = chap_8(arguments);
    program.complains(complaint).unwrap();
    assert_eq!(program.ends().unwrap().ending, Ending::Exited(1));
}

fn may_open(family: AddressFamily, kind: SockType, protocol: Option<SockProtocol>) -> bool {
    socket(family, kind, SockFlag::SOCK_CLOEXEC, protocol).is_ok()
}

fn may_capture() -> bool {
    may_open(AddressFamily::Packet, SockType::Raw, None)
}

/// A directory of its own, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("chap-8-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

// ---- ping

fn may_ping() -> bool {
    may_open(
        AddressFamily::Inet,
        SockType::Datagram,
        Some(SockProtocol::Icmp),
    ) || may_open(AddressFamily::Inet, SockType::Raw, Some(SockProtocol::Icmp))
}

#[test]
fn ping_counts_and_times_the_answers() {
    if !may_ping() {
        return refuses(
            &["ping", "127.0.0.1"],
            "Error: ping needs your group in net.ipv4.ping_group_range, or the capability CAP_NET_RAW: socket: ",
        );
    }
    for (host, whole) in [("127.0.0.1", 128), ("::1", 148)] {
        let out = prints(&["ping", host, "-c", "3", "-i", "0.01", "-s", "100"]);
        let lines: Vec<_> = out.lines().collect();
        assert_eq!(
            lines[0],
            format!("PING {host} ({host}) 100({whole}) bytes of data.")
        );
        for (line, number) in lines[1..4].iter().zip(1..) {
            let start = format!("108 bytes from {host}: icmp_seq={number} ttl=64 time=");
            let time = line
                .strip_prefix(&start)
                .and_then(|rest| rest.strip_suffix(" ms"));
            let time: f64 = time.unwrap_or_else(|| panic!("{line}")).parse().unwrap();
            assert!(time > 0.0 && time < 20_000.0, "{line}");
        }
        assert_eq!(lines[4], format!("--- {host} ping statistics ---"));
        assert!(lines[5].starts_with("3 packets transmitted, 3 received, 0% packet loss, time "));
        assert!(
            lines[6].starts_with("rtt min/avg/max/mdev = "),
            "{}",
            lines[6]
        );
        assert_eq!(lines.len(), 7);
    }
}

#[test]
fn ping_ends_at_a_signal_with_its_statistics() {
    if !may_ping() {
        return;
    }
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let ping = chap_8(&["ping", "127.0.0.1", "--interval", "3600"]);
        ping.says("icmp_seq=1 ").unwrap();
        ping.signal(signal);
        assert!(ping.ends().unwrap().success());
        ping.says("1 packets transmitted, 1 received, 0% packet loss")
            .unwrap();
    }
}

/// Sizes at the limits: no data, and more than one packet of the interface holds.
#[test]
fn ping_with_no_data_and_with_much() {
    if !may_ping() {
        return;
    }
    for host in ["127.0.0.1", "::1"] {
        for size in ["0", "65000"] {
            let out = prints(&["ping", host, "-c", "1", "-s", size]);
            let length: usize = size.parse::<usize>().unwrap() + 8;
            assert!(
                out.contains(&format!("{length} bytes from {host}: icmp_seq=1 ")),
                "{out}"
            );
            assert!(!out.contains("other data"), "{out}");
        }
    }
}

#[test]
fn bad_arguments_are_clear_errors() {
    refuses(&["ping", "no such host"], "Error: resolve no such host: ");
    refuses(
        &["ping", "127.0.0.1", "-i", "0"],
        "Error: --interval is less than 0.01",
    );
    refuses(
        &["traceroute", "no such host"],
        "Error: resolve no such host: ",
    );
    refuses(
        &["ifconfig", "nosuch0"],
        "Error: there is no interface nosuch0",
    );
    refuses(
        &["lsof"],
        "Error: name a port (-i :8080) or the path of a socket file",
    );
    refuses(
        &["lsof", "/nowhere/at/all"],
        "Error: stat /nowhere/at/all: No such file or directory",
    );
    refuses(&["lsof", "/"], "Error: / is not a socket file");
    refuses(
        &["tcpdump", "-i", "nosuch0"],
        "Error: interface nosuch0: No such device",
    );
    refuses(
        &["tcpdump", "tcp", "and", "prot", "80"],
        "Error: what does \"prot\" mean?",
    );
    for arguments in [
        ["lsof", "-i", ":99999"],
        ["lsof", "-i", "sctp:1"],
        ["ping", "-c", "0"],
    ] {
        assert_eq!(
            chap_8(&arguments).ends().unwrap().ending,
            Ending::Exited(2),
            "{arguments:?}"
        );
    }
}

// ---- traceroute

#[test]
fn traceroute_to_ourselves_is_one_hop() {
    for host in ["127.0.0.1", "::1"] {
        let out = prints(&["traceroute", host]);
        let lines: Vec<_> = out.lines().collect();
        assert_eq!(
            lines[0],
            format!("traceroute to {host} ({host}), 30 hops max")
        );
        assert!(lines[1].starts_with(&format!(" 1  {host}  ")), "{out}");
        assert_eq!(lines[1].matches(" ms").count(), 3, "{out}");
        assert_eq!(lines.len(), 2);
    }
}

/// Where somebody listens on the port, the answer is a datagram and no ICMP message.
#[test]
fn traceroute_takes_an_answer_for_an_arrival() {
    for host in ["127.0.0.1", "::1"] {
        let server = UdpSocket::bind((host, 0)).unwrap();
        let port = server.local_addr().unwrap().port().to_string();
        let program = chap_8(&["traceroute", host, "-q", "1", "--port", &port]);
        let mut data = [0; 100];
        let (_, from) = server.recv_from(&mut data).unwrap();
        server.send_to(b"\0\xff", from).unwrap();
        assert!(program.ends().unwrap().success());
        program.says(&format!(" 1  {host}  ")).unwrap();
    }
}

/// Nobody answers: each request is waited for, and no longer than said.
#[test]
fn traceroute_shows_silence() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port().to_string();
    let arguments = ["-q", "1", "-w", "0.01", "-m", "1", "--port", &port];
    let out = prints(&[&["traceroute", "127.0.0.1"][..], &arguments].concat());
    assert_eq!(out.lines().nth(1), Some(" 1  *"));
}

// ---- ifconfig

#[test]
fn ifconfig_agrees_with_sysfs() {
    let out = prints(&["ifconfig", "--all"]);
    for entry in fs::read_dir("/sys/class/net").unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let Ok(mtu) = fs::read_to_string(entry.path().join("mtu")) else {
            continue; // not an interface
        };
        let queue = fs::read_to_string(entry.path().join("tx_queue_len")).unwrap();
        let start = out
            .find(&format!("{name:<9} Link encap:"))
            .unwrap_or_else(|| panic!("{out}"));
        let shown = &out[start..];
        let shown = &shown[..shown.find("TX bytes:").unwrap()];
        assert!(
            shown.contains(&format!("MTU:{}  Metric:1\n", mtu.trim())),
            "{shown}"
        );
        assert!(
            shown.contains(&format!("txqueuelen:{}\n", queue.trim())),
            "{shown}"
        );
        let hardware = fs::read_to_string(entry.path().join("address")).unwrap();
        if shown.contains("Ethernet") {
            assert!(
                shown.contains(&format!("HWaddr {}\n", hardware.trim())),
                "{shown}"
            );
        }
    }
    let lo = prints(&["ifconfig", "lo"]);
    assert!(lo.starts_with("lo        Link encap:Local Loopback\n"));
    assert!(
        lo.contains("\n          inet addr:127.0.0.1  Mask:255.0.0.0\n"),
        "{lo}"
    );
    assert!(
        lo.contains("\n          inet6 addr: ::1/128 Scope:Host\n"),
        "{lo}"
    );
    assert!(lo.contains("\n          UP LOOPBACK RUNNING  MTU:"), "{lo}");
}

// ---- netstat and lsof

/// The words of the line about an end.
fn line_about(out: &str, local: &str, remote: &str) -> Vec<String> {
    let words = |line: &str| {
        line.split_whitespace()
            .map(String::from)
            .collect::<Vec<_>>()
    };
    let mut found = out.lines().map(words).filter(|words| {
        words.get(3).is_some_and(|word| word == local)
            && words.get(4).is_some_and(|word| word == remote)
    });
    let line = found
        .next()
        .unwrap_or_else(|| panic!("no {local} {remote} in {out}"));
    assert_eq!(found.next(), None);
    line
}

#[test]
fn netstat_shows_queues_states_and_owners() {
    let me = format!("{}/", std::process::id());
    for (host, protocol, any) in [("127.0.0.1", "tcp", "0.0.0.0:*"), ("::1", "tcp6", "[::]:*")] {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let server = listener.local_addr().unwrap().to_string();
        let mut client = TcpStream::connect(&server).unwrap();
        let ours = client.local_addr().unwrap().to_string();
        client.write_all(b"data1").unwrap();

        let out = prints(&["netstat", "-alepnt"]);
        let listening = line_about(&out, &server, any);
        assert_eq!(listening[..3], [protocol, "1", "128"]); // one waits for accept
        assert_eq!(listening[5], "LISTEN");
        assert!(listening[8].starts_with(&me), "{listening:?}");
        let connected = line_about(&out, &ours, &server);
        assert_eq!(connected[..3], [protocol, "0", "0"]);
        assert_eq!(connected[5], "ESTABLISHED");
        assert!(connected[8].starts_with(&me), "{connected:?}");
        // Not accepted, so no process has it; the five bytes wait.
        let waiting = line_about(&out, &server, &ours);
        assert_eq!(waiting[..3], [protocol, "5", "0"]);
        assert_eq!((waiting[7].as_str(), waiting[8].as_str()), ("0", "-"));

        let plain = prints(&["netstat", "-t"]);
        assert!(!plain.contains("LISTEN"));
        line_about(&plain, &ours, &server);
        assert!(!prints(&["netstat", "-lt"]).contains("ESTABLISHED"));
        let (mut accepted, _) = listener.accept().unwrap();
        accepted.read_exact(&mut [0; 5]).unwrap();
        let counts = prints(&["netstat", "--states"]);
        assert!(
            counts.lines().any(|line| line.ends_with(" ESTABLISHED")),
            "{counts}"
        );
    }
}

#[test]
fn netstat_shows_udp_and_local_sockets() {
    for host in ["127.0.0.1", "::1"] {
        let socket = UdpSocket::bind((host, 0)).unwrap();
        let local = socket.local_addr().unwrap().to_string();
        assert!(prints(&["netstat", "-u", "-a"]).contains(&local));
        // By the protocol: a TCP socket of somebody else may have the same number.
        let tcp = prints(&["netstat", "-ta"]);
        assert!(tcp.lines().all(|line| !line.starts_with("udp")), "{tcp}");
    }
    let scratch = Scratch::new("netstat");
    // Bytes that are no UTF-8 are data.
    let path = scratch.0.join("so\u{e4}cket\u{1b}");
    let _listener = UnixListener::bind(&path).unwrap();
    let out = prints(&["netstat", "-xap"]);
    let shown = path.to_str().unwrap().replace('\u{1b}', r"\x1b");
    let line = out
        .lines()
        .find(|line| line.ends_with(&shown))
        .unwrap_or_else(|| panic!("{out}"));
    assert!(
        line.contains("STREAM") && line.contains("LISTENING"),
        "{line}"
    );
    assert!(
        line.contains(&format!(" {}/", std::process::id())),
        "{line}"
    );
}

#[test]
fn lsof_names_who_has_a_port() {
    for (host, kind) in [("127.0.0.1", "IPv4"), ("::1", "IPv6")] {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let out = prints(&["lsof", "-i", &format!("tcp:{}", address.port())]);
        let line = out.lines().last().unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words[1], std::process::id().to_string(), "{out}");
        assert_eq!(words[4], kind);
        assert!(line.ends_with(&format!(" TCP {address} (LISTEN)")), "{out}");
        let terse = prints(&["lsof", "-t", "-i", &format!(":{}", address.port())]);
        assert_eq!(terse, format!("{}\n", std::process::id()));
        refuses(
            &["lsof", "-i", &format!("udp:{}", address.port())],
            "Error: no such socket is open",
        );
        drop(listener);
        refuses(
            &["lsof", "-i", &format!(":{}", address.port())],
            "Error: no such socket is open",
        );
    }
}

/// A socket that nobody holds any more is shown too: in TIME_WAIT the port is taken, and no process has it.
#[test]
fn lsof_shows_a_port_without_a_process() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).unwrap();
    let (mut accepted, _) = listener.accept().unwrap();
    let port = client.local_addr().unwrap().port();
    drop(client);
    assert_eq!(accepted.read(&mut [0; 1]).unwrap(), 0);
    drop(accepted); // the last FIN: the client's end is in TIME_WAIT now
    drop(listener);
    let program = chap_8(&["lsof", "-i", &format!(":{port}")]);
    program.says("(TIME_WAIT)").unwrap();
    program.complains("NODE 0").unwrap();
    assert!(program.ends().unwrap().success());
}

#[test]
fn lsof_names_who_has_a_socket_file() {
    let scratch = Scratch::new("lsof");
    let path = scratch.0.join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let client = UnixStream::connect(&path).unwrap();
    // Another name of the same file.
    let link = scratch.0.join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for name in [&path, &link] {
        let out = prints(&["lsof", name.to_str().unwrap()]);
        let line = out
            .lines()
            .find(|line| line.ends_with(" type=STREAM LISTENING"))
            .unwrap();
        assert_eq!(
            line.split_whitespace().nth(1),
            Some(std::process::id().to_string().as_str())
        );
        assert!(line.contains(path.to_str().unwrap()));
    }
    drop(listener);
    drop(client);
    assert!(fs::metadata(&path).unwrap().ino() > 0); // the file is still there
    refuses(
        &["lsof", path.to_str().unwrap()],
        "Error: no such socket is open",
    );
}

// ---- tcpdump

/// A capture on lo that listens; `None` where that is not allowed, which it says.
fn capture(arguments: &[&str]) -> Option<Program> {
    let arguments = [&["tcpdump", "-t", "-i", "lo"], arguments].concat();
    if !may_capture() {
        refuses(
            &arguments,
            "Error: tcpdump needs the capability CAP_NET_RAW: run it as root: socket AF_PACKET: ",
        );
        return None;
    }
    let program = chap_8(&arguments);
    program.complains("listening on lo").unwrap();
    Some(program)
}

#[test]
fn tcpdump_shows_a_datagram_with_its_bytes() {
    for (host, ip) in [("127.0.0.1", "IP"), ("::1", "IP6")] {
        let receiver = UdpSocket::bind((host, 0)).unwrap();
        let sender = UdpSocket::bind((host, 0)).unwrap();
        let (from, to) = (
            sender.local_addr().unwrap().port(),
            receiver.local_addr().unwrap().port(),
        );
        let expression = format!("udp and dst port {to}");
        let Some(program) = capture(&["-X", "-c", "2", &expression]) else {
            return;
        };
        sender
            .send_to(b"data1\0\xff", receiver.local_addr().unwrap())
            .unwrap();
        program
            .says(&format!("{ip} {host}.{from} > {host}.{to}: UDP, length 7"))
            .unwrap();
        // The last row: where the bytes end depends on the length of the IP header.
        let row = match ip {
            "IP" => "0x0020:  3100 ff                                  1..",
            _ => "0x0030:  6461 7461 3100 ff                        data1..",
        };
        program.says(row).unwrap();
        // An empty datagram is one too.
        sender.send_to(b"", receiver.local_addr().unwrap()).unwrap();
        program.says("UDP, length 0").unwrap();
        assert!(program.ends().unwrap().success());
        program.complains("2 packets shown").unwrap();
    }
}

#[test]
fn tcpdump_shows_a_connection() {
    for host in ["127.0.0.1", "::1"] {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let Some(program) = capture(&[&format!("tcp and port {port}")]) else {
            return;
        };
        let mut client = TcpStream::connect((host, port)).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        client.write_all(b"data1").unwrap();
        program.says("Flags [S], seq ").unwrap();
        program.says("Flags [S.], seq ").unwrap();
        program.says("Flags [.], ack 1, win ").unwrap();
        program.says("Flags [P.], seq 1:6, ack 1, win ").unwrap();
        drop((client, accepted));
        program.says("Flags [F.], seq 6, ack 1, win ").unwrap();
        program.signal(Signal::SIGINT);
        assert!(program.ends().unwrap().success());
        program.complains(" 0 dropped by the kernel").unwrap();
    }
}

/// A reader that goes away ends the program quietly.
#[test]
fn a_reader_that_is_gone_is_no_panic() {
    let program = env!("CARGO_BIN_EXE_chap-8");
    let script = format!("{program} netstat -a | true; {program} ifconfig | head -n 1 >/dev/null");
    let done = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
}

#[test]
fn the_lesson_explains_itself() {
    let done = Command::new(env!("CARGO_BIN_EXE_chap-8")).output().unwrap();
    let text = String::from_utf8_lossy(&done.stderr).into_owned();
    for name in [
        "ping",
        "traceroute",
        "ifconfig",
        "netstat",
        "lsof",
        "tcpdump",
    ] {
        assert!(text.contains(name), "{text}");
        prints(&[name, "--help"]);
    }
}
