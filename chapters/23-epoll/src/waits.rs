//! The three calls that wait for many descriptors, measured.

use std::os::fd::{AsFd, AsRawFd};
use std::ptr::{null, null_mut};
use std::time::{Duration, Instant};

use anyhow::ensure;
use common::{Call, CallError};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;

/// Less than this is too short to be measured well: so many calls are measured together that they take as long.
const ENOUGH: Duration = Duration::from_micros(200);

/// How to measure.
#[derive(Debug)]
pub struct Measure {
    /// How many measurements.
    pub samples: u32,
    /// How many descriptors each call has to find ready.
    pub ready: usize,
}

impl Measure {
    // ANCHOR: median
    /// Microseconds for one call, the median of the measurements: what else the machine does disturbs some of them, and
    /// not the one in the middle.
    fn median(&self, mut call: impl FnMut() -> Result<usize, CallError>) -> anyhow::Result<f64> {
        let mut time = |calls: u32| -> anyhow::Result<Duration> {
            let start = Instant::now();
            for _ in 0..calls {
                let count = call()?;
                ensure!(
                    count == self.ready,
                    "{count} descriptors are ready, not {}",
                    self.ready
                );
            }
            Ok(start.elapsed())
        };
        let mut calls = 1;
        while time(calls)? < ENOUGH {
            calls *= 2;
        }
        let mut times = Vec::new();
        for _ in 0..self.samples {
            times.push(time(calls)?);
        }
        times.sort_unstable();
        Ok(times[times.len() / 2].as_secs_f64() * 1e6 / f64::from(calls))
    }
    // ANCHOR_END: median
}

// ANCHOR: select
/// select(2) of the C library stops at descriptor 1023, the size of its fd_set. The kernel does not: it takes bitmaps of
/// any size. (pselect6 is the call that every machine has.)
pub fn select_time(watched: &[EventFd], measure: &Measure) -> anyhow::Result<f64> {
    const BITS: usize = libc::c_ulong::BITS as usize;
    let numbers = || watched.iter().map(|fd| fd.as_fd().as_raw_fd() as usize);
    let highest = numbers().max().unwrap_or_default();
    let mut wanted: Vec<libc::c_ulong> = vec![0; highest / BITS + 1];
    for number in numbers() {
        wanted[number / BITS] |= 1 << (number % BITS);
    }
    let mut set = wanted.clone();
    measure.median(|| {
        set.copy_from_slice(&wanted); // the last call left only the ready ones in it
        // SAFETY: the set has a bit for each descriptor up to the highest, in whole longs, which is what the kernel reads
        // and writes. The other pointers may be null: no other sets, no time limit, no signal mask.
        let count = unsafe {
            libc::syscall(
                libc::SYS_pselect6,
                highest + 1,
                set.as_mut_ptr(),
                null_mut::<libc::c_ulong>(),
                null_mut::<libc::c_ulong>(),
                null::<libc::timespec>(),
                null::<libc::c_void>(),
            )
        };
        Errno::result(count)
            .map(|count| count as usize)
            .call("select")
    })
}
// ANCHOR_END: select

// ANCHOR: poll
pub fn poll_time(watched: &[EventFd], measure: &Measure) -> anyhow::Result<f64> {
    let fds = watched
        .iter()
        .map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN));
    let mut fds: Vec<_> = fds.collect();
    measure.median(|| {
        poll(&mut fds, PollTimeout::NONE)
            .map(|count| count as usize)
            .call("poll")
    })
}
// ANCHOR_END: poll

// ANCHOR: epoll
pub fn epoll_time(watched: &[EventFd], measure: &Measure) -> anyhow::Result<f64> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).call("epoll_create1")?;
    for (number, fd) in watched.iter().enumerate() {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, number as u64);
        epoll.add(fd, event).call("epoll_ctl")?; // once, and not for each wait
    }
    let mut events = vec![EpollEvent::empty(); watched.len()];
    measure.median(|| {
        epoll
            .wait(&mut events, EpollTimeout::NONE)
            .call("epoll_wait")
    })
}
// ANCHOR_END: epoll
