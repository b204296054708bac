//! What /proc says of processes, settings and counters: proc(5).

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;

use super::attempted;

/// Which process holds which socket: inode to process, for these processes and all their descendants.
///
/// Where several hold one socket, as a listening socket after fork(2), the one that comes first in `pids` has it, and an
/// ancestor before its children. A process that is gone, or not ours to look at, has nothing.
pub fn owners(pids: &[i32]) -> HashMap<u32, i32> {
    let mut owners = HashMap::new();
    for pid in with_descendants(pids) {
        for inode in socket_inodes(pid) {
            owners.entry(inode).or_insert(pid);
        }
    }
    owners
}

/// A setting of the calling thread's namespace by its dotted name, `net.ipv4.tcp_retries2`, without the newline.
pub fn sysctl(name: &str) -> io::Result<String> {
    let text = setting_path(name).and_then(fs::read_to_string);
    let text = text.map_err(attempted(format_args!("read {name}")))?;
    Ok(text.trim_end().to_owned())
}

/// Changes a setting of the calling thread's namespace.
pub fn set_sysctl(name: &str, value: &str) -> io::Result<()> {
    let write = setting_path(name).and_then(|path| fs::write(path, value));
    write.map_err(attempted(format_args!("set {name} to {value}")))
}

/// How many datagrams the UDP sockets bound to a port have dropped; `None` when no socket is bound to it.
pub fn udp_drops(port: u16) -> io::Result<Option<u64>> {
    let mut drops = None;
    for table in ["udp", "udp6"] {
        let text = match read_net(table) {
            // A kernel without IPv6.
            Err(error) if table == "udp6" && error.kind() == io::ErrorKind::NotFound => continue,
            text => text?,
        };
        drops = drops
            .into_iter()
            .chain(drops_in(&text, port))
            .reduce(|sum, more| sum + more);
    }
    Ok(drops)
}

/// A counter of the calling thread's namespace: `("TcpExt", "PAWSEstab")`, `("Tcp", "RetransSegs")`, `("Udp6", "InErrors")`.
///
/// It comes from netstat, snmp or snmp6 in /proc/thread-self/net; `NotFound` when none of them has it.
pub fn snmp_counter(group: &str, name: &str) -> io::Result<u64> {
    let mut found = None;
    for table in ["netstat", "snmp", "snmp6"] {
        let text = read_net(table).unwrap_or_default();
        found = found.or_else(|| match table {
            "snmp6" => one_a_line(&text, group, name),
            _ => two_lines(&text, group, name),
        });
    }
    found
        .ok_or_else(|| io::ErrorKind::NotFound.into())
        .map_err(attempted::<io::Error>(format_args!(
            "read the counter {group} {name}"
        )))
}

/// The system call that a process or thread sleeps in, with its six arguments.
///
/// `None` while it runs or is gone, where it is not ours to look at (the right of ptrace(2) is needed), when it
/// sleeps outside of a system call, and while a tracer holds it at the call's beginning or end.
pub fn blocked_in(id: i32) -> Option<(i64, [u64; 6])> {
    let call = parse_syscall(&fs::read_to_string(format!("/proc/{id}/syscall")).ok()?)?;
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.starts_with(['S', 'D', 'T']).then_some(call)
}

/// The threads of a process, proc_pid_task(5).
pub fn threads(id: i32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{id}/task"));
    let names = tasks.into_iter().flatten().flatten();
    let ids = names.filter_map(|task| task.file_name().to_str()?.parse().ok());
    ids.collect()
}

/// How often a thread has gone to sleep by itself, proc_pid_status(5): once more after each time it was woken.
pub fn slept(thread: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}

/// `running`, or `-1 SP PC`, or `NUMBER ARGUMENT{6} SP PC`.
fn parse_syscall(text: &str) -> Option<(i64, [u64; 6])> {
    let mut words = text.split_whitespace();
    let number = words.next()?.parse().ok().filter(|number| *number >= 0)?;
    let mut arguments = [0; 6];
    for argument in &mut arguments {
        *argument = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    }
    Some((number, arguments))
}

/// Makes the table of [`system_call_name`] from the names alone.
macro_rules! names {
    ($number:expr; $($(#[$condition:meta])? $name:ident = $constant:ident),* $(,)?) => {
        match $number {
            $($(#[$condition])? libc::$constant => Some(stringify!($name)),)*
            _ => None,
        }
    };
}

/// The name of a system call that a network program makes, by its number on this machine (syscalls(2)).
pub fn system_call_name(number: i64) -> Option<&'static str> {
    // The newer machines have only the general form of a call: ppoll but no poll.
    names!(number as libc::c_long;
        read = SYS_read, write = SYS_write, readv = SYS_readv, writev = SYS_writev, close = SYS_close,
        openat = SYS_openat, lseek = SYS_lseek, fcntl = SYS_fcntl, ioctl = SYS_ioctl, dup = SYS_dup, dup3 = SYS_dup3,
        pipe2 = SYS_pipe2, splice = SYS_splice, tee = SYS_tee, sendfile = SYS_sendfile,
        socket = SYS_socket, socketpair = SYS_socketpair, bind = SYS_bind, listen = SYS_listen, accept = SYS_accept,
        accept4 = SYS_accept4, connect = SYS_connect, shutdown = SYS_shutdown, sendto = SYS_sendto,
        recvfrom = SYS_recvfrom, sendmsg = SYS_sendmsg, recvmsg = SYS_recvmsg, sendmmsg = SYS_sendmmsg,
        recvmmsg = SYS_recvmmsg, getsockname = SYS_getsockname, getpeername = SYS_getpeername,
        setsockopt = SYS_setsockopt, getsockopt = SYS_getsockopt,
        ppoll = SYS_ppoll, pselect6 = SYS_pselect6, epoll_create1 = SYS_epoll_create1, epoll_ctl = SYS_epoll_ctl,
        epoll_pwait = SYS_epoll_pwait, epoll_pwait2 = SYS_epoll_pwait2, eventfd2 = SYS_eventfd2,
        signalfd4 = SYS_signalfd4, timerfd_create = SYS_timerfd_create, timerfd_settime = SYS_timerfd_settime,
        timerfd_gettime = SYS_timerfd_gettime, io_uring_setup = SYS_io_uring_setup,
        io_uring_enter = SYS_io_uring_enter, io_uring_register = SYS_io_uring_register,
        clone = SYS_clone, clone3 = SYS_clone3, execve = SYS_execve, wait4 = SYS_wait4, waitid = SYS_waitid,
        exit = SYS_exit, exit_group = SYS_exit_group, kill = SYS_kill, tgkill = SYS_tgkill,
        rt_sigaction = SYS_rt_sigaction, rt_sigprocmask = SYS_rt_sigprocmask, rt_sigsuspend = SYS_rt_sigsuspend,
        rt_sigtimedwait = SYS_rt_sigtimedwait, restart_syscall = SYS_restart_syscall, futex = SYS_futex,
        nanosleep = SYS_nanosleep, clock_nanosleep = SYS_clock_nanosleep, setitimer = SYS_setitimer,
        sched_yield = SYS_sched_yield, mmap = SYS_mmap, munmap = SYS_munmap, brk = SYS_brk, getpid = SYS_getpid,
        #[cfg(target_arch = "x86_64")] open = SYS_open,
        #[cfg(target_arch = "x86_64")] pipe = SYS_pipe,
        #[cfg(target_arch = "x86_64")] dup2 = SYS_dup2,
        #[cfg(target_arch = "x86_64")] poll = SYS_poll,
        #[cfg(target_arch = "x86_64")] select = SYS_select,
        #[cfg(target_arch = "x86_64")] epoll_create = SYS_epoll_create,
        #[cfg(target_arch = "x86_64")] epoll_wait = SYS_epoll_wait,
        #[cfg(target_arch = "x86_64")] eventfd = SYS_eventfd,
        #[cfg(target_arch = "x86_64")] alarm = SYS_alarm,
        #[cfg(target_arch = "x86_64")] pause = SYS_pause,
        #[cfg(target_arch = "x86_64")] fork = SYS_fork,
        #[cfg(target_arch = "x86_64")] vfork = SYS_vfork,
    )
}

/// Only settings of the network: others belong to the whole machine.
fn setting_path(name: &str) -> io::Result<String> {
    if name.starts_with("net.") && !name.contains('/') && !name.contains("..") {
        Ok(format!("/proc/sys/{}", name.replace('.', "/")))
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not the name of a network setting",
        ))
    }
}

fn read_net(table: &str) -> io::Result<String> {
    let path = format!("/proc/thread-self/net/{table}");
    fs::read_to_string(&path).map_err(attempted(format_args!("read {path}")))
}

/// /proc/net/udp: the address and port in hexadecimal are the second column, the drops the last.
fn drops_in(text: &str, port: u16) -> Option<u64> {
    let port = format!(":{port:04X}");
    let lines = text.lines().skip(1);
    lines
        .filter(|line| {
            line.split_whitespace()
                .nth(1)
                .is_some_and(|local| local.ends_with(&port))
        })
        .filter_map(|line| line.split_whitespace().last()?.parse().ok())
        .reduce(|sum: u64, drops| sum + drops)
}

/// snmp and netstat: `Tcp: NAME NAME …`, then `Tcp: VALUE VALUE …`.
fn two_lines(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(": "));
    while let (Some((names, header)), Some((_, values))) = (lines.next(), lines.next()) {
        if names == group {
            let column = header
                .split_whitespace()
                .position(|column| column == name)?;
            return values.split_whitespace().nth(column)?.parse().ok();
        }
    }
    None
}

/// snmp6: `Udp6InErrors  0`.
fn one_a_line(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text
        .lines()
        .filter_map(|line| line.split_once(char::is_whitespace));
    let (_, value) = lines.find(|(key, _)| key.strip_prefix(group) == Some(name))?;
    value.trim().parse().ok()
}

/// The sockets among a process's open files: links to `socket:[12345]`.
fn socket_inodes(pid: i32) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten();
    entries.filter_map(|entry| {
        let target = fs::read_link(entry.ok()?.path()).ok()?;
        let target = target
            .to_str()?
            .strip_prefix("socket:[")?
            .strip_suffix(']')?;
        target.parse().ok()
    })
}

/// The processes, and after each generation its children.
fn with_descendants(pids: &[i32]) -> Vec<i32> {
    let mut seen = HashSet::new();
    let mut all: Vec<i32> = pids
        .iter()
        .copied()
        .filter(|pid| seen.insert(*pid))
        .collect();
    let mut next = 0;
    while let Some(&pid) = all.get(next) {
        all.extend(
            children(pid)
                .into_iter()
                .filter(|child| seen.insert(*child)),
        );
        next += 1;
    }
    all
}

/// The children of all threads of a process (needs CONFIG_PROC_CHILDREN, which systems have).
fn children(pid: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|id| id.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}
