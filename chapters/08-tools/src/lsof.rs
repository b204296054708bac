//! Who has this port, or this socket file?

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};
use common::{Call, complain, say};

use crate::names::{end, name, user};
use crate::owners::Owners;
use crate::tables;
use crate::wanted::Wanted;

/// Names the processes that hold a port, or the socket behind a socket file
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Path of a socket file
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// A port: :8080, tcp:8080, udp:53, 6tcp:8080; or all ports of a kind: tcp, 4udp
    #[arg(short, long = "internet", value_name = "[4|6][tcp|udp][:PORT]", value_parser = Wanted::parse)]
    internet: Vec<Wanted>,
    /// Print the process numbers only, for kill(1)
    #[arg(short, long)]
    terse: bool,
}

/// A socket that was asked for, ready to be printed.
struct Found {
    inode: u32,
    /// Unknown for a local socket.
    uid: Option<u32>,
    kind: &'static str,
    name: String,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    ensure!(
        !(args.internet.is_empty() && args.paths.is_empty()),
        "name a port (-i :8080) or the path of a socket file"
    );
    let mut found = Vec::new();
    // The tables first: a process that opens a socket in between is missed, and not taken for a socket without an owner.
    if !args.internet.is_empty() {
        for tcp in [true, false] {
            let mut sockets = tables::internet(tcp)?;
            sockets.retain(|socket| args.internet.iter().any(|wanted| wanted.fits(socket)));
            found.extend(sockets.iter().map(internet));
        }
    }
    for path in &args.paths {
        found.extend(local(path)?);
    }
    let owners = Owners::find()?;
    ensure!(!found.is_empty(), "no such socket is open");
    if !args.terse {
        say!(
            "{:<9} {:>6} {:<8} {:>4} {:<4} {:>8} NAME",
            "COMMAND",
            "PID",
            "USER",
            "FD",
            "TYPE",
            "NODE"
        )?;
    }
    let mut pids = Vec::new();
    for Found {
        inode,
        uid,
        kind,
        name,
    } in &found
    {
        for holder in owners.of(*inode) {
            pids.push(holder.pid);
            let owner = fs::metadata(format!("/proc/{}", holder.pid))
                .map_or_else(|_| "?".into(), |process| user(process.uid()));
            if !args.terse {
                // A socket is always open for both reading and writing: u.
                say!(
                    "{:<9} {:>6} {owner:<8} {:>3}u {kind:<4} {inode:>8} {name}",
                    holder.command,
                    holder.pid,
                    holder.descriptor
                )?;
            }
        }
        if owners.of(*inode).is_empty() && !args.terse {
            let owner = uid.map_or_else(|| "-".into(), user);
            say!(
                "{:<9} {:>6} {owner:<8} {:>4} {kind:<4} {inode:>8} {name}",
                "-",
                "-",
                "-"
            )?;
        }
    }
    if args.terse {
        pids.sort_unstable();
        pids.dedup();
        for pid in &pids {
            say!("{pid}")?;
        }
    }
    if found.iter().any(|socket| socket.inode == 0) {
        complain!(
            "a socket without a number (NODE 0) is the kernel's alone: its process has closed it, or has not accepted it yet"
        );
    }
    owners.complain_of_hidden(found.iter().map(|socket| socket.inode));
    Ok(())
}

fn internet(socket: &tables::Internet) -> Found {
    let (transport, kind) = match socket.protocol {
        "tcp" => ("TCP", "IPv4"),
        "tcp6" => ("TCP", "IPv6"),
        "udp" => ("UDP", "IPv4"),
        _ => ("UDP", "IPv6"),
    };
    let mut name = format!("{transport} {}", end(&socket.local));
    if socket.remote.port() != 0 {
        name += &format!("->{}", socket.remote);
    }
    if transport == "TCP" {
        name += &format!(" ({})", socket.state);
    }
    Found {
        inode: socket.inode,
        uid: Some(socket.uid),
        kind,
        name,
    }
}

// ANCHOR: local
/// The sockets bound to a path. A socket file has an inode in its file system, a socket has another one among sockets: the
/// kernel knows which belong together. (The path that was given to bind(2) may be relative, or may have been moved since.)
fn local(path: &Path) -> anyhow::Result<Vec<Found>> {
    let file = fs::metadata(path).call(format_args!("stat {}", path.display()))?;
    if !file.file_type().is_socket() {
        bail!("{} is not a socket file", path.display());
    }
    let mut sockets = tables::local()?;
    sockets.retain(|socket| {
        socket.file == Some((file.dev(), file.ino() as u32))
            || socket.name == path.as_os_str().as_bytes()
    });
    let found = sockets.iter().map(|socket| Found {
        inode: socket.inode,
        uid: None,
        kind: "unix",
        name: format!("{} type={} {}", name(socket), socket.kind, socket.state)
            .trim_end()
            .into(),
    });
    Ok(found.collect())
}
// ANCHOR_END: local
