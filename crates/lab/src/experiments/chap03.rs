//! Chapter 3: socket addresses.

use std::io;

use crate::prelude::*;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "3/layouts",
        "the formats have the sizes of the C headers, and the kernel insists on them",
        layouts,
        "nothing is asked of the kernel",
    ),
    Experiment::new(
        "3/bytes",
        "port and address lie in memory as they go over the wire, most significant byte first",
        bytes,
        "the port is left in this machine's order",
    )
    .also(&["chap-4"]),
    Experiment::new(
        "3/reserved-port",
        "a port below 1024 is refused to a process without the capability",
        reserved_port,
        "the process keeps the capability",
    )
    .also(&["chap-4"])
    .isolated(),
];

/// What each bind call of a program came to, by the length of the address.
fn binds(program: &Process) -> Vec<(u64, Result<i64, i32>)> {
    let calls = program.calls().named("bind").into_iter();
    calls
        .filter_map(|call| {
            Some((
                call.arguments[2],
                call.result?.map_err(|errno| errno as i32),
            ))
        })
        .collect()
}

fn layouts(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let list = host.start("chap-3 addresses")?;
    list.ends()?;
    let ask = lab.vary("--ask-kernel", "");
    let program = host.traces(&format!("chap-3 addresses 127.0.0.1:0 [::1]:0 {ask}"))?;
    program.ends()?;

    const EINVAL: Result<i64, i32> = Err(22);
    let seen = binds(&program);
    let answer = |length: u64, expected: Result<i64, i32>| {
        let found = seen
            .iter()
            .find(|(given, _)| *given == length)
            .map(|(_, result)| *result);
        equal(found, Some(expected))
    };
    lab.central(
        "an IPv4 address has 16 bytes for the kernel, and not one less",
        answer(15, EINVAL).and(answer(16, Ok(0))),
    );
    lab.central("an IPv6 address has 28, or the 24 of its first version", {
        all([answer(23, EINVAL), answer(24, Ok(0)), answer(28, Ok(0))])
    });
    for (format, size) in [
        ("sockaddr", 16),
        ("sockaddr_in", 16),
        ("sockaddr_in6", 28),
        ("sockaddr_un", 110),
        ("sockaddr_storage", 128),
    ] {
        lab.claim(
            &format!("{format} has {size} bytes"),
            list.output().says(&format!("{format}: {size} bytes")),
        );
    }
    lab.claim(
        "the port of an IPv4 address is behind the family, at 2",
        list.output().says("sin_port      offset  2,   2 bytes"),
    );
    lab.done()
}

fn bytes(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let order = lab.vary("", "--host-order");
    let program = host.start(&format!("chap-3 addresses 127.0.0.1:43211 {order}"))?;
    program.ends()?;
    let client = host.start("chap-4 connect 127.0.0.1 43211")?; // nobody listens: one packet there, one back
    client.closes_input();
    client.ends()?;

    let field = |name: &str| -> Vec<u8> {
        let output = program.output();
        let line = output
            .lines()
            .iter()
            .find(|line| line.trim_start().starts_with(name))
            .cloned()
            .unwrap_or_default();
        line.split_whitespace()
            .skip(1)
            .map_while(|word| u8::from_str_radix(word, 16).ok())
            .collect()
    };
    let packets = lab.packets().with(SYN);
    // Ethernet has 14 bytes, and an IP header without options 20: the destination is its last four, RFC 791.
    let frame = packets
        .first()
        .map(|packet| packet.frame.to_vec())
        .unwrap_or_default();
    let on_wire = |from: usize, to: usize| frame.get(from..to).unwrap_or_default().to_vec();
    let same = |name: &str, from: usize, to: usize| match packets.some().holds() {
        true => equal(field(name), on_wire(from, to)),
        false => packets.some(),
    };
    lab.central(
        "the port's bytes in memory are those in the TCP header",
        same("sin_port", 36, 38),
    );
    lab.claim(
        "the address's bytes are those in the IP header",
        same("sin_addr", 30, 34),
    );
    lab.central(
        "they are a8 cb: the most significant byte first",
        equal(field("sin_port"), 43211u16.to_be_bytes()),
    );
    lab.claim(
        "the family is in this machine's order",
        equal(field("sin_family"), 2u16.to_ne_bytes()),
    );
    lab.done()
}

fn reserved_port(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let keeps = lab.is_control();
    let server = |port: u16, keeps: bool| {
        let program = host.program(&format!("chap-4 make-socket {port}"));
        program
            .prepared(move || if keeps { Ok(()) } else { without_ports() })
            .start()
    };
    host.sets("net.ipv4.ip_unprivileged_port_start", 1024)?;
    let refused = server(1023, keeps)?;
    if keeps {
        refused.listens()?;
    } else {
        refused.ends()?;
    }
    let allowed = server(1024, false)?;
    allowed.listens()?;

    lab.central(
        "port 1023: bind fails with EACCES",
        refused
            .errors()
            .says("bind 127.0.0.1:1023: Permission denied (os error 13)"),
    );
    lab.central(
        "nobody listens there",
        !host.has(TcpState::Listen, |socket| socket.local.port() == 1023),
    );
    lab.claim(
        "port 1024 is allowed",
        host.has(TcpState::Listen, |socket| socket.local.port() == 1024),
    );
    host.sets("net.ipv4.ip_unprivileged_port_start", 1000)?;
    if !keeps {
        server(1023, false)?.listens()?;
    }
    lab.claim("with the limit lowered to 1000, 1023 is allowed as well", {
        host.has(TcpState::Listen, |socket| socket.local.port() == 1023)
    });
    lab.done()
}

/// Gives up CAP_NET_BIND_SERVICE for good: what is not in the bounding set, exec does not give back, capabilities(7).
fn without_ports() -> io::Result<()> {
    const CAP_NET_BIND_SERVICE: libc::c_ulong = 10;
    // SAFETY: a system call with numbers.
    match unsafe { libc::prctl(libc::PR_CAPBSET_DROP, CAP_NET_BIND_SERVICE, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
