//! The thread that traces.

use std::collections::HashMap;
use std::fs;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::mem;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use drive::{Ending, Keeper, Signal};
use libc::{c_int, c_long, c_uint};
use nix::errno::Errno;
use nix::unistd::Pid;

use super::decode::Shape;
use super::log::{Calls, SystemCall};

/// linux/ptrace.h; libc has it for other C libraries only.
const PTRACE_EVENT_STOP: c_int = 128;
/// A stop at a system call, PTRACE_O_TRACESYSGOOD.
const SYSCALL_STOP: c_int = libc::SIGTRAP | 0x80;
/// What the kernel returns inside when a signal interrupts a call, linux/errno.h: ERESTARTSYS, ERESTARTNOINTR,
/// ERESTARTNOHAND, ERESTART_RESTARTBLOCK. The program sees EINTR, or nothing because the call is made again.
const INTERRUPTED: [i64; 4] = [-512, -513, -514, -516];
/// How long drive's thread may take to reap a process of whose end it was told. Microseconds, really.
const REAPING: Duration = Duration::from_secs(10);

/// A keeper for [`drive::Program::start_kept`] that writes the program's system calls to `calls` while it runs.
///
/// The start fails with a clear error where tracing is not permitted. Children that outlive the program are still
/// traced; everything traced ends when we end (PTRACE_O_EXITKILL). Each call costs the
/// program 20 to 100 µs.
pub fn keeper(calls: Arc<Calls>) -> Keeper {
    Box::new(move |command, started| keep(command, started, calls))
}

/// The program is the child of this thread, which awaits its end only; another thread is its tracer, and goes on when the
/// program leaves children behind.
fn keep(
    mut command: Command,
    started: &mut dyn FnMut(Child),
    calls: Arc<Calls>,
) -> io::Result<Ending> {
    let (ready, says_ready) = io::pipe()?;
    let (waits, go) = io::pipe()?;
    let (tell, told) = channel();
    thread::Builder::new()
        .name("tracer".into())
        .spawn(move || trace(ready, go, &tell, &calls))?;
    let ask = move || ask_for_a_tracer(&says_ready, &waits);
    // SAFETY: between fork and exec only getpid(2), write(2) and read(2) are made, nothing is allocated and no lock taken.
    unsafe { command.pre_exec(ask) };
    let child = command.spawn();
    // With it go our copies of the child's ends: the tracer does not wait for a child that was never made.
    drop(command);
    match child {
        Ok(child) => started(child),
        // What the tracer says about it, if anything, is the better reason.
        Err(error) => return Err(told.recv().ok().and_then(io::Result::err).unwrap_or(error)),
    }
    told.recv()
        .unwrap_or_else(|_| Err(io::Error::other("the tracer thread ended")))
}

/// In the child, before exec: nothing that the program does may happen before it is traced.
fn ask_for_a_tracer(mut ready: &PipeWriter, mut go: &PipeReader) -> io::Result<()> {
    ready.write_all(&std::process::id().to_ne_bytes())?;
    let mut answer = [0];
    go.read_exact(&mut answer)?;
    match answer[0] {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno.into())),
    }
}

/// The tracer thread, until nothing is left to trace.
fn trace(
    mut ready: PipeReader,
    mut go: PipeWriter,
    tell: &Sender<io::Result<Ending>>,
    calls: &Calls,
) {
    let _over = Over(calls);
    let mut pid = [0; 4];
    if ready.read_exact(&mut pid).is_err() {
        return;
    }
    let main = Pid::from_raw(i32::from_ne_bytes(pid));
    let options = libc::PTRACE_O_TRACESYSGOOD
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACEEXEC
        | libc::PTRACE_O_EXITKILL;
    // Not PTRACE_TRACEME: only a seized process can stay stopped by SIGSTOP.
    let seized = ptrace(libc::PTRACE_SEIZE, main, 0, options as usize);
    if let Err(errno) = seized {
        let _ = tell.send(Err(refused(errno)));
    }
    // A child that cannot read this has been killed, which is seen below.
    let _ = go.write_all(&[seized.map_or_else(|errno| errno as u8, |_| 0)]);
    drop((ready, go));
    if seized.is_ok() {
        let tracer = Tracer {
            calls,
            main: Some(main),
            running: false,
            threads: HashMap::new(),
        };
        tracer.run(tell);
    }
}

/// Tells those who wait for calls that no more will come, however the thread ends.
struct Over<'a>(&'a Calls);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.over();
    }
}

fn refused(errno: Errno) -> io::Error {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    let why = match scope.trim() {
        "2" => {
            "kernel.yama.ptrace_scope is 2: only root may, `sudo sysctl kernel.yama.ptrace_scope=1` changes it"
        }
        "3" => "kernel.yama.ptrace_scope is 3: nobody may until the next boot",
        _ => {
            "a debugger traces us already, or a container forbids it (`docker run --cap-add=SYS_PTRACE` allows it)"
        }
    };
    let reason = io::Error::from(errno);
    io::Error::new(
        reason.kind(),
        format!("trace its system calls with ptrace: {reason}; {why}"),
    )
}

struct Tracer<'a> {
    calls: &'a Calls,
    /// The program's first process, until its end is told.
    main: Option<Pid>,
    /// It has become the program: its exec succeeded.
    running: bool,
    threads: HashMap<Pid, Thread>,
}

/// A traced thread, by its number in [`Tracer::threads`].
struct Thread {
    pid: Pid,
    /// The call that it is in.
    pending: Option<Pending>,
    /// The last call that a signal interrupted.
    interrupted: Option<usize>,
}

struct Pending {
    index: Option<usize>,
    shape: Shape,
    arguments: [u64; 6],
}

impl Tracer<'_> {
    fn run(mut self, tell: &Sender<io::Result<Ending>>) {
        // Nothing is taken from the kernel by looking (WNOWAIT): a stop passes when the thread goes on, and the first
        // process must not be reaped before drive knows of its end, see drive::Program::signal.
        let look = libc::WEXITED | libc::WSTOPPED | libc::WNOWAIT;
        while let Ok(Some(change)) = wait(None, look) {
            let tid = change.tid;
            if !matches!(
                change.code,
                libc::CLD_EXITED | libc::CLD_KILLED | libc::CLD_DUMPED
            ) {
                self.stopped(tid, change.status);
                continue;
            }
            self.gone(tid);
            if self.main == Some(tid) {
                self.main = None;
                let _ = tell.send(change.ending());
                await_reaping(tid);
            } else {
                // Only now its parent in the program, if it is a process, is told.
                let _ = wait(Some(tid), libc::WEXITED | libc::WNOHANG);
            }
        }
    }

    /// A thread has stopped: see to it, and let it go on.
    fn stopped(&mut self, tid: Pid, status: c_int) {
        let (event, signal) = (status >> 8, status & 0xff);
        let mut how = if self.running {
            libc::PTRACE_SYSCALL
        } else {
            libc::PTRACE_CONT
        };
        let mut deliver = 0;
        match (event, signal) {
            (0, SYSCALL_STOP) => self.syscall(tid),
            (0, _) => deliver = signal,
            (libc::PTRACE_EVENT_EXEC, _) => {
                self.executed(tid);
                how = libc::PTRACE_SYSCALL;
            }
            // Stopped as by the shell's Ctrl-Z: it stays so until SIGCONT, "Group-stop" in ptrace(2).
            (PTRACE_EVENT_STOP, libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU) => {
                how = libc::PTRACE_LISTEN;
            }
            // A new thread or process, the same seen by its maker, or the end of a stop.
            _ => {}
        }
        // ESRCH: it was killed this moment, and its end is what comes next.
        let _ = ptrace(how, tid, 0, deliver as usize);
    }

    fn syscall(&mut self, tid: Pid) {
        let now = Instant::now();
        // SAFETY: a structure of integers, for which zeroes are valid.
        let mut info: libc::ptrace_syscall_info = unsafe { mem::zeroed() };
        let asked = ptrace(
            libc::PTRACE_GET_SYSCALL_INFO,
            tid,
            size_of_val(&info),
            &raw mut info as usize,
        );
        if asked.is_err() {
            return;
        }
        let thread = self.threads.entry(tid).or_insert_with(|| Thread::new(tid));
        match info.op {
            libc::PTRACE_SYSCALL_INFO_ENTRY => {
                // SAFETY: `op` says that this member was filled in.
                let entry = unsafe { info.u.entry };
                let shape = Shape::of(info.arch, entry.nr);
                let index = self.calls.began(SystemCall {
                    at: now,
                    pid: thread.pid,
                    tid,
                    name: shape.name.clone(),
                    arguments: entry.args,
                    descriptor: shape.descriptor(tid, &entry.args),
                    decoded: shape.decode(tid, &entry.args, None),
                    result: None,
                    ended_at: None,
                    shown: shape.shown,
                });
                thread.pending = Some(Pending {
                    index,
                    shape,
                    arguments: entry.args,
                });
            }
            libc::PTRACE_SYSCALL_INFO_EXIT => {
                // SAFETY: as above.
                let exit = unsafe { info.u.exit };
                thread.returned(tid, exit.sval, exit.is_error != 0, now, self.calls);
            }
            _ => {}
        }
    }

    /// A process has become another program, execve(2): the calling thread takes the number of the first one, the others
    /// are gone.
    fn executed(&mut self, tid: Pid) {
        self.running = true;
        // The one stop that must be taken: until then, a thread whose number has changed is thought to be another one
        // (looks_like_a_spurious_pid in the kernel's ptrace.c).
        let _ = wait(Some(tid), libc::WSTOPPED | libc::WNOHANG);
        let mut former: libc::c_ulong = 0;
        let asked = ptrace(libc::PTRACE_GETEVENTMSG, tid, 0, &raw mut former as usize);
        let former = Pid::from_raw(former as i32);
        if asked.is_ok() && former != tid {
            self.gone(tid);
            if let Some(thread) = self.threads.remove(&former) {
                self.threads.insert(tid, thread);
            }
        }
    }

    /// A thread is no more, nor is the call that it was in.
    fn gone(&mut self, tid: Pid) {
        let pending = self.threads.remove(&tid).and_then(|thread| thread.pending);
        if let Some(pending) = pending {
            self.calls
                .change(pending.index, |call| call.ended_at = Some(Instant::now()));
        }
    }
}

impl Thread {
    fn new(tid: Pid) -> Self {
        // proc_pid_status(5)
        let status = fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
        let pid = status
            .lines()
            .find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok());
        Self {
            pid: pid.map_or(tid, Pid::from_raw),
            pending: None,
            interrupted: None,
        }
    }

    fn returned(&mut self, tid: Pid, value: i64, is_error: bool, now: Instant, calls: &Calls) {
        // Nothing is pending when the program's own execve returns.
        let Some(Pending {
            index,
            shape,
            arguments,
        }) = self.pending.take()
        else {
            return;
        };
        if shape.name == "rt_sigreturn" {
            // A signal handler has returned, and what is "returned" here is what the program sees of the interrupted call.
            if is_error && value == -(Errno::EINTR as i64) {
                let interrupted = self.interrupted.take();
                calls.change(interrupted, |call| call.result = Some(Err(Errno::EINTR)));
            }
            calls.change(index, |call| call.ended_at = Some(now));
            return;
        }
        if is_error && INTERRUPTED.contains(&value) {
            self.interrupted = index;
            calls.change(index, |call| call.ended_at = Some(now));
            return;
        }
        let filled = !is_error && shape.is_filled(value);
        let decoded = filled.then(|| shape.decode(tid, &arguments, Some(value)));
        calls.change(index, |call| {
            call.decoded = decoded.unwrap_or_else(|| mem::take(&mut call.decoded));
            call.result = Some(if is_error {
                Err(Errno::from_raw(-value as i32))
            } else {
                Ok(value)
            });
            call.ended_at = Some(now);
        });
    }
}

/// What waitid(2) tells.
struct Change {
    tid: Pid,
    code: c_int,
    status: c_int,
}

impl Change {
    fn ending(&self) -> io::Result<Ending> {
        match self.code {
            libc::CLD_EXITED => Ok(Ending::Exited(self.status)),
            _ => Ok(Ending::Killed(Signal::try_from(self.status)?)),
        }
    }
}

/// Waits for a change of what this thread traces (not of what other threads do), or of one of them. `None` with WNOHANG
/// when there is none.
fn wait(tid: Option<Pid>, options: c_int) -> Result<Option<Change>, Errno> {
    let (kind, id) = tid.map_or((libc::P_ALL, 0), |tid| {
        (libc::P_PID, tid.as_raw() as libc::id_t)
    });
    let options = options | libc::__WALL | libc::__WNOTHREAD;
    loop {
        // SAFETY: a structure of integers and pointers, for which zeroes are valid.
        let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
        // SAFETY: the kernel writes one siginfo_t to a place of ours.
        match Errno::result(unsafe { libc::waitid(kind, id, &raw mut info, options) }) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
            Ok(_) => {
                // SAFETY: waitid fills in these members, or leaves the zeroes.
                let (tid, status) = unsafe { (info.si_pid(), info.si_status()) };
                let (tid, code) = (Pid::from_raw(tid), info.si_code);
                return Ok((tid.as_raw() != 0).then_some(Change { tid, code, status }));
            }
        }
    }
}

/// Until drive's thread has reaped the first process: looking for others would find it again and again.
fn await_reaping(pid: Pid) {
    let look = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    let deadline = Instant::now() + REAPING;
    while let Ok(Some(_)) = wait(Some(pid), look) {
        if Instant::now() > deadline {
            // Nobody who could signal it wants it.
            let _ = wait(Some(pid), libc::WEXITED | libc::WNOHANG);
            return;
        }
        thread::sleep(Duration::from_micros(50));
    }
}

fn ptrace(request: c_uint, tid: Pid, address: usize, data: usize) -> Result<c_long, Errno> {
    // SAFETY: of the requests made here only GET_SYSCALL_INFO and GETEVENTMSG have the kernel write to our memory, at
    // `data`, which both times is the address of a local variable of the right type.
    Errno::result(unsafe { libc::ptrace(request, tid.as_raw(), address, data) })
}
