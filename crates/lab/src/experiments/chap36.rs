//! Chapter 36: echo, and everything that goes wrong.

use std::net::{SocketAddr, TcpStream};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::net::proc;
use crate::net::sock_diag::Socket;
use crate::packets::Packets;
use crate::prelude::*;
use crate::tracer::SystemCall;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "36/normal-start",
        "LISTEN, then ESTABLISHED twice; the server waits for clients, its child for the client, the client for the keyboard",
        normal_start,
        "no client comes",
    ),
    Experiment::new(
        "36/normal-end",
        "the client's input ends: FIN, FIN with its ACK, ACK; the child is waited for, the client's side is in TIME-WAIT",
        normal_end,
        "the server's child is killed first",
    ),
    Experiment::new(
        "36/zombies-none",
        "five children end and nobody waits for them: five zombies stay",
        zombies_none,
        "the server waits for them",
    ),
    Experiment::new(
        "36/zombies-wait",
        "five children end at once, and one wait for each signal is not enough: four zombies stay",
        zombies_wait,
        "the handler waits until there is none left",
    ),
    Experiment::new(
        "36/zombies-waitpid",
        "the same, and the handler calls waitpid until there is none left: no zombie stays",
        zombies_waitpid,
        "the handler waits once",
    ),
    Experiment::new(
        "36/signals-do-not-queue",
        "five SIGCHLD that come while the signal is blocked are delivered once",
        signals_do_not_queue,
        "the signal is not blocked",
    ),
    Experiment::new(
        "36/blocked-signal",
        "a blocked signal waits until the critical section is over",
        blocked_signal,
        "the signal is not blocked",
    ),
    Experiment::new(
        "36/eintr",
        "a signal interrupts accept: without SA_RESTART it fails with EINTR, with it the kernel calls it again",
        eintr,
        "the first server has SA_RESTART, too",
    ),
    Experiment::new(
        "36/abort-before-accept",
        "a client resets its connection while it waits to be accepted: on Linux accept hands it out all the same",
        abort_before_accept,
        "the client ends in good order",
    ),
    Experiment::new(
        "36/child-killed",
        "the server's child is killed: a client that waits for the keyboard learns it a line too late, one that waits for both at once",
        child_killed,
        "the first client waits for both, too",
    ),
    Experiment::new(
        "36/sigpipe",
        "the first write after the end brings a reset, the second one a signal that kills",
        sigpipe,
        "the signal is ignored",
    ),
    Experiment::new(
        "36/host-crash",
        "the server's host crashes: the client's kernel sends the line again and again, then read fails with ETIMEDOUT",
        host_crash,
        "the host does not crash",
    )
    .isolated(),
    Experiment::new(
        "36/host-unreachable",
        "a router says that the host is unreachable: the kernel tries on, then read fails with EHOSTUNREACH",
        host_unreachable,
        "the router says nothing",
    )
    .isolated(),
    Experiment::new(
        "36/host-crash-reboot",
        "the host has crashed and is back: it answers the next line with a reset",
        host_crash_reboot,
        "the host stays down",
    )
    .isolated(),
    Experiment::new(
        "36/keepalive",
        "keep-alive finds the crash though the client sends nothing",
        keepalive,
        "keep-alive is off, as it is unless asked for",
    )
    .isolated(),
    Experiment::new(
        "36/host-shutdown",
        "a host shuts down, SIGTERM and then SIGKILL: each connection ends with FIN, or with RST where input was unread",
        host_shutdown,
        "the host crashes",
    )
    .isolated(),
    Experiment::new(
        "36/names",
        "a program that has a descriptor can ask for both names of the connection, though it was given nothing else",
        names,
        "the client has reset the connection before anybody asks",
    )
    .isolated(),
    Experiment::new(
        "36/binary",
        "a struct works between machines that are alike and fails between unequal byte orders; text works",
        binary,
        "the second client has the server's byte order, too",
    ),
];

const TIMED_OUT: &str = "read: Connection timed out (os error 110)";
const RESET: &str = "read: Connection reset by peer (os error 104)";
const UNREACHABLE: &str = "read: No route to host (os error 113)";
const PREMATURELY: &str = "server terminated prematurely";

/// The server's end of a connection.
fn of_server(socket: &Socket) -> bool {
    socket.local.port() == PORT && socket.remote.port() != 0
}

/// The client's end of a connection.
fn of_client(socket: &Socket) -> bool {
    socket.remote.port() == PORT
}

/// The only child of a server that has a client.
fn only_child(server: &Process) -> Result<Pid, LabError> {
    let mut children = server.children().into_iter();
    let child = children.find(|(_, state)| *state != 'Z');
    child
        .map(|(pid, _)| pid)
        .ok_or_else(|| LabError::Impossible("the server has no child".into()))
}

/// A signal from the experiment's own hand.
fn sends(lab: &Lab, what: &str, pids: &[Pid], signal: Signal) {
    lab.notes(what);
    for pid in pids {
        // An error means that it has ended.
        let _ = kill(*pid, signal);
    }
}

/// Whether SIGCHLD is in a set of the process, by the field's name in `/proc/PID/status`: ShdPnd, SigBlk.
fn sigchld_is_in(set: &str, process: &Process) -> Check {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid()));
    let status = status.unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(set));
    let mask =
        line.and_then(|line| u64::from_str_radix(line.trim_start_matches(':').trim(), 16).ok());
    let bit = 1 << (Signal::SIGCHLD as u32 - 1);
    Check::new(
        mask.is_some_and(|mask| mask & bit != 0),
        format_args!("{set} {mask:x?}"),
    )
}

/// Whether a process sleeps in a system call with this descriptor as its first argument.
fn sleeps_in(pid: Option<Pid>, call: &str, fits: impl Fn(u64) -> bool) -> Check {
    let found = pid.and_then(|pid| proc::blocked_in(pid.as_raw()));
    let found =
        found.and_then(|(number, arguments)| Some((proc::system_call_name(number)?, arguments[0])));
    Check::new(
        found.is_some_and(|(name, first)| name == call && fits(first)),
        format_args!("{found:?}"),
    )
}

/// A server on the loopback interface.
fn tcpserv(host: &Host, options: &str) -> Result<Process, LabError> {
    let server = host.start(&format!("chap-36 tcpserv {options}"))?;
    server.listens()?;
    Ok(server)
}

/// A client whose first line has come back.
fn client(host: &Host, command: &str) -> Result<Process, LabError> {
    let client = host.start(&format!("chap-36 {command}"))?;
    client.says("connected")?;
    client.types("data1")?;
    client.says("data1")?;
    // So that its packets are known for its own, also once another client is there.
    host.look();
    Ok(client)
}

/// The segments that carry this line, each time that it was sent.
fn carrying(packets: Packets, line: &'static str) -> Packets {
    packets.that(move |packet| packet.data() == format!("{line}\n").as_bytes())
}

fn normal_start(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = tcpserv(&host, "")?;
    let listens = host.has(TcpState::Listen, |socket| socket.local.port() == PORT);
    lab.claim(
        "before the first client there is one socket, in LISTEN",
        listens,
    );
    let mut client = None;
    if !lab.is_control() {
        client = Some(host.start("chap-36 tcpcli 127.0.0.1")?);
        server.says("serves")?;
    }
    let in_accept = || sleeps_in(Some(server.pid()), "accept4", |_| true);
    let child = || server.children().first().map(|(pid, _)| *pid);
    let child_reads = || sleeps_in(child(), "read", |descriptor| descriptor > 2);
    let pid = client.as_ref().map(|client| client.pid());
    let client_reads = || sleeps_in(pid, "read", |descriptor| descriptor == 0);
    if !lab.is_control() {
        lab.until("all three wait", || {
            in_accept().and(child_reads()).and(client_reads())
        })?;
    }

    let sockets = host.sockets()?;
    let established = sockets
        .iter()
        .filter(|socket| socket.state == TcpState::Established);
    let states = |end: fn(&Socket) -> bool| {
        sockets
            .iter()
            .filter(move |socket| end(socket))
            .map(|socket| socket.state)
    };
    lab.central(
        "then there are two more, both ends of the connection, in ESTABLISHED",
        equal(established.count(), 2),
    );
    lab.claim("one is the client's, one the server's", {
        equal(states(of_client).count(), 1).and(equal(states(of_server).count(), 1))
    });
    lab.claim("the server sleeps in accept", in_accept());
    lab.central("its child sleeps in read, on the connection", child_reads());
    lab.central("the client sleeps in read, on the keyboard", client_reads());
    lab.done()
}

fn normal_end(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = tcpserv(&host, "")?;
    let client = client(&host, "tcpcli 127.0.0.1")?;
    if lab.is_control() {
        sends(
            lab,
            "the server's child is killed",
            &[only_child(&server)?],
            Signal::SIGKILL,
        );
        lab.until("the client has the FIN", || {
            host.has(TcpState::CloseWait, of_client)
        })?;
    }
    lab.notes("the client's input ends (Ctrl-D)");
    client.closes_input();
    let end = client.ends()?;
    server.says("terminated")?;
    lab.until("one side is in TIME-WAIT", || {
        host.has(TcpState::TimeWait, |_| true)
    })?;

    let packets = lab.packets();
    let fins = packets.clone().with(FIN);
    let header = |packets: &Packets| packets.first().and_then(|packet| packet.tcp().copied());
    let [first, second] = [&client, &server].map(|program| header(&fins.clone().from(program)));
    let port = fins.first().map(|fin| fin.destination.port());
    lab.central(
        "the first FIN is the client's",
        fins.check(port == Some(PORT)),
    );
    let acknowledged = first.map(|first| first.sequence.wrapping_add(1));
    lab.claim(
        "the server's FIN has the ACK of the client's with it",
        fins.check(second.is_some() && second.map(|second| second.acknowledgement) == acknowledged),
    );
    lab.central(
        "the client's side is in TIME-WAIT",
        host.has(TcpState::TimeWait, of_client),
    );
    lab.claim(
        "the server's side is gone",
        !host.has(TcpState::TimeWait, of_server),
    );
    lab.claim(
        "the child has exited with code 0",
        server.output().says("terminated: exit code 0"),
    );
    lab.claim(
        "and is no zombie: the server has no child any more",
        equal(server.children().len(), 0),
    );
    lab.claim("the client ends in good order", end.exited_with(0));
    let since = fins.first().map_or(Duration::MAX, |fin| fin.sent);
    lab.figure("segments of the ending", packets.since(since).count());
    lab.done()
}

/// A client with five connections, and a child of the server for each.
fn five_clients(host: &Host, server: &Process) -> Result<Process, LabError> {
    let five = host.start("chap-36 tcpcli-five 127.0.0.1")?;
    (0..5).try_for_each(|_| server.says("serves").map(drop))?;
    five.says("5 connections")?;
    Ok(five)
}

fn zombies_none(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = tcpserv(&host, lab.vary("--reap none", "--reap waitpid"))?;
    let five = five_clients(&host, &server)?;
    lab.notes("the client's input ends (Ctrl-D)");
    five.closes_input();
    five.ends()?;
    if lab.is_control() {
        lab.until("all five are gone", || equal(server.children().len(), 0))?;
    } else {
        lab.until("all five have ended", || equal(server.zombies(), 5))?;
        lab.watches_for(Duration::from_millis(100));
    }

    lab.central("five children are zombies", equal(server.zombies(), 5));
    lab.claim(
        "their connections have ended all the same",
        !host.has(TcpState::Established, of_server),
    );
    lab.claim(
        "five FINs have come from the server",
        lab.packets().from(&server).with(FIN).exactly(5),
    );
    lab.done()
}

/// Five children end while the server is stopped: so their five signals come before the first can be handled.
fn five_end_at_once(lab: &Lab, reap: &str) -> Result<(Host, Process), LabError> {
    let host = lab.host()?;
    let server = tcpserv(&host, &format!("--reap {reap}"))?;
    let five = five_clients(&host, &server)?;
    server.halt()?;
    lab.notes("the client's input ends (Ctrl-D)");
    five.closes_input();
    five.ends()?;
    lab.until("all five have ended", || equal(server.zombies(), 5))?;
    server.resume();
    let left = if reap == "wait" { 4 } else { 0 };
    lab.until("the handler has done its work", || {
        equal(server.zombies(), left)
    })?;
    lab.watches_for(Duration::from_millis(100));
    Ok((host, server))
}

fn zombies_wait(lab: &Lab) -> Outcome {
    let (host, server) = five_end_at_once(lab, lab.vary("wait", "waitpid"))?;
    lab.central("four children are zombies", equal(server.zombies(), 4));
    lab.central(
        "the server has waited for one",
        equal(server.output().count("terminated"), 1),
    );
    lab.claim(
        "no signal is pending any more",
        !sigchld_is_in("ShdPnd", &server),
    );
    lab.claim(
        "all connections have ended",
        !host.has(TcpState::Established, of_server),
    );
    lab.done()
}

fn zombies_waitpid(lab: &Lab) -> Outcome {
    let (_, server) = five_end_at_once(lab, lab.vary("waitpid", "wait"))?;
    lab.central("no child is left", equal(server.children().len(), 0));
    lab.central(
        "the server has waited for all five",
        equal(server.output().count("terminated"), 5),
    );
    lab.eventually("it goes back to accept", || server.blocks_in(&["accept4"]));
    lab.done()
}

/// A client of the experiment's own.
fn connects(host: &Host, server: &Process) -> Result<TcpStream, LabError> {
    let stream = host.enter(|| TcpStream::connect(("127.0.0.1", PORT)))?;
    server.says("serves")?;
    Ok(stream)
}

/// How often a handler has run: each time it ends with this call, sigreturn(2).
fn handled(server: &Process) -> usize {
    let own = |call: &SystemCall| call.pid == server.pid() && call.name == "rt_sigreturn";
    server.calls().filtered(own).len()
}

fn signals_do_not_queue(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.names_own_hand("client");
    let server = host.traces(lab.vary("chap-36 tcpserv --hold-back 1", "chap-36 tcpserv"))?;
    server.listens()?;
    lab.until("the server sleeps in accept", || {
        server.blocks_in(&["accept4"])
    })?;
    lab.notes("SIGCHLD is sent five times");
    for count in 1..=5 {
        kill(server.pid(), Signal::SIGCHLD)
            .map_err(|error| LabError::Impossible(error.to_string()))?;
        if lab.is_control() {
            lab.until("the handler has run", || equal(handled(&server), count))?;
        }
    }
    lab.watches_for(Duration::from_millis(50));
    let (before, pending) = (handled(&server), sigchld_is_in("ShdPnd", &server));
    lab.central(
        "while it is blocked the handler does not run",
        equal(before, 0),
    );
    lab.central("the signal is pending", pending);

    let stream = connects(&host, &server)?; // the first client ends the critical section
    lab.until("the handler has run", || within(handled(&server), 1..))?;
    lab.watches_for(Duration::from_millis(50));
    lab.central("afterwards it runs once", equal(handled(&server), 1));
    lab.claim("nothing is left to come", !sigchld_is_in("ShdPnd", &server));
    lab.until("the server sleeps in accept", || {
        server.blocks_in(&["accept4"])
    })?;
    drop(stream);
    server.says("terminated")?;
    lab.done()
}

fn blocked_signal(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.names_own_hand("clients");
    let server = tcpserv(
        &host,
        lab.vary("--no-restart --hold-back 2", "--no-restart"),
    )?;
    let first = connects(&host, &server)?;
    lab.until("the server sleeps in accept", || {
        server.blocks_in(&["accept4"])
    })?;
    drop(first);
    if lab.is_control() {
        server.says("interrupted")?;
    } else {
        lab.until("the child has ended", || equal(server.zombies(), 1))?;
        lab.watches_for(Duration::from_millis(100));
    }
    let (blocked, pending) = (
        sigchld_is_in("SigBlk", &server),
        sigchld_is_in("ShdPnd", &server),
    );
    lab.central(
        "the signal is blocked, and it is pending",
        blocked.and(pending),
    );
    lab.central(
        "the child that has ended waits as a zombie",
        equal(server.zombies(), 1),
    );
    lab.central(
        "accept is not interrupted",
        server.output().lacks("interrupted"),
    );

    let second = connects(&host, &server)?;
    lab.until("the first child is gone", || {
        equal(server.children().len(), 1)
    })?;
    lab.claim(
        "when the section is over, the signal comes",
        !sigchld_is_in("ShdPnd", &server),
    );
    lab.eventually("and the handler waits for the child", || {
        server.output().says("terminated: exit code 0")
    });
    lab.until("the server sleeps in accept", || {
        server.blocks_in(&["accept4"])
    })?;
    drop(second);
    server.says("interrupted")?;
    lab.claim(
        "the next signal is not held back: it interrupts accept",
        server.output().says("interrupted"),
    );
    lab.done()
}

/// What became of the call to accept in which a server slept when its child ended.
fn interrupted_accept(
    lab: &Lab,
    host: &Host,
    options: &str,
) -> Result<(Process, Vec<SystemCall>), LabError> {
    let server = host.traces(&format!("chap-36 tcpserv {options}"))?;
    server.listens()?;
    let stream = connects(host, &server)?;
    lab.until("the server sleeps in accept", || {
        equal(server.calls().count_of("accept4"), 2)
    })?;
    lab.until("the server sleeps in accept", || {
        server.blocks_in(&["accept4"])
    })?;
    drop(stream);
    server.says("terminated")?;
    lab.until("the server is in accept again", || {
        equal(server.calls().count_of("accept4"), 3)
    })?;
    let calls = server.calls().named("accept4");
    Ok((server, calls))
}

fn eintr(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.names_own_hand("client");
    let (server, calls) = interrupted_accept(lab, &host, lab.vary("--no-restart", ""))?;
    let result = |calls: &[SystemCall]| {
        calls
            .get(1)
            .map(|call| (call.ended_at.is_some(), call.result))
    };
    lab.central(
        "without SA_RESTART accept fails with EINTR",
        equal(result(&calls), Some((true, Some(Err(Errno::EINTR))))),
    );
    lab.central(
        "the program knows of it, and calls accept again",
        server.output().says("interrupted"),
    );
    server.kill()?;
    let (server, calls) = interrupted_accept(lab, &host, "")?;
    lab.claim(
        "with SA_RESTART the call is broken off, too, but returns nothing to the program",
        equal(result(&calls), Some((true, None))),
    );
    lab.claim("the kernel begins it again, with the same arguments", {
        let arguments = |number: usize| calls.get(number).map(|call| call.arguments);
        equal(arguments(1), arguments(2))
    });
    lab.claim(
        "the program knows nothing of it",
        server.output().lacks("interrupted"),
    );
    lab.done()
}

/// A reset is on its way, and the server's kernel has dealt with it: of the connection nothing is left.
fn reset_has_come(lab: &Lab, host: &Host) -> Check {
    let left = host.sockets().unwrap_or_default();
    let left = left.iter().filter(|socket| of_server(socket)).count();
    lab.packets().to(host).has(RST).and(equal(left, 0))
}

fn abort_before_accept(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    host.names_own_hand("client");
    let server = tcpserv(&host, "")?;
    server.halt()?; // the connection waits in the accept queue
    let stream = host.enter(|| TcpStream::connect(("127.0.0.1", PORT)))?;
    let waiting = || {
        let sockets = host.sockets().unwrap_or_default();
        let listener = sockets
            .iter()
            .find(|socket| socket.state == TcpState::Listen);
        equal(listener.map(|socket| socket.receive_queue), Some(1))
    };
    lab.until("the connection waits to be accepted", waiting)?;
    if lab.is_control() {
        drop(stream);
    } else {
        host.enter(|| drive::reset(stream))?;
    }
    lab.until("the client has gone", || {
        if lab.is_control() {
            lab.packets().to(&server).has(FIN)
        } else {
            reset_has_come(lab, &host)
        }
    })?;
    lab.claim(
        "a connection that has ended keeps its place in the queue",
        waiting(),
    );
    server.resume();
    server.says("terminated")?;

    lab.claim(
        "accept succeeds: the server starts a child",
        server.output().says("serves"),
    );
    lab.central(
        "the connection has no other end any more",
        server.output().says("serves a client that has gone"),
    );
    lab.central(
        "the child's first read fails with ECONNRESET",
        server.errors().says(RESET),
    );
    lab.eventually("the server goes back to accept", || {
        server.blocks_in(&["accept4"])
    });
    lab.done()
}

fn child_killed(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = tcpserv(&host, "")?;
    let first = client(
        &host,
        lab.vary("tcpcli 127.0.0.1", "tcpcli-select 127.0.0.1"),
    )?;
    sends(
        lab,
        "the server's child is killed",
        &[only_child(&server)?],
        Signal::SIGKILL,
    );
    server.says("terminated: SIGKILL")?;
    if lab.is_control() {
        first.ends()?;
    } else {
        lab.until("the client has the FIN", || {
            host.has(TcpState::CloseWait, of_client)
        })?;
        lab.watches_for(Duration::from_millis(100));
    }
    lab.central(
        "the client's kernel has the FIN, the client does not know",
        host.has(TcpState::CloseWait, of_client),
    );
    lab.central(
        "it sleeps in read, on the keyboard",
        sleeps_in(Some(first.pid()), "read", |descriptor| descriptor == 0),
    );
    if !lab.is_control() {
        first.types("data2")?;
        first.ends()?;
    }
    lab.central("its next line is sent, and answered with a reset", {
        let sent = carrying(lab.packets().from(&first), "data2");
        sent.some().and(lab.packets().to(&first).has(RST))
    });
    lab.claim(
        "only then it reads the end of file",
        first.errors().says(PREMATURELY),
    );

    let second = client(&host, "tcpcli-select 127.0.0.1")?;
    sends(
        lab,
        "the server's child is killed",
        &[only_child(&server)?],
        Signal::SIGKILL,
    );
    let end = second.ends()?;
    lab.claim(
        "a client that waits for both ends at once",
        end.exited_with(1),
    );
    lab.claim(
        "it has sent nothing after the FIN",
        lab.packets().from(&second).carrying_data().exactly(1),
    );
    lab.done()
}

/// A client whose server's child has been killed types a line, and writes it in two.
fn writes_twice(
    lab: &Lab,
    host: &Host,
    server: &Process,
    sigpipe: &str,
) -> Result<(Process, drive::End), LabError> {
    let command = format!("chap-36 tcpcli 127.0.0.1 --in-two 0.2 --sigpipe {sigpipe}");
    let client = host.start(&command)?;
    server.says("serves")?;
    sends(
        lab,
        "the server's child is killed",
        &[only_child(server)?],
        Signal::SIGKILL,
    );
    server.says("terminated: SIGKILL")?;
    lab.until("the client has the FIN", || {
        host.has(TcpState::CloseWait, of_client)
    })?;
    client.types("data1")?;
    let end = client.ends()?;
    Ok((client, end))
}

fn sigpipe(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = tcpserv(&host, "")?;
    let (client, end) = writes_twice(lab, &host, &server, lab.vary("default", "ignore"))?;
    let sent = lab.packets().from(&client).carrying_data();
    lab.claim(
        "the first byte is sent as if nothing had happened",
        sent.exactly(1).and(equal(sent.bytes(), 1)),
    );
    lab.claim(
        "it is answered with a reset",
        lab.packets().to(&client).has(RST),
    );
    lab.central(
        "the second write kills the client: signal 13",
        end.was_killed_by(Signal::SIGPIPE),
    );
    lab.central("it dies without a word", client.errors().is_empty());

    let (client, end) = writes_twice(lab, &host, &server, "ignore")?;
    lab.claim("ignored, the same write fails with EPIPE", {
        client.errors().says("write: Broken pipe (os error 32)")
    });
    lab.claim("and the client ends as it likes", end.exited_with(1));
    lab.done()
}

/// A client and a server on two hosts, which have exchanged a line. The client's kernel gives up early.
fn across(
    lab: &Lab,
    near: &Host,
    far: &Host,
    command: &str,
) -> Result<(Process, Process), LabError> {
    // A few seconds in place of about 15 minutes. The early repetition that Linux has for a last segment would hide the doubling.
    near.sets("net.ipv4.tcp_retries2", 2)?;
    near.sets("net.ipv4.tcp_early_retrans", 0)?;
    let address = far.address();
    let server = tcpserv(far, &format!("--bind {address}"))?;
    let client = client(near, &format!("{command} {address}"))?;
    lab.until("everything is acknowledged", || {
        let quiet = |socket: &Socket| of_server(socket) && socket.send_queue == 0;
        far.has(TcpState::Established, quiet)
    })?;
    Ok((client, server))
}

fn host_crash(lab: &Lab) -> Outcome {
    let [near, far] = lab.hosts(["client", "server"])?;
    let usual = near.variable("net.ipv4.tcp_retries2")?;
    let (client, _) = across(lab, &near, &far, "tcpcli")?;
    let crashed = lab.now();
    if !lab.is_control() {
        far.crashes()?;
    }
    client.types("data2")?;
    if lab.is_control() {
        client.says("data2")?;
    } else {
        client.ends()?;
    }

    let packets = lab.packets();
    let sent = carrying(packets.clone().from(&client), "data2");
    let longer = |gaps: &[Duration]| gaps[1] > gaps[0] * 3 / 2;
    lab.central(
        "the line is sent again and again, after ever longer pauses",
        within(sent.count(), 3..).and(sent.check(sent.gaps().windows(2).all(longer))),
    );
    lab.central(
        "nothing comes back: neither FIN nor RST",
        packets.to(&client).since(crashed).none(),
    );
    lab.central("read fails with ETIMEDOUT", client.errors().says(TIMED_OUT));
    lab.claim(
        "unless told otherwise, the kernel tries 15 times",
        equal(usual, "15"),
    );
    lab.figure("times sent, with tcp_retries2 at 2", sent.count());
    let pauses: Vec<_> = sent
        .gaps()
        .iter()
        .map(|gap| format!("{:.1} s", gap.as_secs_f64()))
        .collect();
    lab.figure("pauses", pauses.join(", "));
    lab.done()
}

fn host_unreachable(lab: &Lab) -> Outcome {
    let [near, router, far] = lab.routed(["client", "router", "server"])?;
    let (client, _) = across(lab, &near, &far, "tcpcli")?;
    far.crashes()?;
    if !lab.is_control() {
        lab.notes("the router knows that the host is unreachable");
        router.routes(far.address(), 32, Route::Unreachable)?;
    }
    client.types("data2")?;
    client.ends()?;

    let answers = lab.packets().from(&router).icmp(3, 1);
    lab.central(
        "the router answers with ICMP host unreachable",
        answers.some(),
    );
    lab.central(
        "read fails with EHOSTUNREACH",
        client.errors().says(UNREACHABLE),
    );
    let sent = carrying(lab.packets().from(&client), "data2");
    let first = answers.first().map_or(Duration::MAX, |answer| answer.sent);
    let after = sent.clone().that(|packet| packet.sent > first);
    lab.central(
        "but not at once: after the first message the line is sent again",
        after.some(),
    );
    // Where the round trip took long at first, on a busy machine, so does each pause, and there are fewer.
    let gaps = sent.gaps();
    let even = gaps.iter().max() < gaps.iter().min().map(|gap| *gap * 8 / 5).as_ref();
    lab.central(
        "each message takes the doubling of the pauses back: there are more tries in the same time",
        within(sent.count(), 5..).or(Check::new(even, format_args!("{gaps:.1?}"))),
    );
    let pauses: Vec<_> = gaps
        .iter()
        .map(|gap| format!("{:.1} s", gap.as_secs_f64()))
        .collect();
    lab.figure("pauses", pauses.join(", "));
    lab.done()
}

fn host_crash_reboot(lab: &Lab) -> Outcome {
    let [near, far] = lab.hosts(["client", "server"])?;
    let (client, _) = across(lab, &near, &far, "tcpcli")?;
    let crashed = lab.now();
    far.crashes()?;
    if !lab.is_control() {
        far.boots()?;
    }
    lab.watches_for(Duration::from_millis(100));
    let told = lab.packets().to(&client).since(crashed).none();
    lab.claim(
        "crash and boot tell the client nothing",
        told.and(near.has(TcpState::Established, of_client)),
    );
    client.types("data2")?;
    client.ends()?;

    let answers = lab.packets().to(&client).since(crashed);
    lab.central(
        "the line is answered with a reset",
        answers.exactly(1).and(answers.clone().has(RST)),
    );
    lab.central("read fails with ECONNRESET", client.errors().says(RESET));
    lab.claim(
        "the line is sent once",
        carrying(lab.packets().from(&client), "data2").exactly(1),
    );
    lab.done()
}

fn keepalive(lab: &Lab) -> Outcome {
    let [near, far] = lab.hosts(["client", "server"])?;
    let command = "tcpcli-select --keepalive --idle 1 --interval 1 --probes 2";
    let (client, _) = across(lab, &near, &far, lab.vary(command, "tcpcli-select"))?;
    let crashed = lab.now();
    far.crashes()?;
    if lab.is_control() {
        lab.watches_for(Duration::from_millis(3500));
    } else {
        client.ends()?;
    }

    let sent = lab.packets().from(&client).since(crashed);
    let probe =
        |packet: &Passed| packet.length == 0 && packet.tcp().is_some_and(|tcp| tcp.flags == ACK);
    lab.central(
        "two segments without data go out, and nothing comes back",
        {
            let nothing = lab.packets().to(&client).since(crashed).none();
            sent.clone().that(probe).exactly(2).and(nothing)
        },
    );
    lab.claim(
        "the client has sent nothing itself",
        sent.carrying_data().none(),
    );
    lab.central(
        "select reports the connection, and read fails with ETIMEDOUT",
        client.errors().says(TIMED_OUT),
    );
    lab.central(
        "the connection is gone",
        !near.has(TcpState::Established, of_client),
    );
    lab.done()
}

fn host_shutdown(lab: &Lab) -> Outcome {
    let [near, far] = lab.hosts(["client", "server"])?;
    let server = tcpserv(&far, "--bind 10.0.0.2")?;
    let idle = client(&near, "tcpcli-select 10.0.0.2")?;
    let of_idle = only_child(&server)?;
    let busy = client(&near, "tcpcli 10.0.0.2")?;
    let of_busy = server
        .children()
        .into_iter()
        .map(|(pid, _)| pid)
        .find(|pid| *pid != of_idle);
    let of_busy = of_busy.ok_or_else(|| LabError::Impossible("the server has one child".into()))?;
    sends(
        lab,
        "the second child is stopped",
        &[of_busy],
        Signal::SIGSTOP,
    );
    let stopped = |child: &(Pid, char)| *child == (of_busy, 'T');
    lab.until("the child stands still", || {
        let children = server.children();
        Check::new(children.iter().any(stopped), format_args!("{children:?}"))
    })?;
    busy.types("data2")?;
    lab.until("the line waits unread", || {
        far.has(TcpState::Established, |socket| {
            of_server(socket) && socket.receive_queue == 6
        })
    })?;
    if lab.is_control() {
        far.crashes()?;
        lab.watches_for(Duration::from_millis(200));
    } else {
        let all = [server.pid(), of_idle, of_busy];
        sends(
            lab,
            "SIGTERM to every process of the server's host",
            &all,
            Signal::SIGTERM,
        );
        idle.ends()?;
        lab.watches_for(Duration::from_millis(100));
        lab.claim("SIGTERM does not end the process that is stopped", {
            far.has(TcpState::Established, of_server)
        });
        sends(lab, "SIGKILL to what is left", &all, Signal::SIGKILL);
        busy.ends()?;
    }

    lab.central(
        "the idle child ends with a FIN",
        lab.packets().to(&idle).has(FIN),
    );
    lab.central(
        "its client reads the end of file",
        idle.errors().says(PREMATURELY),
    );
    lab.central(
        "the child with unread input ends with RST",
        lab.packets().to(&busy).has(RST),
    );
    lab.central(
        "its client's read fails with ECONNRESET",
        busy.errors().says(RESET),
    );
    lab.done()
}

fn names(lab: &Lab) -> Outcome {
    let [near, far] = lab.hosts(["client", "server"])?;
    let server = tcpserv(&far, "--bind 0.0.0.0 --exec")?;
    let mut client = None;
    if lab.is_control() {
        near.names_own_hand("client");
        server.halt()?;
        let stream = near.enter(|| TcpStream::connect(("10.0.0.2", PORT)))?;
        near.enter(|| drive::reset(stream))?;
        lab.until("the connection is gone", || reset_has_come(lab, &far))?;
        server.resume();
        server.complains("Error")?;
    } else {
        let connecting = near.start("chap-36 tcpcli 10.0.0.2")?;
        connecting.says("connected")?;
        client = Some(connecting);
        server.says("descriptor")?;
    }

    let syn = lab.packets().with(SYN).without(ACK);
    let ends = |syn: &Passed| (syn.source, syn.destination);
    let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
    let (source, destination) = syn.first().map_or((nobody, nobody), ends);
    lab.claim(
        "the listening socket is 0.0.0.0: it does not know which address a client will use",
        far.has(TcpState::Listen, |socket| {
            socket.local == SocketAddr::from(([0, 0, 0, 0], PORT))
        }),
    );
    let says = |of: &Process, text: String| of.output().says(&text);
    let nothing = || Check::new(false, "no client");
    lab.central(
        "the child knows both names of the connection, those of the client's SYN",
        says(&server, format!("{destination} serves {source}")),
    );
    lab.central("the client knows the same two, the other way round", {
        client.as_ref().map_or_else(nothing, |client| {
            says(client, format!("{source} to {destination}"))
        })
    });
    let child = only_child(&server).map(|child| std::fs::read(format!("/proc/{child}/cmdline")));
    let words = child.ok().and_then(Result::ok).unwrap_or_default();
    let words = String::from_utf8_lossy(&words).replace('\0', " ");
    lab.claim(
        "the child is a new program, and a number is all that it was given",
        Check::new(words.contains("--descriptor"), words),
    );
    lab.done()
}

fn binary(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let asks = |name: &str, options: &str| -> Result<Process, LabError> {
        let command = format!("chap-36 sum client 127.0.0.1 {options}");
        let client = host.program(&command).named(name).start()?;
        client.types("1 2")?;
        client.closes_input();
        client.ends()?;
        Ok(client)
    };
    let sums = |client: &Process, sum: &str| equal(client.output().lines(), [sum]);
    let server = host
        .program("chap-36 sum server --binary")
        .named("sum of structs")
        .start()?;
    server.listens()?;
    let alike = asks("alike", "--binary")?;
    let other = asks(
        "other order",
        lab.vary("--binary --machine other-order", "--binary"),
    )?;
    server.kill()?;
    let sent = |client: &Process| {
        let packets = lab.packets().from(client).carrying_data();
        packets
            .first()
            .map(|packet| packet.data().to_vec())
            .unwrap_or_default()
    };
    let (ours, theirs) = (sent(&alike), sent(&other));
    lab.claim("between equals the struct works", sums(&alike, "3"));
    lab.central(
        "from a machine of the other byte order it does not",
        !sums(&other, "3"),
    );
    lab.central("its numbers have the same bytes in the other order", {
        let back = |bytes: &[u8]| bytes.iter().rev().copied().collect::<Vec<_>>();
        let same = ours.len() == 16
            && theirs.len() == 16
            && ours[..4] == back(&theirs[..4])
            && ours[8..] == back(&theirs[8..]);
        Check::new(same, format_args!("{ours:?}, {theirs:?}"))
    });
    lab.claim(
        "the two numbers have 12 bytes, the struct has 16: between them is padding",
        equal(ours.len(), 16).and(equal(ours.get(4..8), Some(&[0; 4][..]))),
    );
    let server = host
        .program("chap-36 sum server")
        .named("sum of text")
        .start()?;
    server.listens()?;
    let text = asks("text", "--machine other-order")?;
    lab.claim(
        "text works for everybody",
        sums(&text, "3").and(equal(sent(&text), b"1 2\n")),
    );
    lab.done()
}
