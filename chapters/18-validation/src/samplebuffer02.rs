//! A client whose message says that it is far longer than it is.

use common::address::Peer;
use common::io::{Received, receive, send_all};
use common::text::printable;
use common::{Call, say, tcp};
use nix::errno::Errno;

/// Sends one message of lesson 16 with a length that is not true, and waits for what the server makes of it
///
/// The server is streamserver of chap-16. With --limit 4294967295 it believes every length.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Peer,
    /// The length that the message announces
    #[arg(long, value_name = "LENGTH", default_value_t = 65535)]
    announce: u32,
}

/// The body: 12 bytes.
const TEXT: &[u8] = b"just for fun";

/// The type that lesson 16 gives its messages.
const TYPE: u32 = 1;

pub fn run(args: &Args) -> anyhow::Result<()> {
    let connection = tcp::connect(&args.server)?;
    // ANCHOR: message
    // Length, type, body: nothing in TCP compares the first with the last.
    let message = [&args.announce.to_be_bytes()[..], &TYPE.to_be_bytes(), TEXT].concat();
    // ANCHOR_END: message
    let (announced, true_length) = (args.announce, TEXT.len());
    say!(
        "now sending {true_length} bytes of {announced}: {}",
        printable(TEXT)
    )?;
    send_all(&connection, &message).call("send")?;
    say!("send bytes: {}", message.len())?;
    // It sends nothing more and does not leave: that is what the lie needs.
    let mut unexpected = [0; 4096];
    loop {
        match receive(&connection, &mut unexpected).call("read")? {
            Received::Data(length) => say!("{}", printable(&unexpected[..length]))?,
            Received::EndOfFile => {
                say!("server terminated")?;
                return Ok(());
            }
            Received::Reset | Received::WouldBlock => Err(Errno::ECONNRESET).call("read")?,
        }
    }
}
