//! Several threads that wait for one listener, each with an epoll instance of its own.

use std::fs;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use common::address::Listen;
use common::io::set_nonblocking;
use common::signal::StopSignal;
use common::{Call, complain, say, tcp};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::unistd::gettid;

/// Lets several threads wait for connections, and counts at the end how often each was woken
///
/// Whoever takes a connection closes it at once.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// How many threads wait
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1000))]
    waiters: u16,
    /// Wake one of them for a connection, not all (EPOLLEXCLUSIVE)
    #[arg(long)]
    exclusive: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let stop = StopSignal::new()?; // before there are threads: it blocks the signals for them, too
    let listener = tcp::listen(&args.listen.address())?;
    set_nonblocking(&listener)?;
    let listener = Arc::new(listener);
    say!("listening on {}", tcp::local_address(&listener)?)?;
    // ANCHOR: events
    let mut events = EpollFlags::EPOLLIN;
    events.set(EpollFlags::EPOLLEXCLUSIVE, args.exclusive);
    // ANCHOR_END: events
    for number in 1..=args.waiters {
        let listener = Arc::clone(&listener);
        thread::Builder::new()
            .name(format!("waiter {number}"))
            .spawn(move || {
                if let Err(error) = wait(&listener, events) {
                    complain!("Error: waiter {number}: {error:#}");
                }
            })
            .call("start a thread")?;
    }
    while !stop.comes_while(None, None)? {}
    report()
}

// ANCHOR: wait
fn wait(listener: &OwnedFd, events: EpollFlags) -> anyhow::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).call("epoll_create1")?;
    epoll
        .add(listener, EpollEvent::new(events, 0))
        .call("epoll_ctl")?;
    let mut woken = [EpollEvent::empty()];
    loop {
        match epoll.wait(&mut woken, EpollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            outcome => outcome.call("epoll_wait")?,
        };
        // There may be none: whoever was quicker has it.
        if let Some((_, address)) = tcp::accept_ready(listener)? {
            say!("tid {} accepted {address}", gettid())?;
        }
    }
}
// ANCHOR_END: wait

// ANCHOR: report
/// How often each thread went to sleep, as the kernel has counted it: once at the beginning, and once for each time it
/// was woken. proc_pid_status(5).
fn report() -> anyhow::Result<()> {
    let mut slept = Vec::new();
    for task in fs::read_dir("/proc/self/task").call("read /proc/self/task")? {
        let path = task.call("read /proc/self/task")?.path();
        let tid: Option<i32> = path
            .file_name()
            .and_then(|name| name.to_str()?.parse().ok());
        let status = fs::read_to_string(path.join("status")).call("read the status of a thread")?;
        let times = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:\t"));
        slept.extend(tid.zip(times.map(String::from)));
    }
    slept.sort_unstable();
    slept.retain(|(tid, _)| *tid != gettid().as_raw()); // the first thread waits for signals only
    let times: Vec<_> = slept.into_iter().map(|(_, times)| times).collect();
    Ok(say!("slept, by tid: {}", times.join(" "))?)
}
// ANCHOR_END: report
