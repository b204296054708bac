//! Chapter 25: a process per connection.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::{fs, io, ptr};

use nix::errno::Errno;
use nix::libc::{self, RLIMIT_NPROC, rlimit};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::net::proc;
use crate::net::sock_diag::Socket;
use crate::prelude::*;
use crate::users::{as_nobody, can_be_nobody};

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "25/two-clients",
        "two clients at once, each served by a child of its own; one leaves and the other does not notice",
        two_clients,
        "the server has one child for all clients",
    )
    .also(&["chap-36"]),
    Experiment::new(
        "25/no-zombies",
        "five clients leave together, and no child stays behind as a zombie",
        no_zombies,
        "nobody waits for the children",
    )
    .also(&["chap-36"]),
    Experiment::new(
        "25/one-wait-is-not-enough",
        "five children end while the signal is held back: with one wait for each signal four of them stay",
        one_wait_is_not_enough,
        "the handler waits until there is none left",
    )
    .also(&["chap-36"]),
    Experiment::new(
        "25/leaked-fd",
        "the parent keeps the connection open: the child has ended, and the client never sees an end of file",
        leaked_fd,
        "the parent closes its descriptor",
    )
    .also(&["chap-36"]),
    Experiment::new(
        "25/fork-fails",
        "there is no process to be had: the client is told, and the server goes on",
        fork_fails,
        "there is no limit",
    )
    .also(&["chap-36"]),
    Experiment::new(
        "25/prefork",
        "two children wait for clients at one listener; a third client waits, and a child that is killed is replaced",
        prefork,
        "no child is killed",
    )
    .also(&["chap-36"]),
];

/// The server's end of a connection.
fn of_server(socket: &Socket) -> bool {
    socket.local.port() == PORT && socket.remote.port() != 0
}

/// A program has not ended.
fn runs(program: &Process) -> Check {
    let seen = program
        .ended()
        .map_or("it runs".to_string(), |end| end.ending.to_string());
    Check::new(program.ended().is_none(), seen)
}

fn server_on(host: &Host, command: &str) -> Result<Process, LabError> {
    let server = host.start(&format!("chap-25 {command}"))?;
    server.listens()?;
    Ok(server)
}

fn connects(host: &Host) -> Result<Process, LabError> {
    let client = host.start("chap-36 tcpcli-select 127.0.0.1")?;
    client.says("connected: ")?;
    Ok(client)
}

/// How many connections of the server's a process itself has open.
fn connections(host: &Host, pid: Pid) -> Result<usize, LabError> {
    let sockets = host.sockets()?;
    let connections = sockets.iter().filter(|socket| of_server(socket));
    let links: Vec<_> = fs::read_dir(format!("/proc/{pid}/fd"))?
        .filter_map(|fd| fs::read_link(fd.ok()?.path()).ok())
        .collect();
    let open = |socket: &&Socket| {
        let name = format!("socket:[{}]", socket.inode);
        links.iter().any(|link| *link == *name)
    };
    Ok(connections.filter(open).count())
}

fn two_clients(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = server_on(&host, lab.vary("fork01", "prefork --children 1"))?;
    let first = connects(&host)?;
    first.types("afasfa")?;
    first.says("nsnfsn")?;
    let second = connects(&host)?;
    host.look();
    second.types("agasgasg")?;
    if lab.is_control() {
        lab.watches_for(Duration::from_millis(200));
    } else {
        second.says("ntnftnft")?;
    }
    let children = server.children();
    let mut each = Vec::new();
    for (child, _) in &children {
        each.push(connections(&host, *child)?);
    }
    lab.central(
        "the second is answered while the first is still connected",
        second.output().says("ntnftnft"),
    );
    lab.central(
        "there are two children, with one connection each",
        equal(each, [1, 1]),
    );
    lab.claim(
        "the parent has none of them open",
        equal(connections(&host, server.pid())?, 0),
    );

    first.closes_input();
    first.ends()?;
    second.types("ab")?;
    second.says("no")?;
    lab.claim("the first leaves, and the second is answered as before", {
        second
            .output()
            .says("no")
            .and(host.has(TcpState::Established, of_server))
    });
    if !lab.is_control() {
        lab.eventually("the first one's child has ended", || {
            equal(server.children().len(), 1)
        });
    }
    lab.done()
}

/// Five connections of one process, each with a child at the other end.
fn five_clients(lab: &Lab, host: &Host, server: &Process) -> Result<Process, LabError> {
    lab.leaves_out(PORT..=PORT); // what is to be seen here is processes
    let five = host.start("chap-36 tcpcli-five 127.0.0.1")?;
    five.says("5 connections")?;
    lab.until("each has a child", || equal(server.children().len(), 5))?;
    Ok(five)
}

/// They leave together.
fn leave(lab: &Lab, five: &Process) -> Result<(), LabError> {
    lab.notes("the client's input ends (Ctrl-D)");
    five.closes_input();
    five.ends()?;
    Ok(())
}

fn no_zombies(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = server_on(
        &host,
        &format!("fork01 --reap {}", lab.vary("waitpid", "none")),
    )?;
    let five = five_clients(lab, &host, &server)?;
    leave(lab, &five)?;
    if lab.is_control() {
        lab.until("all five have ended", || equal(server.zombies(), 5))?;
    } else {
        lab.until("no child is left", || equal(server.children().len(), 0))?;
    }
    lab.central(
        "none of the five is left, not even as a zombie",
        equal(server.children().len(), 0),
    );
    lab.claim(
        "all connections have ended",
        !host.has(TcpState::Established, of_server),
    );
    lab.eventually("the server waits for the next client", || {
        server.blocks_in(&["accept4"])
    });
    lab.done()
}

fn one_wait_is_not_enough(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = server_on(
        &host,
        &format!("fork01 --reap {}", lab.vary("wait", "waitpid")),
    )?;
    let five = five_clients(lab, &host, &server)?;
    server.halt()?; // a stopped process gets no signal but SIGKILL and SIGCONT; the others wait
    leave(lab, &five)?;
    lab.until("all five have ended", || equal(server.zombies(), 5))?;
    server.resume();
    let left = lab.vary(4, 0);
    lab.until("the handler has done its work", || {
        equal(server.zombies(), left)
    })?;
    lab.watches_for(Duration::from_millis(100));

    lab.central(
        "one is waited for and four are zombies",
        equal(server.zombies(), 4),
    );
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap_or_default();
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    lab.claim(
        "no signal is left that could tell of them",
        equal(
            (field("SigPnd:"), field("ShdPnd:")),
            (Some("0000000000000000"), Some("0000000000000000")),
        ),
    );
    lab.claim(
        "the zombies have no connection any more",
        !host.has(TcpState::Established, of_server),
    );
    lab.done()
}

fn leaked_fd(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = server_on(&host, lab.vary("fork01 --keep-connections", "fork01"))?;
    let client = connects(&host)?;
    client.types("afasfa")?;
    client.says("nsnfsn")?;
    client.closes_input();
    lab.until("the child has ended", || equal(server.children().len(), 0))?;
    if lab.is_control() {
        client.ends()?;
    } else {
        lab.watches_for(Duration::from_millis(500));
    }
    let from_server = lab.packets().that(|packet| packet.source.port() == PORT);
    lab.central("the server's side has sent no FIN", from_server.lacks(FIN));
    lab.central(
        "its end is in CLOSE-WAIT",
        host.has(TcpState::CloseWait, of_server),
    );
    lab.central(
        "it is open in the parent",
        equal(connections(&host, server.pid())?, 1),
    );
    lab.claim(
        "the client has said all it had to say: FIN, in FIN-WAIT-2",
        {
            let fins = lab
                .packets()
                .with(FIN)
                .that(|packet| packet.source.port() != PORT)
                .some();
            fins.and(if lab.is_control() {
                Check::new(true, "it has ended")
            } else {
                host.has(TcpState::FinWait2, |socket| socket.remote.port() == PORT)
            })
        },
    );
    lab.central("the client still waits", runs(&client));
    lab.done()
}

/// To be done between fork and exec. Root has no limit on processes, so it becomes another user.
fn as_somebody() -> io::Result<()> {
    if can_be_nobody() {
        as_nobody()?;
    }
    Ok(())
}

/// To be done between fork and exec: a user who may have one process.
fn with_one_process() -> io::Result<()> {
    as_somebody()?;
    let (_, hard) = getrlimit(Resource::RLIMIT_NPROC)?;
    Ok(setrlimit(Resource::RLIMIT_NPROC, 1, hard)?)
}

/// Raises the limit of a process that runs, prlimit(2). That takes a capability, or a process of the same user.
fn may_have_more(process: &Process) -> Result<(), LabError> {
    let pid = process.pid().as_raw();
    let raise = move || {
        as_somebody()?;
        let (_, hard) = getrlimit(Resource::RLIMIT_NPROC)?;
        let new = rlimit {
            rlim_cur: hard,
            rlim_max: hard,
        };
        // SAFETY: the kernel reads one struct, and is given nowhere to write.
        let raised = unsafe { libc::prlimit(pid, RLIMIT_NPROC, &new, ptr::null_mut()) };
        Errno::result(raised)?;
        Ok(())
    };
    let mut somebody = Command::new("true");
    // SAFETY: nothing but system calls is done between fork and exec.
    unsafe { somebody.pre_exec(raise) };
    somebody.status()?;
    Ok(())
}

fn fork_fails(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let launch = host.program("chap-25 fork01");
    let launch = if lab.is_control() {
        launch
    } else {
        launch.prepared(with_one_process)
    };
    let server = launch.start()?;
    server.listens()?;
    let first = connects(&host)?;
    if lab.is_control() {
        server.says("serves")?;
        first.types("ab")?;
        first.says("no")?;
    } else {
        server.complains("fork for")?;
        first.ends()?;
    }
    lab.central(
        "fork fails with EAGAIN",
        server
            .errors()
            .says("Resource temporarily unavailable (os error 11)"),
    );
    lab.central("the client is told so, and then sees an end of file", {
        first
            .output()
            .says("no process to be had, try again later")
            .and(first.errors().says("terminated"))
    });
    lab.claim("the server lives and still listens", {
        Check::unless(server.ended().is_none(), "it has ended")
            .and(host.has(TcpState::Listen, |s| s.local.port() == PORT))
    });
    if !lab.is_control() {
        may_have_more(&server)?;
        lab.notes("the limit is raised");
    }
    let second = connects(&host)?;
    second.types("afasfa")?;
    second.says("nsnfsn")?;
    lab.claim(
        "when there are processes again the next client is served",
        second.output().says("nsnfsn"),
    );
    lab.done()
}

fn prefork(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = server_on(&host, "prefork --children 2")?;
    lab.until("both children are there", || {
        equal(server.children().len(), 2)
    })?;
    let before = server.children();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let client = connects(&host)?;
        client.types("afasfa")?;
        client.says("nsnfsn")?;
        clients.push(client);
    }
    let third = connects(&host)?;
    host.look();
    third.types("agas")?;

    let waiting = host.has(TcpState::Listen, |socket| socket.receive_queue == 1);
    lab.claim(
        "both children have a client; the third is connected, and waits in the queue",
        waiting,
    );
    let listener = host
        .sockets()?
        .into_iter()
        .find(|socket| socket.state == TcpState::Listen);
    let inode = listener.map_or(0, |socket| socket.inode);
    let holders = before
        .iter()
        .filter(|(child, _)| proc::owners(&[child.as_raw()]).contains_key(&inode));
    lab.claim(
        "the children share the listening socket",
        equal(holders.count(), 2),
    );

    let victim = before[0].0;
    if lab.is_control() {
        lab.watches_for(Duration::from_millis(300));
    } else {
        lab.notes("one of the children is killed");
        kill(victim, Signal::SIGKILL).map_err(io::Error::from)?;
        third.says("ntnf")?;
        lab.until("the victim's client has ended", || {
            within(
                clients
                    .iter()
                    .filter(|client| client.ended().is_some())
                    .count(),
                1..,
            )
        })?;
    }
    let now = server.children();
    let new = now
        .iter()
        .filter(|child| before.iter().all(|old| old.0 != child.0))
        .count();
    lab.central(
        "the dead child is replaced by a new one",
        equal((now.len(), new), (2, 1)),
    );
    lab.central("which serves the third client", third.output().says("ntnf"));
    let ended = clients.iter().filter(|client| client.ended().is_some());
    lab.central(
        "the victim's client is the only one that suffers",
        equal(ended.count(), 1),
    );
    lab.done()
}
