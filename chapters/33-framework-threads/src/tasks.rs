//! Tasks for a loop in another thread, and how often they wake it.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

use clap::ValueEnum;
use common::{Call, CallError, say};
use reactor::{DispatcherKind, EventLoop, Limits, LoopHandle};

/// Queues tasks for a loop in another thread, and shows in how many turns it runs them
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many tasks
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// What the loop does while they are queued
    #[arg(long = "loop", value_name = "STATE", default_value = "busy")]
    state: State,
    /// Queue a task only when the one before has run
    #[arg(long)]
    one_by_one: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    /// Another task runs, until all are queued
    Busy,
    /// It waits for events
    Idle,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let (tell, told) = sync_channel(1);
    let (ran, wanted) = (Arc::new(AtomicU32::new(0)), args.count);
    let counter = Arc::clone(&ran);
    // ANCHOR: turns
    let turns = move || -> Result<u32, CallError> {
        let dispatcher = DispatcherKind::default().open()?;
        let mut event_loop = EventLoop::new("Thread-1", dispatcher, Limits::default())?;
        let _ = tell.send(event_loop.handle());
        let mut turns = 0;
        while counter.load(Ordering::Relaxed) < wanted {
            event_loop.turn(None)?; // waits as long as it takes
            turns += 1;
        }
        Ok(turns)
    };
    // ANCHOR_END: turns
    let thread = thread::Builder::new().name("Thread-1".into());
    let thread = thread.spawn(turns).call("start Thread-1")?;
    if let Ok(handle) = told.recv() {
        match args.one_by_one {
            true => one_by_one(&handle, args, &ran)?,
            false => burst(&handle, args, &ran)?,
        }
    }
    let turns = thread
        .join()
        .map_err(|_| io::Error::other("the loop has panicked"))??;
    say!("{wanted} tasks have run; turns of the loop: {turns}")?;
    Ok(())
}

// ANCHOR: burst
/// Queues all of them at once. The loop is woken by the first that finds it not yet woken.
fn burst(handle: &LoopHandle<Infallible>, args: &Args, ran: &Arc<AtomicU32>) -> anyhow::Result<()> {
    let (go_on, wait) = sync_channel::<()>(0);
    if args.state == State::Busy {
        let (begin, begun) = sync_channel(1);
        handle.queue(move |_| {
            let _ = begin.send(());
            let _ = wait.recv(); // until the other end is dropped
        })?;
        begun.recv()?;
    }
    for _ in 0..args.count {
        let ran = Arc::clone(ran);
        handle.queue(move |_| {
            ran.fetch_add(1, Ordering::Relaxed);
        })?;
    }
    drop(go_on);
    Ok(())
}
// ANCHOR_END: burst

fn one_by_one(
    handle: &LoopHandle<Infallible>,
    args: &Args,
    ran: &Arc<AtomicU32>,
) -> anyhow::Result<()> {
    for _ in 0..args.count {
        let (ran, (done, is_done)) = (Arc::clone(ran), sync_channel(1));
        handle.queue(move |_| {
            ran.fetch_add(1, Ordering::Relaxed);
            let _ = done.send(());
        })?;
        is_done.recv()?;
    }
    Ok(())
}
