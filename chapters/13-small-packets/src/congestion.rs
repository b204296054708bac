//! The congestion control of a connection: which there are, and how the window of one grows.

use std::ffi::OsString;
use std::fs::read_to_string;
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use common::address::{Peer, seconds};
use common::{Call, CallError, say, tcp};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, getsockopt, send, setsockopt, sockopt};

use crate::ends::{Ends, Role, finish, read_some, serve};
use crate::info::{Info, tcp_info};

/// Lists the congestion controls; with ADDR, sends many bytes and prints the congestion window over time
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    ends: Ends,
    /// Use this congestion control (TCP_CONGESTION) and not the system's default
    #[arg(long, value_name = "NAME")]
    set: Option<OsString>,
    /// How many bytes to send
    #[arg(long, default_value_t = 1_000_000)]
    bytes: u32,
    /// Seconds between two looks at the window, to the millisecond
    #[arg(long, value_name = "SECONDS", default_value = "0.01", value_parser = seconds)]
    interval: Duration,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    match args.ends.role() {
        Some(Role::Server { listen, rcvbuf }) => serve(&listen, rcvbuf, read_all),
        Some(Role::Client(server)) => watch(&server, args),
        None => list(),
    }
}

fn read_all(connection: &OwnedFd) -> anyhow::Result<()> {
    let mut data = vec![0; 1 << 16];
    let mut total = 0;
    while let Some(length) = read_some(connection, &mut data)? {
        total += length;
    }
    say!("client closed after {total} bytes")?;
    Ok(())
}

// ANCHOR: list
/// What the kernel has, what everybody may use, and what a new socket gets: tcp(7).
fn list() -> anyhow::Result<()> {
    for (what, file) in [
        ("available", "tcp_available_congestion_control"),
        ("allowed for everybody", "tcp_allowed_congestion_control"),
        ("default", "tcp_congestion_control"),
    ] {
        let path = format!("/proc/sys/net/ipv4/{file}");
        match read_to_string(&path) {
            Ok(names) => say!("{what}: {}", names.trim())?,
            // A kernel may not show one of them in a network namespace.
            Err(error) if error.kind() == ErrorKind::NotFound => say!("{what}: not shown here")?,
            Err(error) => Err(error).call(format_args!("read {path}"))?,
        }
    }
    Ok(())
}
// ANCHOR_END: list

fn watch(server: &Peer, args: &Args) -> anyhow::Result<()> {
    let connection = connect(server, args.set.as_ref())?;
    let name = getsockopt(&connection, sockopt::TcpCongestion).call("getsockopt TCP_CONGESTION")?;
    say!("congestion control: {}", name.to_string_lossy())?;

    let data = vec![b'a'; args.bytes as usize];
    let mut rest = &data[..];
    let began = Instant::now();
    let mut looks = Looks::default();
    // ANCHOR: watch
    loop {
        let info = tcp_info(&connection)?;
        looks.at(began.elapsed(), info)?;
        if rest.is_empty() && info.unacked == 0 {
            break;
        }
        let next = Instant::now() + args.interval;
        // The kernel takes what its buffer has room for; from then on it is the windows that decide when that leaves.
        while let Some(count) = send_some(&connection, rest, next)? {
            rest = &rest[count..];
        }
    }
    // ANCHOR_END: watch
    let took = began.elapsed().as_millis();
    finish(&connection)?; // which fails where nothing is under way because the connection was reset
    say!("{} bytes acknowledged after {took} ms", data.len())?;
    Ok(())
}

// ANCHOR: connect
/// Connects with this congestion control. It is set before: once a connection has begun with bbr, its segments are spread
/// over time (sk_pacing_status in the kernel), and they remain so when it changes to another.
fn connect(server: &Peer, congestion: Option<&OsString>) -> Result<OwnedFd, CallError> {
    let mut outcome = None;
    for address in server.resolve()? {
        let connection = tcp::stream_socket(&address)?;
        if let Some(name) = congestion {
            setsockopt(&connection, sockopt::TcpCongestion, name)
                .call(format_args!("setsockopt TCP_CONGESTION {}", name.display()))?;
        }
        match tcp::connect_socket(&connection, &address) {
            Ok(()) => return Ok(connection),
            Err(error) => outcome = Some(error),
        }
    }
    Err(outcome.expect("a resolved peer has at least one address"))
}
// ANCHOR_END: connect

/// Waits until there is room or the time has come, and sends what there is room for. `None` when the time has come.
fn send_some(
    connection: &OwnedFd,
    data: &[u8],
    until: Instant,
) -> Result<Option<usize>, CallError> {
    let left = until.saturating_duration_since(Instant::now());
    let writable = match data {
        [] => PollFlags::empty(),
        _ => PollFlags::POLLOUT,
    };
    let mut wait = [PollFd::new(connection.as_fd(), writable)];
    match poll(
        &mut wait,
        PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX),
    ) {
        Ok(0) => return Ok(None),
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error).call("poll"),
    }
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    match send(connection.as_raw_fd(), data, flags) {
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(Some(0)),
        outcome => outcome.call("send").map(Some),
    }
}

/// What was printed last.
#[derive(Default)]
struct Looks(Option<(u32, Option<u32>)>);

impl Looks {
    /// Prints the window when it is not what it was.
    fn at(&mut self, time: Duration, info: Info) -> anyhow::Result<()> {
        let seen = (info.cwnd, info.ssthresh);
        if self.0.replace(seen) == Some(seen) {
            return Ok(());
        }
        let ssthresh = info
            .ssthresh
            .map_or("none".into(), |segments| segments.to_string());
        say!(
            "{} ms: cwnd {}, ssthresh {ssthresh}, under way {} segments, peer's window {} bytes",
            time.as_millis(),
            info.cwnd,
            info.unacked,
            info.peer_window
        )?;
        Ok(())
    }
}
