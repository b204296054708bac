//! Exercise midterm/own-place, 15 minutes: a place for each client in the tree of directories.
//!
//! Each client has a thread, begins in the directory that the server was started in, and moves with `cd`: `pwd` says where it is.
//! A `cd` that fails is answered with an error, and moves nobody.
//!
//! What goes wrong now: when one client moves, all move.
//!
//! `midterm/second-client` and `27/commands` show it. Man pages: chdir(2), openat(2), proc_pid_fd(5).
//! Your program is checked by `scripts/exercise midterm/own-place`, as often as you like.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, thread};

use anyhow::Context;
use clap::Parser;
use common::address::Listen;
use common::io::{Received, send_all};
use common::lines::LineBuffer;
use common::{Call, complain, say, tcp};

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

/// Where a client is.
struct Place;

impl Place {
    /// The directory that the server was started in.
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    /// Goes to a directory, which is named as seen from here.
    fn moves(&mut self, to: &OsStr) -> io::Result<()> {
        env::set_current_dir(to)
    }

    /// The name of the directory.
    fn path(&self) -> io::Result<PathBuf> {
        env::current_dir()
    }
}
