//! What a thread does for a client: blocking calls, from the first byte to the last.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::thread::sleep;
use std::time::Duration;

use common::io::{Received, receive, send_all};
use common::text::rot13;
use common::{Call, CallError, complain, tcp};
use nix::errno::Errno;

// ANCHOR: serve
/// Answers each letter with the one 13 places on, of any line however long. Whatever goes wrong with this client ends this
/// client.
pub fn serve(connection: &OwnedFd, client: SocketAddr) {
    if let Err(error) = answer(connection) {
        complain!("Error: {client}: {:#}", anyhow::Error::new(error));
    }
}

/// The loop of lesson 25, as it is: what differs is who runs it.
fn answer(connection: &OwnedFd) -> Result<(), CallError> {
    let mut message = [0; 4096];
    loop {
        let text = match receive(connection, &mut message).call("read")? {
            Received::Data(length) => &mut message[..length],
            Received::EndOfFile => return Ok(()),
            Received::Reset | Received::WouldBlock => Err(Errno::ECONNRESET).call("read")?,
        };
        for byte in text.iter_mut() {
            *byte = rot13(*byte);
        }
        send_all(connection, text).call("send")?;
    }
}
// ANCHOR_END: serve

/// Waits for the next client. Where there is no descriptor for it, it waits too: the others have theirs.
pub fn next_client(listener: &OwnedFd) -> Result<(OwnedFd, SocketAddr), CallError> {
    loop {
        match tcp::accept(listener) {
            Err(error) if error.is_shortage() => {
                complain!("Error: {:#}", anyhow::Error::new(error));
                sleep(Duration::from_millis(100)); // it would fail again at once
            }
            accepted => return accepted,
        }
    }
}
