//! Exercise 7/in-the-way, 15 minutes: a server that takes its name only when nobody has it.
//!
//! It greets each client of a local socket. A server that was killed leaves its socket file behind; the next one takes the name all
//! the same. Whatever else has the name stays as it is: a file, a directory, the socket of a server that runs. Then the start is
//! refused.
//!
//! What goes wrong now: with a slip of the pen in the name, somebody's file is gone.
//!
//! `7/stale-file` and `7/not-a-socket` show it. Man pages: unix(7), bind(2), connect(2), unlink(2), stat(2).
//! Your program is checked by `scripts/exercise 7/in-the-way`, as often as you like.

use std::fs::remove_file;
use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use common::{Call, CallError, complain, say};

/// Greets each client
#[derive(Parser)]
struct Args {
    /// The name of the socket file
    #[arg(value_name = "PATH")]
    path: PathBuf,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let name = args.path.display();
    make_room(&args.path)?;
    let listener = UnixListener::bind(&args.path).call(format_args!("bind {name}"))?;
    say!("greeting at {name}")?;
    loop {
        let (mut client, _) = listener.accept().call("accept")?;
        match client.write_all(b"good morning\n").call("write") {
            Ok(()) => say!("greeted a client")?,
            // The end of this client, and of nobody else.
            Err(error) => complain!("{:#}", anyhow::Error::new(error)),
        }
    }
}

/// Removes what may be in the way. What stays makes bind fail.
fn make_room(path: &Path) -> Result<(), CallError> {
    match remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).call(format_args!("unlink {}", path.display()))
        }
        _ => Ok(()),
    }
}
