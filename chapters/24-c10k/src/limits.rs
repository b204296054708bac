//! What limits the number of connections on this machine, and how each limit is raised.

use std::fs;

use common::{Call, CallError, say};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

/// Shows every limit that many connections run into, and how to raise it
#[derive(Debug, clap::Args)]
pub struct Args {}

// ANCHOR: limits
/// Where a limit stands, what it means, and what raises it.
const FILES: [(&str, &str, &str); 12] = [
    (
        "fs/nr_open",
        "the highest that the hard limit of descriptors can be",
        "sysctl -w fs.nr_open=N",
    ),
    (
        "fs/file-max",
        "open files of the whole machine",
        "sysctl -w fs.file-max=N",
    ),
    (
        "net/ipv4/ip_local_port_range",
        "ports for outgoing connections, per address of ours and peer",
        "sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\", or more addresses",
    ),
    (
        "net/core/somaxconn",
        "the longest accept queue of a listener",
        "sysctl -w net.core.somaxconn=N",
    ),
    (
        "net/ipv4/tcp_max_syn_backlog",
        "handshakes under way, per listener",
        "sysctl -w net.ipv4.tcp_max_syn_backlog=N",
    ),
    (
        "net/ipv4/tcp_mem",
        "memory of all TCP sockets: low, pressure, limit, in pages",
        "sysctl -w net.ipv4.tcp_mem=\"A B C\"",
    ),
    (
        "net/ipv4/tcp_rmem",
        "receive buffer of a connection: least, first, largest, in bytes",
        "sysctl -w net.ipv4.tcp_rmem=\"A B C\"",
    ),
    (
        "net/ipv4/tcp_wmem",
        "send buffer of a connection: least, first, largest, in bytes",
        "sysctl -w net.ipv4.tcp_wmem=\"A B C\"",
    ),
    (
        "net/netfilter/nf_conntrack_max",
        "connections that a firewall of this machine remembers",
        "sysctl -w net.netfilter.nf_conntrack_max=N",
    ),
    (
        "fs/epoll/max_user_watches",
        "descriptors that one user's epolls may watch",
        "sysctl -w fs.epoll.max_user_watches=N",
    ),
    (
        "kernel/threads-max",
        "threads of the whole machine",
        "sysctl -w kernel.threads-max=N",
    ),
    (
        "vm/max_map_count",
        "mapped areas of a process: a thread's stack takes two",
        "sysctl -w vm.max_map_count=N",
    ),
];
// ANCHOR_END: limits

pub fn run(_: &Args) -> anyhow::Result<()> {
    let (soft, hard) = limit(Resource::RLIMIT_NOFILE)?;
    entry(
        "descriptors of this process, soft",
        &number(soft),
        "ulimit -n N, or setrlimit in the program, up to the hard limit",
    )?;
    entry(
        "descriptors of this process, hard",
        &number(hard),
        "/etc/security/limits.conf, LimitNOFILE= in a unit, --ulimit of docker run; CAP_SYS_RESOURCE",
    )?;
    let (processes, _) = limit(Resource::RLIMIT_NPROC)?;
    entry(
        "processes and threads of this user",
        &number(processes),
        "ulimit -u N; a container has a limit of its own, pids.max",
    )?;
    for (name, meaning, remedy) in FILES {
        // Without the file there is no such limit: no firewall, for example.
        if let Ok(value) = fs::read_to_string(format!("/proc/sys/{name}")) {
            let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
            entry(
                &format!("{}: {meaning}", name.replace('/', ".")),
                &value,
                remedy,
            )?;
        }
    }
    // ANCHOR: most
    let ports = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ports = ports
        .split_whitespace()
        .filter_map(|port| port.parse::<u32>().ok());
    if let (Some(first), Some(last)) = (ports.next(), ports.next()) {
        say!(
            "one address of ours to one server: {} connections at most",
            last + 1 - first
        )?;
    }
    say!(
        "one server process here: {} connections at most, by its descriptors",
        number(hard)
    )?;
    // ANCHOR_END: most
    Ok(())
}

fn limit(what: Resource) -> Result<(u64, u64), CallError> {
    getrlimit(what).call("getrlimit")
}

fn number(limit: u64) -> String {
    match limit {
        RLIM_INFINITY => "unlimited".into(),
        limit => limit.to_string(),
    }
}

fn entry(what: &str, value: &str, remedy: &str) -> anyhow::Result<()> {
    say!("{what}")?;
    say!("    is {value}; to raise it: {remedy}")?;
    Ok(())
}
