//! The solution of exercise 8/who-listens.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use common::text::printable;
use common::{Call, CallError, complain, say};

/// Names the processes that listen on a port
#[derive(Parser)]
struct Args {
    /// The port
    port: u16,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let port = args.port;
    let sockets = listeners(port)?;
    let holders = holders(&sockets)?;
    for (pid, command) in &holders {
        say!("process {pid} listens: {command}")?;
    }
    match (sockets.is_empty(), holders.is_empty()) {
        (true, _) => say!("nobody listens on port {port}")?,
        (_, true) => complain!("somebody listens, and may not be looked into: ask as root"),
        _ => {}
    }
    Ok(())
}

/// The processes that hold one of these sockets: number and name. After fork(2) there may be several for one socket.
fn holders(sockets: &HashSet<u64>) -> Result<Vec<(u32, String)>, CallError> {
    let mut holders = Vec::new();
    for entry in fs::read_dir("/proc").call("read /proc")?.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process that has just ended, or that is somebody else's, is passed over.
        let Ok(descriptors) = fs::read_dir(entry.path().join("fd")) else {
            continue;
        };
        let mut behind = descriptors
            .flatten()
            .filter_map(|link| socket_behind(&link.path()));
        if behind.any(|socket| sockets.contains(&socket)) {
            let command = fs::read(entry.path().join("comm")).unwrap_or_default();
            holders.push((pid, printable(command.trim_ascii_end()).to_string()));
        }
    }
    holders.sort();
    Ok(holders)
}

/// The number of the socket that a descriptor stands for. Its link reads `socket:[12345]`.
fn socket_behind(link: &Path) -> Option<u64> {
    let target = fs::read_link(link).ok()?;
    let number = target.to_str()?.strip_prefix("socket:[")?;
    number.strip_suffix(']')?.parse().ok()
}

/// The number of the socket in a line of the kernel's table, if it listens on this port. The first fields of a line are a count,
/// the own address, the other end's and the state; the tenth is the number. Ports and states are hexadecimal:
/// `0: 0100007F:A8CB 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 12345`.
fn listener(line: &str, port: u16) -> Option<u64> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, own_port) = fields.get(1)?.rsplit_once(':')?;
    let same_port = u16::from_str_radix(own_port, 16) == Ok(port);
    let listens = *fields.get(3)? == LISTEN;
    let number = fields.get(9)?.parse().ok()?;
    (same_port && listens).then_some(number)
}

// ANCHOR: answer
/// The numbers of the sockets that listen on this port.
fn listeners(port: u16) -> Result<HashSet<u64>, CallError> {
    // There is a table for each family. A socket of IPv6 on the address :: takes clients of IPv4, too, ipv6(7), and so it has the
    // port in both; it stands in the second table only. Both are read, whatever the first one says: one port can have a listener
    // in each, on different addresses.
    let mut sockets = HashSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        match fs::read_to_string(table) {
            Ok(text) => sockets.extend(text.lines().filter_map(|line| listener(line, port))),
            // A kernel without IPv6.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).call(format_args!("read {table}")),
        }
    }
    Ok(sockets)
}
// ANCHOR_END: answer
