//! What this machine allows, and the remedy for what it does not.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::Uid;

use crate::sandbox;
use crate::version::Version;

/// A tool that is used when it is there.
struct Tool {
    name: &'static str,
    purpose: &'static str,
    package: &'static str,
}

const TOOLS: &[Tool] = &[
    Tool {
        name: "nc",
        purpose: "talking to servers by hand",
        package: "netcat-openbsd",
    },
    Tool {
        name: "telnet",
        purpose: "talking to servers by hand",
        package: "telnet",
    },
    Tool {
        name: "strace",
        purpose: "comparing with the lab's own system call traces",
        package: "strace",
    },
    Tool {
        name: "ss",
        purpose: "comparing with lesson 8's netstat",
        package: "iproute2",
    },
    Tool {
        name: "tcpdump",
        purpose: "comparing with lesson 8's tcpdump",
        package: "tcpdump",
    },
    Tool {
        name: "ping",
        purpose: "comparing with lesson 8's ping",
        package: "iputils-ping",
    },
    Tool {
        name: "traceroute",
        purpose: "comparing with lesson 8's traceroute",
        package: "traceroute",
    },
    Tool {
        name: "curl",
        purpose: "talking to lesson 34's server",
        package: "curl",
    },
    Tool {
        name: "wrk",
        purpose: "putting load on servers",
        package: "wrk",
    },
    Tool {
        name: "nginx",
        purpose: "comparing with our server",
        package: "nginx",
    },
    Tool {
        name: "chromium",
        purpose: "seeing the book and the server in a real browser",
        package: "chromium",
    },
];

/// A report for the terminal. It changes nothing. To be called before there is a second thread.
pub fn report() -> String {
    let mut text = String::new();
    let mut say = |mark: &str, what: String| _ = writeln!(text, "{mark} {what}");
    say(
        "·",
        format!(
            "Linux {}, {}",
            Version::running(),
            if Uid::effective().is_root() {
                "as root"
            } else {
                "as an ordinary user"
            }
        ),
    );
    match sandbox::probe() {
        Ok(()) => say(
            "✓",
            "namespaces: hosts, wires, packets and kernel variables of our own".into(),
        ),
        Err(why) => {
            say("✗", format!("namespaces: {why}"));
            for remedy in remedies() {
                say(" ", remedy);
            }
            say(" ", "Until then experiments that need them are skipped, the others run on this machine's loopback.".into());
        }
    }
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, hard)) if hard >= 20_000 => {
            say("✓", format!("open files: {soft}, can be raised to {hard}"))
        }
        Ok((_, hard)) => say(
            "✗",
            format!(
                "open files: at most {hard}; lesson 24 wants 20 000 (ulimit -Hn, or nofile in /etc/security/limits.conf)"
            ),
        ),
        Err(errno) => say("✗", format!("open files: {errno}")),
    }
    say(
        if Path::new("/proc/net/if_inet6").exists() {
            "✓"
        } else {
            "✗"
        },
        "IPv6".into(),
    );
    let uring = fs::read_to_string("/proc/sys/kernel/io_uring_disabled")
        .map_or("0".into(), |text| text.trim().to_string());
    match (uring.as_str(), Version::running().at_least(5, 19)) {
        ("0", true) => say("✓", "io_uring (lesson 30)".into()),
        (_, false) => say(
            "✗",
            "io_uring: this kernel is older than 5.19; lesson 30 shows less".into(),
        ),
        _ => say(
            "✗",
            "io_uring: switched off; sysctl kernel.io_uring_disabled=0 allows it (lesson 30)"
                .into(),
        ),
    }
    say(
        "·",
        "tools that are used when they are there; none has to be:".into(),
    );
    for tool in TOOLS {
        match found(tool.name).is_some() {
            true => say("✓", format!("  {:<10} {}", tool.name, tool.purpose)),
            false => say(
                "–",
                format!(
                    "  {:<10} {}: apt install {}",
                    tool.name, tool.purpose, tool.package
                ),
            ),
        }
    }
    text
}

/// What may forbid namespaces here, and how to allow them.
pub fn remedies() -> Vec<String> {
    let number = |path: &str| {
        fs::read_to_string(path)
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok())
    };
    let mut remedies = Vec::new();
    if number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        remedies.push("AppArmor (Ubuntu 23.10 and later): sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0".into());
    }
    if number("/proc/sys/kernel/unprivileged_userns_clone") == Some(0) {
        remedies.push("Debian's switch: sudo sysctl -w kernel.unprivileged_userns_clone=1".into());
    }
    if number("/proc/sys/user/max_user_namespaces") == Some(0) {
        remedies.push("The limit is 0: sudo sysctl -w user.max_user_namespaces=10000".into());
    }
    if Path::new("/.dockerenv").exists() || Path::new("/run/.containerenv").exists() {
        remedies.push("A container: start it with --privileged, or with --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined --cap-add SYS_ADMIN --cap-add NET_ADMIN".into());
    }
    if fs::read_to_string("/proc/sys/kernel/osrelease")
        .is_ok_and(|release| release.to_lowercase().contains("microsoft"))
    {
        remedies.push("WSL: version 2 is needed (wsl --set-version DISTRIBUTION 2), with a current kernel (wsl --update)".into());
    }
    if remedies.is_empty() {
        remedies
            .push("Run it as root: sudo -E env PATH=\"$PATH\" cargo run -p lab -- run all".into());
    }
    remedies
}

/// The file of a program by its name. Tools of the administrator are found where an ordinary user's PATH does not lead.
pub(crate) fn found(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let administrator = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(administrator)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}
