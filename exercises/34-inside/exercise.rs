//! Exercise 34/inside, 15 minutes: a server that gives out one directory, and nothing else.
//!
//! `GET /page.txt` is answered with that file of the directory, and so is what lies in a directory below. In a path `%20` stands for
//! a blank, and so on for every byte (RFC 3986, section 2.1). What is not there, or not inside, is 404.
//!
//! What goes wrong now: a client can read every file that the server can.
//!
//! `34/bad-requests` shows what else clients send. Man pages: path_resolution(7), openat2(2), symlink(7); `std::path::Path::join`.
//! Your program is checked by `scripts/exercise 34/inside`, as often as you like.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use common::address::Listen;
use common::say;
use httpd::{Options, Request, Response, Routes, Server, Status};

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

/// What a file inside the directory contains. The name comes from a client.
fn contents(root: &Path, name: &[u8]) -> io::Result<Vec<u8>> {
    fs::read(root.join(OsStr::from_bytes(name)))
}
