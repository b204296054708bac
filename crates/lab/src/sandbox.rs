//! The namespaces that everything runs in: namespaces(7), user_namespaces(7), pid_namespaces(7).
//!
//! The lab enters a process namespace of its own, whose first process does nothing but wait. When the lab ends, however
//! it ends, that process ends, and the kernel kills whatever is left inside. The temporary directory is a file system of
//! the lab's own mount namespace and goes the same way. An ordinary user gets all this through a user namespace, in
//! which the lab is root over its own networks and over nothing else.

use std::fs;
use std::io;
use std::path::Path;
use std::process::exit;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::wait::{WaitStatus, wait, waitpid};
use nix::unistd::{ForkResult, Gid, Pid, Uid, fork};

/// Where experiments have their temporary directories: a memory file system of our own is mounted there, which nobody
/// outside sees and which is gone when the lab is.
const SCRATCH: &str = "/dev/shm";

/// What this machine allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sandbox {
    /// Namespaces of our own: several hosts, links to cut, sysctls, packets.
    Namespaces,
    /// Only the machine's own loopback interface, one experiment at a time.
    Loopback {
        /// What was refused.
        why: String,
    },
}

/// Moves the calling process into namespaces of its own. The caller returns from here as a grandchild of the process
/// that called; that one waits, and ends as its grandchild ends.
///
/// To be called first thing in `main`, before there is a second thread: a process with threads cannot enter a user
/// namespace, and the other threads would not survive the fork.
pub fn enter() -> Sandbox {
    match probe() {
        Ok(()) => {
            become_contained();
            Sandbox::Namespaces
        }
        Err(why) => {
            become_supervised();
            Sandbox::Loopback { why }
        }
    }
}

/// Where there are no namespaces nothing goes away by itself: the process that the user started waits here, too, and removes
/// the temporary directory when the lab has ended, however it ended.
fn become_supervised() {
    let Ok(directory) = tempfile::Builder::new().prefix("lab-").tempdir() else {
        return;
    };
    let directory = directory.keep();
    // Whom the lab leaves behind becomes a child of ours, not of the lab: prctl(2), PR_SET_CHILD_SUBREAPER.
    let _ = prctl::set_child_subreaper(true);
    let before = leave_outermost(|| {
        end_orphans();
        let _ = fs::remove_dir_all(&directory);
    });
    die_with_parent();
    restore(&before);
    // SAFETY: there is one thread.
    unsafe { std::env::set_var("TMPDIR", &directory) };
}

/// Goes on in a child. The process that the user started waits for its end, does what is left to do, and ends likewise. The
/// signals that end the lab are held back; what was held back before is returned.
fn leave_outermost(at_the_end: impl FnOnce()) -> SigSet {
    let forwarded: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
        .into_iter()
        .collect();
    let mut before = SigSet::empty();
    let held = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&forwarded), Some(&mut before));
    held.expect("signals can be held back");
    // SAFETY: there is one thread, so the child finds no lock held by another.
    match unsafe { fork() }.expect("a process can be made") {
        ForkResult::Parent { child } => {
            let code = outermost(child, &forwarded);
            at_the_end();
            exit(code)
        }
        ForkResult::Child => before,
    }
}

fn restore(before: &SigSet) {
    let restored = sigprocmask(SigmaskHow::SIG_SETMASK, Some(before), None);
    restored.expect("the signal mask can be restored");
}

/// Ends the daemons and grandchildren that the lab has left behind.
fn end_orphans() {
    let ours = std::process::id().to_string();
    loop {
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = entry.file_name();
            let pid = name.to_str().and_then(|name| name.parse().ok());
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // The name before it may contain anything.
            let parent = stat
                .rsplit_once(") ")
                .and_then(|(_, rest)| rest.split(' ').nth(1));
            if let (Some(pid), true) = (pid, parent == Some(ours.as_str())) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        if wait().is_err() {
            return;
        }
    }
}

/// Tries it all in a child, because half of it cannot be taken back. The error says what was refused.
pub fn probe() -> Result<(), String> {
    let failed = |error: io::Error| error.to_string();
    let (reader, writer) = io::pipe().map_err(failed)?;
    // SAFETY: there is one thread, so the child finds no lock held by another.
    match unsafe { fork() }.map_err(|errno| failed(errno.into()))? {
        ForkResult::Child => {
            drop(reader);
            let outcome =
                separate().and_then(|()| in_first_child(|| furnish().and_then(|()| try_network())));
            if let Err(refused) = outcome {
                let _ = io::Write::write_all(&mut &writer, refused.as_bytes());
            }
            exit(0)
        }
        ForkResult::Parent { child } => {
            drop(writer);
            let refused = io::read_to_string(reader).map_err(failed)?;
            let _ = waitpid(child, None);
            if refused.is_empty() {
                Ok(())
            } else {
                Err(refused)
            }
        }
    }
}

fn become_contained() {
    // Each of these worked a moment ago, in the probe. What fails now is a defect or an exhausted machine.
    let before = leave_outermost(|| {});
    separate().expect("namespaces could be made in the probe");
    // After the change of credentials, which clears the setting: prctl(2), PR_SET_PDEATHSIG.
    die_with_parent();
    // SAFETY: there is one thread, so the child finds no lock held by another.
    match unsafe { fork() }.expect("a process can be made") {
        ForkResult::Parent { child } => exit(ending_of(child)),
        ForkResult::Child => {}
    }
    // The first process of the new process namespace.
    die_with_parent();
    // SAFETY: as above.
    match unsafe { fork() }.expect("a process can be made") {
        ForkResult::Parent { child } => first_process(child),
        ForkResult::Child => {}
    }
    furnish().expect("file systems could be mounted in the probe");
    restore(&before);
}

/// Without a parent there is nobody to report to; and a lab that is killed must not leave a namespace behind.
fn die_with_parent() {
    prctl::set_pdeathsig(Signal::SIGKILL).expect("a parent-death signal can be set");
}

/// The process that the user started: hands signals on. The code that it is to end with, once the lab has ended.
fn outermost(child: Pid, forwarded: &SigSet) -> i32 {
    let mut awaited = *forwarded;
    awaited.add(Signal::SIGCHLD);
    // SIGCHLD is blocked so that sigwait sees it; its default action would be to ignore it.
    awaited.thread_block().expect("signals can be held back");
    let mut stopped_by = Signal::SIGKILL;
    loop {
        // The lab is below the process that we know. Killing that one ends all (die_with_parent).
        if let Ok(signal @ (Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP)) = awaited.wait() {
            stopped_by = signal;
            let _ = kill(child, Signal::SIGKILL);
        }
        match waitpid(child, Some(nix::sys::wait::WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => return code,
            Ok(WaitStatus::Signaled(..)) => return 128 + stopped_by as i32,
            _ => {}
        }
    }
}

fn ending_of(child: Pid) -> i32 {
    loop {
        match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, code)) => return code,
            Ok(WaitStatus::Signaled(_, signal, _)) => return 128 + signal as i32,
            Err(Errno::EINTR) | Ok(_) => {}
            Err(_) => return 1,
        }
    }
}

/// Waits for the lab, and meanwhile for every orphan of the namespace.
fn first_process(lab: Pid) -> ! {
    loop {
        match wait() {
            Ok(WaitStatus::Exited(pid, code)) if pid == lab => exit(code),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == lab => exit(128 + signal as i32),
            Err(Errno::ECHILD) => exit(1),
            _ => {}
        }
    }
}

/// Leaves the machine's namespaces. The next child is the first process of the new process namespace.
fn separate() -> Result<(), String> {
    let (user, group) = (Uid::effective(), Gid::effective());
    let ours = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET;
    if user.is_root() && unshare(ours).is_ok() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|errno| match errno {
        // Its own words, "no space left on device", lead to the disk.
        Errno::ENOSPC => "no more user namespaces may be made".into(),
        errno => format!("make a user namespace: {}", io::Error::from(errno)),
    })?;
    // user_namespaces(7): an ordinary user maps its own ids and nothing else, and gives up setgroups(2) for it.
    for (file, content) in [
        ("setgroups", "deny".to_string()),
        ("uid_map", format!("0 {user} 1")),
        ("gid_map", format!("0 {group} 1")),
    ] {
        fs::write(Path::new("/proc/self").join(file), content)
            .map_err(|error| format!("write {file}: {error}"))?;
    }
    unshare(ours).map_err(|errno| {
        format!(
            "make namespaces inside the user namespace: {}",
            io::Error::from(errno)
        )
    })
}

/// Runs `work` in a child, and hands its complaint up.
fn in_first_child(work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let (reader, writer) = io::pipe().map_err(|error| error.to_string())?;
    // SAFETY: there is one thread, so the child finds no lock held by another.
    match unsafe { fork() }.map_err(|errno| format!("fork: {errno}"))? {
        ForkResult::Child => {
            drop(reader);
            if let Err(refused) = work() {
                let _ = io::Write::write_all(&mut &writer, refused.as_bytes());
            }
            exit(0)
        }
        ForkResult::Parent { child } => {
            drop(writer);
            let refused = io::read_to_string(reader).map_err(|error| error.to_string())?;
            let _ = waitpid(child, None);
            if refused.is_empty() {
                Ok(())
            } else {
                Err(refused)
            }
        }
    }
}

/// Gives the new namespaces what they need: a /proc that shows the new processes, and a scratch directory.
fn furnish() -> Result<(), String> {
    let none = None::<&str>;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    let refused = |what: &str| {
        let what = what.to_string();
        move |errno: Errno| format!("{what}: {}", io::Error::from(errno))
    };
    mount(none, "/", none, private, none).map_err(refused("make mounts private"))?;
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(
        Some("proc"),
        "/proc",
        Some("proc"),
        quiet | MsFlags::MS_NOEXEC,
        none,
    )
    .map_err(refused("mount /proc"))?;
    mount(
        Some("lab"),
        SCRATCH,
        Some("tmpfs"),
        quiet,
        Some("mode=1777"),
    )
    .map_err(refused(&format!("mount {SCRATCH}")))?;
    Ok(())
}

fn try_network() -> Result<(), String> {
    unshare(CloneFlags::CLONE_NEWNET)
        .map_err(|errno| format!("make a network namespace: {}", io::Error::from(errno)))?;
    crate::net::route::loopback_up().map_err(|error| error.to_string())
}

/// Where temporary directories go: our own file system where we have one, else the machine's usual place.
pub fn scratch(sandbox: &Sandbox) -> std::path::PathBuf {
    match sandbox {
        Sandbox::Namespaces => SCRATCH.into(),
        Sandbox::Loopback { .. } => std::env::temp_dir(),
    }
}
