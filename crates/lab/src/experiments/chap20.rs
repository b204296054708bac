//! Chapter 20: select.

use nix::errno::Errno;

use crate::net::sock_diag::Socket;
use crate::prelude::*;
use crate::tracer::SystemCall;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "20/two-sources",
        "a client that waits for the keyboard and for the server at once hears each of them, whatever the other does",
        two_sources,
        "the client is chapter 36's tcpcli, which waits for one after the other",
    )
    .also(&["chap-36"]),
    Experiment::new(
        "20/sets-are-overwritten",
        "after the call a set holds only what is ready; a program that does not make it anew loses a descriptor",
        sets_are_overwritten,
        "the set is made anew before the second call",
    ),
    Experiment::new(
        "20/timeouts",
        "no timeout waits, zero does not, a positive one returns 0 when the time is up, and Linux tells what is left of it",
        timeouts,
        "standard input is at its end, and so it is readable all the time",
    ),
    Experiment::new(
        "20/fd-1024",
        "a descriptor with the number 1024 is refused before it comes into a set",
        fd_1024,
        "the number is 1023",
    )
    .isolated(),
    Experiment::new(
        "20/readiness",
        "when a TCP socket is ready: readable, writable and exceptional, situation by situation",
        readiness,
        "select is asked about another connection, on which nothing happens",
    )
    .isolated(),
    Experiment::new(
        "20/pipe",
        "a pipe is readable with data or at end of file, writable with a page free; without a reader it is an error",
        pipe,
        "a duplicate of each end stays open",
    ),
    Experiment::new(
        "20/first-argument",
        "a descriptor that is not below the first argument is not looked at",
        first_argument,
        "the first argument is one more",
    ),
];

/// Calls of select(2) that have returned. The C library may make them pselect6.
fn selects(program: &Process) -> Vec<SystemCall> {
    let calls = program.calls();
    calls.filtered(|call| is_select(call) && call.result.is_some())
}

fn is_select(call: &SystemCall) -> bool {
    matches!(&*call.name, "select" | "pselect6")
}

fn results(calls: &[SystemCall]) -> Vec<Result<i64, Errno>> {
    calls.iter().filter_map(|call| call.result).collect()
}

/// How long a call took.
fn duration(call: &SystemCall) -> Duration {
    call.ended_at.map_or(Duration::ZERO, |end| end - call.at)
}

fn waits(program: &Process) -> Check {
    program.blocks_in(&["select", "pselect6"])
}

/// What waits unread at the server's end of a connection.
fn unread(host: &Host) -> Option<u32> {
    let sockets = host.sockets().unwrap_or_default();
    let of_server = |socket: &&Socket| socket.local.port() == PORT && socket.remote.port() != 0;
    let queues = sockets.iter().filter(of_server);
    queues.map(|socket| socket.receive_queue).max()
}

/// Waits until a client has printed the answer to a line. Before it, select01 prints what it sends.
fn answered(lab: &Lab, client: &Process, line: &str, others: usize) -> Result<(), LabError> {
    lab.until("the answer is printed", || {
        equal(client.output().count(line), 1 + others)
    })
}

fn two_sources(lab: &Lab) -> Outcome {
    let program = lab.vary("chap-20 select01 127.0.0.1", "chap-36 tcpcli 127.0.0.1");
    let host = lab.host()?;
    let server = host.start("chap-20 selectserver")?;
    server.listens()?;
    let client = host.program(program).traced_drawing(&[]).start()?;
    client.types("data1")?;
    let others = lab.vary(1, 0); // the control prints answers only
    answered(lab, &client, "data1", others)?;

    server.halt()?; // no answer will come
    client.types_on("data2\ndata3\n")?;
    let lines = lab.vary(10, 6); // the control has sent one of them, with its newline
    lab.until("what the client sends has arrived", || {
        equal(unread(&host), Some(lines))
    })?;
    lab.watches_for(Duration::from_millis(100));
    lab.central(
        "two lines of one read are both sent, though the server does not answer",
        equal(unread(&host), Some(10)),
    );
    server.resume();
    answered(lab, &client, "data3", others)?;

    server.halt()?;
    client.types_ctrl_d();
    let half_closed = |socket: &Socket| socket.remote.port() == PORT;
    lab.until("the client's FIN is acknowledged", || {
        host.has(TcpState::FinWait2, half_closed)
    })?;
    let before = client.calls().all().len();
    lab.watches_for(Duration::from_millis(300));
    lab.claim(
        "after the end of input the client sleeps: not one system call in 0.3 seconds",
        within(client.calls().all().len() - before, ..=2),
    );
    server.resume();
    client.ends()?;

    let second = host.program(program).start()?;
    server.says("client connected")?;
    lab.until("the client waits", || {
        second.blocks_in(&["select", "pselect6", "read"])
    })?;
    server.types_ctrl_c();
    let ended = lab.until("the client ends", || {
        Check::new(
            second.ended().is_some(),
            "the client waits for the keyboard",
        )
    });
    if !lab.is_control() {
        ended?;
    }
    lab.central(
        "a client that waits for the keyboard hears at once that the server has ended",
        Check::new(second.ended().is_some(), "nothing was typed"),
    );
    lab.done()
}

fn sets_are_overwritten(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let program = host
        .program(lab.vary("chap-20 probe sets", "chap-20 probe sets --reset"))
        .named("probe sets")
        .traced_drawing(&[])
        .start()?;
    let end = program.ends()?;

    let selects = selects(&program);
    let first = selects
        .first()
        .map(|call| call.decoded.as_str())
        .unwrap_or_default();
    lab.claim(
        "of two descriptors the one with data is left in the set",
        program
            .output()
            .says("3 has data; asked about [3, 5]")
            .and(Check::new(first.contains("(read [3],"), first)),
    );
    lab.central(
        "the next call finds nothing, though the second pipe has data",
        equal(results(&selects), [Ok(1), Ok(0)]),
    );
    lab.central(
        "it waits until its second is over",
        within(selects.last().map(duration), Some(Duration::from_secs(1))..),
    );
    let reads = program.calls().filtered(|call| {
        let pipe = call
            .descriptor
            .as_deref()
            .is_some_and(|name| name.starts_with("pipe:"));
        call.name == "read" && pipe
    });
    lab.claim(
        "a read finds a byte in each of the two",
        equal(results(&reads), [Ok(1), Ok(1)]).and(end.exited_with(0)),
    );
    lab.done()
}

fn timeouts(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let program = host
        .program("chap-20 probe timeouts none 0 1 60")
        .named("probe timeouts")
        .traced_drawing(&[])
        .start()?;
    program.says("no timeout")?;
    if lab.is_control() {
        program.types_ctrl_d();
        program.ends()?;
    } else {
        lab.until("it waits", || waits(&program))?;
        lab.watches_for(Duration::from_millis(1200));
    }
    lab.central(
        "without a timeout it still waits after more than a second",
        waits(&program),
    );
    if !lab.is_control() {
        program.types("a line")?;
        program.says("timeout of 60 s")?;
        lab.until("it waits again", || waits(&program))?;
        lab.watches_for(Duration::from_millis(300)); // some of the time passes
        program.types("another")?;
        program.ends()?;
    }

    let selects = selects(&program);
    let [none, zero, one, sixty] = &selects[..] else {
        return Err(LabError::Impossible(format!(
            "{} calls of select",
            selects.len()
        )));
    };
    lab.claim(
        "it returns 1 when there is a line",
        equal(none.result, Some(Ok(1))),
    );
    lab.central(
        "with a timeout of 0 it returns 0, and does not wait",
        equal(zero.result, Some(Ok(0))).and(within(duration(zero), ..duration(one))),
    );
    lab.central(
        "with a timeout of 1 second it returns 0, and not before that second is over",
        equal(one.result, Some(Ok(0))).and(within(duration(one), Duration::from_secs(1)..)),
    );
    lab.claim(
        "with a timeout of 60 seconds it returns 1 when there is a line, and less than 60 stands in the timeout",
        equal(sixty.result, Some(Ok(1))).and(Check::new(
            left(sixty).is_some_and(|left| left > 0.0 && left < 60.0),
            format_args!("{:?} seconds", left(sixty)),
        )),
    );
    lab.done()
}

/// What stands in the timeout of a call, after it has returned more than 0.
fn left(call: &SystemCall) -> Option<f64> {
    let (_, time) = call.decoded.strip_suffix(" s)")?.rsplit_once(", ")?;
    time.parse().ok()
}

fn fd_1024(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let program = host
        .program(&format!("chap-20 probe limit {}", lab.vary(1024, 1023)))
        .named("probe limit")
        .traced_drawing(&[])
        .start()?;
    let end = program.ends()?;
    lab.central(
        "descriptor 1024 ends the program with an error",
        end.exited_with(1)
            .and(program.errors().says("descriptor 1024")),
    );
    lab.central(
        "select is never called with it",
        equal(selects(&program).len(), 0),
    );

    let server = host
        .program("chap-20 selectserver --from")
        .arg(lab.vary("1023", "1022"))
        .traced_drawing(&["fcntl"])
        .start()?;
    server.listens()?;
    let first = host.start("chap-20 select01 127.0.0.1")?;
    first.types("data1")?;
    answered(lab, &first, "data1", 1)?;
    let second = host.start("chap-20 select01 127.0.0.1")?;
    if lab.is_control() {
        second.types("data2")?;
        answered(lab, &second, "data2", 1)?;
    } else {
        second.ends()?;
    }
    first.types("data3")?;
    answered(lab, &first, "data3", 1)?;

    let duplicates = server
        .calls()
        .filtered(|call| call.name == "fcntl" && call.arguments[1] == libc::F_DUPFD_CLOEXEC as u64);
    lab.central(
        "the clients of a server get 1023 and 1024",
        equal(results(&duplicates), [Ok(1023), Ok(1024)]),
    );
    lab.central(
        "the server closes the second connection at once",
        lab.packets().from(&server).to(&second).has(FIN),
    );
    lab.claim(
        "the first client is served as before",
        server.output().says("received 5 bytes: data3"),
    );
    lab.done()
}

/// A line of a table of readiness, from the system calls of the program that prints it.
#[derive(Debug, Default, PartialEq)]
struct Look {
    /// The sets in which select left the descriptor.
    ready: String,
    read: Option<Result<i64, Errno>>,
    write: Option<Result<i64, Errno>>,
}

/// The table of a probe: what stands first in each line, and what was seen. Each line is a select with three sets, the
/// attempts, and the write of the line itself. Between the attempts the situation is made anew.
struct Table(Vec<(String, Look)>);

impl Table {
    fn of(program: &Process) -> Self {
        let calls = program.calls().all();
        let mut looks = Vec::new();
        let mut look: Option<Look> = None;
        for call in &calls {
            let printed = call.name == "write" && call.arguments[0] == 1;
            match (&mut look, &*call.name) {
                (_, _) if is_select(call) => look = Some(Look::after(call)),
                (Some(_), _) if printed => looks.extend(look.take()),
                (Some(look), "read" | "accept4") if look.read.is_none() => look.read = call.result,
                (Some(look), "write") => look.write = call.result, // the last one: filling writes, too
                _ => {}
            }
        }
        let output = program.output();
        let lines = output.lines().iter();
        let rows = lines
            .skip_while(|line| !line.starts_with("situation "))
            .skip(1);
        let names = rows.map(|line| line.chars().take(33).collect::<String>());
        Self(
            names
                .map(|name| name.trim().to_string())
                .zip(looks)
                .collect(),
        )
    }

    /// What was seen in this situation.
    fn look(&self, situation: &str) -> Option<&Look> {
        let found = self.0.iter().find(|(name, _)| name == situation);
        found.map(|(_, look)| look)
    }

    /// select says this, and nothing more.
    fn says(&self, situation: &str, ready: &str) -> Check {
        let look = self.look(situation);
        Check::new(
            look.is_some_and(|look| look.ready == ready),
            format_args!("{situation}: {:?}", look.map(|look| &look.ready)),
        )
    }

    /// A read, or an accept, then returns this.
    fn reads(&self, situation: &str, result: Result<i64, Errno>) -> Check {
        let read = self.look(situation).and_then(|look| look.read);
        Check::new(read == Some(result), format_args!("read {read:?}"))
    }

    /// A write then returns this.
    fn writes(&self, situation: &str, result: Result<i64, Errno>) -> Check {
        let write = self.look(situation).and_then(|look| look.write);
        Check::new(write == Some(result), format_args!("write {write:?}"))
    }
}

impl Look {
    fn after(select: &SystemCall) -> Self {
        let sets = ["read", "write", "except"].into_iter();
        let left = |set: &&str| select.decoded.contains(&format!("{set} ["));
        let ready: Vec<_> = match select.result {
            Some(Ok(1..)) => sets.filter(left).collect(),
            _ => Vec::new(), // the sets are empty now; the log shows what was asked
        };
        Self {
            ready: ready.join(" "),
            ..Self::default()
        }
    }
}

fn readiness(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    lab.leaves_out(1..=u16::MAX); // the connections of the program to itself
    let program = host
        .program(lab.vary(
            "chap-20 probe readiness",
            "chap-20 probe readiness --elsewhere",
        ))
        .named("probe readiness")
        .traced_drawing(&[])
        .start()?;
    program.ends()?;
    let table = Table::of(&program);
    let would_block = Err(Errno::EAGAIN);

    lab.central(
        "readable, the first way: data has come",
        table
            .says("data has come", "read write")
            .and(table.reads("data has come", Ok(5))),
    );
    let ended = "the peer has ended (FIN)";
    lab.central(
        "the second: the peer's FIN has come, and read returns 0",
        table
            .says(ended, "read write")
            .and(table.reads(ended, Ok(0))),
    );
    lab.central(
        "the third: a listening socket has a connection to accept",
        table
            .says("listening: a client waits", "read")
            .and(table.says("listening: nobody waits", "")),
    );
    let refused = "connect was refused";
    lab.central(
        "the fourth: an error is pending, and read returns it",
        table
            .says(refused, "read write")
            .and(table.reads(refused, Err(Errno::ECONNREFUSED))),
    );
    let full = "send buffer full";
    lab.central(
        "writable, the first way: the send buffer has room; when it is full, the socket is not writable",
        table
            .says("nothing has happened", "write")
            .and(table.says(full, ""))
            .and(table.writes(full, would_block)),
    );
    let shut = "we have ended (shutdown SHUT_WR)";
    lab.central(
        "the second: our own direction is shut down, and write fails with EPIPE",
        table
            .says(shut, "write")
            .and(table.writes(shut, Err(Errno::EPIPE))),
    );
    lab.central(
        "the third: an error is pending, and write returns it",
        table.writes(refused, Err(Errno::ECONNREFUSED)),
    );
    lab.claim(
        "an unanswered connect is neither",
        table.says("connect is not answered", lab.vary("", "write")),
    );
    lab.central(
        "data before a FIN is read first",
        table
            .says("data, then FIN", "read write")
            .and(table.reads("data, then FIN", Ok(5))),
    );
    let reset = "the peer has reset (RST)";
    lab.central(
        "after a reset both, and the error",
        table
            .says(reset, "read write")
            .and(table.reads(reset, Err(Errno::ECONNRESET))),
    );
    lab.central(
        "data before a reset is read first, too",
        table.reads("data, then RST", Ok(5)),
    );
    let told = "RST, and the error was read";
    lab.central(
        "the error is told once: then end of file and EPIPE",
        table
            .says(told, "read write")
            .and(table.reads(told, Ok(0)))
            .and(table.writes(told, Err(Errno::EPIPE))),
    );
    let both = "both have ended, data unread";
    lab.central(
        "when both directions have ended both, and what is unread can still be read",
        table.says(both, "read write").and(table.reads(both, Ok(5))),
    );
    lab.central(
        "an urgent byte is an exceptional condition, and no data to read",
        table
            .says("an urgent byte has come", "write except")
            .and(table.reads("an urgent byte has come", would_block)),
    );
    lab.done()
}

fn pipe(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let program = host
        .program(lab.vary("chap-20 probe pipe", "chap-20 probe pipe --spare"))
        .named("probe pipe")
        .traced_drawing(&[])
        .start()?;
    program.ends()?;
    let table = Table::of(&program);
    let would_block = Err(Errno::EAGAIN);

    let (empty, some) = (
        "read end: nothing in the pipe",
        "read end: 5 bytes in the pipe",
    );
    lab.claim(
        "the read end is readable with data, and not without",
        table
            .says(some, "read")
            .and(table.says(empty, ""))
            .and(table.reads(empty, would_block)),
    );
    let ended = "read end: nothing, writer gone";
    lab.central(
        "it is readable at end of file, and read returns 0",
        table.says(ended, "read").and(table.reads(ended, Ok(0))),
    );
    let full = "write end: pipe full";
    lab.claim(
        "the write end of a full pipe is not writable",
        table.says(full, "").and(table.writes(full, would_block)),
    );
    let nearly = "write end: 1 byte short of a page";
    let page = "write end: room for a page";
    lab.claim(
        "room for all of a page but a byte is not enough, on Linux; a page is",
        table
            .says(nearly, "")
            .and(table.says(page, "write"))
            .and(table.writes(page, Ok(1))),
    );
    let alone = "write end: reader gone";
    lab.central(
        "when the reader is gone it is writable and in error, and write fails with EPIPE",
        table
            .says(alone, "read write")
            .and(table.writes(alone, Err(Errno::EPIPE))),
    );
    lab.central(
        "so it is when the pipe is full",
        table.says("write end: full, reader gone", "read write"),
    );
    lab.done()
}

fn first_argument(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let program = host
        .program(lab.vary(
            "chap-20 probe first-argument --calls 0 --too-small",
            "chap-20 probe first-argument --calls 0",
        ))
        .named("probe first-argument")
        .traced_drawing(&[])
        .start()?;
    program.ends()?;
    let timed = host
        .program("chap-20 probe first-argument")
        .named("timing")
        .start()?;
    timed.ends()?;

    let selects = selects(&program);
    lab.central(
        "select finds nothing to be ready",
        equal(results(&selects), [Ok(0)]),
    );
    lab.central(
        "and takes the descriptor out of the set",
        program.output().says("and the set is []"),
    );
    let written = program
        .calls()
        .filtered(|call| call.name == "write" && call.arguments[0] > 2);
    lab.claim(
        "though a byte was written to it before",
        equal(results(&written), [Ok(1)]),
    );
    lab.done()
}
