//! The solution of exercise midterm/own-place.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use anyhow::Context;
use clap::Parser;
use common::address::Listen;
use common::io::{Received, send_all};
use common::lines::LineBuffer;
use common::{Call, complain, say, tcp};
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;

/// Carries out cd and pwd for many clients at once
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    listen: Listen,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let listener = tcp::listen(&args.listen.address())?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    loop {
        let (connection, client) = tcp::accept(&listener)?;
        let serve = move || {
            if let Err(error) = serve(&connection) {
                complain!("client {client}: {error:#}");
            }
        };
        thread::Builder::new().spawn(serve).context("no thread")?;
    }
}

/// One client, to its end.
fn serve(connection: &OwnedFd) -> anyhow::Result<()> {
    let mut place = Place::new()?;
    let mut typed = LineBuffer::new();
    while let Received::Data(_) = typed.fill(connection).call("read")? {
        while let Some(line) = typed.next_line() {
            let reply = answer(&mut place, &line);
            let reply = reply.unwrap_or_else(|error| format!("error: {error}"));
            send_all(connection, format!("{reply}\n").as_bytes()).call("send")?;
        }
    }
    Ok(())
}

/// The reply to a command: one line.
fn answer(place: &mut Place, line: &[u8]) -> io::Result<String> {
    let command = line.trim_ascii();
    if command == b"pwd" {
        Ok(place.path()?.display().to_string())
    } else if let Some(to) = command.strip_prefix(b"cd ") {
        place.moves(OsStr::from_bytes(to))?;
        Ok("moved".into())
    } else {
        Err(io::Error::other("unknown command"))
    }
}

// ANCHOR: answer
/// Where a client is: a descriptor that only stands for a directory. The working directory is one for a whole process,
/// whatever its threads are about.
struct Place {
    here: OwnedFd,
}

/// O_DIRECTORY: what is no directory is an error.
const DIRECTORY: OFlag = OFlag::O_PATH
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

impl Place {
    /// The directory that the server was started in.
    fn new() -> io::Result<Self> {
        let here = openat(AT_FDCWD, ".", DIRECTORY, Mode::empty())?; // nobody has moved the process
        Ok(Self { here })
    }

    /// Goes to a directory, which is named as seen from here.
    fn moves(&mut self, to: &OsStr) -> io::Result<()> {
        self.here = openat(&self.here, to, DIRECTORY, Mode::empty())?;
        Ok(())
    }

    /// The name of the directory.
    fn path(&self) -> io::Result<PathBuf> {
        fs::read_link(format!("/proc/self/fd/{}", self.here.as_raw_fd()))
    }
}
// ANCHOR_END: answer
