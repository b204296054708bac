//! A receiver that reads only when it is told to, and a sender that has to wait for it.

use std::io::stdin;
use std::os::fd::OwnedFd;

use common::io::Received;
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, complain, say, tcp};
use nix::sys::socket::{setsockopt, sockopt};

use crate::ends::{Ends, Role, finish, read_some, serve};
use crate::info::{tcp_info, unread};

/// The most that one typed number asks for.
const MOST: usize = 1 << 20;

/// Sends many bytes to a server that reads only when it is told to
///
/// Lines that the server knows: "read BYTES" reads once, "read BYTES TIMES" so many times; "all" reads to the end; an
/// empty line only looks. After each it prints what is unread and how large its window is. Ctrl-D is "all" for every
/// client.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("end").required(true).args(["host", "serve"])))]
pub struct Args {
    #[command(flatten)]
    ends: Ends,
    /// How many bytes to send
    #[arg(long, default_value_t = 100_000)]
    bytes: u32,
    /// Ask for a send buffer of this size, SO_SNDBUF
    #[arg(long, value_name = "BYTES")]
    sndbuf: Option<u32>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    match args.ends.role() {
        Some(Role::Server { listen, rcvbuf }) => {
            let mut typed = LineBuffer::new();
            serve(&listen, rcvbuf, |connection| obey(connection, &mut typed))
        }
        Some(Role::Client(server)) => send(&tcp::connect(&server)?, args),
        None => Ok(()), // clap has asked for one of the two
    }
}

/// What is typed to the server.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Look,
    Read { bytes: usize, times: usize },
    All,
}

impl Command {
    fn of(line: &[u8]) -> Option<Self> {
        let words: Vec<_> = str::from_utf8(line).ok()?.split_whitespace().collect();
        let number = |word: &str| {
            word.parse()
                .ok()
                .filter(|number| (1..=MOST).contains(number))
        };
        let read = |bytes, times| Some(Command::Read { bytes, times });
        match words[..] {
            [] => Some(Command::Look),
            ["all"] => Some(Command::All),
            ["read", bytes] => read(number(bytes)?, 1),
            ["read", bytes, times] => read(number(bytes)?, number(times)?),
            _ => None,
        }
    }
}

// ANCHOR: obey
/// Serves one client. Between two commands nobody reads: the kernel receives alone.
fn obey(connection: &OwnedFd, typed: &mut LineBuffer) -> anyhow::Result<()> {
    say!("client connected")?;
    let mut data = vec![0; MOST];
    let mut total = 0;
    while let Some(command) = next_command(typed)? {
        let (size, times) = match command {
            Command::Look => (MOST, 0),
            Command::Read { bytes, times } => (bytes, times),
            Command::All => (MOST, usize::MAX),
        };
        let mut reads = 0;
        while reads < times
            && let Some(length) = read_some(connection, &mut data[..size])?
        {
            total += length as u64;
            reads += 1;
        }
        if reads < times {
            break; // the end of the stream
        }
        let (unread, window) = (unread(connection)?, tcp_info(connection)?.window);
        say!("{reads} reads, {unread} bytes unread, window {window} bytes")?;
    }
    say!("client closed after {total} bytes")?;
    Ok(())
}
// ANCHOR_END: obey

/// The next line that is a command. At the end of input: read everything, then tell that it was the end.
fn next_command(typed: &mut LineBuffer) -> anyhow::Result<Option<Command>> {
    loop {
        while let Some(line) = typed.next_line() {
            match Command::of(&line) {
                None => complain!("unknown command: {}", printable(&line)),
                command => return Ok(command),
            }
        }
        if typed.fill(stdin()).call("read standard input")? == Received::EndOfFile {
            // The last line may have had no newline.
            let last = typed.next_line().and_then(|line| Command::of(&line));
            return Ok(Some(last.unwrap_or(Command::All)));
        }
    }
}

fn send(connection: &OwnedFd, args: &Args) -> anyhow::Result<()> {
    if let Some(asked) = args.sndbuf {
        setsockopt(connection, sockopt::SndBuf, &(asked as usize)).call("setsockopt SO_SNDBUF")?;
    }
    let data: Vec<u8> = (0..args.bytes).map(|number| number as u8).collect();
    common::io::send_all(connection, &data).call("send")?;
    say!("send bytes: {}", data.len())?;
    Ok(finish(connection)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        let read = |bytes, times| Some(Command::Read { bytes, times });
        assert_eq!(Command::of(b""), Some(Command::Look));
        assert_eq!(Command::of(b"all"), Some(Command::All));
        assert_eq!(Command::of(b"read 1"), read(1, 1));
        assert_eq!(Command::of(b" read 2  500 "), read(2, 500));
        for wrong in [
            "read",
            "read 0",
            "read -1",
            "read 9999999",
            "read 1 2 3",
            "write 1",
        ] {
            assert_eq!(Command::of(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(Command::of(b"\xff"), None);
    }
}
