//! The queue of those who wait: what ends a wait, and whose.

use std::io::{BufRead, stdin};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use common::address::seconds;
use common::io::{Received, receive};
use common::{Call, complain, say};
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::getpid;

use crate::calls::{EDGE, IN, wait};
use crate::instance::{Instance, Words, counter};

/// Waits, and says what has ended each wait
///
/// Type lines, and send it SIGUSR1, for which it has a handler, and SIGUSR2, which is blocked. Ctrl-D ends it.
#[derive(Debug, clap::Args)]
pub struct WakeReasons {
    /// Seconds of the first wait
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "0.2")]
    timeout: Duration,
    /// Block SIGUSR1, too
    #[arg(long)]
    blocked: bool,
}

extern "C" fn handled(_: libc::c_int) {}

impl WakeReasons {
    // ANCHOR: reasons
    pub fn run(&self) -> anyhow::Result<()> {
        // SA_RESTART makes many calls go on after a signal. epoll_wait is none of them, signal(7).
        let action = SigAction::new(
            SigHandler::Handler(handled),
            SaFlags::SA_RESTART,
            SigSet::empty(),
        );
        // SAFETY: the handler does nothing.
        unsafe { sigaction(Signal::SIGUSR1, &action) }.call("sigaction SIGUSR1")?;
        let mut blocked = SigSet::from(Signal::SIGUSR2);
        if self.blocked {
            blocked.add(Signal::SIGUSR1);
        }
        blocked.thread_block().call("sigprocmask")?;
        let instance = Instance::new()?;
        instance.add(stdin(), IN)?;
        say!("process {}", getpid())?;
        let mut timeout = i32::try_from(self.timeout.as_millis())?;
        loop {
            match wait(instance.number(), 1, timeout) {
                Ok(told) if told.is_empty() => say!("the time is up")?,
                Ok(told) => {
                    say!("an event: {}", Words(&told))?;
                    let received = receive(stdin(), &mut [0; 4096]);
                    if received.call("read standard input")? == Received::EndOfFile {
                        return Ok(());
                    }
                }
                Err(Errno::EINTR) => say!("a signal: EINTR")?,
                Err(error) => return Ok(Err(error).call("epoll_wait")?),
            }
            timeout = -1;
        }
    }
    // ANCHOR_END: reasons
}

/// Lets four threads wait for one instance and one event
///
/// The event comes when you type a line. Ctrl-D ends it.
#[derive(Debug, clap::Args)]
pub struct OneOfMany {
    /// Be level-triggered
    #[arg(long)]
    level: bool,
}

impl OneOfMany {
    // ANCHOR: one-of-many
    pub fn run(&self) -> anyhow::Result<()> {
        let (instance, watched) = (Arc::new(Instance::new()?), counter(0)?);
        instance.add(&watched, if self.level { IN } else { IN | EDGE })?;
        for number in 1..=4 {
            let instance = Arc::clone(&instance);
            let wait = move || -> anyhow::Result<()> {
                let told = instance.wait(1, -1)?;
                Ok(say!("thread {number} is told of {}", Words(&told))?)
            };
            thread::spawn(move || {
                if let Err(error) = wait() {
                    complain!("Error: thread {number}: {error:#}");
                }
            });
        }
        say!("four threads wait")?;
        let mut lines = stdin().lock();
        if lines.skip_until(b'\n')? > 0 {
            watched.write(1).call("write")?;
            while lines.skip_until(b'\n')? > 0 {}
        }
        Ok(()) // the threads that still wait end with the process
    }
    // ANCHOR_END: one-of-many
}
