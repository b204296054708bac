//! Chapter 7: local sockets.

use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use drive::Program;
use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl;
use nix::unistd::Uid;

use crate::namespace::Namespace;
use crate::prelude::*;
use crate::users::{as_nobody, can_be_nobody};

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "7/no-server",
        "a client alone: there is no file of that name",
        no_server,
        "a server listens there",
    ),
    Experiment::new(
        "7/stale-file",
        "a killed server leaves its file behind, where nobody listens and nobody can bind",
        stale_file,
        "the server is ended by SIGTERM, which it handles",
    ),
    Experiment::new(
        "7/socket-file",
        "bind makes a file of its own type, and the server removes it when it ends",
        socket_file,
        "the server is killed",
    ),
    Experiment::new(
        "7/not-a-socket",
        "a file, a directory and a link that are in the way stay as they are",
        not_a_socket,
        "what is in the way is the socket file of a server that is gone",
    ),
    Experiment::new(
        "7/no-permission",
        "a server that may not write the directory cannot bind there",
        no_permission,
        "the directory may be written",
    ),
    Experiment::new(
        "7/other-user",
        "a client that may not write the socket file cannot connect to it",
        other_user,
        "everybody may write the socket file",
    ),
    Experiment::new(
        "7/echo",
        "lines go and come over a stream, without a packet",
        echo,
        "the server stands still: the client connects, and waits for ever",
    ),
    Experiment::new(
        "7/datagram",
        "datagrams go and come, but a client that did not bind gets no answer",
        datagram,
        "the second client binds, too",
    ),
    Experiment::new(
        "7/client-quits",
        "a killed client is an end of file, or a reset where it left an answer unread",
        client_quits,
        "the first client leaves its answer unread, too",
    ),
    Experiment::new(
        "7/wrong-type",
        "a stream client cannot connect to a datagram server",
        wrong_type,
        "the server is one for streams",
    ),
    Experiment::new(
        "7/path-too-long",
        "a path of 108 bytes does not fit, and is refused before anything is made",
        path_too_long,
        "the path has 107 bytes",
    ),
    Experiment::new(
        "7/abstract",
        "an abstract name is no file, and is gone with its last descriptor",
        abstract_name,
        "the name is a path",
    ),
    Experiment::new(
        "7/fd-passing",
        "a descriptor that was sent works in the receiver when the sender has long closed it",
        fd_passing,
        "the sender sends the descriptor's number alone",
    ),
    Experiment::new(
        "7/no-protocol-stack",
        "a round trip over a local socket makes no packet, and costs less than one over TCP",
        no_protocol_stack,
        "TCP takes the place of the local socket",
    )
    .isolated(),
];

/// The file in the run's directory, in which the programs start, too.
fn file(lab: &Lab, name: &str) -> PathBuf {
    lab.shared.directory.join(name)
}

/// What is in that directory.
fn names(lab: &Lab) -> Vec<String> {
    let entries = fs::read_dir(&lab.shared.directory)
        .into_iter()
        .flatten()
        .flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// What kind of file this is, and how large: what `ls -l` begins with.
fn kind(lab: &Lab, name: &str) -> String {
    match fs::symlink_metadata(file(lab, name)) {
        Err(error) => error.to_string(),
        Ok(file) if file.file_type().is_socket() => format!("a socket, size {}", file.size()),
        Ok(file) if file.is_dir() => "a directory".into(),
        Ok(file) if file.is_symlink() => "a link".into(),
        Ok(file) => format!("a file, size {}", file.size()),
    }
}

fn set_mode(lab: &Lab, name: &str, mode: u32) -> Result<(), LabError> {
    let set = fs::set_permissions(file(lab, name), fs::Permissions::from_mode(mode));
    set.map_err(|source| LabError::Impossible(format!("chmod {name}: {source}")))
}

/// A server that was started on `s.sock` and listens.
fn server_on(host: &Host, command: &str) -> Result<Process, LabError> {
    let server = host.start(command)?;
    server.says("listening on ")?;
    Ok(server)
}

/// A client is to be refused by the kernel with this error.
fn refused(client: &Process, error: &str) -> Check {
    match client.ended() {
        Some(end) => client.errors().says(error).and(end.exited_with(1)),
        None => Check::new(false, "it still runs"),
    }
}

fn no_server(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    if lab.is_control() {
        server_on(&host, "chap-7 unixstreamserver s.sock")?;
    }
    let client = host.start("chap-7 unixstreamclient s.sock")?;
    client.closes_input();
    client.ends()?;
    let abstract_client = host.start("chap-7 unixstreamclient @s.sock")?;
    abstract_client.ends()?;

    lab.central(
        "connect fails with ENOENT",
        refused(
            &client,
            "connect s.sock: No such file or directory (os error 2)",
        ),
    );
    lab.central("connect makes no file", equal(names(lab), [""; 0]));
    lab.claim(
        "an abstract name that nobody has is ECONNREFUSED: no file is missing",
        refused(
            &abstract_client,
            "connect @s.sock: Connection refused (os error 111)",
        ),
    );
    lab.done()
}

fn stale_file(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = server_on(&host, "chap-7 unixstreamserver s.sock")?;
    server.signal(lab.vary(Signal::SIGKILL, Signal::SIGTERM));
    server.ends()?;
    let left = kind(lab, "s.sock");
    let client = host.start("chap-7 unixstreamclient s.sock")?;
    client.ends()?;
    lab.central("the file is still there", equal(left, "a socket, size 0"));
    lab.central(
        "connect finds it, and nobody behind it: ECONNREFUSED",
        refused(&client, "connect s.sock: Connection refused (os error 111)"),
    );

    let careful = host.start("chap-7 unixstreamserver s.sock --no-unlink")?;
    if lab.is_control() {
        careful.says("listening on ")?;
        careful.kill()?;
    } else {
        careful.ends()?;
    }
    lab.central(
        "bind fails with EADDRINUSE",
        refused(
            &careful,
            "bind s.sock: Address already in use (os error 98)",
        ),
    );

    server_on(&host, "chap-7 unixstreamserver s.sock")?;
    let client = host.start("chap-7 unixstreamclient s.sock")?;
    client.types("g1")?;
    client.says("Hi, g1")?;
    lab.claim(
        "a server that unlinks the file first can bind, and serves",
        client.errors().is_empty(),
    );
    lab.done()
}

fn socket_file(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = server_on(&host, "chap-7 unixstreamserver s.sock")?;
    lab.claim(
        "bind makes a file of type socket, of size 0",
        equal(kind(lab, "s.sock"), "a socket, size 0"),
    );
    let opened = fs::File::open(file(lab, "s.sock"))
        .err()
        .and_then(|error| error.raw_os_error());
    lab.claim(
        "open(2) cannot open it: ENXIO",
        equal(opened, Some(Errno::ENXIO as i32)),
    );
    server.signal(lab.vary(Signal::SIGINT, Signal::SIGKILL));
    let end = server.ends()?;
    lab.central(
        "the server removes it when Ctrl-C ends it",
        equal(names(lab), [""; 0]),
    );
    lab.central("that is a good end", end.exited_with(0));
    lab.done()
}

fn not_a_socket(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let impossible = |source: io::Error| LabError::Impossible(source.to_string());
    let (old, directory, link) = (file(lab, "file"), file(lab, "directory"), file(lab, "link"));
    fs::create_dir(directory)
        .and_then(|()| std::os::unix::fs::symlink("file", link))
        .map_err(impossible)?;
    match lab.is_control() {
        false => fs::write(old, "precious").map_err(impossible)?,
        true => {
            drop(UnixListener::bind(&old).map_err(impossible)?);
            // A process that another experiment starts at this moment may hold it too, until its exec.
            lab.until("nobody holds the socket", || {
                equal(
                    UnixStream::connect(&old)
                        .map_err(|error| error.kind())
                        .err(),
                    Some(io::ErrorKind::ConnectionRefused),
                )
            })?;
        }
    }
    let servers = ["file", "directory", "link"].map(|name| {
        let server = host.start(&format!("chap-7 unixstreamserver {name}"))?;
        match lab.is_control() && name == "file" {
            true => drop(server.says("listening on ")?),
            false => drop(server.ends()?),
        }
        Ok::<_, LabError>(server)
    });
    let [in_file, in_directory, in_link] = servers;
    let in_use = |server: &Process, name: &str| {
        refused(
            server,
            &format!("bind {name}: Address already in use (os error 98)"),
        )
    };
    lab.central(
        "bind refuses the name of a file: EADDRINUSE",
        in_use(&in_file?, "file"),
    );
    lab.central("the file is as it was", {
        let content = fs::read(file(lab, "file")).unwrap_or_default();
        Check::new(content == b"precious", kind(lab, "file"))
    });
    lab.claim(
        "it refuses the name of a directory",
        in_use(&in_directory?, "directory"),
    );
    lab.claim(
        "and that of a symbolic link, which bind does not follow",
        in_use(&in_link?, "link"),
    );
    lab.claim(
        "the directory and the link are as they were",
        equal(kind(lab, "directory"), "a directory").and(equal(kind(lab, "link"), "a link")),
    );
    lab.done()
}

/// To be done between fork and exec: the new program will not have the right to pass the checks of files' permissions,
/// capabilities(7), even if its user is root. Taken out of the bounding set, the two are missing after exec; until then they
/// are there, so that the program can be found wherever it lies.
fn without_override() -> io::Result<()> {
    const CAP_DAC_OVERRIDE: libc::c_ulong = 1;
    const CAP_DAC_READ_SEARCH: libc::c_ulong = 2;
    for right in [CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH] {
        // SAFETY: this prctl takes a number and changes no memory of ours.
        let dropped = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, right, 0, 0, 0) };
        match Errno::result(dropped) {
            // An ordinary user outside of a user namespace has none to drop, nor may he.
            Ok(_) | Err(Errno::EPERM) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn no_permission(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let made = fs::create_dir(file(lab, "closed"));
    made.map_err(|source| LabError::Impossible(source.to_string()))?;
    set_mode(lab, "closed", lab.vary(0o555, 0o755))?;
    let server = host
        .program("chap-7 unixstreamserver closed/s.sock")
        .prepared(without_override)
        .start()?;
    if lab.is_control() {
        server.says("listening on ")?;
    } else {
        server.ends()?;
    }
    lab.central(
        "bind fails with EACCES",
        refused(
            &server,
            "bind closed/s.sock: Permission denied (os error 13)",
        ),
    );
    lab.central(
        "no file was made",
        equal(
            fs::read_dir(file(lab, "closed")).map_or(usize::MAX, |entries| entries.count()),
            0,
        ),
    );

    server.kill()?;
    lab.claim(
        "root, who has the capability to pass every check, binds in the same directory",
        {
            if Uid::effective().is_root() {
                server_on(&host, "chap-7 unixstreamserver closed/s.sock")?;
                equal(kind(lab, "closed/s.sock"), "a socket, size 0")
            } else {
                Check::unseen("this needs root, or a user namespace")
            }
        },
    );
    lab.done()
}

fn other_user(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    // The other user has to come as far as the file.
    set_mode(lab, "", 0o755)?;
    let server = server_on(&host, "chap-7 unixstreamserver s.sock")?;
    // Where there is no other user, it is the owner without the right to write, and without a capability in its place.
    let (others, nobody) = (can_be_nobody(), 0o555);
    let mode = lab.vary(if others { 0o755 } else { nobody }, 0o777);
    set_mode(lab, "s.sock", mode)?;
    let prepare = if others { as_nobody } else { without_override };
    let client = host
        .program("chap-7 unixstreamclient s.sock")
        .prepared(prepare)
        .start()?;
    if lab.is_control() {
        client.types("g1")?;
        client.says("Hi, g1")?;
    } else {
        client.ends()?;
    }
    lab.central(
        "connect fails with EACCES",
        refused(&client, "connect s.sock: Permission denied (os error 13)"),
    );
    lab.central("the client may read the file, and that is not enough", {
        let mode = fs::metadata(file(lab, "s.sock")).map_or(0, |file| file.mode() & 0o777);
        Check::new(
            mode & 0o444 == 0o444 && mode & 0o002 == 0,
            format_args!("its mode is {mode:o}"),
        )
    });

    server.signal(Signal::SIGTERM);
    server.ends()?;
    client.kill()?;
    server_on(&host, "chap-7 unixstreamserver s.sock")?;
    set_mode(lab, "s.sock", 0o222)?;
    let client = host
        .program("chap-7 unixstreamclient s.sock")
        .prepared(prepare)
        .start()?;
    client.types("g2")?;
    client.says("Hi, g2")?;
    lab.claim(
        "with the right to write and none to read, it connects",
        client.errors().is_empty(),
    );
    lab.done()
}

fn echo(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = server_on(&host, "chap-7 unixstreamserver s.sock")?;
    if lab.is_control() {
        server.halt()?;
    }
    let client = host.start("chap-7 unixstreamclient s.sock")?;
    for line in ["g1", "g2", "g3"] {
        client.types(line)?;
        if lab.is_control() {
            client.says("now sending g1")?;
            break;
        }
        server.says(&format!("received 2 bytes: {line}"))?;
        client.says(&format!("Hi, {line}"))?;
    }
    lab.central(
        "each line is answered",
        client
            .output()
            .says_exactly("Hi, ", &["Hi, g1", "Hi, g2", "Hi, g3"]),
    );
    lab.central("the server gets what was typed, and not a byte more", {
        let heard = ["g1", "g2", "g3"].map(|line| format!("received 2 bytes: {line}"));
        server
            .output()
            .says_exactly("received", &heard.each_ref().map(String::as_str))
    });
    lab.claim("no packet passes", lab.packets().none());
    client.signal(Signal::SIGINT);
    let end = client.ends()?;
    if !lab.is_control() {
        server.says("client closed")?;
    }
    lab.claim(
        "Ctrl-C ends the client, and the server listens on",
        end.was_killed_by(Signal::SIGINT).and(runs(&server)),
    );
    lab.done()
}

fn runs(process: &Process) -> Check {
    match process.ended() {
        None => Check::new(true, "it runs"),
        Some(end) => Check::new(false, format_args!("it {}", end.ending)),
    }
}

fn datagram(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = server_on(&host, "chap-7 unixdataserver s.sock")?;
    let first = host.start("chap-7 unixdataclient s.sock --bind client.sock")?;
    for line in ["g1", "g2"] {
        first.types(line)?;
        server.says(&format!("now sending Hi, {line}"))?;
        first.says(&format!("Hi, {line}"))?;
    }
    lab.claim(
        "the client that did bind has a file, too",
        equal(names(lab), ["client.sock", "s.sock"]),
    );
    first.closes_input();
    first.ends()?;
    lab.claim("and removes it when it ends", equal(names(lab), ["s.sock"]));

    let own = lab.vary("--unbound", "--bind client.sock");
    let second = host.start(&format!("chap-7 unixdataclient s.sock {own}"))?;
    second.types("g3")?;
    server.says("received 2 bytes: g3")?;
    if lab.is_control() {
        second.says("Hi, g3")?;
    } else {
        server.complains("no name")?;
        lab.watches_for(Duration::from_millis(50));
    }
    lab.central(
        "the datagram of the other one comes from nobody",
        server.errors().says("the client has no name"),
    );
    lab.central("it gets no answer", second.output().lacks("Hi,"));
    lab.claim(
        "a line that was answered went as one datagram",
        server.output().says("received 2 bytes: g1"),
    );
    lab.done()
}

fn client_quits(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = server_on(&host, "chap-7 unixstreamserver s.sock")?;
    let reads = lab.vary("", " --pause 600");
    let first = host.start(&format!("chap-7 unixstreamclient s.sock{reads}"))?;
    first.types("g1")?;
    first.says(lab.vary("Hi, g1", "the answer waits"))?;
    first.kill()?;
    if lab.is_control() {
        server.complains("client: ")?;
    } else {
        server.says("client closed")?;
    }
    lab.central(
        "the server's read returns 0: the end of file",
        server.output().says("client closed"),
    );
    lab.central("there is no error", server.errors().is_empty());

    let second = host.start("chap-7 unixstreamclient s.sock --pause 600")?;
    second.types("g2")?;
    second.says("the answer waits")?;
    second.kill()?;
    server.complains("Connection reset")?;
    lab.claim(
        "where an answer was left unread, the server's read fails with ECONNRESET",
        server
            .errors()
            .says("read: Connection reset by peer (os error 104)"),
    );
    let third = host.start("chap-7 unixstreamclient s.sock")?;
    third.types("g3")?;
    third.says("Hi, g3")?;
    lab.claim(
        "after both the next client is served",
        third.output().says("Hi, g3").and(runs(&server)),
    );
    lab.done()
}

fn wrong_type(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let kind = lab.vary("unixdataserver", "unixstreamserver");
    let server = server_on(&host, &format!("chap-7 {kind} s.sock"))?;
    let client = host.start("chap-7 unixstreamclient s.sock")?;
    client.closes_input();
    client.ends()?;
    lab.central(
        "connect fails with EPROTOTYPE",
        refused(
            &client,
            "connect s.sock: Protocol wrong type for socket (os error 91)",
        ),
    );
    lab.claim(
        "the server hears nothing of it",
        server.output().lacks("received").and(runs(&server)),
    );

    // The other way round, without programs.
    let other = UnixListener::bind(file(lab, "stream.sock")).and_then(|server| {
        let client = UnixDatagram::unbound()?.connect(file(lab, "stream.sock"));
        drop(server);
        client
    });
    lab.claim(
        "it is the same with a datagram client and a stream server",
        equal(
            other.map_err(|error| error.raw_os_error()),
            Err(Some(Errno::EPROTOTYPE as i32)),
        ),
    );
    lab.done()
}

/// Binds a stream socket to the first `length` bytes of a path, as the kernel is asked to by a program in C.
fn raw_bind(path: &[u8], length: usize) -> Result<(), Errno> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    use std::os::fd::AsRawFd;
    let socket = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // struct sockaddr_un, with room for more path than it has.
    let mut address = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    address.extend(&path[..length]);
    // SAFETY: the address is memory of ours, of the length that is given.
    let bound = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            address.as_ptr().cast(),
            address.len() as libc::socklen_t,
        )
    };
    Errno::result(bound).map(drop)
}

fn path_too_long(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let path = "x".repeat(lab.vary(108, 107));
    let server = host.start(&format!("chap-7 unixstreamserver {path}"))?;
    if lab.is_control() {
        server.says("listening on ")?;
    } else {
        server.ends()?;
    }
    lab.central("the server says that the path is too long", refused(&server, "a name of 108 bytes, of which 107 fit into a socket address: File name too long (os error 36)"));
    lab.central(
        "nothing was made, under this name or the start of it",
        equal(names(lab), [""; 0]),
    );
    server.kill()?;

    let directory = lab.shared.directory.as_os_str().as_encoded_bytes().to_vec();
    let long: Vec<u8> = directory
        .into_iter()
        .chain(*b"/")
        .chain(std::iter::repeat_n(b'y', 108))
        .collect();
    lab.claim(
        "the kernel takes 108 bytes, without the zero byte that ends a string",
        {
            let bound = raw_bind(&long, 108);
            let made = names(lab).into_iter().any(|name| name.starts_with('y'));
            Check::new(
                bound.is_ok() && made,
                format_args!("{bound:?}, {:?}", names(lab)),
            )
        },
    );
    lab.claim(
        "of 109 it says EINVAL",
        equal(raw_bind(&long, 109), Err(Errno::EINVAL)),
    );
    lab.done()
}

fn abstract_name(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let name = lab.vary("@s", "s.sock");
    let command = format!("chap-7 unixstreamserver {name} --no-unlink");
    let server = server_on(&host, &command)?;
    lab.central("there is no file", equal(names(lab), [""; 0]));
    let second = host.start(&command)?;
    second.ends()?;
    lab.claim(
        "while the server lives, nobody else can have the name",
        refused(
            &second,
            &format!("bind {name}: Address already in use (os error 98)"),
        ),
    );
    server.kill()?;
    let third = host.start(&command)?;
    if lab.is_control() {
        third.ends()?;
    } else {
        third.says("listening on ")?;
    }
    lab.central("after kill -9 the name is free at once", runs(&third));

    let name = SocketAddr::from_abstract_name("shared")
        .map_err(|source| LabError::Impossible(source.to_string()))?;
    let held = host.enter(|| {
        let socket = UnixListener::bind_addr(&name)?;
        let _copy = socket.try_clone()?;
        drop(socket);
        Ok(UnixListener::bind_addr(&name).is_err())
    })?;
    lab.claim(
        "a second descriptor for the socket holds the name when the first is closed",
        equal(held, true),
    );
    // At once; but a process that another experiment starts at this moment may hold it too, until its exec.
    lab.eventually("the last descriptor frees it", || {
        let bound = host.enter(|| UnixListener::bind_addr(&name).map(drop));
        Check::new(
            bound.is_ok(),
            bound.map_or_else(|error| error.to_string(), |()| "it is free".into()),
        )
    });
    lab.done()
}

fn fd_passing(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let written = fs::write(file(lab, "letter"), "first half, second half");
    written.map_err(|source| LabError::Impossible(source.to_string()))?;
    let receiver = server_on(&host, "chap-7 fd-pass receiver s.sock")?;
    receiver.halt()?;
    let options = lab.vary("", " --number-only");
    let sender = host.start(&format!(
        "chap-7 fd-pass sender s.sock letter --read 12{options}"
    ))?;
    sender.ends()?;
    let removed = fs::remove_file(file(lab, "letter"));
    removed.map_err(|source| LabError::Impossible(source.to_string()))?;
    lab.notes("the file is deleted");
    receiver.resume();
    let end = receiver.ends()?;

    lab.central(
        "the receiver gets a descriptor, when the sender has closed its own and ended",
        receiver.output().says("received descriptor "),
    );
    lab.central(
        "it reads from it, though the file has no name any more",
        receiver
            .output()
            .says("read 11 bytes: second half")
            .and(end.exited_with(0)),
    );
    lab.claim(
        "it goes on where the sender stopped: they share one open file, and one offset",
        sender
            .output()
            .says("read 12 bytes: first half, ")
            .and(receiver.output().lacks("first half")),
    );
    lab.claim("the number itself was only text", {
        let number = sender
            .output()
            .lines()
            .iter()
            .find_map(|line| line.strip_prefix("closed descriptor ").map(String::from));
        let number = number.unwrap_or_default();
        receiver
            .output()
            .says(&format!("received {} bytes: {number}", number.len()))
    });
    lab.done()
}

/// What was measured, and how many bytes passed in a second.
type Rates = Vec<(String, String)>;

/// Round trips over `transport` and over TCP: what one costs in microseconds, and how much passes in a second.
///
/// In a network of its own, where nobody captures packets: that would add to the costs of TCP. No column of the ladder
/// shows it, because it is nothing but figures.
fn measured(lab: &Lab, transport: &str) -> Result<(Vec<f64>, Rates), LabError> {
    let quiet = Namespace::new().map_err(|source| LabError::Host {
        host: "the quiet host".into(),
        source,
    })?;
    let refused = |why| LabError::Start {
        command: "chap-7 round-trips".into(),
        why,
    };
    let mut command = Command::new(lab.shared.programs.path("chap-7").map_err(refused)?);
    command.args(["round-trips", transport, "tcp"]);
    if !lab.is_control() {
        command.args(["--throughput", "64,4096,65536"]);
    }
    // SAFETY: between fork and exec only two system calls are made, nothing is allocated and no lock is taken.
    unsafe {
        command.pre_exec(move || quiet.join().and(Ok(prctl::set_pdeathsig(Signal::SIGKILL)?)))
    };
    let program = Program::start("round-trips", &mut command)?;
    program.ends()?;
    let lines: Vec<String> = program
        .out()
        .lines()
        .into_iter()
        .map(|line| line.text)
        .collect();
    let cost = |line: &String| {
        line.split_once(" cost ")?
            .1
            .split_once(" µs")?
            .0
            .parse()
            .ok()
    };
    let rate = |line: &String| {
        line.strip_prefix("writes of ")?
            .split_once(": ")
            .map(|(of, rate)| (format!("writes of {of}"), rate.into()))
    };
    Ok((
        lines.iter().filter_map(cost).collect(),
        lines.iter().filter_map(rate).collect(),
    ))
}

fn no_protocol_stack(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let transport = lab.vary("local", "tcp");
    let few = host.start(&format!(
        "chap-7 round-trips {transport} --count 3 --rounds 1"
    ))?;
    let end = few.ends()?;
    lab.central(
        "three round trips over a local socket make no packet",
        lab.packets().none(),
    );
    lab.claim("they did take place", end.exited_with(0));

    let (costs, rates) = measured(lab, transport)?;
    lab.central(
        "over TCP one costs at least a fifth more processor time, both ends on one processor",
        Check::new(
            costs.len() == 2 && costs[1] >= 1.2 * costs[0],
            format_args!("{costs:?} µs"),
        ),
    );
    for (name, cost) in ["local", "TCP"].iter().zip(costs) {
        lab.figure(
            &format!("a round trip of 64 bytes, {name}"),
            format!("{cost:.1} µs of processor time"),
        );
    }
    for (name, rate) in rates {
        lab.figure(&name, rate);
    }
    lab.done()
}
