//! The sockets of this host, their queues and states, and whose they are.

use std::collections::BTreeMap;

use common::output::OutputError;
use common::say;

use crate::names::{end, name, user};
use crate::owners::Owners;
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
    let owners = match args.programs {
        true => Owners::find()?,
        false => Owners::default(),
    };
    let every = !(args.tcp || args.udp || args.unix);
    let mut sockets = Vec::new();
    for (wanted, tcp) in [(args.tcp, true), (args.udp, false)] {
        if wanted || every {
            sockets.extend(tables::internet(tcp)?);
        }
    }
    sockets.retain(|socket| args.shows(socket.remote.port() == 0));
    sockets.sort_by_key(|it| (it.protocol, it.state != "LISTEN", it.local, it.remote));
    let mut inodes: Vec<u32> = sockets.iter().map(|socket| socket.inode).collect();
    if args.tcp || args.udp || every {
        args.internet(&sockets, &owners)?;
    }
    if args.unix || every {
        let mut sockets = tables::local()?;
        sockets.retain(|socket| args.shows(socket.state != "CONNECTED"));
        sockets.sort_by_key(|socket| socket.inode);
        inodes.extend(sockets.iter().map(|socket| socket.inode));
        args.local(&sockets, &owners)?;
    }
    if args.programs {
        owners.complain_of_hidden(inodes);
    }
    Ok(())
}

impl Args {
    /// `alone`: it has no peer. A socket of UDP does not listen, but it waits for anybody who sends.
    fn shows(&self, alone: bool) -> bool {
        self.all || alone == self.listening
    }

    fn internet(&self, sockets: &[Internet], owners: &Owners) -> Result<(), OutputError> {
        self.row(
            "Proto Recv-Q Send-Q Local Address           Foreign Address         State      ",
            "User       Inode     ",
            "PID/Program",
        )?;
        for socket in sockets {
            let Internet {
                protocol,
                receive_queue,
                send_queue,
                inode,
                ..
            } = socket;
            let (local, remote, state) = (end(&socket.local), end(&socket.remote), state(socket));
            self.row(
                &format!("{protocol:<5} {receive_queue:>6} {send_queue:>6} {local:<23} {remote:<23} {state:<11}"),
                &format!("{:<10} {inode:<10}", user(socket.uid)),
                &program(owners, *inode),
            )?;
        }
        Ok(())
    }

    fn row(&self, always: &str, extended: &str, program: &str) -> Result<(), OutputError> {
        let mut line = always.to_string();
        for (wanted, column) in [(self.extend, extended), (self.programs, program)] {
            if wanted {
                line += &format!(" {column}");
            }
        }
        say!("{}", line.trim_end())
    }

    fn local(&self, sockets: &[Local], owners: &Owners) -> Result<(), OutputError> {
        let row = |columns: &str, program: &str, path: &str| match self.programs {
            true => say!("{}", format!("{columns} {program:<20} {path}").trim_end()),
            false => say!("{}", format!("{columns} {path}").trim_end()),
        };
        row(
            "Proto Recv-Q Send-Q Type       State       I-Node  ",
            "PID/Program",
            "Path",
        )?;
        for socket in sockets {
            let Local {
                kind,
                state,
                receive_queue,
                send_queue,
                inode,
                ..
            } = socket;
            let columns = format!(
                "unix  {receive_queue:>6} {send_queue:>6} {kind:<10} {state:<11} {inode:<8}"
            );
            row(&columns, &program(owners, *inode), &name(socket))?;
        }
        Ok(())
    }
}

/// A UDP socket has no states; the kernel uses two of TCP's numbers for "connected" and "not".
fn state(socket: &Internet) -> &'static str {
    match (socket.protocol, socket.state) {
        ("udp" | "udp6", "CLOSE") => "",
        (_, state) => state,
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
