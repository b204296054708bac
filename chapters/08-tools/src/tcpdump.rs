//! Shows the packets that pass an interface: a packet socket gets a copy of each, packet(7).

use std::mem;
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::anyhow;
use common::signal::StopSignal;
use common::{Call, complain, say};
use nix::errno::Errno;
use nix::libc;
use nix::net::if_::if_indextoname;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::capture;
use crate::expression::Expression;
use crate::grammar;
use crate::packet::Packet;
use crate::print::{Printer, hex};

/// More than any packet holds, so that none is cut.
const LARGEST: usize = 256 * 1024;

/// Shows the packets that pass: addresses, flags, numbers, lengths. It needs the capability CAP_NET_RAW
///
/// The expression chooses packets, for example: tcp and port 43211 and src host 127.0.0.1, or: tcp[13]&2 != 0 (the segments
/// with SYN). It knows tcp, udp, icmp, icmp6, ip, ip6, port, host, src, dst, and, or, not, and brackets.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Interface to listen on; without it, all of them
    #[arg(short, long)]
    interface: Option<String>,
    /// End after so many packets; without it, at Ctrl-C
    #[arg(short, long)]
    count: Option<u64>,
    /// Show the IP header and the checksums too
    #[arg(short, long)]
    verbose: bool,
    /// Show sequence numbers as they are in the packet
    #[arg(short = 'S', long)]
    absolute: bool,
    /// Do not show times
    #[arg(short = 't', long)]
    no_times: bool,
    /// Show the bytes of each packet
    #[arg(short = 'X', long)]
    bytes: bool,
    /// Which packets to show
    #[arg(value_name = "EXPRESSION")]
    expression: Vec<String>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let expression = grammar::parse(&args.expression.join(" ")).map_err(|error| anyhow!(error))?;
    let stop = StopSignal::new()?;
    let socket = capture::open(args.interface.as_deref())?;
    let mut printer = Printer::new(args.verbose, args.absolute);
    // As in tcpdump(8), only packets go to standard output.
    complain!(
        "listening on {}",
        args.interface.as_deref().unwrap_or("all interfaces")
    );
    let (mut buffer, mut shown) = (vec![0; LARGEST], 0);
    while args.count.is_none_or(|count| shown < count) {
        let mut ready = [stop.as_fd(), socket.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut ready, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            outcome => outcome.call("poll")?,
        };
        if stop.received()?.is_some() {
            break;
        }
        let Some((frame, length)) = capture::receive(&socket, &mut buffer)? else {
            continue;
        };
        let bytes = &buffer[..length];
        let packet = Packet::parse(bytes)
            .filter(|_| [libc::ETH_P_IP, libc::ETH_P_IPV6].contains(&frame.protocol));
        if !packet.map_or(expression == Expression::Any, |packet| {
            expression.accepts(&packet)
        }) {
            continue;
        }
        let mut line = if args.no_times {
            String::new()
        } else {
            format!("{} ", clock(frame.at))
        };
        if args.interface.is_none() {
            let name = if_indextoname(frame.interface)
                .map_or("?".into(), |name| name.to_string_lossy().into_owned());
            line += &format!("{name:<5} {:<3} ", frame.direction);
        }
        line += &packet.map_or_else(
            || format!("protocol {:#06x}, length {length}", frame.protocol),
            |packet| printer.line(&packet),
        );
        if args.bytes {
            line += &hex(packet.map_or(bytes, |packet| packet.bytes));
        }
        say!("{line}")?;
        shown += 1;
    }
    let (received, dropped) = capture::statistics(&socket)?;
    complain!("{shown} packets shown, {received} received, {dropped} dropped by the kernel");
    Ok(())
}

/// The local time of day.
fn clock(at: Duration) -> String {
    let seconds = at.as_secs() as libc::time_t;
    // SAFETY: struct tm is plain old data; all zeroes is a valid value.
    let mut day: libc::tm = unsafe { mem::zeroed() };
    // SAFETY: both arguments are valid for the call. A time that does not fit leaves zeroes.
    unsafe { libc::localtime_r(&seconds, &mut day) };
    format!(
        "{:02}:{:02}:{:02}.{:06}",
        day.tm_hour,
        day.tm_min,
        day.tm_sec,
        at.subsec_micros()
    )
}
