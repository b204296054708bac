//! A request in two parts, sent in five ways, and how long the answer takes.

use std::io::IoSlice;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Instant;

use anyhow::{Context, bail};
use clap::ValueEnum;
use common::address::Peer;
use common::io::{Filled, readn, send_all};
use common::{Call, CallError, say, tcp};
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::uio::writev;

use crate::ends::{Ends, Role, finish, read_some, serve};

/// The two parts of a request. The server answers when it has the newline.
const HEAD: &[u8] = b"hello,";
const BODY: &[u8] = b"world\n";
/// A request that begins so asks the server to acknowledge at once.
const QUICK: &[u8] = b"quick,";
const ANSWER: &[u8] = b"ok\n";

/// Sends requests in two parts and prints how long each answer takes
///
/// The first request of a connection is an exception: the kernel does not delay its first acknowledgements.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("end").required(true).args(["host", "serve"])))]
pub struct Args {
    #[command(flatten)]
    ends: Ends,
    /// How the parts are sent; each mode has a connection of its own
    #[arg(long, value_delimiter = ',', default_values = MODES)]
    mode: Vec<Mode>,
    /// How many requests there are on a connection
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    requests: u16,
}

const MODES: [&str; 5] = ["two-writes", "writev", "nodelay", "cork", "quickack"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Two calls of send, and nothing else
    TwoWrites,
    /// One writev for both
    Writev,
    /// Two calls, with TCP_NODELAY: Nagle's algorithm is off
    Nodelay,
    /// Two calls between TCP_CORK on and off: nothing leaves until the cork is pulled
    Cork,
    /// Two calls, and the server sets TCP_QUICKACK when it reads the first part
    Quickack,
}

// ANCHOR: options
/// Turns TCP_CORK or TCP_QUICKACK on or off, tcp(7). nix has no names for them.
fn set(connection: &OwnedFd, option: i32, on: bool) -> Result<(), CallError> {
    let value = libc::c_int::from(on);
    // SAFETY: the kernel reads one integer, and is told its size.
    let outcome = unsafe {
        libc::setsockopt(
            connection.as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    Errno::result(outcome).call("setsockopt")?;
    Ok(())
}
// ANCHOR_END: options

pub fn run(args: &Args) -> anyhow::Result<()> {
    match args.ends.role() {
        Some(Role::Server { listen, rcvbuf }) => serve(&listen, rcvbuf, answer),
        Some(Role::Client(server)) => args
            .mode
            .iter()
            .try_for_each(|&mode| measure(&server, mode, args.requests)),
        None => Ok(()), // clap has asked for one of the two
    }
}

// ANCHOR: answer
fn answer(connection: &OwnedFd) -> anyhow::Result<()> {
    let mut data = [0; 4096];
    let mut requests = 0;
    while let Some(length) = read_some(connection, &mut data)? {
        if data[..length].starts_with(QUICK) {
            // Now, and not for long: the kernel goes back to delayed ACKs when it sees fit.
            set(connection, libc::TCP_QUICKACK, true)?;
        }
        // Whatever the segments are: a newline ends a request.
        let ends = data[..length].iter().filter(|&&byte| byte == b'\n').count();
        send_all(connection, &ANSWER.repeat(ends)).call("send")?;
        requests += ends;
    }
    say!("client closed after {requests} requests")?;
    Ok(())
}
// ANCHOR_END: answer

fn measure(server: &Peer, mode: Mode, requests: u16) -> anyhow::Result<()> {
    let connection = tcp::connect(server)?;
    if mode == Mode::Nodelay {
        setsockopt(&connection, sockopt::TcpNoDelay, &true).call("setsockopt TCP_NODELAY")?;
    }
    let name = mode.to_possible_value().context("a mode has a name")?;
    for number in 1..=requests {
        let began = Instant::now();
        send_request(&connection, mode)?;
        let mut answer = [0; ANSWER.len()];
        match readn(&connection, &mut answer).call("read")? {
            Filled::Full if answer == ANSWER => {}
            Filled::Full => bail!("this is not the server of this lesson"),
            Filled::EndOfFile | Filled::CutOff(_) => bail!("server terminated"),
        }
        let took = began.elapsed().as_secs_f64() * 1e3;
        say!("{} {number}: {took:.2} ms", name.get_name())?;
    }
    Ok(finish(&connection)?)
}

// ANCHOR: send_request
fn send_request(connection: &OwnedFd, mode: Mode) -> Result<(), CallError> {
    let head = match mode {
        Mode::Quickack => QUICK,
        _ => HEAD,
    };
    match mode {
        Mode::Writev => {
            // A dozen bytes find room in an empty send buffer: the count cannot be short.
            writev(connection, &[IoSlice::new(head), IoSlice::new(BODY)]).call("writev")?;
            return Ok(());
        }
        Mode::Cork => set(connection, libc::TCP_CORK, true)?,
        Mode::TwoWrites | Mode::Nodelay | Mode::Quickack => {}
    }
    send_all(connection, head).call("send")?;
    send_all(connection, BODY).call("send")?;
    if mode == Mode::Cork {
        set(connection, libc::TCP_CORK, false)?;
    }
    Ok(())
}
// ANCHOR_END: send_request
