//! A connection on which nothing is said, watched by the kernel: SO_KEEPALIVE, tcp(7).

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use common::address::{Listen, Peer, seconds};
use common::io::{Received, receive};
use common::text::printable;
use common::{Call, CallError, say, tcp};
use nix::errno::Errno;
use nix::sys::socket::{getsockopt, setsockopt, sockopt};

/// Waits in read until the peer speaks, closes, or is found to be dead
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, clap::Subcommand)]
enum Role {
    /// Takes one connection and keeps watch over it
    Server {
        #[command(flatten)]
        listen: Listen,
        #[command(flatten)]
        options: Options,
    },
    /// Opens a connection and keeps watch over it
    Client {
        #[command(flatten)]
        server: Peer,
        #[command(flatten)]
        options: Options,
    },
}

#[derive(Debug, clap::Args)]
struct Options {
    /// Leave SO_KEEPALIVE off, as it is when nobody asks for it
    #[arg(long)]
    off: bool,
    /// Seconds of silence before the first probe (TCP_KEEPIDLE), whole ones
    #[arg(long, value_name = "SECONDS", value_parser = whole_seconds)]
    idle: Option<u32>,
    /// Seconds between probes (TCP_KEEPINTVL), whole ones
    #[arg(long, value_name = "SECONDS", value_parser = whole_seconds)]
    interval: Option<u32>,
    /// How many probes without an answer are the end (TCP_KEEPCNT)
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=127))]
    probes: Option<u32>,
    /// Seconds that data, or a probe, may stay without an answer (TCP_USER_TIMEOUT), to the millisecond; 0: no limit
    #[arg(long, value_name = "SECONDS", value_parser = milliseconds)]
    user_timeout: Option<u32>,
}

/// The kernel takes whole seconds here and has a limit, MAX_TCP_KEEPIDLE and MAX_TCP_KEEPINTVL.
fn whole_seconds(text: &str) -> Result<u32, String> {
    let whole = text
        .parse()
        .ok()
        .filter(|whole| (1..=32767).contains(whole));
    whole.ok_or("the kernel counts this in whole seconds, from 1 to 32767".into())
}

fn milliseconds(text: &str) -> Result<u32, String> {
    let exact = seconds(text)?;
    let whole = i32::try_from(exact.as_millis()).ok();
    let whole = whole.filter(|&whole| Duration::from_millis(whole as u64) == exact);
    whole
        .map(|whole| whole as u32)
        .ok_or("the kernel counts this in whole milliseconds, 2147483647 at most".into())
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let listener; // to the end, as in other servers
    let (connection, options) = match &args.role {
        Role::Server { listen, options } => {
            listener = tcp::listen(&listen.address())?;
            say!("listening on {}", tcp::local_address(&listener)?)?;
            (tcp::accept(&listener)?.0, options)
        }
        Role::Client { server, options } => (tcp::connect(server)?, options),
    };
    set(&connection, options)?;
    report(&connection)?;

    // ANCHOR: blocked
    let mut data = [0; 4096];
    loop {
        let began = Instant::now();
        let outcome = receive(&connection, &mut data);
        say!("read returned after {:.1} s", began.elapsed().as_secs_f64())?;
        match outcome.call("read")? {
            Received::Data(length) => {
                say!("received {length} bytes: {}", printable(&data[..length]))?
            }
            Received::EndOfFile => break,
            Received::Reset | Received::WouldBlock => Err(Errno::ECONNRESET).call("read")?,
        }
    }
    // ANCHOR_END: blocked
    say!("peer closed")?;
    Ok(())
}

// ANCHOR: set
/// What is not given stays as the system has it: net.ipv4.tcp_keepalive_time, _intvl and _probes.
fn set(connection: &OwnedFd, options: &Options) -> Result<(), CallError> {
    if let Some(idle) = options.idle {
        setsockopt(connection, sockopt::TcpKeepIdle, &idle).call("setsockopt TCP_KEEPIDLE")?;
    }
    if let Some(interval) = options.interval {
        setsockopt(connection, sockopt::TcpKeepInterval, &interval)
            .call("setsockopt TCP_KEEPINTVL")?;
    }
    if let Some(probes) = options.probes {
        setsockopt(connection, sockopt::TcpKeepCount, &probes).call("setsockopt TCP_KEEPCNT")?;
    }
    if let Some(timeout) = options.user_timeout {
        setsockopt(connection, sockopt::TcpUserTimeout, &timeout)
            .call("setsockopt TCP_USER_TIMEOUT")?;
    }
    setsockopt(connection, sockopt::KeepAlive, &!options.off).call("setsockopt SO_KEEPALIVE")
}
// ANCHOR_END: set

// ANCHOR: report
/// Prints what the kernel says that it will do.
fn report(connection: &OwnedFd) -> anyhow::Result<()> {
    let on = getsockopt(connection, sockopt::KeepAlive).call("getsockopt SO_KEEPALIVE")?;
    let idle = getsockopt(connection, sockopt::TcpKeepIdle).call("getsockopt TCP_KEEPIDLE")?;
    let interval =
        getsockopt(connection, sockopt::TcpKeepInterval).call("getsockopt TCP_KEEPINTVL")?;
    let probes = getsockopt(connection, sockopt::TcpKeepCount).call("getsockopt TCP_KEEPCNT")?;
    let timeout =
        getsockopt(connection, sockopt::TcpUserTimeout).call("getsockopt TCP_USER_TIMEOUT")?;
    say!("SO_KEEPALIVE: {}", if on { "on" } else { "off" })?;
    say!("TCP_KEEPIDLE: {idle} s")?;
    say!("TCP_KEEPINTVL: {interval} s")?;
    say!("TCP_KEEPCNT: {probes}")?;
    say!("TCP_USER_TIMEOUT: {timeout} ms")?;
    if !on {
        say!("a dead peer is never noticed")?;
        return Ok(());
    }
    // With TCP_USER_TIMEOUT the count of probes does not matter: the end comes when the first one that is due after that
    // time finds at least one before it without an answer, tcp_keepalive_timer in the kernel's net/ipv4/tcp_timer.c.
    let [idle, interval, probes, timeout] = [idle, interval, probes, timeout].map(u64::from);
    let unanswered = match timeout.saturating_sub(idle * 1000) {
        _ if timeout == 0 => probes,
        left => left.div_ceil(interval * 1000).max(1),
    };
    let after = idle + unanswered * interval;
    let (hours, minutes, seconds) = (after / 3600, after / 60 % 60, after % 60);
    say!("a dead peer is noticed after {after} s: {hours} h {minutes} min {seconds} s")?;
    Ok(())
}
// ANCHOR_END: report
