//! What the traced programs called.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use nix::errno::Errno;
use nix::unistd::Pid;

use super::table::Shown;

/// How many calls are remembered one by one. A program that makes more is measured, not read; its calls are counted.
const REMEMBERED: usize = 200_000;

/// A system call of a traced program.
#[derive(Debug, Clone)]
pub struct SystemCall {
    /// When the thread entered the kernel.
    pub at: Instant,
    /// Its process.
    pub pid: Pid,
    /// Its thread; the first thread of a process has the number of the process.
    pub tid: Pid,
    /// `accept4`, or `syscall_999` where the name is not known here. It is the name of what the kernel was asked for:
    /// accept(2) or poll(2) of the C library may be another call on another machine.
    pub name: Cow<'static, str>,
    /// The arguments as they were passed, those beyond the last one included.
    pub arguments: [u64; 6],
    /// What the first argument stands for where it is a descriptor: `socket:[4711]`, `pipe:[12]`, a path (proc_pid_fd(5)).
    pub descriptor: Option<String>,
    /// The call in words, `sendto(4, 9 bytes)`. What the kernel fills in (a peer's address, ready descriptors) shows once
    /// the call has returned.
    pub decoded: String,
    /// What it returned. `None` while it blocks, and for good when a signal interrupted it and the kernel makes it again
    /// (SA_RESTART; the repetition is a call of its own) or when it never returns (exit, a thread that was killed).
    pub result: Option<Result<i64, Errno>>,
    /// When the thread left the kernel or was interrupted or ended; `None` while it blocks.
    pub ended_at: Option<Instant>,
    pub(super) shown: Shown,
}

impl SystemCall {
    /// True as long as the thread is in it.
    pub fn blocks(&self) -> bool {
        self.ended_at.is_none()
    }

    /// Whether it returned without an error.
    pub fn succeeded(&self) -> bool {
        matches!(self.result, Some(Ok(_)))
    }

    /// Whether it failed with this error.
    pub fn failed_with(&self, errno: Errno) -> bool {
        self.result == Some(Err(errno))
    }

    /// Whether a reader of a ladder wants to see it: calls about connections, waiting and processes, not what the loader
    /// and the runtime do for themselves, and not the program's lines of output, which are shown anyway.
    pub fn interesting(&self) -> bool {
        let descriptor = self.descriptor.as_deref().unwrap_or_default();
        let file = descriptor.starts_with('/') && !descriptor.starts_with("/dev/");
        let standard = self.arguments[0] <= 2 && !descriptor.starts_with("socket:");
        let writes = matches!(&*self.name, "write" | "writev");
        match self.shown {
            Shown::Always => !is_the_runtimes(self),
            Shown::UnlessFile => !(file || writes && standard || is_the_runtimes(self)),
            Shown::Never => false,
        }
    }
}

/// What Rust's library does on its own: at the start a look at the three standard descriptors and handlers for stack
/// overflow, and in a debug build a look at each descriptor before it is closed.
fn is_the_runtimes(call: &SystemCall) -> bool {
    let [first, second, ..] = call.arguments;
    match &*call.name {
        "poll" | "ppoll" => {
            second == 3 && (call.decoded.ends_with(", 0)") || call.decoded.ends_with(", 0 s)"))
        }
        "rt_sigaction" => {
            second == 0 || [libc::SIGSEGV as u64, libc::SIGBUS as u64].contains(&first)
        }
        "fcntl" => second == libc::F_GETFD as u64,
        _ => false,
    }
}

impl fmt::Display for SystemCall {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.decoded)?;
        match (self.result, self.ended_at) {
            (Some(Ok(value)), _) => write!(f, " = {value}"),
            (Some(Err(errno)), _) => write!(f, " = {errno:?}"),
            (None, None) => f.write_str(" …"),
            (None, Some(_)) => Ok(()),
        }
    }
}

/// The log of everything that a traced program, its threads and its children called; filled while they run.
#[derive(Debug, Default)]
pub struct Calls {
    log: Mutex<Log>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Log {
    calls: Vec<SystemCall>,
    counts: BTreeMap<Cow<'static, str>, usize>,
    over: bool,
}

impl Calls {
    /// The calls so far in the order in which they began; of more than 200 000 the first. The program's own execve is
    /// not among them, what the dynamic loader does after it is.
    pub fn all(&self) -> Vec<SystemCall> {
        self.log().calls.clone()
    }

    /// The calls of this name.
    pub fn named(&self, name: &str) -> Vec<SystemCall> {
        self.filtered(|call| call.name == name)
    }

    /// The calls of this process, all its threads.
    pub fn of_pid(&self, pid: Pid) -> Vec<SystemCall> {
        self.filtered(|call| call.pid == pid)
    }

    /// The calls in which threads are at this moment.
    pub fn blocked(&self) -> Vec<SystemCall> {
        self.filtered(SystemCall::blocks)
    }

    /// The calls for which `wanted` holds.
    pub fn filtered(&self, wanted: impl Fn(&SystemCall) -> bool) -> Vec<SystemCall> {
        let log = self.log();
        log.calls
            .iter()
            .filter(|call| wanted(call))
            .cloned()
            .collect()
    }

    /// What the calls of this name returned, in the order in which they began; those that have not are left out.
    pub fn returned(&self, name: &str) -> Vec<Result<i64, Errno>> {
        let log = self.log();
        let named = log.calls.iter().filter(|call| call.name == name);
        named.filter_map(|call| call.result).collect()
    }

    /// How many calls of this name were begun; all of them, however many.
    pub fn count_of(&self, name: &str) -> usize {
        self.log().counts.get(name).copied().unwrap_or_default()
    }

    /// The same for every name.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let log = self.log();
        log.counts
            .iter()
            .map(|(name, count)| (name.to_string(), *count))
            .collect()
    }

    /// Waits until there is a call for which `wanted` holds, and returns the first. It is asked when a call begins, ends
    /// or is interrupted, and must not ask this log itself. `None` when the deadline has passed or everything traced has ended.
    pub fn await_call(
        &self,
        wanted: impl Fn(&SystemCall) -> bool,
        deadline: Instant,
    ) -> Option<SystemCall> {
        let mut log = self.log();
        // Those that may still change, and the first not yet looked at: a long log is not searched again and again.
        let (mut open, mut next) = (Vec::new(), 0);
        loop {
            open.extend(next..log.calls.len());
            next = log.calls.len();
            if let Some(&found) = open.iter().find(|&&index| wanted(&log.calls[index])) {
                return Some(log.calls[found].clone());
            }
            open.retain(|&index| log.calls[index].result.is_none());
            let left = deadline.saturating_duration_since(Instant::now());
            if log.over || left.is_zero() {
                return None;
            }
            let waited = self.changed.wait_timeout(log, left);
            log = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A call begins. Its place in the log, if it has one.
    pub(super) fn began(&self, call: SystemCall) -> Option<usize> {
        let mut log = self.log();
        *log.counts.entry(call.name.clone()).or_default() += 1;
        if log.calls.len() >= REMEMBERED {
            return None;
        }
        log.calls.push(call);
        self.changed.notify_all();
        Some(log.calls.len() - 1)
    }

    /// More is known about the call at `index`.
    pub(super) fn change(&self, index: Option<usize>, change: impl FnOnce(&mut SystemCall)) {
        let mut log = self.log();
        if let Some(call) = index.and_then(|index| log.calls.get_mut(index)) {
            change(call);
            self.changed.notify_all();
        }
    }

    /// Nothing more will come.
    pub(super) fn over(&self) {
        self.log().over = true;
        self.changed.notify_all();
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
