//! A client that ends the connection as it is told: both directions at once (`close`) or only its own (`shutdown`).

use std::io::stdin;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::thread::sleep;
use std::time::Duration;

use common::address::{Peer, seconds};
use common::io::{Received, receive, writen};
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, say, tcp};
use nix::errno::Errno;
use nix::sys::select::{FdSet, select};
use nix::sys::socket::{Shutdown, shutdown};

/// Sends each line that is typed and prints the answers; the lines "close" and "shutdown" end the connection
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Peer,
    /// Seconds to stay after "close", to show that it is the kernel and not this program that answers late data
    #[arg(long, value_name = "SECONDS", default_value = "6", value_parser = seconds)]
    stay: Duration,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let connection = tcp::connect(&args.server)?;
    let stdin = stdin();
    let mut typed = LineBuffer::new();
    let mut may_send = true;
    loop {
        // ANCHOR: select
        // select(2) overwrites the set with what is ready, so each round begins with a new one. It is told of the
        // keyboard only as long as there may be something to send.
        let mut ready = FdSet::new();
        ready.insert(connection.as_fd());
        if may_send {
            ready.insert(stdin.as_fd());
        }
        match select(None, &mut ready, None, None, None) {
            Err(Errno::EINTR) => continue,
            outcome => outcome.call("select")?,
        };
        // ANCHOR_END: select

        if ready.contains(connection.as_fd()) {
            let mut answer = [0; 4096];
            match receive(&connection, &mut answer).call("read")? {
                Received::Data(length) => say!("{}", printable(&answer[..length]))?,
                Received::EndOfFile => {
                    say!("server terminated")?;
                    return Ok(());
                }
                Received::Reset | Received::WouldBlock => Err(Errno::ECONNRESET).call("read")?,
            }
        }

        if may_send && ready.contains(stdin.as_fd()) {
            let ended = typed.fill(&stdin).call("read standard input")? == Received::EndOfFile;
            // Every line that this read brought: select does not see what is already in our buffer.
            while let Some(line) = typed.next_line() {
                match line.as_slice() {
                    // ANCHOR: endings
                    b"shutdown" => {
                        shutdown(connection.as_raw_fd(), Shutdown::Write).call("shutdown")?;
                        may_send = false;
                        break;
                    }
                    b"close" => {
                        drop(connection); // close(2): the last descriptor of this socket
                        sleep(args.stay);
                        return Ok(());
                    }
                    // ANCHOR_END: endings
                    line => send_line(&connection, line)?,
                }
            }
            if ended && may_send {
                // End of input means that we have nothing more to say; the answers to what we said may still come.
                shutdown(connection.as_raw_fd(), Shutdown::Write).call("shutdown")?;
                may_send = false;
            }
        }
    }
}

fn send_line(connection: &OwnedFd, line: &[u8]) -> anyhow::Result<()> {
    say!("now sending {}", printable(line))?;
    writen(connection, line).call("write")?;
    say!("send bytes: {}", line.len())?;
    Ok(())
}
