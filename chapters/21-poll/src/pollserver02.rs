//! A server for many clients whose array of descriptors grows with them.

use common::address::Listen;
use common::descriptors::raise_limit;
use common::io::set_nonblocking;
use common::signal::StopSignal;
use common::{say, tcp};
use libc::POLLIN;

use crate::client::{AT_ONCE, Client, PAUSE, next_client};
use crate::pollfd::{entry, poll};

/// Sends back to each client what it sends, to as many clients as there are descriptors for
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
}

const LISTENER: usize = 0;
const STOP: usize = 1;
/// The entry of the first client.
const FIRST: usize = 2;

pub fn run(args: &Args) -> anyhow::Result<()> {
    raise_limit()?; // otherwise the array would have no end, and the descriptors would at 1024
    let stop = StopSignal::new()?;
    let listener = tcp::listen(&args.listen.address())?;
    // A connection may be gone between poll and accept, which must not wait for the next one then: chapter 22.
    set_nonblocking(&listener)?;
    say!("listening on {}", tcp::local_address(&listener)?)?;

    // ANCHOR: arrays
    let mut entries = vec![entry(&listener, POLLIN), entry(&stop, POLLIN)];
    // The client of entry FIRST + i is clients[i]. Nobody else may hold on to an index: clients move.
    let mut clients: Vec<Client> = Vec::new();
    // ANCHOR_END: arrays
    loop {
        let wait = (entries[LISTENER].fd < 0).then_some(PAUSE);
        let mut ready = poll(&mut entries, wait)?;
        if entries[STOP].revents != 0 && stop.received()?.is_some() {
            return Ok(());
        }
        let (before, silent) = (clients.len(), ready == 0);
        // ANCHOR: leave
        // From the end: the last one takes the place of one that leaves, and it has had its turn.
        for index in (0..clients.len()).rev() {
            if ready == 0 {
                break;
            }
            if entries[FIRST + index].revents == 0 {
                continue;
            }
            ready -= 1;
            clients[index].serve()?;
            entries[FIRST + index].events = clients[index].events();
            if clients[index].is_gone() {
                clients.swap_remove(index); // this closes the socket
                entries.swap_remove(FIRST + index);
            }
        }
        // ANCHOR_END: leave
        if entries[LISTENER].revents != 0 {
            // ANCHOR: admit
            for _ in 0..AT_ONCE {
                let next = next_client(&listener, &mut entries[LISTENER])?;
                let Some((socket, address)) = next else {
                    break;
                };
                set_nonblocking(&socket)?;
                say!("client connected {address}")?;
                let client = Client::new(socket, address);
                entries.push(client.entry()); // both arrays double when they are full, and move
                clients.push(client);
            }
            // ANCHOR_END: admit
        } else if clients.len() < before || silent {
            entries[LISTENER] = entry(&listener, POLLIN); // if it was paused, there may be a descriptor now
        }
    }
}
