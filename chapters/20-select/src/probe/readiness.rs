//! A TCP socket in the situations in which select(2) may be asked about it.

use common::say;

use super::situations::{Connection, answered_by_nobody, listener, never_connected, refused};
use super::table::{Attempt, Complete, Make, header, row};

/// When is a TCP socket ready?
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Make each situation, but ask about another connection, on which nothing happens
    #[arg(long)]
    elsewhere: bool,
}

const BOTH: &[Attempt] = &[Attempt::Read, Attempt::Write];
const ACCEPT: &[Attempt] = &[Attempt::Accept];

// ANCHOR: situations
const SITUATIONS: &[(&str, &[Attempt], Make)] = &[
    ("nothing has happened", BOTH, || {
        Connection::new()?.looked_at(Complete::AtOnce)
    }),
    ("data has come", BOTH, || {
        Connection::new()?.peer_sends()?.looked_at(Complete::In)
    }),
    ("the peer has ended (FIN)", BOTH, || {
        Connection::new()?.peer_ends()?.looked_at(Complete::RdHup)
    }),
    ("data, then FIN", BOTH, || {
        let connection = Connection::new()?.peer_sends()?;
        connection.peer_ends()?.looked_at(Complete::RdHup)
    }),
    ("listening: nobody waits", ACCEPT, || listener(false)),
    ("listening: a client waits", ACCEPT, || listener(true)),
    ("the peer has reset (RST)", BOTH, || {
        Connection::new()?.peer_resets()?.looked_at(Complete::Hup)
    }),
    ("data, then RST", BOTH, || {
        let connection = Connection::new()?.peer_sends()?;
        connection.peer_resets()?.looked_at(Complete::Hup)
    }),
    ("RST, and the error was read", BOTH, || {
        let connection = Connection::new()?.peer_resets()?;
        connection.error_is_read()?.looked_at(Complete::Hup)
    }),
    ("connect was refused", BOTH, refused),
    ("connect is not answered", BOTH, answered_by_nobody),
    ("send buffer full", BOTH, || {
        Connection::new()?.fills()?.looked_at(Complete::AtOnce)
    }),
    ("we have ended (shutdown SHUT_WR)", BOTH, || {
        Connection::new()?.ends()?.looked_at(Complete::AtOnce)
    }),
    ("both have ended", BOTH, || {
        let connection = Connection::new()?.ends()?;
        connection.peer_ends()?.looked_at(Complete::Hup)
    }),
    ("both have ended, data unread", BOTH, || {
        let connection = Connection::new()?.ends()?.peer_sends()?;
        connection.peer_ends()?.looked_at(Complete::Hup)
    }),
    ("shutdown SHUT_RD", BOTH, || {
        Connection::new()?
            .stops_reading()?
            .looked_at(Complete::AtOnce)
    }),
    ("an urgent byte has come", BOTH, || {
        Connection::new()?
            .peer_sends_urgent()?
            .looked_at(Complete::Pri)
    }),
    ("never connected", BOTH, never_connected),
];
// ANCHOR_END: situations

pub fn run(args: &Args) -> anyhow::Result<()> {
    header()?;
    for &(name, attempts, make) in SITUATIONS {
        if args.elsewhere {
            row(name, BOTH, || {
                let happens = make()?;
                let mut idle = Connection::new()?.looked_at(Complete::AtOnce)?;
                idle.others.push(happens.watched);
                idle.others.extend(happens.others);
                Ok(idle)
            })?;
        } else {
            row(name, attempts, make)?;
        }
    }
    say!("EAGAIN: the call would have waited")?;
    Ok(())
}
