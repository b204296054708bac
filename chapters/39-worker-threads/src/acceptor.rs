//! The accept thread: takes new connections when the main thread says that there are some.

use std::os::fd::OwnedFd;
use std::thread::sleep;
use std::time::Duration;

use common::io::set_nonblocking;
use common::{CallError, complain, tcp};
use nix::sys::epoll::EpollFlags;

use crate::connection::Connection;
use crate::shared::Shared;
use crate::watch::{FIRST_CLIENT, LISTENER};

/// How many are taken in a turn, so that a stop is heard.
const BATCH: usize = 1024;
/// How long nobody is accepted when there are no descriptors left: accept(2) would fail again at once.
const SHORTAGE: Duration = Duration::from_millis(100);

// ANCHOR: accept
/// Sleeps until it is its turn, takes all that are there, and has epoll watch the listener again. When the server stops it
/// takes a last look: those who were connected before are still served.
pub fn accept(listener: &OwnedFd, shared: &Shared) {
    let (mut next, mut starved) = (FIRST_CLIENT, false);
    loop {
        let goes_on = shared.turns.pop().is_some();
        let taken = take_all(listener, shared, &mut next);
        let was_starved = std::mem::replace(&mut starved, taken.is_err());
        if let Err(error) = taken
            && !was_starved
        {
            complain!("Error: {:#}", anyhow::Error::new(error));
        }
        if !goes_on {
            return;
        }
        if starved {
            sleep(SHORTAGE);
        }
        if let Err(error) = shared.watch_again(listener, LISTENER, EpollFlags::EPOLLIN) {
            complain!("Error: {:#}", anyhow::Error::new(error));
        }
    }
}

fn take_all(listener: &OwnedFd, shared: &Shared, next: &mut u64) -> Result<(), CallError> {
    for _ in 0..BATCH {
        let Some((socket, address)) = tcp::accept_ready(listener)? else {
            break;
        };
        shared.tell(format_args!(
            "accept thread: new client connected: {address}"
        ));
        let adopt = || -> Result<(), CallError> {
            set_nonblocking(&socket)?;
            shared.adopt(*next, Connection::new(socket, address))
        };
        // That ends this connection, and no other.
        if let Err(error) = adopt() {
            complain!("Error: {address}: {:#}", anyhow::Error::new(error));
        }
        *next += 1;
    }
    Ok(())
}
// ANCHOR_END: accept
