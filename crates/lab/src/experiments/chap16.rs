//! Chapter 16: framing a stream.

use crate::prelude::*;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "16/three-splits",
        "two messages are cut into segments in three ways, and the server finds the same two each time",
        three_splits,
        "the server takes what one read brings for a message",
    ),
    Experiment::new(
        "16/byte-by-byte",
        "each byte travels in a segment of its own, and the message is the same",
        byte_by_byte,
        "the server takes what one read brings for a message",
    ),
    Experiment::new(
        "16/too-long",
        "a length above the limit ends that connection, and the next client is served",
        too_long,
        "the server believes every length",
    ),
    Experiment::new(
        "16/cut-off",
        "an end inside a message, an end between two, and an empty message are three things",
        cut_off,
        "the first client announces the true length",
    ),
    Experiment::new(
        "16/line-endings",
        "CR, LF and CR LF each end one line, even when LF comes later than its CR",
        line_endings,
        "the server forgets the CR as soon as it has ended the line",
    ),
    Experiment::new(
        "16/byteorder",
        "a length in network order is understood; without htonl, 5 is received as 83886080",
        byteorder,
        "the first client leaves out htonl, too",
    ),
];

/// The server, and how its control reads: one read for a message.
fn reading_server(lab: &Lab, host: &Host) -> Result<Process, LabError> {
    let server = host.start(&format!(
        "chap-16 streamserver{}",
        lab.vary("", " --read-once")
    ))?;
    server.listens()?;
    Ok(server)
}

/// A client, and the lines that it has to send.
fn sends(host: &Host, options: &str, lines: &str) -> Result<Process, LabError> {
    let client = host.start(&format!("chap-16 streamclient 127.0.0.1{options}"))?;
    client.types(lines)?;
    Ok(client)
}

/// Ctrl-D, and the end of the client, when the server has taken everything or refused it.
fn leaves(client: &Process) -> Result<(), LabError> {
    client.closes_input();
    client.ends()?;
    Ok(())
}

/// The same, and the server says so.
fn is_closed(client: &Process, server: &Process) -> Result<(), LabError> {
    leaves(client)?;
    server.says("client closed")?;
    Ok(())
}

/// How many bytes are in each segment from a client.
fn segments(lab: &Lab, client: &Process) -> Vec<usize> {
    lab.packets()
        .from(client)
        .carrying_data()
        .iter()
        .map(|packet| packet.length)
        .collect()
}

fn three_splits(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = reading_server(lab, &host)?;
    let mut cuts = Vec::new();
    let mut streams = Vec::new();
    for chunks in ["32", "27,5", "11,21"] {
        let client = sends(&host, &format!(" --chunk {chunks}"), "network\nprogram")?;
        for _ in 0..lab.vary(2, 1) {
            server.says("received")?;
        }
        is_closed(&client, &server)?;
        cuts.push(segments(lab, &client));
        let data = lab.packets().from(&client).carrying_data();
        streams.push(
            data.iter()
                .flat_map(|packet| packet.data().to_vec())
                .collect::<Vec<_>>(),
        );
    }

    lab.claim(
        "the segments are cut in three ways",
        equal(cuts, [vec![32], vec![27, 5], vec![11, 21]]),
    );
    let stream = b"\0\0\0\x08\0\0\0\x01network\n\0\0\0\x08\0\0\0\x01program\n".to_vec();
    lab.claim(
        "the bytes in them are the same, in the same order",
        equal(streams, vec![stream; 3]),
    );
    let messages = [
        r"received 8 bytes: network\n",
        r"received 8 bytes: program\n",
    ];
    lab.central("the server finds the same two messages in each", {
        server
            .output()
            .says_exactly("received", &[messages; 3].concat())
    });
    lab.done()
}

fn byte_by_byte(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = reading_server(lab, &host)?;
    let whole = sends(&host, "", "good")?;
    server.says("received")?;
    is_closed(&whole, &server)?;
    let bytes = sends(&host, " --chunk 1", "good")?;
    server.says("received")?;
    is_closed(&bytes, &server)?;

    lab.claim(
        "the first client sends 13 bytes in one segment",
        equal(segments(lab, &whole), [13]),
    );
    lab.claim(
        "the second sends them in 13 segments",
        equal(segments(lab, &bytes), [1; 13]),
    );
    let pushed = lab.packets().from(&bytes).carrying_data().with(PSH);
    lab.claim(
        "each of those carries PSH, so PSH marks no end of a message",
        pushed.exactly(13),
    );
    lab.central("the server finds the same message in both", {
        server
            .output()
            .says_exactly("received", &[r"received 5 bytes: good\n"; 2])
    });
    lab.done()
}

/// The most address space that a process has ever had, in KiB: proc_pid_status(5).
fn peak(program: &Process) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(u64::MAX)
}

fn too_long(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start(&format!(
        "chap-16 streamserver{}",
        lab.vary("", " --limit 4294967295")
    ))?;
    server.listens()?;
    let mut liars = Vec::new();
    for announced in [129, u32::MAX] {
        let client = sends(&host, &format!(" --announce {announced}"), "good")?;
        if lab.is_control() {
            // It waits, and those that come after it wait behind it.
            lab.until("it is connected", || {
                host.has(TcpState::Established, |s| s.remote.port() == PORT)
            })?;
        } else {
            server.complains(&format!("a message of {announced} bytes is announced"))?;
            leaves(&client)?;
        }
        liars.push(client);
    }
    let honest = sends(&host, "", "good")?;
    if lab.is_control() {
        lab.watches_for(Duration::from_millis(300));
    } else {
        server.says("received 5 bytes")?;
        is_closed(&honest, &server)?;
    }

    let resets = lab.packets().from(&server).with(RST);
    lab.central(
        "the server's kernel resets both connections",
        resets.exactly(2),
    );
    let reset = |client: &Process| {
        client
            .errors()
            .says("read: Connection reset by peer (os error 104)")
    };
    lab.central(
        "both clients are told: ECONNRESET",
        all(liars.iter().map(reset)),
    );
    lab.central(
        "the next client is served",
        server.output().says(r"received 5 bytes: good\n"),
    );
    lab.claim(
        "the server's memory never comes near the 4 GiB that were announced",
        within(peak(&server), ..1 << 20),
    );
    lab.done()
}

fn cut_off(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start("chap-16 streamserver")?;
    server.listens()?;
    let liar = sends(&host, lab.vary(" --announce 12", ""), "good")?;
    leaves(&liar)?;
    if !lab.is_control() {
        server.complains("cut off")?;
    }
    let honest = sends(&host, "", "good")?;
    server.says("received 5 bytes")?;
    is_closed(&honest, &server)?;
    let empty = sends(&host, " --no-newline", "")?;
    server.says("received 0 bytes")?;
    is_closed(&empty, &server)?;

    lab.central("the end inside a message is an error", {
        server
            .errors()
            .says("cut off after 5 of the 12 bytes of a body")
    });
    let closed = server
        .output()
        .says_exactly("closed", &["client closed"; 2]);
    lab.central("the ends between messages are not", closed);
    lab.claim(
        "an empty message is a message",
        server
            .output()
            .says_exactly("received 0", &["received 0 bytes: "]),
    );
    lab.claim(
        "on the wire it is a header alone",
        equal(segments(lab, &empty), [8]),
    );
    let packets = lab.packets().to(&server);
    lab.claim(
        "to the kernel the three ends are the same: a FIN, and no reset",
        packets.clone().with(FIN).exactly(3).and(packets.lacks(RST)),
    );
    lab.done()
}

fn line_endings(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start(&format!("chap-16 lineserver{}", lab.vary("", " --forget")))?;
    server.listens()?;
    let client = host.start("chap-16 streamclient 127.0.0.1 --plain")?;
    client.types_on("one\r")?;
    server.says("received 3 bytes: one")?;
    let before = lab.packets().from(&client).carrying_data();
    client.types("\ntwo\rthree")?;
    server.says("received 5 bytes: three")?;
    is_closed(&client, &server)?;

    let data = lab.packets().from(&client).carrying_data();
    let contents: Vec<_> = data
        .iter()
        .map(|packet| packet.data().escape_ascii().to_string())
        .collect();
    lab.claim(
        "CR and LF come in two segments",
        equal(contents, [r"one\r", r"\ntwo\rthree\n"]),
    );
    lab.claim(
        "the line is given out before its LF has been sent",
        before.exactly(1),
    );
    lab.central("there are three lines, whichever way they end", {
        let lines = [
            "received 3 bytes: one",
            "received 3 bytes: two",
            "received 5 bytes: three",
        ];
        server.output().says_exactly("received", &lines)
    });
    lab.done()
}

fn byteorder(lab: &Lab) -> Outcome {
    const HTONL: u32 = libc::htonl(5);
    let host = lab.host()?;
    host.start("chap-16 byteorder 5")?.ends()?;
    let server = host.start("chap-16 streamserver")?;
    server.listens()?;
    let mut lengths = Vec::new();
    for option in [lab.vary("", " --host-order"), " --host-order"] {
        let client = sends(&host, option, "good")?;
        if option.is_empty() {
            server.says("received")?;
            is_closed(&client, &server)?;
        } else {
            server.complains("is announced")?;
            leaves(&client)?;
        }
        let data = lab.packets().from(&client).carrying_data();
        lengths.push(
            data.first()
                .map_or(Vec::new(), |packet| packet.data()[..4].to_vec()),
        );
    }

    lab.central(
        "the length 5 travels as the bytes 0 0 0 5",
        equal(&lengths[0][..], [0, 0, 0, 5]),
    );
    lab.central("those are the bytes of htonl and of to_be_bytes", {
        equal(&lengths[0][..], HTONL.to_ne_bytes()).and(equal(&lengths[0][..], 5_u32.to_be_bytes()))
    });
    lab.central(
        "the server reads 5",
        server.output().says(r"received 5 bytes: good\n"),
    );
    lab.claim(
        "without them, the bytes travel as they lie in memory",
        equal(&lengths[1][..], 5_u32.to_ne_bytes()),
    );
    lab.claim(
        "then the server reads 83886080",
        server
            .errors()
            .says("a message of 83886080 bytes is announced"),
    );
    lab.done()
}
