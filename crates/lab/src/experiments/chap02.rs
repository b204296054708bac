//! Chapter 2: client and server.

use std::collections::BTreeSet;

use crate::prelude::*;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "2/four-tuple",
        "connections of one client to one server differ in the client's port alone, and both ends agree",
        four_tuple,
        "there is one connection only",
    ),
    Experiment::new(
        "2/services",
        "the machine's table knows the port of a service, and a client that uses the name reaches it",
        services,
        "the server listens on another port",
    )
    .isolated(),
];

fn four_tuple(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let server = host.start("chap-2 four-tuple --serve")?;
    server.listens()?;
    let count = lab.vary(3, 1);
    let client = host.start(&format!(
        "chap-2 four-tuple 127.0.0.1 --connections {count}"
    ))?;
    for _ in 0..count {
        client.says("own end")?;
        server.says("own end")?;
    }

    let ends = |of_server: bool| -> Vec<_> {
        let sockets = host.sockets().unwrap_or_default().into_iter();
        let open = sockets.filter(|socket| socket.state == TcpState::Established);
        let ours = open.filter(|socket| (socket.local.port() == PORT) == of_server);
        ours.map(|socket| (socket.local, socket.remote)).collect()
    };
    let (clients, servers) = (ends(false), ends(true));
    let ports: BTreeSet<u16> = clients.iter().map(|(own, _)| own.port()).collect();
    lab.central(
        "three client ports, one for each connection",
        equal(ports.len(), 3),
    );
    let rest: BTreeSet<_> = clients
        .iter()
        .map(|(own, other)| (own.ip(), *other))
        .collect();
    lab.claim("everything else is the same for all", equal(rest.len(), 1));
    let turned: BTreeSet<_> = servers.iter().map(|(own, other)| (*other, *own)).collect();
    lab.claim(
        "the server's kernel names the same pairs",
        equal(turned, clients.iter().copied().collect::<BTreeSet<_>>()),
    );
    let said: BTreeSet<String> = clients
        .iter()
        .map(|(own, other)| format!("own end {own}, other end {other}"))
        .collect();
    let printed: BTreeSet<String> = client.output().lines().iter().cloned().collect();
    lab.claim(
        "and getsockname and getpeername say so to the client",
        equal(printed, said),
    );
    lab.done()
}

fn services(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let table = std::fs::read_to_string("/etc/services").map_err(|error| {
        LabError::Impossible(format!("this machine has no /etc/services: {error}"))
    })?;
    let entry = table.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("http"))
            .then(|| words.next()?.strip_suffix("/tcp").map(String::from))
            .flatten()
    });
    let port =
        entry.ok_or_else(|| LabError::Impossible("/etc/services does not know http".into()))?;

    let program = host.start("chap-2 resolve 127.0.0.1 http")?;
    program.ends()?;
    let listens = lab.vary(port.clone(), PORT.to_string());
    let server = host.start(&format!("chap-2 four-tuple --serve --port {listens}"))?;
    server.listens()?;
    let client = host.start("chap-2 four-tuple 127.0.0.1 --service http --connections 1")?;
    if !lab.is_control() {
        server.says("own end")?;
    }
    client.closes_input();
    let end = client.ends()?;

    lab.claim(
        "getservbyname has the port of the table",
        program
            .output()
            .says(&format!("service http/tcp: port {port}")),
    );
    let number = port.parse::<u16>().unwrap_or_default();
    let syn = lab
        .packets()
        .with(SYN)
        .without(ACK)
        .that(|packet| packet.destination.port() == number);
    lab.claim("the client's SYN goes there", syn.some());
    lab.central(
        "it reaches the server that listens there",
        end.exited_with(0),
    );
    lab.central(
        "whose kernel takes the connection",
        lab.packets().from(&server).has(SYN | ACK),
    );
    lab.done()
}
