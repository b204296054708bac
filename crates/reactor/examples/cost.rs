//! What the reactor costs beyond the least that an echo can cost: `cargo run --release -p reactor --example cost`
//!
//! The least is the *floor*: a loop of epoll_wait(2), read(2) and write(2) that looks after nothing. Both servers are this
//! program again, in processes of their own, and so is the load: 64 connections, each with one message under way. All run
//! on one core, so that a server's batches are the same whoever serves, and take turns: floor, reactor, floor, reactor.
//! Processor time, user and system, is the kernel's own count in nanoseconds, /proc/PID/schedstat.
//!
//! `cost [SIZE [ROUNDS]]` measures one size. `cost floor` and `cost reactor` are the servers alone, for other tools;
//! `cost load ADDRESS SIZE MESSAGES` is the load.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use nix::libc;
use reactor::{Handler, Input, ServerOptions, TcpConnection, TcpServer};

const CONNECTIONS: usize = 64;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["floor"] => floor(),
        ["reactor"] => reactor(),
        ["load", address, size, messages] => {
            load(address.parse()?, size.parse()?, messages.parse()?)
        }
        [] => [64, 1024, 16 * 1024]
            .into_iter()
            .try_for_each(|size| compare(size, 21)),
        [size] => compare(size.parse()?, 21),
        [size, rounds] => compare(size.parse()?, rounds.parse()?),
        _ => anyhow::bail!("cost [SIZE [ROUNDS]] | floor | reactor | load ADDRESS SIZE MESSAGES"),
    }
}

struct Echo;

impl Handler for Echo {
    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        connection.send(input.take());
    }
}

fn reactor() -> anyhow::Result<()> {
    let options = ServerOptions {
        stop_on_signals: true,
        ..Default::default()
    };
    let server = TcpServer::bind(&"127.0.0.1:0".parse()?, options, |_| Echo)?;
    let address = server.local_address().context("an address")?;
    common::say!("listening on {address}")?;
    Ok(server.run()?)
}

/// Only what cannot be left out.
fn floor() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    common::say!("listening on {}", listener.local_addr()?)?;
    // SAFETY: takes no pointer.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    watch(epoll, listener.as_raw_fd());
    let mut ready = vec![libc::epoll_event { events: 0, u64: 0 }; 512];
    let mut buffer = vec![0u8; 65536];
    loop {
        // SAFETY: there is room for so many events.
        let count = unsafe { libc::epoll_wait(epoll, ready.as_mut_ptr(), 512, -1) };
        for event in &ready[..count.max(0) as usize] {
            let fd = event.u64 as i32;
            if fd == listener.as_raw_fd() {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                watch(epoll, stream.into_raw_fd());
                continue;
            }
            // SAFETY: the buffer has room for its length; what is written was read.
            let count = unsafe {
                let count = libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len());
                if count > 0 {
                    libc::write(fd, buffer.as_ptr().cast(), count as usize);
                }
                count
            };
            if count <= 0 {
                // SAFETY: the descriptor is a connection's, and is used no more.
                drop(unsafe { TcpStream::from_raw_fd(fd) });
            }
        }
    }
}

fn watch(epoll: i32, fd: i32) {
    let mut event = libc::epoll_event {
        events: libc::EPOLLIN as u32,
        u64: fd as u64,
    };
    // SAFETY: the event lives through the call.
    unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &mut event) };
}

/// Each connection sends a message, and the next when that has come back.
fn load(address: SocketAddr, size: usize, messages: usize) -> anyhow::Result<()> {
    let message = vec![b'x'; size];
    let mut buffer = vec![0; 65536];
    // SAFETY: takes no pointer.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        watch(epoll, stream.as_raw_fd());
        streams.push((stream, size));
    }
    let place = |fd: i32| fd as usize;
    let mut places = vec![0; 4096];
    for (index, (stream, _)) in streams.iter_mut().enumerate() {
        places[place(stream.as_raw_fd())] = index;
        stream.write_all(&message)?;
    }
    let mut left = messages.saturating_sub(CONNECTIONS);
    let mut under_way = CONNECTIONS;
    let mut ready = vec![libc::epoll_event { events: 0, u64: 0 }; 512];
    while under_way > 0 {
        // SAFETY: there is room for so many events.
        let count = unsafe { libc::epoll_wait(epoll, ready.as_mut_ptr(), 512, -1) };
        for event in &ready[..count.max(0) as usize] {
            let (stream, missing) = &mut streams[places[event.u64 as usize]];
            let count = stream.read(&mut buffer)?;
            ensure!(count > 0 && count <= *missing, "the echo is wrong");
            *missing -= count;
            if *missing > 0 {
                continue;
            }
            if left > 0 {
                left -= 1;
                *missing = size;
                stream.write_all(&message)?;
            } else {
                under_way -= 1;
            }
        }
    }
    Ok(())
}

struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(which: &str) -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(which)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("a pipe")?).read_line(&mut line)?;
        let address = line.trim().rsplit(' ').next().context("an address")?.into();
        Ok(Self { process, address })
    }

    /// Nanoseconds of processor time so far.
    fn spent(&self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/schedstat", self.process.id());
        let all = std::fs::read_to_string(path)?;
        Ok(all.split(' ').next().unwrap_or("0").parse()?)
    }

    /// Nanoseconds of processor time for a message.
    fn cost(&self, size: usize, messages: usize) -> anyhow::Result<f64> {
        let before = self.spent()?;
        let (size, count) = (size.to_string(), messages.to_string());
        let status = Command::new(std::env::current_exe()?)
            .args(["load", &self.address, &size, &count])
            .status()?;
        ensure!(status.success(), "the load failed");
        Ok((self.spent()? - before) as f64 / messages as f64)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn compare(size: usize, rounds: usize) -> anyhow::Result<()> {
    pin()?;
    let (floor, reactor) = (Server::start("floor")?, Server::start("reactor")?);
    let messages = if size < 8192 { 60_000 } else { 20_000 };
    let (mut least, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let pair = (floor.cost(size, messages)?, reactor.cost(size, messages)?);
        // The first is to warm up.
        if round > 0 {
            least.push(pair.0);
            ours.push(pair.1);
            ratios.push(pair.1 / pair.0);
        }
    }
    let (least, ours) = (median(&mut least), median(&mut ours));
    println!(
        "{size:>6} bytes: floor {least:>6.0} ns, reactor {ours:>6.0} ns a message, {:+.0} ns, ratio {:.3}",
        ours - least,
        median(&mut ratios)
    );
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// This process, and those that it starts, on one core: the first that it may use.
fn pin() -> anyhow::Result<()> {
    // SAFETY: all zeroes is an empty set; the sets live through the calls, and CPU_SETSIZE processors fit.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        let size = std::mem::size_of_val(&set);
        ensure!(libc::sched_getaffinity(0, size, &mut set) == 0);
        let first = (0..libc::CPU_SETSIZE as usize).find(|cpu| libc::CPU_ISSET(*cpu, &set));
        libc::CPU_ZERO(&mut set);
        libc::CPU_SET(first.context("a processor")?, &mut set);
        ensure!(libc::sched_setaffinity(0, size, &set) == 0);
    }
    Ok(())
}
