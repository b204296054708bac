//! The sockets of this host, their queues and states, and whose they are.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use common::say;
use common::text::printable;

use crate::owners::{Owners, user};
use crate::tables::{self, Internet, Local};

/// Lists sockets: TCP, UDP and local ones
///
/// Without -a and -l only those that have a peer. Addresses are always numbers. In the line of a listening socket Recv-Q is how
/// many connections wait for accept(2), and Send-Q how many may.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// All sockets: those that listen too
    #[arg(short, long)]
    all: bool,
    /// Only those that listen
    #[arg(short, long)]
    listening: bool,
    /// Show TCP sockets (TCP, UDP and local ones if none of -t, -u, -x is given)
    #[arg(short, long)]
    tcp: bool,
    /// Show UDP sockets
    #[arg(short, long)]
    udp: bool,
    /// Show local sockets, unix(7)
    #[arg(short = 'x', long)]
    unix: bool,
    /// The process that holds each
    #[arg(short, long)]
    programs: bool,
    /// User and inode of each
    #[arg(short, long)]
    extend: bool,
    /// Accepted because hands type it: addresses and ports are always numbers here
    #[arg(short, long)]
    numeric: bool,
    /// Only count the TCP sockets in each state
    #[arg(long)]
    states: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.states {
        return count_states();
    }
    let every = !(args.tcp || args.udp || args.unix);
    let owners = if args.programs {
        Owners::find()?
    } else {
        Owners::default()
    };
    let mut inodes = Vec::new();

    let mut internet = Vec::new();
    for (wanted, tcp) in [(args.tcp, true), (args.udp, false)] {
        if wanted || every {
            internet.extend(tables::internet(tcp)?);
        }
    }
    internet.retain(|socket| args.shows(socket.remote.port() == 0, socket.state == "LISTEN"));
    internet.sort_by_key(|socket| {
        (
            socket.protocol,
            socket.state != "LISTEN",
            socket.local,
            socket.remote,
        )
    });
    if args.tcp || args.udp || every {
        say!(
            "{}",
            args.line(
                [
                    "Proto",
                    "Recv-Q",
                    "Send-Q",
                    "Local Address",
                    "Foreign Address",
                    "State"
                ],
                ["User", "Inode"],
                "PID/Program"
            )
        )?;
    }
    for socket in &internet {
        inodes.push(socket.inode);
        let (receive, send) = (
            socket.receive_queue.to_string(),
            socket.send_queue.to_string(),
        );
        let (local, remote) = (end(&socket.local), end(&socket.remote));
        let columns = [
            socket.protocol,
            &receive,
            &send,
            &local,
            &remote,
            shown_state(socket),
        ];
        let more = [user(socket.uid), socket.inode.to_string()];
        say!(
            "{}",
            args.line(
                columns,
                [&more[0], &more[1]],
                &program(&owners, socket.inode)
            )
        )?;
    }

    if args.unix || every {
        let mut sockets = tables::local()?;
        sockets
            .retain(|socket| args.shows(socket.state != "CONNECTED", socket.state == "LISTENING"));
        sockets.sort_by_key(|socket| socket.inode);
        say!(
            "{}",
            args.local_line(
                ["Proto", "Recv-Q", "Send-Q", "Type", "State", "I-Node"],
                "PID/Program",
                "Path"
            )
        )?;
        for socket in &sockets {
            inodes.push(socket.inode);
            let (receive, send) = (
                socket.receive_queue.to_string(),
                socket.send_queue.to_string(),
            );
            let columns = [
                "unix",
                &receive,
                &send,
                socket.kind,
                socket.state,
                &socket.inode.to_string(),
            ];
            let who = program(&owners, socket.inode);
            say!("{}", args.local_line(columns, &who, &name(socket)))?;
        }
    }
    if args.programs {
        owners.complain_of_hidden(inodes);
    }
    Ok(())
}

impl Args {
    fn shows(&self, alone: bool, listens: bool) -> bool {
        self.all
            || if self.listening {
                listens || alone
            } else {
                !alone
            }
    }

    fn line(&self, columns: [&str; 6], more: [&str; 2], program: &str) -> String {
        let [protocol, receive, send, local, remote, state] = columns;
        let mut line =
            format!("{protocol:<5} {receive:>6} {send:>6} {local:<23} {remote:<23} {state:<11}");
        if self.extend {
            line += &format!(" {:<10} {:<10}", more[0], more[1]);
        }
        if self.programs {
            line += &format!(" {program}");
        }
        line.trim_end().to_string()
    }

    fn local_line(&self, columns: [&str; 6], program: &str, path: &str) -> String {
        let [protocol, receive, send, kind, state, inode] = columns;
        let mut line =
            format!("{protocol:<5} {receive:>6} {send:>6} {kind:<10} {state:<11} {inode:<8}");
        if self.programs {
            line += &format!(" {program:<20}");
        }
        format!("{line} {path}").trim_end().to_string()
    }
}

// ANCHOR: end
/// An address and port, and a star for a port that can be any: of a socket that listens, no peer is known yet.
pub fn end(address: &SocketAddr) -> String {
    match address.port() {
        0 => format!("{}:*", address.to_string().trim_end_matches(":0")),
        _ => address.to_string(),
    }
}
// ANCHOR_END: end

/// A UDP socket has no states; the kernel uses two of TCP's numbers for "connected" and "not".
fn shown_state(socket: &Internet) -> &'static str {
    match (socket.protocol, socket.state) {
        ("udp" | "udp6", "CLOSE") => "",
        (_, state) => state,
    }
}

/// The path of a local socket; an abstract name is shown with an @ for its first byte.
pub fn name(socket: &Local) -> String {
    match socket.name.split_first() {
        Some((0, rest)) => format!("@{}", printable(rest)),
        _ => printable(&socket.name).to_string(),
    }
}

/// The first process that holds a socket, and how many more do.
fn program(owners: &Owners, inode: u32) -> String {
    match owners.of(inode) {
        [] => "-".into(),
        [first, rest @ ..] => {
            let others = rest.iter().filter(|holder| holder.pid != first.pid).count();
            let more = if others > 0 {
                format!(" +{others}")
            } else {
                String::new()
            };
            format!("{}/{}{more}", first.pid, first.command)
        }
    }
}

// ANCHOR: states
fn count_states() -> anyhow::Result<()> {
    let mut counts = BTreeMap::new();
    for socket in tables::internet(true)? {
        *counts.entry(socket.state).or_insert(0) += 1;
    }
    for (state, count) in counts {
        say!("{count:>6} {state}")?;
    }
    Ok(())
}
// ANCHOR_END: states
