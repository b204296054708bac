//! Exercises of chapter 8: tools.

use super::Exercise;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "8/who-listens",
    "the program names every process that listens on a port, on whichever address",
    10,
    who_listens,
    "On which address does the server listen that nobody finds? Start one like it, and look at `cargo run -p chap-8 -- netstat \
     -alepn`: what stands in the first column of its line? And what else is there in /proc/net?",
)
.also(&["chap-11"])];

/// The port of a server on all addresses.
const EVERYWHERE: u16 = 43212;
/// The port of two servers.
const SHARED: u16 = 43213;
/// A port of nobody's.
const FREE: u16 = 43214;

fn who_listens(lab: &Lab) -> Outcome {
    let host = lab.host()?;
    let serves = |name: &str, options: &str| {
        let launch = host.program(&format!("chap-11 graceserver {options}"));
        launch.named(name).start()
    };
    // The processes that are named, by their numbers.
    let named = |port: u16| -> Result<Vec<i32>, LabError> {
        let program = host.exercise("who-listens", &port.to_string()).start()?;
        program.ends()?;
        let output = program.output();
        let numbers = output.lines().iter().filter_map(|line| {
            let rest = line.strip_prefix("process ")?;
            rest.split(' ').next()?.parse().ok()
        });
        let mut numbers: Vec<i32> = numbers.collect();
        numbers.sort_unstable();
        Ok(numbers)
    };
    let these = |servers: &[&Process]| {
        let mut numbers: Vec<i32> = servers.iter().map(|one| one.pid().as_raw()).collect();
        numbers.sort_unstable();
        numbers
    };

    let server = serves("server", "")?;
    server.listens()?;
    let client = host.start("chap-11 graceclient 127.0.0.1")?;
    lab.until("the client is connected", || {
        host.has(TcpState::Established, |socket| socket.remote.port() == PORT)
    })?;
    let found = named(PORT)?;
    lab.claim(
        "the server is named, and not its client",
        equal(found, these(&[&server])),
    );
    let sockets = host.sockets()?;
    let of_client = sockets.iter().find(|socket| socket.remote.port() == PORT);
    let found = named(of_client.map_or(FREE, |socket| socket.local.port()))?;
    lab.claim(
        "nobody listens on the client's port",
        equal(found, these(&[])).and(equal(client.ended(), None)),
    );

    let on_all = serves("second server", &format!("--bind :: --port {EVERYWHERE}"))?;
    on_all.listens()?;
    let refused = serves("third server", &format!("--port {EVERYWHERE}"))?.ends()?;
    let found = named(EVERYWHERE)?;
    lab.claim(
        "a server that wants a port in use is refused",
        refused.exited_with(1),
    );
    lab.central(
        "the one who has it is named",
        equal(found, these(&[&on_all])),
    );
    on_all.kill()?;

    let one = serves("second server", &format!("--port {SHARED}"))?;
    one.listens()?;
    // A socket of IPv6 that needs no address of IPv6, ipv6(7): not every machine has one.
    let mapped = format!("--bind ::ffff:127.0.0.2 --port {SHARED}");
    let other = serves("third server", &mapped)?;
    other.listens()?;
    let found = named(SHARED)?;
    lab.central(
        "where two listen, on different addresses, both are named",
        equal(found, these(&[&one, &other])),
    );
    let found = named(FREE)?;
    lab.claim(
        "where nobody listens, nobody is named",
        equal(found, these(&[])),
    );
    lab.done()
}
