//! What a child does: one client, in blocking calls, from its first byte to its last.

use std::os::fd::OwnedFd;

use common::io::{Received, receive, send_all};
use common::text::rot13;
use common::{Call, CallError};
use nix::errno::Errno;

// ANCHOR: serve
/// Answers each letter with the one 13 places on. A line may be as long as it likes: what has come is answered, and
/// nothing is collected.
pub fn serve(connection: &OwnedFd) -> Result<(), CallError> {
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
