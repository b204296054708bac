//! A server that takes its time before each answer, so that there is time to end it.

use std::thread::sleep;
use std::time::Duration;

use common::address::{Listen, seconds};
use common::io::{Received, receive, send_all};
use common::text::printable;
use common::{Call, say, tcp};
use nix::errno::Errno;

/// Sends back what one client has sent, after a pause
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// Seconds to wait before each answer: time enough to end this program
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pause: Duration,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let listener = tcp::listen(&args.listen.address())?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    let (connection, _) = tcp::accept(&listener)?;

    let mut message = [0; 1024];
    loop {
        // ANCHOR: answer
        let length = match receive(&connection, &mut message).call("read")? {
            Received::Data(length) => length,
            Received::EndOfFile => break,
            Received::Reset | Received::WouldBlock => {
                return Err(Errno::ECONNRESET).call("read")?;
            }
        };
        say!("received {length} bytes: {}", printable(&message[..length]))?;
        // From here to the answer the client cannot know whether its request was ever looked at.
        sleep(args.pause);
        send_all(&connection, &message[..length]).call("send")?;
        say!("send bytes: {length}")?;
        // ANCHOR_END: answer
    }
    say!("client closed")?;
    Ok(())
}
