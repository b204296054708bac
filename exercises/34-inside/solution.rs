//! The solution of exercise 34/inside.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use common::address::Listen;
use common::say;
use httpd::{Options, Request, Response, Routes, Server, Status};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

/// Answers requests with the files of a directory
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    listen: Listen,
    /// The directory
    root: PathBuf,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let options = Options {
        stop_on_signals: true,
        ..Default::default()
    };
    let root = fs::canonicalize(&args.root).context("the directory")?;
    let answer = move |request: &Request, response: &mut Response| {
        let name = decoded(request.path());
        match contents(&root, name.strip_prefix(b"/").unwrap_or_default()) {
            Ok(text) => response.content_type("text/plain").body(text),
            Err(_) => response.error(Status::NotFound),
        };
    };
    let routes = Routes::new().otherwise(answer);
    let server = Server::bind(&args.listen.address(), options, routes.handler())?;
    if let Some(address) = server.local_address() {
        say!("listening on {address}")?;
    }
    Ok(server.run()?)
}

/// A path with each `%2f` made the byte that it stands for.
fn decoded(path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, behind @ ..] = rest {
        let digits = behind.get(..2).filter(|_| *first == b'%');
        let digits = digits.and_then(|digits| str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &behind[2..] } else { behind };
    }
    bytes
}

// ANCHOR: answer
/// What a file inside the directory contains. The name comes from a client.
fn contents(root: &Path, name: &[u8]) -> io::Result<Vec<u8>> {
    // The kernel walks the path, so the kernel sees where it leads: over "..", over a link, or over a name that begins with a
    // slash, which `join` takes for the whole path. A check of the text has to think of all of them.
    let directory = File::open(root)?;
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH);
    let mut file = File::from(openat2(&directory, OsStr::from_bytes(name), how)?);
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(text)
}
// ANCHOR_END: answer
