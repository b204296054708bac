//! A running program.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use crate::stream::{Line, Matched, Stream};

/// How long a wait may take unless [`Program::deadline`] says otherwise. Far more than anything here needs: it is there
/// to end a wait for what never comes.
const DEADLINE: Duration = Duration::from_secs(20);

/// What went wrong while driving a program.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// It could not be started.
    #[error("start {program}: {source}")]
    Start {
        /// The name that the caller gave it.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A line could not be typed into it.
    #[error("type into {program}: {source}")]
    Type {
        /// The name that the caller gave it.
        program: String,
        /// Why; a broken pipe when the program has closed its input or ended.
        source: io::Error,
    },
    /// It did not say or do what was awaited.
    #[error("{program} should have {awaited}; {seen}")]
    Missed {
        /// The name that the caller gave it.
        program: String,
        /// What was awaited.
        awaited: String,
        /// What it said and did instead.
        seen: String,
    },
}

/// How a process ended, wait(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It exited with this code.
    Exited(i32),
    /// A signal killed it.
    Killed(Signal),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Ending::Exited(code) => write!(f, "exited with code {code}"),
            Ending::Killed(signal) => write!(f, "was killed by {signal}"),
        }
    }
}

/// How a process ended and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// The way.
    pub ending: Ending,
    /// The time.
    pub at: Instant,
}

impl End {
    /// True for exit code 0.
    pub fn success(&self) -> bool {
        self.ending == Ending::Exited(0)
    }
}

/// Starts the command, keeps watch over the process until it has ended, and tells both. The usual one starts it and
/// waits; the lab's traces its system calls on the way. It runs on a thread of its own.
pub type Keeper = Box<dyn FnOnce(Command, &mut dyn FnMut(Child)) -> io::Result<Ending> + Send>;

/// A program that was started, with its output so far.
#[derive(Debug)]
pub struct Program {
    shared: Arc<Shared>,
    stdin: Mutex<Option<ChildStdin>>,
    deadline: Duration,
}

#[derive(Debug)]
struct Shared {
    name: String,
    started: Instant,
    pid: Pid,
    out: Stream,
    err: Stream,
    end: Mutex<Option<End>>,
    ended: Condvar,
}

impl Program {
    /// Starts `command`; `name` is what error messages call it. Its standard streams are pipes to us. When the
    /// returned value is dropped, the process is killed.
    pub fn start(name: &str, command: &mut Command) -> Result<Self, DriveError> {
        // A Command cannot be cloned; taking it leaves an empty one with the caller.
        let command = std::mem::replace(command, Command::new(""));
        Self::start_kept(name, command, Box::new(keep))
    }

    /// As [`Program::start`], with the caller's own keeper.
    pub fn start_kept(
        name: &str,
        mut command: Command,
        keeper: Keeper,
    ) -> Result<Self, DriveError> {
        let failed = |source| DriveError::Start {
            program: name.into(),
            source,
        };
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let (tell, told) = channel::<io::Result<(Arc<Shared>, ChildStdin)>>();
        let owned = name.to_string();
        thread::Builder::new()
            .name(format!("keeper of {name}"))
            .spawn(move || watch(owned, command, keeper, &tell))
            .map_err(failed)?;
        let gone = || io::Error::other("the keeper thread ended");
        let (shared, stdin) = told.recv().map_err(|_| failed(gone()))?.map_err(failed)?;
        Ok(Self {
            shared,
            stdin: Mutex::new(Some(stdin)),
            deadline: DEADLINE,
        })
    }

    /// Changes how long a wait may take.
    pub fn deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }

    /// The name that the caller gave it.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The process id.
    pub fn pid(&self) -> Pid {
        self.shared.pid
    }

    /// When it was started.
    pub fn started(&self) -> Instant {
        self.shared.started
    }

    /// Its standard output so far.
    pub fn out(&self) -> &Stream {
        &self.shared.out
    }

    /// Its standard error so far.
    pub fn err(&self) -> &Stream {
        &self.shared.err
    }

    /// Waits for a line on standard output that contains `text`, after the line that the last wait found.
    pub fn says(&self, text: &str) -> Result<Matched, DriveError> {
        self.await_line(&self.shared.out, text, "said")
    }

    /// The same on standard error.
    pub fn complains(&self, text: &str) -> Result<Matched, DriveError> {
        self.await_line(&self.shared.err, text, "complained")
    }

    /// Waits for a server's first line, `listening on ADDRESS`, and returns the address.
    pub fn listens(&self) -> Result<SocketAddr, DriveError> {
        let address = self.says("listening on ")?.rest();
        address
            .parse()
            .map_err(|_| self.missed("said where it listens".into()))
    }

    fn await_line(&self, stream: &Stream, text: &str, verb: &str) -> Result<Matched, DriveError> {
        let deadline = Instant::now() + self.deadline;
        let found = stream.await_line(text, deadline, || self.ended().is_some());
        // What the process wrote just before it ended is in the pipe, not lost.
        let found = found.or_else(|| {
            stream.pump();
            stream.await_line(text, Instant::now(), || true)
        });
        found.ok_or_else(|| {
            if stream.closed() {
                // It is about to end, most likely; how it ends is the better half of the message.
                self.await_end(Instant::now() + Duration::from_secs(1));
            }
            self.missed(format!("{verb} {text:?}"))
        })
    }

    /// Types a line: the text and a newline.
    pub fn types(&self, line: &str) -> Result<(), DriveError> {
        self.types_bytes(format!("{line}\n").as_bytes())
    }

    /// Writes bytes to its standard input as they are.
    pub fn types_bytes(&self, bytes: &[u8]) -> Result<(), DriveError> {
        let mut stdin = self.stdin.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = match stdin.as_mut() {
            Some(pipe) => pipe.write_all(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        outcome.map_err(|source| DriveError::Type {
            program: self.name().into(),
            source,
        })
    }

    /// Ends its standard input, as Ctrl-D does.
    pub fn closes_input(&self) {
        self.stdin
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    /// Sends a signal, unless it has ended.
    pub fn signal(&self, signal: Signal) {
        // With the lock held it cannot be reaped between the look and the call, so the number is still its own.
        let end = self.shared.end();
        if end.is_none() {
            // An error means that it is ending this moment, which is what most callers want.
            let _ = kill(self.pid(), signal);
        }
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<End> {
        *self.shared.end()
    }

    /// Waits for its end.
    pub fn ends(&self) -> Result<End, DriveError> {
        let end = self.await_end(Instant::now() + self.deadline);
        let end = end.ok_or_else(|| self.missed("ended".into()))?;
        self.shared.out.pump();
        self.shared.err.pump();
        Ok(end)
    }

    fn await_end(&self, deadline: Instant) -> Option<End> {
        let left = deadline.saturating_duration_since(Instant::now());
        let end = self.shared.end();
        let waited = self
            .shared
            .ended
            .wait_timeout_while(end, left, |end| end.is_none());
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub fn kill(&self) -> Result<End, DriveError> {
        self.signal(Signal::SIGKILL);
        self.ends()
    }

    fn missed(&self, awaited: String) -> DriveError {
        let shown = |name: &str, lines: Vec<Line>| match lines.len() {
            0 => format!("nothing on {name}"),
            // A program that says a lot is quoted from its end.
            count => {
                let last: Vec<_> = lines[count.saturating_sub(5)..]
                    .iter()
                    .map(|line| &line.text)
                    .collect();
                format!("{count} lines on {name}, the last {last:?}")
            }
        };
        let state = match self.ended() {
            Some(end) => format!("it {}", end.ending),
            None => "it still runs".into(),
        };
        let out = shown("standard output", self.out().lines());
        let err = shown("standard error", self.err().lines());
        DriveError::Missed {
            program: self.name().into(),
            awaited,
            seen: format!("{state}, {out}, {err}"),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.ends();
    }
}

impl Shared {
    fn end(&self) -> MutexGuard<'_, Option<End>> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads both outputs until they are closed.
    fn pump(&self) {
        let mut open = [true; 2];
        while open != [false; 2] {
            let mut fds = Vec::new();
            for (stream, open) in [&self.out, &self.err].into_iter().zip(open) {
                if open {
                    fds.push(PollFd::new(stream.fd(), PollFlags::POLLIN));
                }
            }
            let waited = poll(&mut fds, PollTimeout::NONE);
            if waited.is_err_and(|error| error != Errno::EINTR) {
                return;
            }
            open = [open[0] && self.out.pump(), open[1] && self.err.pump()];
        }
    }
}

/// The keeper's thread: from before the start to after the end.
fn watch(
    name: String,
    command: Command,
    keeper: Keeper,
    tell: &Sender<io::Result<(Arc<Shared>, ChildStdin)>>,
) {
    let started = Instant::now();
    let mut kept = None;
    let ending = keeper(command, &mut |mut child| {
        let told = Shared::of(&name, started, &mut child);
        if let Ok((shared, _)) = &told {
            let pumped = Arc::clone(shared);
            thread::spawn(move || pumped.pump());
            kept = Some(Arc::clone(shared));
        }
        // Nobody listens any more only when the caller has panicked.
        let _ = tell.send(told);
    });
    match (kept, ending) {
        (Some(shared), ending) => {
            let ending = ending.unwrap_or(Ending::Killed(Signal::SIGKILL));
            let mut end = shared.end();
            // Reaped under the lock: see Program::signal.
            let _ = waitpid(shared.pid, Some(WaitPidFlag::WNOHANG));
            *end = Some(End {
                ending,
                at: Instant::now(),
            });
            drop(end);
            shared.ended.notify_all();
            shared.out.nudge();
            shared.err.nudge();
        }
        (None, Err(error)) => drop(tell.send(Err(error))),
        (None, Ok(_)) => {}
    }
}

impl Shared {
    fn of(name: &str, started: Instant, child: &mut Child) -> io::Result<(Arc<Self>, ChildStdin)> {
        let missing = || io::Error::other("a standard stream is not a pipe");
        let out = OwnedFd::from(child.stdout.take().ok_or_else(missing)?);
        let err = OwnedFd::from(child.stderr.take().ok_or_else(missing)?);
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let shared = Self {
            name: name.into(),
            started,
            pid: Pid::from_raw(child.id() as i32),
            out: Stream::new(out)?,
            err: Stream::new(err)?,
            end: Mutex::new(None),
            ended: Condvar::new(),
        };
        Ok((Arc::new(shared), stdin))
    }
}

/// The usual keeper: starts the process and waits for its end, leaving it to be reaped.
fn keep(mut command: Command, started: &mut dyn FnMut(Child)) -> io::Result<Ending> {
    let child = command.spawn()?;
    let pid = Pid::from_raw(child.id() as i32);
    started(child);
    loop {
        match waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
            Ok(WaitStatus::Exited(_, code)) => return Ok(Ending::Exited(code)),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(Ending::Killed(signal)),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        Program::start("shell", Command::new("sh").args(["-c", script])).unwrap()
    }

    #[test]
    fn talks_and_ends() {
        let program = shell("echo ready; read line; echo \"got $line\"; echo oops >&2; exit 3");
        program.says("ready").unwrap();
        program.types("data1").unwrap();
        assert_eq!(program.says("got ").unwrap().rest(), "data1");
        program.complains("oops").unwrap();
        assert_eq!(program.ends().unwrap().ending, Ending::Exited(3));
    }

    #[test]
    fn a_miss_tells_what_was_seen() {
        let program = shell("echo one; exit 0");
        let error = program.says("two").unwrap_err().to_string();
        assert!(
            error.contains("should have said \"two\"") && error.contains("[\"one\"]"),
            "{error}"
        );
        assert!(error.contains("exited with code 0"), "{error}");
    }

    /// It goes on, and is not waited for; nor is what it says kept.
    #[test]
    fn output_without_end_is_not_kept() {
        let program = shell("exec yes");
        program.says("more than is kept").unwrap();
        let kept = program.out().text().len();
        assert!(kept < 1_000_000, "{kept}");
    }

    #[test]
    fn output_without_newline_counts_at_the_end() {
        let program = shell("printf unfinished");
        program.ends().unwrap();
        assert_eq!(program.out().text(), "unfinished\n");
    }

    #[test]
    fn a_signal_is_an_ending() {
        let program = shell("echo ready; sleep 60");
        program.says("ready").unwrap();
        assert_eq!(
            program.kill().unwrap().ending,
            Ending::Killed(Signal::SIGKILL)
        );
    }

    #[test]
    fn a_missing_program_is_an_error() {
        let error = Program::start("it", &mut Command::new("/nonexistent/program")).unwrap_err();
        assert!(
            error.to_string().starts_with("start it: No such file"),
            "{error}"
        );
    }

    #[test]
    fn dropping_kills() {
        let program = shell("sleep 60");
        let pid = program.pid();
        drop(program);
        assert_eq!(kill(pid, None), Err(Errno::ESRCH));
    }
}
