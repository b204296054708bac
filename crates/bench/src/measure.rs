//! A server that is measured: started on one core, asked what it has used, ended.

use std::collections::VecDeque;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use common::signal::ends_with;
use common::{Call, CallError};
use drive::{Program, Signal};
use libc::{SYS_pidfd_getfd, SYS_pidfd_open, c_long, clockid_t, syscall};
use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::SigSet;
use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use crate::load::Tally;
use crate::results::{Memory, Sample};
use crate::servers::{Launch, Ready};

/// How long a server may take to begin, and to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// The cores that server and client run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    /// The server's, and the client's while processor time is measured.
    pub shared: usize,
    /// The client's while requests per second are counted; `None` on a machine with one core.
    pub other: Option<usize>,
}

impl Cores {
    /// The last two that we may run on: interrupts are most often the first one's.
    pub fn pick() -> anyhow::Result<(Self, usize)> {
        let allowed = sched_getaffinity(Pid::from_raw(0)).call("sched_getaffinity")?;
        let mut cores = (0..CpuSet::count())
            .rev()
            .filter(|&core| allowed.is_set(core) == Ok(true));
        let count = cores.clone().count();
        let shared = cores.next().context("no core to run on")?;
        let other = cores.next();
        Ok((Self { shared, other }, count))
    }
}

/// The calling thread runs there and nowhere else from now on, sched_setaffinity(2).
pub fn run_on(core: usize) -> anyhow::Result<()> {
    let what = format_args!("sched_setaffinity to core {core}");
    Ok(sched_setaffinity(Pid::from_raw(0), &only(core)).call(what)?)
}

fn only(core: usize) -> CpuSet {
    let mut set = CpuSet::new();
    let _ = set.set(core); // sched_getaffinity(2) has named it, so there is room for it
    set
}

/// A program that begins on this core, its threads and children after it, and that ends when we do. The signals that we wait for it
/// takes as any program does.
pub fn on_core(command: &mut Command, core: usize) -> &mut Command {
    let (set, parent) = (only(core), Pid::this());
    // SAFETY: between fork and exec only sched_setaffinity(2), sigprocmask(2), prctl(2) and getppid(2) are called, and no memory
    // is allocated unless one of them fails.
    unsafe {
        command.pre_exec(move || {
            sched_setaffinity(Pid::from_raw(0), &set)?;
            SigSet::all().thread_unblock()?;
            match ends_with(parent, Signal::SIGTERM) {
                Ok(true) => Ok(()),
                Ok(false) => Err(nix::errno::Errno::ESRCH.into()),
                Err(error) => Err(error.kind().into()),
            }
        })
    }
}

/// What a server has used so far: all its processes, in user space and in the kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Nanoseconds, exact.
    exact: u64,
    /// By ticks.
    both: u64,
    user: u64,
}

/// A server process, and those that it has made.
pub struct Server {
    program: Program,
    address: SocketAddr,
}

impl Server {
    /// Starts it and waits until it can be connected to.
    pub fn start(name: &str, launch: Launch, core: usize) -> anyhow::Result<Self> {
        let Launch { mut command, ready } = launch;
        let mut program = Program::start(name, on_core(&mut command, core))?;
        program.deadline(PATIENCE);
        let address = match ready {
            Ready::Says => program.listens()?,
            Ready::Connects(address) => {
                connects(&program, address)?;
                address
            }
        };
        Ok(Self { program, address })
    }

    /// Has its connections send at once, whatever comes back. The lessons on threads and processes do not ask for that, and would
    /// wait 40 ms for an ACK in each answer that they write in pieces.
    pub fn sends_at_once(&self) -> Result<(), CallError> {
        without_delay(self.pid())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its first process.
    pub fn pid(&self) -> Pid {
        self.program.pid()
    }

    /// What it said on standard error last, to be told with an error.
    pub fn complaint(&self) -> Option<String> {
        let lines = self.program.err().lines();
        lines.last().map(|line| line.text.clone())
    }

    /// It, and all that it has started, and all that these have.
    pub fn family(&self) -> Vec<Pid> {
        let mut found = Vec::new();
        let mut next = VecDeque::from([self.pid()]);
        while let Some(pid) = next.pop_front() {
            found.push(pid);
            for task in tasks(pid) {
                let children = fs::read_to_string(format!("/proc/{pid}/task/{task}/children"));
                let children = children.unwrap_or_default();
                let children = children.split_whitespace().filter_map(|id| id.parse().ok());
                next.extend(children.map(Pid::from_raw));
            }
        }
        found
    }

    /// Threads of all its processes.
    pub fn threads(&self) -> usize {
        self.family().iter().map(|&pid| tasks(pid).len()).sum()
    }

    /// Waits until it has no more threads than so many, and all of them wait: when a thousand connections end, a thousand processes
    /// may have to, and whoever has the next turn is to have the core.
    pub fn rests(&self, threads: usize) {
        let deadline = Instant::now() + PATIENCE;
        while (self.threads() > threads || !sleeps(&self.family())) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1)); // nobody tells us
        }
    }

    /// Bytes that its processes share with nobody.
    pub fn memory(&self) -> u64 {
        self.family().iter().map(|&pid| own_memory(pid)).sum()
    }

    /// Its memory now, compared with before the connections.
    pub fn memory_since(&self, before: u64, connections: usize) -> Memory {
        let with = self.memory();
        Memory {
            before,
            with,
            per_connection: with.saturating_sub(before) as f64 / connections as f64,
        }
    }

    /// What it has used so far.
    pub fn usage(&self) -> Usage {
        let mut sum = Usage::default();
        for pid in self.family() {
            sum.exact += clock(pid, Clock::Exact);
            sum.both += clock(pid, Clock::Both);
            sum.user += clock(pid, Clock::User);
        }
        sum
    }

    /// What a load has cost it.
    pub fn sample<E>(
        &self,
        round: usize,
        load: impl FnOnce() -> Result<Tally, E>,
    ) -> Result<Sample, E> {
        let before = self.usage();
        let tally = load()?;
        let after = self.usage();
        let both = after.both.saturating_sub(before.both);
        let user_ns = after.user.saturating_sub(before.user);
        Ok(Sample {
            round,
            requests: tally.requests,
            total_ns: after.exact.saturating_sub(before.exact),
            user_ns,
            system_ns: both.saturating_sub(user_ns),
            elapsed_ns: tally.elapsed.as_nanos() as u64,
        })
    }

    /// Ends it, and waits until all its processes have ended. Those that come before the server's own are tools that look on,
    /// so many: they end by themselves, when they have told what they saw.
    pub fn end(mut self, tools: usize) -> anyhow::Result<()> {
        let family = self.family();
        for &pid in family.iter().skip(tools) {
            let _ = nix::sys::signal::kill(pid, Signal::SIGTERM); // it may have ended with its parent
        }
        self.program.deadline(PATIENCE);
        self.program.ends()?;
        let deadline = Instant::now() + PATIENCE;
        for &pid in &family[1..] {
            // Nobody tells us of the end of somebody else's child.
            while lives(pid) {
                if Instant::now() > deadline {
                    bail!("process {pid} of {} does not end", self.program.name());
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    }
}

impl Drop for Server {
    /// By SIGTERM, all of them; who does not listen is killed.
    fn drop(&mut self) {
        let children = self.family().split_off(1);
        self.program.signal(Signal::SIGTERM);
        for child in children {
            let _ = nix::sys::signal::kill(child, Signal::SIGTERM); // it may have ended with its parent
        }
        self.program.deadline(Duration::from_secs(3));
        let _ = self.program.ends(); // and else the program's own drop kills it
    }
}

/// Sets TCP_NODELAY on all sockets of a process that listen: their connections inherit it.
fn without_delay(pid: Pid) -> Result<(), CallError> {
    let process = pidfd_open(pid).call("pidfd_open")?;
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter();
    let names = entries.flatten().flatten().map(|entry| entry.file_name());
    for number in names.filter_map(|name| name.to_str()?.parse().ok()) {
        let socket = match pidfd_getfd(&process, number) {
            Err(Errno::EBADF) => continue, // it has been closed meanwhile
            socket => socket.call("pidfd_getfd")?,
        };
        if getsockopt(&socket, sockopt::AcceptConn) == Ok(true) {
            match setsockopt(&socket, sockopt::TcpNoDelay, &true) {
                Err(Errno::EOPNOTSUPP) => {} // a local socket
                set => set.call("setsockopt TCP_NODELAY")?,
            }
        }
    }
    Ok(())
}

/// A descriptor that stands for a process, pidfd_open(2).
fn pidfd_open(pid: Pid) -> nix::Result<OwnedFd> {
    // SAFETY: two numbers go in, and a descriptor of ours comes out.
    made(unsafe { syscall(SYS_pidfd_open, pid.as_raw(), 0) })
}

/// Another process's descriptor as one of ours, pidfd_getfd(2). Both are close-on-exec.
fn pidfd_getfd(process: &OwnedFd, number: RawFd) -> nix::Result<OwnedFd> {
    // SAFETY: three numbers go in, and a descriptor of ours comes out.
    made(unsafe { syscall(SYS_pidfd_getfd, process.as_raw_fd(), number, 0) })
}

fn made(outcome: c_long) -> nix::Result<OwnedFd> {
    let fd = Errno::result(outcome)? as RawFd;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Waits until somebody can connect: there is no line that says so.
fn connects(program: &Program, address: SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => return Ok(()),
            Err(_) if program.ended().is_none() && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => {
                let lines = program.err().lines();
                let said = lines.last().map_or("", |line| &line.text);
                bail!("{} at {address}: {error}; {said}", program.name());
            }
        }
    }
}

/// Whether all threads of these processes wait for something, proc_pid_stat(5).
pub fn sleeps(processes: &[Pid]) -> bool {
    let tasks = processes.iter().flat_map(|&pid| {
        let tasks = tasks(pid).into_iter();
        tasks.map(move |task| format!("/proc/{pid}/task/{task}/stat"))
    });
    let mut states = tasks.map(|file| {
        let stat = fs::read_to_string(file).unwrap_or_default();
        // Behind the name, which is in parentheses and may hold anything.
        stat.rsplit(") ")
            .next()
            .and_then(|rest| rest.chars().next())
    });
    states.all(|state| state == Some('S'))
}

/// Whether there is such a process, one whose end nobody has asked for left out: a Z in proc_pid_stat(5).
fn lives(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
    !state.is_empty() && !state.starts_with('Z')
}

fn tasks(pid: Pid) -> Vec<i32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// What one of a process's clocks shows, in nanoseconds: that of clock_getcpuclockid(3), or one of its neighbours. All its threads
/// count, those that have ended as well. None is left of a process that has ended.
fn clock(pid: Pid, which: Clock) -> u64 {
    // The kernel's include/linux/posix-timers_types.h: the lowest two bits say which clock.
    let of_process = ClockId::pid_cpu_clock_id(pid);
    let one = of_process.map(|clock| ClockId::from_raw(clock.as_raw() & !3 | which as clockid_t));
    let time = one.and_then(clock_gettime);
    time.map_or(0, |time| Duration::from(time).as_nanos() as u64)
}

/// The clocks of a process. The first two count ticks: who runs when the timer interrupts is charged for all of the time since it
/// did before, 4 ms at 250 Hz. The third is exact, the sum of what proc_pid_schedstat(5) shows for each thread.
#[derive(Clone, Copy)]
enum Clock {
    /// User space and kernel.
    Both = 0,
    User = 1,
    Exact = 2,
}

/// Bytes of a process's own memory: RssAnon of proc_pid_status(5), the pages that it shares with nobody.
fn own_memory(pid: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kilobytes.unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn connections_of_a_socket_that_listens_send_at_once() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let connects = || {
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (client, listener.accept().unwrap().0)
        };
        assert!(!connects().1.nodelay().unwrap());
        without_delay(Pid::this()).unwrap();
        assert!(connects().1.nodelay().unwrap());
    }
}
