//! A server that reads into a buffer of 128 bytes, whatever comes, and answers the line "quit".

use std::os::fd::{AsRawFd, OwnedFd};

use common::address::Listen;
use common::io::{Received, receive, send_all};
use common::output::OutputError;
use common::text::printable;
use common::{Call, complain, say, tcp};
use nix::errno::Errno;
use nix::sys::socket::{Shutdown, shutdown};

use crate::room::Room;

/// Prints what one client after the other sends, and answers the line "quit" with COMMAND OK
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// Write a 0 behind what was read, as strings of C have it: wrong on purpose
    #[arg(long)]
    terminate: bool,
    /// Put a page behind the buffer that nobody may touch, and check nothing, as in C: a byte too far ends the program
    #[arg(long)]
    guard: bool,
    /// Send the 0 that ends the answer too, as sizeof counts it: wrong on purpose
    #[arg(long)]
    sizeof: bool,
}

const SIZE: usize = 128;

/// What is sent is the first ten bytes: strlen, not sizeof.
pub const ANSWER: &[u8] = b"COMMAND OK";

pub fn run(args: &Args) -> anyhow::Result<()> {
    let listener = tcp::listen(&args.listen.address())?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    loop {
        let (connection, client) = tcp::accept(&listener)?;
        let outcome = serve(&connection, args);
        drop(connection); // close(2): the client need not wait for our words
        match outcome {
            Ok(()) => say!("client closed")?,
            Err(error) if error.is::<OutputError>() => return Err(error),
            // The end of this client, and of nobody else.
            Err(error) => complain!("client {client}: {error:#}"),
        }
    }
}

fn serve(connection: &OwnedFd, args: &Args) -> anyhow::Result<()> {
    let mut buffer = Room::new(SIZE, args.guard)?;
    let mut commands = Commands::default();
    loop {
        // ANCHOR: read
        // All 128 bytes may be filled. What does not fit waits in the kernel for the next read.
        let length = match receive(connection, buffer.bytes()).call("read")? {
            Received::Data(length) => length,
            Received::EndOfFile => return Ok(()),
            Received::Reset | Received::WouldBlock => Err(Errno::ECONNRESET).call("read")?,
        };
        if args.terminate {
            buffer.put(length, 0)?; // after 128 bytes this is byte 128, the 129th
        }
        // Here the length ends the data, and no byte in it is special.
        let data = &buffer.bytes()[..length];
        // ANCHOR_END: read
        say!("received {length} bytes: {}", printable(data))?;
        if data.iter().any(|&byte| commands.ends_quit(byte)) {
            say!("client quit")?;
            answer(connection, args.sizeof)?;
        }
    }
}

// ANCHOR: answer
/// Answers and ends our direction: the client sees where the answer ends. We go on reading to
/// the end, because what is left unread would turn our FIN into a reset, chapter 11.
fn answer(connection: &OwnedFd, sizeof: bool) -> anyhow::Result<()> {
    let mut answer = ANSWER.to_vec();
    if sizeof {
        answer.push(0);
    }
    send_all(connection, &answer).call("send")?;
    shutdown(connection.as_raw_fd(), Shutdown::Write).call("shutdown")?;
    Ok(())
}
// ANCHOR_END: answer

// ANCHOR: commands
/// Finds the line "quit" in whatever pieces it comes, once, and remembers no more than that
/// takes.
#[derive(Debug, Default)]
struct Commands {
    line: Vec<u8>,
    quit: bool,
}

impl Commands {
    /// Takes the next byte. True if it ends the first line that is "quit".
    fn ends_quit(&mut self, byte: u8) -> bool {
        const QUIT: [&[u8]; 2] = [b"quit", b"quit\r"]; // telnet sends CR LF
        if byte != b'\n' {
            // A line that is longer than this is another one, whatever follows.
            if self.line.len() <= QUIT[1].len() {
                self.line.push(byte);
            }
            return false;
        }
        let found = !self.quit && QUIT.contains(&&self.line[..]);
        self.quit |= found;
        self.line.clear();
        found
    }
}
// ANCHOR_END: commands

#[cfg(test)]
mod tests {
    use super::*;

    fn quits(stream: &[u8]) -> usize {
        let mut commands = Commands::default();
        let quits = stream.iter().filter(|&&byte| commands.ends_quit(byte));
        quits.count()
    }

    #[test]
    fn only_the_line_quit_is_quit() {
        for stream in [
            &b"quit\n"[..],
            b"quit\r\n",
            b"data1\nquit\n",
            b"quit\nquit\n",
        ] {
            assert_eq!(quits(stream), 1, "{}", printable(stream));
        }
        for stream in [
            &b"quit"[..],
            b"quitter\n",
            b"quit \n",
            b"quit\0\n",
            b"\0quit\n",
            b"QUIT\n",
            b"quit\r\r\n",
            b"xxxxxxxxquit\n",
        ] {
            assert_eq!(quits(stream), 0, "{}", printable(stream));
        }
    }
}
