//! A program on a host, as an experiment sees it.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use drive::{DriveError, End, Ending, Program, Signal, Stream};
use nix::unistd::Pid;

use crate::check::Check;
use crate::error::LabError;
use crate::host::Host;
use crate::lab::{Shared, wait_a_little};
use crate::net::proc;
use crate::packets::{Party, Passed};
use crate::record::What;
use crate::tracer::Calls;

/// A program that was started on a host. It is killed when the experiment is over.
#[derive(Clone)]
pub struct Process {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) program: Program,
    pub(crate) host: Host,
    pub(crate) column: usize,
    pub(crate) calls: Option<Arc<Calls>>,
    /// The names of the system calls that the ladder shows; `None`: those that a reader wants to see.
    pub(crate) drawn: Option<&'static [&'static str]>,
    /// Calls that began later are not drawn.
    pub(crate) drawn_until: Mutex<Option<Instant>>,
    pub(crate) shared: Arc<Shared>,
}

impl Deref for Process {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.inner.program
    }
}

impl Process {
    /// Types a line.
    pub fn types(&self, line: &str) -> Result<(), DriveError> {
        let shared = &self.inner.shared;
        shared.happened(
            shared.clock.now(),
            What::Typed(self.inner.column, line.into()),
        );
        self.inner.program.types(line)
    }

    /// Types these characters and no newline: the line goes on.
    pub fn types_on(&self, text: &str) -> Result<(), DriveError> {
        let shared = &self.inner.shared;
        shared.happened(
            shared.clock.now(),
            What::Typed(self.inner.column, text.escape_debug().to_string()),
        );
        self.inner.program.types_bytes(text.as_bytes())
    }

    /// Ends its input, as Ctrl-D does, and writes that down.
    pub fn types_ctrl_d(&self) {
        let shared = &self.inner.shared;
        self.inner.host.look();
        shared.happened(
            shared.clock.now(),
            What::Typed(self.inner.column, "Ctrl-D".into()),
        );
        self.inner.program.closes_input();
    }

    /// Interrupts it (SIGINT), as Ctrl-C does, and writes that down.
    pub fn types_ctrl_c(&self) {
        let shared = &self.inner.shared;
        shared.happened(
            shared.clock.now(),
            What::Typed(self.inner.column, "Ctrl-C".into()),
        );
        self.signal(Signal::SIGINT);
    }

    /// Says which process goes on when this one has ended: a daemon. What it sends and receives is drawn as this program's.
    pub fn goes_on_as(&self, daemon: Pid) {
        self.inner.host.knows(daemon, self.inner.column);
        self.inner.host.look();
    }

    /// Waits for a server's first line, and returns the address it listens on.
    pub fn listens(&self) -> Result<SocketAddr, DriveError> {
        let address = self.inner.program.listens()?;
        self.inner.host.look();
        Ok(address)
    }

    /// Sends a signal, unless it has ended.
    pub fn signal(&self, signal: Signal) {
        // Afterwards there may be nothing left to look at.
        self.inner.host.look();
        self.inner.program.signal(signal);
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub fn kill(&self) -> Result<End, DriveError> {
        self.signal(Signal::SIGKILL);
        self.ends()
    }

    /// Stops it (SIGSTOP) and waits until it stands still. Its sockets are the kernel's and live on.
    pub fn halt(&self) -> Result<(), LabError> {
        self.inner.shared.act(format!("{} is stopped", self.name()));
        self.signal(Signal::SIGSTOP);
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.stands_still() {
            if Instant::now() > deadline {
                return Err(LabError::Impossible(format!(
                    "{} does not stop",
                    self.name()
                )));
            }
            wait_a_little();
        }
        Ok(())
    }

    /// Lets it go on after [`Process::halt`].
    pub fn resume(&self) {
        self.inner.shared.act(format!("{} goes on", self.name()));
        self.signal(Signal::SIGCONT);
    }

    /// Every one of its threads is stopped, or it has ended: proc_pid_stat(5). A traced one may only be at the border of
    /// a system call, but it will not go beyond it.
    fn stands_still(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid()))
            .into_iter()
            .flatten()
            .flatten();
        let stats = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
        // The name before it may contain anything.
        let mut states = stats.filter_map(|stat| {
            stat.rsplit_once(") ")
                .and_then(|(_, rest)| rest.chars().next())
        });
        states.all(|state| matches!(state, 'T' | 't' | 'Z' | 'X'))
    }

    /// Whether it sleeps in one of these system calls, and in which it does: `/proc/PID/syscall`, proc(5).
    pub fn blocks_in(&self, calls: &[&str]) -> Check {
        let call = proc::blocked_in(self.pid().as_raw())
            .and_then(|(number, _)| proc::system_call_name(number));
        let seen = call.map_or(
            "it sleeps in no system call that is known here".into(),
            |call| format!("it sleeps in {call}"),
        );
        Check::new(call.is_some_and(|call| calls.contains(&call)), seen)
    }

    /// Its threads that sleep in a system call, and in which: `/proc/PID/task/TID/syscall`, proc(5).
    pub fn sleepers(&self) -> Vec<(i32, &'static str)> {
        let threads = proc::threads(self.pid().as_raw()).into_iter();
        let asleep = threads.filter_map(|thread| {
            let (number, _) = proc::blocked_in(thread)?;
            Some((thread, proc::system_call_name(number)?))
        });
        asleep.collect()
    }

    /// Its children and the state of each, `Z` for one that has ended and was not waited for: proc_pid_stat(5).
    pub fn children(&self) -> Vec<(Pid, char)> {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let of_entry = |entry: std::fs::DirEntry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name before it may contain anything.
            let mut words = stat.rsplit_once(") ")?.1.split(' ');
            let state = words.next()?.chars().next()?;
            let of_ours = words.next()?.parse() == Ok(self.pid().as_raw());
            of_ours.then_some((Pid::from_raw(pid), state))
        };
        let mut children: Vec<_> = entries.filter_map(of_entry).collect();
        children.sort();
        children
    }

    /// How many of its children have ended and were not waited for.
    pub fn zombies(&self) -> usize {
        let zombie = |child: &&(Pid, char)| child.1 == 'Z';
        self.children().iter().filter(zombie).count()
    }

    /// What it has said on standard output so far.
    pub fn output(&self) -> Output {
        Output::of(self.out())
    }

    /// What it has said on standard error so far.
    pub fn errors(&self) -> Output {
        Output::of(self.err())
    }

    /// The host it runs on.
    pub fn host(&self) -> &Host {
        &self.inner.host
    }

    /// The system calls that it has made. Empty unless it was started by [`Host::traces`].
    pub fn calls(&self) -> Arc<Calls> {
        self.inner.calls.clone().unwrap_or_default()
    }

    /// From now on its system calls are left out of the ladder: what follows is counted and not read.
    pub fn draws_no_more_calls(&self) {
        let until = self.inner.drawn_until.lock();
        *until.unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// When one of its system calls began or returned, in the time of the experiment.
    pub fn time_of_call(&self, moment: Instant) -> Duration {
        self.inner.shared.clock.at(moment)
    }

    /// When it ended, in the time of the experiment, or what it does instead.
    pub fn time_of(&self, end: &End) -> Duration {
        self.inner.shared.clock.at(end.at)
    }
}

impl Party for Process {
    fn sent(&self, packet: &Passed) -> bool {
        packet.from == Some(self.inner.column)
    }

    fn was_sent(&self, packet: &Passed) -> bool {
        packet.to == Some(self.inner.column)
    }
}

/// Asked about an end: how it came.
pub trait EndChecks {
    /// It exited with this code.
    fn exited_with(&self, code: i32) -> Check;
    /// A signal killed it.
    fn was_killed_by(&self, signal: Signal) -> Check;
}

impl EndChecks for End {
    fn exited_with(&self, code: i32) -> Check {
        Check::new(
            self.ending == Ending::Exited(code),
            format_args!("it {}", self.ending),
        )
    }

    fn was_killed_by(&self, signal: Signal) -> Check {
        Check::new(
            self.ending == Ending::Killed(signal),
            format_args!("it {}", self.ending),
        )
    }
}

/// The lines of one output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    lines: Vec<String>,
}

impl Output {
    fn of(stream: &Stream) -> Self {
        Self {
            lines: stream.lines().into_iter().map(|line| line.text).collect(),
        }
    }

    /// The lines.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// How many lines contain the text.
    pub fn count(&self, text: &str) -> usize {
        self.lines.iter().filter(|line| line.contains(text)).count()
    }

    /// A line contains the text.
    pub fn says(&self, text: &str) -> Check {
        Check::new(self.count(text) > 0, self.seen())
    }

    /// No line contains the text.
    pub fn lacks(&self, text: &str) -> Check {
        !self.says(text)
    }

    /// These are the lines that contain `about`, in this order.
    pub fn says_exactly(&self, about: &str, expected: &[&str]) -> Check {
        let lines: Vec<_> = self
            .lines
            .iter()
            .filter(|line| line.contains(about))
            .collect();
        Check::new(lines == expected, format_args!("{lines:?}"))
    }

    /// It is empty.
    pub fn is_empty(&self) -> Check {
        Check::new(self.lines.is_empty(), self.seen())
    }

    fn seen(&self) -> String {
        const SHOWN: usize = 8;
        match self.lines.len() {
            0 => "it says nothing".into(),
            count if count <= SHOWN => format!("it says {:?}", self.lines),
            count => format!(
                "it says {count} lines, the last {:?}",
                &self.lines[count - SHOWN..]
            ),
        }
    }
}
