//! The midterm: a remote shell.

use std::ffi::{CString, OsStr};
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::chdir;

use crate::net::sock_diag::Socket;
use crate::prelude::*;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "midterm/transcript",
        "pwd, cd and ls over a connection, and cd - leads back to the directory before",
        transcript,
        "the client types cd ./-, which is what the course's server takes cd - for",
    )
    .isolated(),
    Experiment::new(
        "midterm/second-client",
        "one client quits and one is killed: the next begins where the server was started",
        second_client,
        "the server has one working directory for all its clients, as with chdir",
    )
    .isolated(),
    Experiment::new(
        "midterm/bad-input",
        "half a word, an empty line, a line of a million bytes: each is answered with an error",
        bad_input,
        "the server compares only as many bytes as have come, as strncmp does when it is given their number",
    )
    .isolated(),
    Experiment::new(
        "midterm/long-listing",
        "ten thousand names arrive in one reply, sorted and whole, in whatever pieces they are read",
        long_listing,
        "the first client takes what one read brings for the whole reply",
    )
    .isolated(),
];

/// Where the server sees the experiment's directory, whatever its name is outside.
pub(super) const ROOT: &str = "/dev/shm";

fn server(lab: &Lab, host: &Host, start: &str, options: &str) -> Result<Process, LabError> {
    server_in(
        lab,
        host,
        start,
        &format!("midterm telnet-server {options}"),
    )
}

/// A server that was started in a directory of the experiment's, and listens.
pub(super) fn server_in(
    lab: &Lab,
    host: &Host,
    start: &str,
    command: &str,
) -> Result<Process, LabError> {
    let root = CString::new(ROOT).expect("there is no 0 in it");
    let outside = CString::new(lab.shared.directory.as_os_str().as_bytes()).map_err(impossible)?;
    let start = CString::new(format!("{ROOT}/{start}")).map_err(impossible)?;
    // The server gets a view of the file systems of its own, mount_namespaces(7): the paths are the same in each run.
    let enter = move || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        let nothing: Option<&OsStr> = None;
        mount(
            Some(outside.as_c_str()),
            root.as_c_str(),
            nothing,
            MsFlags::MS_BIND,
            nothing,
        )?;
        chdir(start.as_c_str())?;
        Ok(())
    };
    let server = host.program(command).prepared(enter).start()?;
    server.listens()?;
    Ok(server)
}

pub(super) fn client(host: &Host, options: &str) -> Result<Process, LabError> {
    host.start(&format!("midterm telnet-client 127.0.0.1 {PORT} {options}"))
}

fn impossible(source: impl std::fmt::Display) -> LabError {
    LabError::Impossible(source.to_string())
}

/// Makes directories below the experiment's own.
pub(super) fn directories(lab: &Lab, names: &[&str]) -> Result<(), LabError> {
    names
        .iter()
        .try_for_each(|name| fs::create_dir_all(lab.shared.directory.join(name)))
        .map_err(impossible)
}

/// Types a command, and waits until its reply has passed and been printed: one event at a time.
pub(super) fn asks(
    lab: &Lab,
    server: &Process,
    client: &Process,
    command: &str,
) -> Result<(), LabError> {
    let before = replies(lab, client).len();
    client.types(command)?;
    server.says(&format!(": {command}"))?;
    lab.until("the reply comes", || {
        within(replies(lab, client).len(), before + 1..)
    })?;
    if let Some(line) = replies(lab, client)[before].lines().next() {
        client.says(line)?;
    }
    Ok(())
}

/// Lets the client quit, and waits until both ends know.
fn quits(server: &Process, client: &Process) -> Result<(), LabError> {
    client.types("quit")?;
    server.says("client quit")?;
    client.ends()?;
    Ok(())
}

/// The replies that have passed to a client, taken from the packets. What is there of the last one counts if it is whole.
pub(super) fn replies(lab: &Lab, client: &Process) -> Vec<String> {
    let (mut stream, mut next) = (Vec::new(), None);
    for packet in lab.packets().to(client).carrying_data().iter() {
        let sequence = packet.tcp().map(|tcp| tcp.sequence);
        // What is sent again counts once.
        if next.is_none() || next == sequence {
            stream.extend_from_slice(packet.data());
            next = sequence.map(|sequence| sequence.wrapping_add(packet.length as u32));
        }
    }
    let (mut rest, mut replies) = (&stream[..], Vec::new());
    while let Some(newline) = rest.iter().position(|&byte| byte == b'\n') {
        let (length, body) = (
            String::from_utf8_lossy(&rest[..newline]).parse(),
            &rest[newline + 1..],
        );
        let Some((reply, after)) = length
            .ok()
            .and_then(|length: usize| body.split_at_checked(length))
        else {
            break;
        };
        replies.push(String::from_utf8_lossy(reply).into_owned());
        rest = after;
    }
    replies
}

/// The working directory that the kernel has for a process.
fn kernel_directory(process: &Process) -> PathBuf {
    fs::read_link(format!("/proc/{}/cwd", process.pid())).unwrap_or_default()
}

fn runs(server: &Process) -> Check {
    Check::new(server.ended().is_none(), "the process that was started")
}

fn transcript(lab: &Lab) -> Outcome {
    directories(
        lab,
        &[
            "course/build/bin",
            "course/build/lib",
            "course/build/.cache",
            "course/build/chap-4",
        ],
    )?;
    let host = lab.host()?;
    let server = server(lab, &host, "course/build/bin", "")?;
    let first = client(&host, "")?;
    for command in [
        "pwd",
        "cd ..",
        "pwd",
        "ls",
        lab.vary("cd -", "cd ./-"),
        "pwd",
    ] {
        asks(lab, &server, &first, command)?;
    }
    let directory = kernel_directory(&server);
    quits(&server, &first)?;
    let second = client(&host, "")?;
    asks(lab, &server, &second, "cd -")?;
    quits(&server, &second)?;

    let said = replies(lab, &first);
    let reply = |number: usize| said.get(number).map(String::as_str).unwrap_or_default();
    let (bin, build) = (
        format!("{ROOT}/course/build/bin\n"),
        format!("{ROOT}/course/build\n"),
    );
    lab.central(
        "after cd - pwd is the directory from before",
        equal(reply(5), bin.as_str()),
    );
    lab.central(
        "the kernel has that directory for the server",
        equal(directory, PathBuf::from(bin.trim_end())),
    );
    lab.claim(
        "pwd follows cd",
        equal((reply(0), reply(2)), (bin.as_str(), build.as_str())),
    );
    lab.claim(
        "the reply to a cd that succeeds is empty",
        equal(reply(1), ""),
    );
    lab.claim(
        "ls gives the names in order, without the hidden one",
        equal(reply(3), "bin\nchap-4\nlib\n"),
    );
    let nowhere = "error: cd -: there is no previous directory\n";
    lab.claim(
        "a new client has no directory before, and is told so",
        equal(replies(lab, &second), [nowhere]),
    );
    lab.done()
}

fn second_client(lab: &Lab) -> Outcome {
    directories(lab, &["course/build", "course/build/build"])?;
    let host = lab.host()?;
    let server = server(lab, &host, "course", lab.vary("", "--keep"))?;
    let quitter = client(&host, "")?;
    asks(lab, &server, &quitter, "cd build")?;
    asks(lab, &server, &quitter, "pwd")?;
    quits(&server, &quitter)?;
    let killed = client(&host, "")?;
    asks(lab, &server, &killed, "pwd")?;
    asks(lab, &server, &killed, "cd build")?;
    // The reply is empty, so that no line tells of it; left unread it would turn the FIN into a RST.
    lab.until("it has read the reply", || {
        let unread = |s: &Socket| s.remote.port() == PORT && s.receive_queue > 0;
        !host.has(TcpState::Established, unread)
    })?;
    killed.kill()?;
    server.says("client closed")?;
    let third = client(&host, "")?;
    asks(lab, &server, &third, "pwd")?;
    quits(&server, &third)?;

    let start = || Some(format!("{ROOT}/course\n"));
    let first_reply = |client: &Process| replies(lab, client).into_iter().next();
    lab.central(
        "after a quit the next client begins in the start directory",
        equal(first_reply(&killed), start()),
    );
    lab.central(
        "after a kill it does, too",
        equal(first_reply(&third), start()),
    );
    lab.claim(
        "the first client had gone elsewhere",
        equal(
            replies(lab, &quitter).get(1).cloned(),
            Some(format!("{ROOT}/course/build\n")),
        ),
    );
    lab.claim(
        "the kernel of the killed client sent its FIN",
        lab.packets().from(&killed).has(FIN),
    );
    lab.claim("the server still runs", runs(&server));
    lab.done()
}

/// Sends bytes as no client of ours does, and reads the reply.
fn sends(stream: &mut BufReader<TcpStream>, bytes: &[u8]) -> io::Result<String> {
    stream.get_mut().write_all(bytes)?;
    let mut length = String::new();
    stream.read_line(&mut length)?;
    let mut reply = vec![0; length.trim_end().parse().map_err(io::Error::other)?];
    stream.read_exact(&mut reply)?;
    Ok(String::from_utf8_lossy(&reply).into_owned())
}

fn bad_input(lab: &Lab) -> Outcome {
    directories(lab, &["course/build"])?;
    let odd = lab
        .shared
        .directory
        .join("course")
        .join(OsStr::from_bytes(b"odd\xff"));
    fs::create_dir(odd).map_err(impossible)?;
    let host = lab.host()?;
    let server = server(lab, &host, "course", lab.vary("", "--prefix"))?;
    let typist = client(&host, "")?;
    for command in ["l", "", "cd nowhere"] {
        asks(lab, &server, &typist, command)?;
    }
    quits(&server, &typist)?;
    let connect = || TcpStream::connect(("127.0.0.1", PORT)).map(BufReader::new);
    host.names_own_hand("client");
    lab.notes("a client sends bytes that are no text");
    let mut binary = host.enter(connect)?;
    let garbage = sends(&mut binary, b"\0\xff\x01\n").map_err(impossible)?;
    let entered = sends(&mut binary, b"cd odd\xff\n").map_err(impossible)?;
    drop(binary);
    server.says("client closed")?;
    lab.notes("a client sends a line of a million bytes");
    let mut long = host.enter(connect)?;
    let port = long.get_ref().local_addr().map_err(impossible)?.port();
    lab.leaves_out(port..=port);
    let refused =
        sends(&mut long, &[&[b'x'; 1_000_000][..], b"\n"].concat()).map_err(impossible)?;
    let afterwards = sends(&mut long, b"pwd\n").map_err(impossible)?;
    drop(long);
    server.says("client closed")?;

    let said = replies(lab, &typist);
    let reply = |number: usize| said.get(number).map(String::as_str).unwrap_or_default();
    lab.central(
        "half a word is no command",
        equal(reply(0), "error: unknown command: l\n"),
    );
    lab.central(
        "an empty line is no command",
        equal(reply(1), "error: an empty line is no command\n"),
    );
    let nowhere = "error: cd nowhere: No such file or directory (os error 2)\n";
    lab.claim(
        "the error of a cd that fails is its reply",
        equal(reply(2), nowhere),
    );
    lab.claim(
        "so is the error of bytes that are no text",
        equal(garbage, "error: unknown command: \\0\\xff\\x01\n"),
    );
    lab.claim(
        "a directory whose name is not UTF-8 can be entered",
        equal(entered, ""),
    );
    lab.claim(
        "a line of a million bytes is refused",
        equal(refused, "error: a command has 4112 bytes at most\n"),
    );
    lab.claim(
        "the command behind it is found",
        equal(afterwards, format!("{ROOT}/course\n")),
    );
    lab.claim("the server still runs", runs(&server));
    lab.done()
}

fn long_listing(lab: &Lab) -> Outcome {
    let names: Vec<_> = (0..10_000)
        .map(|number| format!("file-{number:04}"))
        .collect();
    directories(lab, &["course"])?;
    for name in &names {
        fs::write(lab.shared.directory.join("course").join(name), "").map_err(impossible)?;
    }
    let host = lab.host()?;
    let server = server(lab, &host, "course", "")?;
    let listing = |options: &str| {
        let client = client(&host, options)?;
        client.types("ls")?;
        client.says("file-9999")?;
        quits(&server, &client)?;
        Ok::<_, LabError>(client)
    };
    let whole = listing(lab.vary("", "--read-once"))?;
    let in_pieces = listing("--at-most 1")?;

    let prints_all = |client: &Process| {
        let output = client.output();
        let lines = output.lines();
        Check::new(lines == names, format_args!("{} lines", lines.len()))
    };
    lab.central(
        "the client prints the names, whole and in order",
        prints_all(&whole),
    );
    lab.claim(
        "a client that reads one byte at a time prints the same",
        prints_all(&in_pieces),
    );
    lab.claim("they were one reply", equal(replies(lab, &whole).len(), 1));
    let segments = lab.packets().to(&whole).carrying_data();
    lab.claim(
        "that reply came in more than one segment",
        segments.check(segments.count() > 1),
    );
    lab.done()
}
