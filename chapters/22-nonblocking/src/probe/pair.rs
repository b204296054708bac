//! A connection from this process to itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use common::{Call, CallError, tcp};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send, setsockopt, sockopt};
use nix::unistd::{Pid, gettid};

/// What is asked of each buffer, in bytes. Linux doubles it, and does not change it afterwards by itself: socket(7).
const BUFFER: usize = 32768;

pub struct Pair {
    /// The end that is looked at.
    pub ours: OwnedFd,
    pub peers: OwnedFd,
}

impl Pair {
    pub fn new() -> Result<Self, CallError> {
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = tcp::listen(&anywhere)?;
        // Connections inherit it.
        setsockopt(&listener, sockopt::RcvBuf, &BUFFER).call("setsockopt SO_RCVBUF")?;
        let ours = tcp::connect_to(&tcp::local_address(&listener)?)?;
        setsockopt(&ours, sockopt::SndBuf, &BUFFER).call("setsockopt SO_SNDBUF")?;
        let (peers, _) = tcp::accept(&listener)?;
        Ok(Self { ours, peers })
    }

    /// Sends until nothing more is taken, and nothing more a moment later: the peer's kernel moves what still fits into
    /// its receive buffer. Whether the socket blocks does not matter for this.
    pub fn fill(&self) -> Result<(), CallError> {
        let data = vec![b'x'; 1 << 16];
        let mut full = false;
        loop {
            match send(self.ours.as_raw_fd(), &data, MsgFlags::MSG_DONTWAIT) {
                Ok(_) => full = false,
                Err(Errno::EAGAIN) if full => return Ok(()),
                Err(Errno::EAGAIN) => full = !ready(&self.ours, PollFlags::POLLOUT, 200)?,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error).call("send"),
            }
        }
    }
}

/// Waits until poll(2) says this, but not for longer. Whether it does.
pub fn ready(fd: impl AsFd, events: PollFlags, milliseconds: u16) -> Result<bool, CallError> {
    let mut fds = [PollFd::new(fd.as_fd(), events)];
    loop {
        match poll(&mut fds, PollTimeout::from(milliseconds)) {
            Err(Errno::EINTR) => {}
            outcome => return Ok(outcome.call("poll")? != 0),
        }
    }
}

// ANCHOR: partner
/// Someone who helps a call that waits: once the calling thread sleeps, something is done at the other end.
pub struct Partner {
    returned: Arc<AtomicBool>,
    thread: JoinHandle<bool>,
}

impl Partner {
    pub fn of_this_thread(help: impl FnOnce() + Send + 'static) -> Self {
        let returned = Arc::new(AtomicBool::new(false));
        let (caller, over) = (gettid(), Arc::clone(&returned));
        let thread = thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                // It also sleeps when the call has returned and it waits for us: that is why `over` is looked at again.
                if sleeps(caller) && !over.load(Ordering::SeqCst) {
                    help();
                    return true;
                }
                thread::sleep(Duration::from_millis(1));
            }
            false
        });
        Self { returned, thread }
    }

    /// To be called after the call has returned: whether it had to be helped.
    pub fn was_needed(self) -> bool {
        self.returned.store(true, Ordering::SeqCst);
        self.thread.join().unwrap_or(false)
    }
}

/// Whether a thread of this process sleeps in a system call: proc_pid_stat(5).
fn sleeps(thread: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat"));
    stat.is_ok_and(|stat| {
        stat.rsplit_once(") ")
            .is_some_and(|(_, fields)| fields.starts_with('S'))
    })
}
// ANCHOR_END: partner

/// Reads until the other end has ended.
pub fn read_all(fd: BorrowedFd) {
    let mut chunk = [0; 1 << 16];
    while let Ok(common::io::Received::Data(_)) = common::io::receive(fd, &mut chunk) {}
}
