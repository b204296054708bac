//! Exercises of chapter 19: answers to part two.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use super::Exercise;
use crate::prelude::*;

pub(super) const EXERCISES: &[Exercise] = &[Exercise::new(
    "19/enough-room",
    "the server listens where all its clients may wait, and ends with an error where they may not",
    10,
    enough_room,
    "What does listen(2) return when the number is too large, and what does the kernel do with it? Where does the bound stand, and \
     whose is it: the program's, the C library's, the machine's?",
)];

/// The longest queue, where the lab may choose it.
const FEW: usize = 2;

fn enough_room(lab: &Lab) -> Outcome {
    const SETTING: &str = "net.core.somaxconn";
    let host = lab.host()?;
    host.names_own_hand("clients");
    // Elsewhere it is the machine's own, which stays as it is.
    if lab.shared.isolated() {
        host.sets(SETTING, FEW)?;
    }
    let before = host.variable(SETTING)?;
    let limit: usize = before.trim().parse().map_err(|_| {
        LabError::Impossible(format!("{SETTING} is {before:?}, and that is no number"))
    })?;

    lab.notes(&format!(
        "{limit} clients are announced, and as many may wait"
    ));
    let server = starts(lab, &host, limit)?;
    let here: Vec<_> = (0..FEW).filter_map(|_| connects(&host)).collect();
    lab.claim(
        "as many as the kernel lets wait can connect",
        equal(here.len(), FEW),
    );
    if server.ended().is_none() {
        server.types("open")?;
    }
    let end = server.ends()?;
    lab.claim("all of them come in when the door opens", {
        equal(server.output().count("comes in"), FEW).and(end.exited_with(0))
    });
    drop(here);

    // One more fits than the number says. So this is the first that is too large, however one counts.
    let more = limit + 2;
    lab.notes(&format!(
        "{more} clients are announced, and {limit} may wait"
    ));
    let server = starts(lab, &host, more)?;
    let refuses = match server.ended() {
        Some(end) => end.exited_with(1),
        None => Check::new(false, "it listens"),
    };
    lab.central(
        "where there is no room for all, the server ends and has not listened",
        refuses.and(equal(server.output().count("listening on"), 0)),
    );
    let mut hang = 0;
    if server.ended().is_none() && limit == FEW {
        lab.notes("they come");
        let come: Vec<_> = (0..more).map(|_| connects(&host)).collect();
        lab.ends_the_ladder();
        hang = come.iter().filter(|client| client.is_none()).count();
    }
    lab.claim("no client hangs", equal(hang, 0));
    lab.claim(
        "the kernel's setting is as it was",
        equal(host.variable(SETTING)?, before),
    );
    lab.done()
}

/// Starts the server for so many clients, and waits until it listens, or has ended.
fn starts(lab: &Lab, host: &Host, clients: usize) -> Result<Process, LabError> {
    let server = host.exercise("server", &clients.to_string()).start()?;
    lab.until("the server listens, or has ended", || {
        let ended = Check::new(server.ended().is_some(), "it still runs");
        server.output().says("listening on").or(ended)
    })?;
    if server.ended().is_none() {
        server.listens()?;
    }
    Ok(server)
}

/// A client, if the kernel lets it connect in a while.
fn connects(host: &Host) -> Option<TcpStream> {
    // A SYN without an answer is sent again after a second, tcp(7).
    const PATIENCE: Duration = Duration::from_millis(1200);
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    host.enter(|| TcpStream::connect_timeout(&server, PATIENCE))
        .ok()
}
