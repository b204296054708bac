//! The solution of exercise 7/in-the-way.

use std::fs::{remove_file, symlink_metadata};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
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

// ANCHOR: answer
/// Removes what may be in the way. What stays makes bind fail.
fn make_room(path: &Path) -> Result<(), CallError> {
    // Of the name itself: a symbolic link is not ours, wherever it leads.
    let is_socket = symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    // Whether somebody listens is what connect finds out. Only a refusal says that nobody does; another error says nothing.
    let refused = |error: std::io::Error| error.kind() == ErrorKind::ConnectionRefused;
    if is_socket && UnixStream::connect(path).is_err_and(refused) {
        remove_file(path).call(format_args!("unlink {}", path.display()))?;
    }
    Ok(())
}
// ANCHOR_END: answer
