//! A server that carries out the commands of one client after the other.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::bail;
use common::address::{Listen, seconds};
use common::io::{Received, receive, send_all};
use common::output::OutputError;
use common::text::printable;
use common::{Call, CallError, complain, say, tcp};
use midterm::commands::{Answer, Shell, working_directory};
use midterm::line_reader::{LONGEST, Line, LineReader};
use midterm::reply::frame;
use nix::errno::Errno;
use nix::sys::socket::{Shutdown, setsockopt, shutdown, sockopt};
use nix::sys::time::TimeVal;

/// Carries out pwd, cd, ls and quit for one client after the other
///
/// It starts each client in the directory that the server was started in. Each reply is its length, a newline, and so
/// many bytes. There is no password: whoever can connect can see the names of the files that the server may see.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// Seconds without a word from a client, or without its taking a reply, after which it has to go; 0 for no limit
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    idle: Duration,
    /// Let the next client begin where the last one was, as with one chdir(2) for all: wrong on purpose
    #[arg(long)]
    keep: bool,
    /// Compare only as many bytes of a command as have come, so that "l" runs ls: wrong on purpose
    #[arg(long)]
    prefix: bool,
}

/// How long a client that has quit may take to end its side.
const PARTING: Duration = Duration::from_secs(1);

// ANCHOR: clients
pub fn run(args: &Args) -> anyhow::Result<()> {
    let start = working_directory()?;
    let mut kept = Shell::new(&start, args.prefix)?;
    let listener = tcp::listen(&args.listen.address())?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    loop {
        let (connection, client) = tcp::accept(&listener)?;
        if !args.keep {
            kept = Shell::new(&start, args.prefix)?;
        }
        let outcome = serve(&connection, &mut kept, args.idle);
        drop(connection); // close(2): the client need not wait for our words
        match outcome {
            Ok(ending) => say!("client {ending}")?,
            Err(error) if error.is::<OutputError>() => return Err(error),
            // The end of this client, and of nobody else.
            Err(error) => complain!("client {client}: {error:#}"),
        }
    }
}
// ANCHOR_END: clients

// ANCHOR: serve
/// One client, to its end.
fn serve(connection: &OwnedFd, shell: &mut Shell, idle: Duration) -> anyhow::Result<&'static str> {
    set_limits(connection, idle)?;
    let (mut lines, mut buffer) = (LineReader::default(), [0; 4096]);
    loop {
        let length = match receive(connection, &mut buffer).call("read")? {
            Received::Data(length) => length,
            Received::EndOfFile if lines.in_a_line() => bail!("cut off in the middle of a command"),
            Received::EndOfFile => return Ok("closed"),
            Received::WouldBlock => bail!("silent for {} s", idle.as_secs_f64()),
            Received::Reset => Err(Errno::ECONNRESET).call("read")?,
        };
        // One read may bring a part of a command, or several.
        for line in buffer[..length].iter().filter_map(|&byte| lines.push(byte)) {
            let answer = match line {
                Line::Whole(line) => {
                    say!("received {} bytes: {}", line.len(), printable(&line))?;
                    shell.run(&line)
                }
                Line::TooLong => {
                    say!("received a line that is too long")?;
                    let refusal = format!("error: a command has {LONGEST} bytes at most\n");
                    Answer::Reply(refusal.into())
                }
            };
            match answer {
                Answer::Reply(reply) => send_all(connection, &frame(&reply)).call("send")?,
                Answer::Quit => return part(connection).map(|()| "quit"),
            }
        }
    }
}
// ANCHOR_END: serve

/// SO_RCVTIMEO and SO_SNDTIMEO, socket(7): while this client is served, every other one waits.
fn set_limits(connection: &OwnedFd, limit: Duration) -> Result<(), CallError> {
    // 0 means no limit; so a limit that rounds to it becomes the shortest there is.
    let micros = match limit {
        Duration::ZERO => 0,
        limit => limit.as_micros().max(1),
    };
    let limit = TimeVal::new((micros / 1_000_000) as i64, (micros % 1_000_000) as i64);
    setsockopt(connection, sockopt::ReceiveTimeout, &limit).call("setsockopt SO_RCVTIMEO")?;
    setsockopt(connection, sockopt::SendTimeout, &limit).call("setsockopt SO_SNDTIMEO")
}

// ANCHOR: part
/// Ends our side, and reads to the end of the other: a close with something unread would be a reset, and the last reply
/// could be lost on its way, chapter 11. For a moment only, because others wait.
fn part(connection: &OwnedFd) -> anyhow::Result<()> {
    match shutdown(connection.as_raw_fd(), Shutdown::Write) {
        Ok(()) | Err(Errno::ENOTCONN) => {} // it has gone already
        outcome => outcome.call("shutdown")?,
    }
    set_limits(connection, PARTING)?;
    let (end, mut rest) = (Instant::now() + PARTING, [0; 4096]);
    while Instant::now() < end
        && let Received::Data(_) = receive(connection, &mut rest).call("read")?
    {}
    Ok(())
}
// ANCHOR_END: part
