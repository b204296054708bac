//! A server that takes a sip of what has come and goes back to wait: what level-triggered waiting forgives, and edge-triggered
//! waiting does not.

use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::thread::sleep;
use std::time::Duration;

use common::address::Listen;
use common::io::{Received, receive, send_all, set_nonblocking};
use common::signal::StopSignal;
use common::{CallError, complain, say, tcp};
use reactor::{DispatcherKind, EventLoop, Interest, Limits, Next, Readiness};

use crate::When;

/// Sends back what comes, and reads no more than so many bytes of it for each event: wrong on purpose
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// When epoll tells of a connection
    #[arg(long, default_value = "level")]
    trigger: When,
    /// How much one read takes
    #[arg(long, value_name = "BYTES", default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..))]
    bytes: u16,
    /// Wait for room to write all the time, though there is nothing to be written
    #[arg(long)]
    always_writable: bool,
}

/// This program has channels of its own, and no connections of the framework's.
type Loop = EventLoop<Infallible>;

pub fn run(args: &Args) -> anyhow::Result<()> {
    let stop = StopSignal::new()?;
    let listener = tcp::listen(&args.listen.address())?;
    set_nonblocking(&listener)?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    let dispatcher = DispatcherKind::Epoll(args.trigger.into()).open()?;
    let mut event_loop = Loop::new("main thread", dispatcher, Limits::default())?;
    event_loop.watch(stop, Interest::READ, |event_loop, stop, _| {
        if let Ok(Some(_)) = stop.received() {
            event_loop.stop(Duration::ZERO);
        }
        Next::Keep
    })?;
    let (bytes, always_writable) = (usize::from(args.bytes), args.always_writable);
    event_loop.watch(listener, Interest::READ, move |event_loop, listener, _| {
        // Accepted until there is nobody left: the next event tells of those that come later.
        loop {
            match tcp::accept_ready(&*listener) {
                Ok(Some((connection, _))) => {
                    if let Err(error) = serve(event_loop, connection, bytes, always_writable) {
                        complain!("Error: {:#}", anyhow::Error::new(error));
                    }
                }
                Ok(None) => return Next::Keep,
                Err(error) => {
                    complain!("Error: {:#}", anyhow::Error::new(error));
                    sleep(Duration::from_millis(100)); // there is no descriptor: it would fail again at once
                    return Next::Watch(Interest::READ); // looks anew, edge-triggered or not
                }
            }
        }
    })?;
    Ok(event_loop.run()?)
}

// ANCHOR: sip
/// One read for each event. What it leaves is still there; whether the loop hears of it again is up to the trigger.
fn serve(
    event_loop: &mut Loop,
    connection: OwnedFd,
    bytes: usize,
    always_writable: bool,
) -> Result<(), CallError> {
    set_nonblocking(&connection)?;
    let interest = match always_writable {
        true => Interest::BOTH,
        false => Interest::READ,
    };
    let mut sip = vec![0; bytes];
    let taken = move |_: &mut Loop, connection: &mut OwnedFd, _: Readiness| match receive(
        &*connection,
        &mut sip,
    ) {
        Ok(Received::Data(count)) if send_all(&*connection, &sip[..count]).is_ok() => Next::Keep,
        Ok(Received::WouldBlock) => Next::Keep,
        _ => Next::Remove,
    };
    event_loop.watch(connection, interest, taken)?;
    Ok(())
}
// ANCHOR_END: sip
