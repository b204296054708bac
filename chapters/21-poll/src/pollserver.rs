//! A server for many clients whose array of descriptors has a fixed size.

use std::os::fd::AsRawFd;

use common::address::Listen;
use common::descriptors::raise_limit;
use common::io::set_nonblocking;
use common::signal::StopSignal;
use common::{complain, say, tcp};
use libc::POLLIN;
use nix::sys::socket::{MsgFlags, send};

use crate::client::{AT_ONCE, Client, PAUSE, next_client};
use crate::pollfd::{FREE, entry, poll};

/// Sends back to each client what it sends, and has places for so many clients
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// For how many clients there is a place
    #[arg(long, value_name = "COUNT", default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    places: u16,
    /// Wait in send until the kernel has taken the whole answer, as the course's server does. Wrong on purpose
    #[arg(long)]
    blocking: bool,
}

const LISTENER: usize = 0;
const STOP: usize = 1;
/// The first of the clients' places.
const FIRST: usize = 2;

/// What a client hears for whom there is no place.
const FULL: &[u8] = b"no place left, try again later\n";

pub fn run(args: &Args) -> anyhow::Result<()> {
    raise_limit()?;
    let stop = StopSignal::new()?;
    let listener = tcp::listen(&args.listen.address())?;
    // A connection may be gone between poll and accept, which must not wait for the next one then: chapter 22.
    set_nonblocking(&listener)?;
    say!("listening on {}", tcp::local_address(&listener)?)?;

    // ANCHOR: places
    let size = FIRST + usize::from(args.places);
    let mut entries = vec![FREE; size];
    entries[LISTENER] = entry(&listener, POLLIN);
    entries[STOP] = entry(&stop, POLLIN);
    // The client at the same place in the other array.
    let mut clients: Vec<Option<Client>> = (0..size).map(|_| None).collect();
    // ANCHOR_END: places
    loop {
        // ANCHOR: wait
        // Free entries cost poll little, but they count: with more than RLIMIT_NOFILE of them it fails with EINVAL.
        let taken = entries.iter().rposition(|entry| entry.fd >= 0);
        let wait = (entries[LISTENER].fd < 0).then_some(PAUSE);
        let ready = poll(&mut entries[..=taken.unwrap_or(STOP)], wait)?;
        // ANCHOR_END: wait
        if entries[STOP].revents != 0 && stop.received()?.is_some() {
            return Ok(());
        }
        let mut left = false;
        // ANCHOR: which
        // Which are ready, nobody says: each entry is looked at until as many have been found as poll has counted.
        let places = entries.iter_mut().zip(&mut clients).skip(FIRST);
        for (entry, place) in places.filter(|(entry, _)| entry.revents != 0).take(ready) {
            let Some(client) = place else { continue };
            client.serve()?;
            entry.events = client.events();
            if client.is_gone() {
                (*entry, *place) = (FREE, None); // this closes the socket
                left = true;
            }
        }
        // ANCHOR_END: which
        if entries[LISTENER].revents != 0 {
            // ANCHOR: admit
            for _ in 0..AT_ONCE {
                let next = next_client(&listener, &mut entries[LISTENER])?;
                let Some((socket, address)) = next else {
                    break;
                };
                if !args.blocking {
                    set_nonblocking(&socket)?;
                }
                let Some(place) = (FIRST..size).find(|&place| clients[place].is_none()) else {
                    complain!("client refused {address}: no place left");
                    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
                    let _ = send(socket.as_raw_fd(), FULL, flags); // it may have gone
                    continue;
                };
                say!("client connected {address}")?;
                let client = Client::new(socket, address);
                entries[place] = client.entry();
                clients[place] = Some(client);
            }
            // ANCHOR_END: admit
        } else if left || ready == 0 {
            entries[LISTENER] = entry(&listener, POLLIN); // if it was paused, there may be a descriptor now
        }
    }
}
