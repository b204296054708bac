//! Asks a host whether it is there: ICMP echo, RFC 792 and RFC 4443 section 4.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use common::address::{Peer, seconds};
use common::signal::StopSignal;
use common::{Call, say};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};

use crate::echo::{Answer, Echo};

/// Sends echo requests and tells who answers, and after what time
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address or name of the host
    #[arg(value_name = "ADDR")]
    host: String,
    /// Requests to send; without it, until Ctrl-C
    #[arg(short, long, value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Seconds between two requests, at least 0.01
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    interval: Duration,
    /// Seconds to wait for answers after the last request
    #[arg(short = 'W', long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    timeout: Duration,
    /// Bytes of data in each request
    #[arg(short, long, value_name = "BYTES", default_value = "56", value_parser = clap::value_parser!(u16).range(..=65_000))]
    size: u16,
    /// How many routers may pass a request on, at most
    #[arg(short, long, value_parser = clap::value_parser!(u8).range(1..))]
    ttl: Option<u8>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    ensure!(
        args.interval >= Duration::from_millis(10),
        "--interval is less than 0.01"
    );
    let peer = Peer {
        host: args.host.clone(),
        port: 0,
    };
    let to = peer.first()?; // may take long: until it is done Ctrl-C ends the program, and nothing is lost
    let stop = StopSignal::new()?;
    let data: Vec<u8> = (0..args.size).map(|byte| byte as u8).collect();
    let mut echo = Echo::open(to, args.ttl, data)?;
    let header = if to.is_ipv4() { 28 } else { 48 };
    let (host, size) = (&args.host, args.size);
    say!(
        "PING {host} ({}) {size}({}) bytes of data.",
        to.ip(),
        u64::from(size) + header
    )?;

    let start = Instant::now();
    let (mut count, mut last) = (0, start);
    let mut tally = Tally::default();
    // ANCHOR: loop
    loop {
        let more = args.count.is_none_or(|limit| count < limit);
        let due = match (more, count) {
            (true, 0) => start,
            (true, _) => last + args.interval,
            (false, _) => last + args.timeout,
        };
        let settled = tally.times.len() as u64 + tally.errors >= count;
        if !more && (settled || Instant::now() >= due) {
            break;
        }
        if more && Instant::now() >= due {
            count += 1;
            last = Instant::now();
            echo.send(count as u16)?;
            continue;
        }
        let left = due.saturating_duration_since(Instant::now());
        let mut ready = [
            PollFd::new(echo.as_fd(), PollFlags::POLLIN),
            PollFd::new(stop.as_fd(), PollFlags::POLLIN),
        ];
        match ppoll(&mut ready, Some(left.into()), None) {
            Err(Errno::EINTR) => continue,
            outcome => outcome.call("poll")?,
        };
        if stop.received()?.is_some() {
            break;
        }
        while let Some(answer) = echo.hear()? {
            tally.report(&answer)?;
        }
    }
    // ANCHOR_END: loop
    tally.statistics(host, count, start.elapsed())
}

#[derive(Default)]
struct Tally {
    /// Of the round trips, in milliseconds.
    times: Vec<f64>,
    duplicates: u64,
    errors: u64,
}

impl Tally {
    fn report(&mut self, answer: &Answer) -> anyhow::Result<()> {
        match answer {
            Answer::Reply {
                from,
                length,
                sequence,
                ttl,
                time,
                again,
                altered,
            } => {
                let milliseconds = time.as_secs_f64() * 1000.0;
                let mut remarks = String::new();
                if *again {
                    self.duplicates += 1;
                    remarks += " (DUP!)";
                } else {
                    self.times.push(milliseconds);
                }
                if *altered {
                    remarks += " (other data than was sent)";
                }
                say!(
                    "{length} bytes from {from}: icmp_seq={sequence} ttl={ttl} time={milliseconds:.3} ms{remarks}"
                )?;
            }
            Answer::Trouble {
                from,
                sequence,
                words,
            } => {
                self.errors += 1;
                say!("From {from} icmp_seq={sequence} {words}")?;
            }
            Answer::OfOthers => {}
        }
        Ok(())
    }

    fn statistics(&self, host: &str, sent: u64, time: Duration) -> anyhow::Result<()> {
        let received = self.times.len() as u64;
        let mut extra = String::new();
        for (count, name) in [(self.duplicates, "duplicates"), (self.errors, "errors")] {
            if count > 0 {
                extra += &format!(", +{count} {name}");
            }
        }
        let loss = (sent - received.min(sent)) as f64 * 100.0 / sent.max(1) as f64;
        let time = time.as_millis();
        say!("--- {host} ping statistics ---")?;
        say!(
            "{sent} packets transmitted, {received} received{extra}, {loss:.0}% packet loss, time {time}ms"
        )?;
        let Some(least) = self.times.iter().copied().reduce(f64::min) else {
            bail!("no answer from {host}");
        };
        let most = self.times.iter().copied().fold(0.0, f64::max);
        let mean = self.times.iter().sum::<f64>() / received as f64;
        let squares = self
            .times
            .iter()
            .map(|time| (time - mean).powi(2))
            .sum::<f64>();
        let deviation = (squares / received as f64).sqrt();
        say!("rtt min/avg/max/mdev = {least:.3}/{mean:.3}/{most:.3}/{deviation:.3} ms")?;
        Ok(())
    }
}
