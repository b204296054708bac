//! Chapter 11: close and shutdown.

use crate::prelude::*;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    // ANCHOR: entry
    Experiment::new(
        "11/close",
        "the client closes both directions while two answers are still on their way",
        close,
        "the client types shutdown in place of close",
    ),
    // ANCHOR_END: entry
    Experiment::new(
        "11/close-sigpipe",
        "the same, and SIGPIPE has its default action",
        close_sigpipe,
        "SIGPIPE is ignored",
    ),
    Experiment::new(
        "11/shutdown",
        "the client ends its own direction only: both answers still arrive",
        shutdown,
        "the client types close in place of shutdown",
    ),
    Experiment::new(
        "11/shutdown-both",
        "SHUT_RDWR sends a FIN and keeps the descriptor; late data is answered with a reset",
        shutdown_both,
        "the client shuts down its reading direction only",
    ),
    Experiment::new(
        "11/shared-socket",
        "while a second process holds the socket, close sends no FIN and shutdown does",
        shared_socket,
        "nobody else holds the socket",
    ),
    Experiment::new(
        "11/shut-rd",
        "after SHUT_RD a read returns 0 at once; late data is acknowledged and, on Linux, can be read",
        shut_rd,
        "the client shuts down both directions",
    ),
    Experiment::new(
        "11/exit-sends-fin",
        "a process that ends sends FIN for a socket whose input it has read, RST for one with unread input",
        exit_sends_fin,
        "the server that is killed first has unread input, too",
    ),
];

fn has_fin(packet: &Passed) -> bool {
    packet.tcp().is_some_and(|tcp| tcp.flags.has(FIN))
}

/// How many sockets a program has open.
fn open_sockets(program: &Process) -> usize {
    let files = std::fs::read_dir(format!("/proc/{}/fd", program.pid()))
        .into_iter()
        .flatten()
        .flatten();
    let links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    links
        .filter(|link| link.to_string_lossy().starts_with("socket:"))
        .count()
}

// ANCHOR: two_messages
/// A server that takes a second for an answer: time enough for the story, on a busy machine too, and a client whose two messages are on the server's side.
fn two_messages(lab: &Lab, options: &str) -> Result<(Process, Process), LabError> {
    let host = lab.host()?;
    let server = host.start(&format!("chap-11 graceserver --pause 1 {options}"))?;
    server.listens()?;
    let client = host.start("chap-11 graceclient 127.0.0.1")?;
    client.types("data1")?;
    server.says("received 5 bytes: data1")?; // one event at a time: two messages could arrive as one
    client.types("data2")?;
    client.says("send bytes: 5")?;
    client.says("send bytes: 5")?;
    Ok((server, client))
}
// ANCHOR_END: two_messages

// ANCHOR: close
fn close(lab: &Lab) -> Outcome {
    let (server, client) = two_messages(lab, "")?;
    client.types(lab.vary("close", "shutdown"))?;
    let end = server.ends()?;

    lab.central("the client prints no answer", client.output().lacks("Hi,"));
    lab.central(
        "its kernel answers the late data with a reset",
        lab.packets().from(&client).has(RST),
    );
    lab.central(
        "the server's next send fails with EPIPE",
        server.errors().says("send: Broken pipe (os error 32)"),
    );
    lab.claim("the server ends with an error", end.exited_with(1));
    lab.claim(
        "both messages had arrived before",
        server.output().says("received 5 bytes: data2"),
    );
    lab.done()
}
// ANCHOR_END: close

fn close_sigpipe(lab: &Lab) -> Outcome {
    let (server, client) = two_messages(lab, lab.vary("--sigpipe default", "--sigpipe ignore"))?;
    client.types("close")?;
    let end = server.ends()?;

    lab.central(
        "the server is killed by signal 13",
        end.was_killed_by(Signal::SIGPIPE),
    );
    lab.central("it dies without a word", server.errors().is_empty());
    lab.claim(
        "its first answer counted as sent",
        server.output().says("send bytes: 9"),
    );
    lab.claim(
        "the client's kernel had answered it with a reset",
        lab.packets().from(&client).has(RST),
    );
    lab.done()
}

fn shutdown(lab: &Lab) -> Outcome {
    let (server, client) = two_messages(lab, "")?;
    client.types(lab.vary("shutdown", "close"))?;
    let end = server.ends()?;
    if !lab.is_control() {
        client.ends()?;
    }

    let packets = lab.packets();
    let answers = client
        .output()
        .says("Hi, data1")
        .and(client.output().says("Hi, data2"));
    lab.central("both answers still arrive", answers);
    lab.central("nobody sends a reset", packets.clone().lacks(RST));
    lab.claim("the client sent its FIN before the first answer came", {
        let time = |packet: &Passed| packet.sent;
        let fin = packets.clone().from(&client).with(FIN).first().map(time);
        let answer = packets
            .clone()
            .from(&server)
            .carrying_data()
            .first()
            .map(time);
        packets.check(fin.is_some() && fin < answer)
    });
    let of_server = packets.from(&server);
    let last_is_fin = of_server
        .iter()
        .rfind(|packet| packet.length > 0 || has_fin(packet))
        .is_some_and(has_fin);
    lab.claim(
        "the server's FIN comes after both answers",
        of_server.check(last_is_fin),
    );
    lab.claim(
        "the client reads the end of file",
        client.output().says("server terminated"),
    );
    lab.claim("the server ends in good order", end.exited_with(0));
    lab.done()
}

fn shutdown_both(lab: &Lab) -> Outcome {
    let (server, client) = two_messages(lab, "")?;
    client.types(lab.vary("shutdown both", "shutdown read"))?;
    server.says("send bytes: 9")?;
    if lab.is_control() {
        server.says("send bytes: 9")?;
    } else {
        server.ends()?;
    }

    let of_client = lab.packets().from(&client);
    lab.central("the client sends a FIN", of_client.clone().has(FIN));
    lab.central("late data is answered with a reset", of_client.has(RST));
    lab.claim(
        "the client still has its descriptor",
        equal(open_sockets(&client), 1),
    );
    lab.done()
}

fn shared_socket(lab: &Lab) -> Outcome {
    let share = lab.vary(" --share", "");
    let host = lab.host()?;
    let server = host.start("chap-11 graceserver --pause 0")?;
    server.listens()?;
    let client = host.start(&format!("chap-11 graceclient 127.0.0.1 --stay 600{share}"))?;
    client.types("data1")?;
    client.says("Hi, data1")?;
    client.types("close")?;
    lab.until("the client has closed its descriptor", || {
        equal(open_sockets(&client), 0)
    })?;
    lab.watches_for(Duration::from_millis(100));
    lab.central("close sends no FIN", lab.packets().from(&client).lacks(FIN));
    lab.central(
        "the connection is as it was",
        host.has(TcpState::Established, |s| s.remote.port() == PORT),
    );

    client.kill()?; // and the second process, which ends with it
    let end = server.ends()?;
    lab.claim(
        "the end of the second process sends it",
        lab.packets().to(&server).has(FIN),
    );
    lab.claim("the server reads the end of file then", end.exited_with(0));

    let server = host.start("chap-11 graceserver --pause 0")?;
    server.listens()?;
    let second = host.start(&format!("chap-11 graceclient 127.0.0.1{share}"))?;
    second.types("shutdown")?;
    server.says("client closed")?;
    lab.claim(
        "shutdown sends its FIN at once",
        lab.packets().from(&second).has(FIN),
    );
    lab.done()
}

fn shut_rd(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start("chap-11 graceserver --pause 1")?;
    server.listens()?;
    let client = host.start("chap-11 graceclient 127.0.0.1 --stay 2")?;
    client.types("data1")?;
    server.says("received 5 bytes: data1")?;
    client.types(lab.vary("shutdown read", "shutdown both"))?;
    client.types("read")?;
    if !lab.is_control() {
        client.says("read returns 0")?; // while the answer is not there yet
    }
    server.says("send bytes: 9")?;
    let answered = lab.packets().from(&server).carrying_data();
    let sequence = answered
        .first()
        .and_then(|packet| packet.tcp())
        .map_or(0, |tcp| tcp.sequence);
    let acknowledges = move |packet: &Passed| {
        packet
            .tcp()
            .is_some_and(|tcp| tcp.flags == ACK && tcp.acknowledgement == sequence.wrapping_add(9))
    };
    let acknowledged = || lab.packets().from(&client).that(acknowledges).some();
    lab.until("the answer is acknowledged or refused", || {
        acknowledged().or(lab.packets().from(&client).has(RST))
    })?;
    if !lab.is_control() {
        client.types("read")?;
        client.says("read returns 9")?;
    }

    lab.central("late data is acknowledged", acknowledged());
    lab.central(
        "and can be read",
        client.output().says("read returns 9: Hi, data1"),
    );
    lab.claim(
        "shutdown for reading sends nothing",
        lab.packets().from(&client).lacks(FIN),
    );
    lab.claim(
        "a read before it came returned 0",
        client.output().says("read returns 0: "),
    );
    lab.done()
}

fn exit_sends_fin(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let unread = |client: &Process| -> Result<(), LabError> {
        client.types("data2")?;
        lab.until("the second message waits unread", || {
            let sockets = host.sockets().unwrap_or_default();
            let queued = sockets.iter().filter(|socket| {
                socket.local.port() == PORT && socket.state == TcpState::Established
            });
            equal(queued.map(|socket| socket.receive_queue).max(), Some(5))
        })
    };

    let server = host.start("chap-11 graceserver --pause 600")?;
    server.listens()?;
    let client = host.start("chap-11 graceclient 127.0.0.1")?;
    client.types("data1")?;
    server.says("received 5 bytes: data1")?;
    if lab.is_control() {
        unread(&client)?;
    }
    server.kill()?;
    client.ends()?;
    let of_server = lab.packets().from(&server);
    lab.central(
        "kill -9 sends FIN when everything was read",
        of_server.clone().has(FIN).and(of_server.lacks(RST)),
    );
    lab.central(
        "the client reads the end of file",
        client.output().says("server terminated"),
    );

    let server = host.start("chap-11 graceserver --pause 600")?;
    server.listens()?;
    let client = host.start("chap-11 graceclient 127.0.0.1")?;
    client.types("data1")?;
    server.says("received 5 bytes: data1")?;
    unread(&client)?;
    server.kill()?;
    client.ends()?;
    lab.claim(
        "and RST when something was unread",
        lab.packets().from(&server).has(RST),
    );
    lab.claim(
        "the client reads ECONNRESET",
        client
            .errors()
            .says("Connection reset by peer (os error 104)"),
    );

    let server = host.start("chap-11 graceserver --pause 0")?;
    server.listens()?;
    let client = host.start("chap-11 graceclient 127.0.0.1")?;
    client.types("data1")?;
    client.says("Hi, data1")?;
    client.types("shutdown")?;
    client.ends()?;
    lab.claim(
        "a return from main without close sends FIN as well",
        lab.packets().from(&server).has(FIN),
    );
    lab.done()
}
