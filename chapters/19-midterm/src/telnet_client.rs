//! A client: a line typed is a command sent, and its reply is printed before the next one goes out.

use std::io::stdin;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use anyhow::bail;
use common::address::{PORT, Peer};
use common::io::{Received, receive, send_all};
use common::lines::LineBuffer;
use common::output::OutputError;
use common::text::printable;
use common::{Call, say, tcp};
use midterm::reply::Replies;
use nix::errno::Errno;
use nix::sys::select::{FdSet, select};
use nix::sys::socket::{Shutdown, shutdown};

/// Sends each line that is typed as a command, and prints the reply; quit and Ctrl-D end it
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address or name of the server
    #[arg(value_name = "ADDR")]
    host: String,
    /// Port of the server
    #[arg(value_name = "PORT", default_value_t = PORT)]
    port: u16,
    /// Take no more than so many bytes with each read
    #[arg(long, value_name = "BYTES", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    at_most: u32,
    /// Take what one read brings for the whole reply: wrong on purpose
    #[arg(long)]
    read_once: bool,
}

/// Where the conversation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A line may be typed.
    Typing,
    /// A command has gone out, its reply is not here.
    Waiting,
    /// We have said our last word, and wait for the end of file.
    Leaving,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let server = Peer {
        host: args.host.clone(),
        port: args.port,
    };
    let connection = tcp::connect(&server)?;
    let (mut typed, mut typed_all) = (LineBuffer::new(), false);
    let (mut replies, mut buffer) = (Replies::default(), vec![0; args.at_most as usize]);
    let mut state = State::Typing;
    loop {
        // ANCHOR: typed
        // Lines that are here already: select does not see them.
        while state == State::Typing
            && let Some(line) = typed.next_line()
        {
            send_all(&connection, &[&line[..], b"\n"].concat()).call("send")?;
            state = State::Waiting;
            if line.trim_ascii() == b"quit" {
                state = leave(&connection)?;
            }
        }
        if typed_all && state == State::Typing {
            state = leave(&connection)?; // Ctrl-D: every command has its reply
        }
        // ANCHOR_END: typed

        // ANCHOR: select
        // While a line may be typed the server may end, too: then there are two things to wait for.
        if state == State::Typing {
            let keyboard = stdin();
            let mut ready = FdSet::new();
            ready.insert(connection.as_fd());
            ready.insert(keyboard.as_fd());
            match select(None, &mut ready, None, None, None) {
                Err(Errno::EINTR) => continue,
                outcome => outcome.call("select")?,
            };
            if ready.contains(keyboard.as_fd()) {
                let received = typed.fill(&keyboard).call("read standard input")?;
                typed_all = received == Received::EndOfFile;
            }
            if !ready.contains(connection.as_fd()) {
                continue;
            }
        }
        // ANCHOR_END: select

        // ANCHOR: replies
        let length = match receive(&connection, &mut buffer).call("read")? {
            Received::Data(length) => length,
            Received::EndOfFile if replies.unfinished() > 0 => {
                bail!(
                    "server terminated after {} bytes of a reply",
                    replies.unfinished()
                )
            }
            Received::EndOfFile if state == State::Leaving => return Ok(()),
            Received::EndOfFile => bail!("server terminated"),
            Received::Reset | Received::WouldBlock => Err(Errno::ECONNRESET).call("read")?,
        };
        let data = &buffer[..length];
        if args.read_once {
            print(data)?;
            state = state.after_a_reply();
            continue;
        }
        replies.push(data);
        while let Some(reply) = replies.next_reply()? {
            print(&reply)?;
            state = state.after_a_reply();
        }
        // ANCHOR_END: replies
    }
}

impl State {
    fn after_a_reply(self) -> Self {
        match self {
            State::Leaving => State::Leaving,
            State::Typing | State::Waiting => State::Typing,
        }
    }
}

fn leave(connection: &OwnedFd) -> anyhow::Result<State> {
    match shutdown(connection.as_raw_fd(), Shutdown::Write) {
        Ok(()) | Err(Errno::ENOTCONN) => Ok(State::Leaving), // not connected: the server was quicker
        outcome => outcome
            .call("shutdown")
            .map(|()| State::Leaving)
            .map_err(Into::into),
    }
}

/// Prints a reply. A name may hold any byte but two, so what would steer the terminal is shown as an escape.
fn print(reply: &[u8]) -> Result<(), OutputError> {
    let lines = reply.strip_suffix(b"\n").unwrap_or(reply);
    let lines = lines
        .split(|&byte| byte == b'\n')
        .map(|line| printable(line).to_string());
    match reply {
        [] => Ok(()),
        _ => say!("{}", lines.collect::<Vec<_>>().join("\n")),
    }
}
