//! What the reactor costs beyond the least that an echo can cost: `cargo run --release -p reactor --example cost`
//!
//! The least is the *floor*: a loop of epoll_wait(2), read(2) and write(2) that looks after nothing. Both servers are this
//! program again, in processes of their own, and so is the load: 64 connections, each with one message under way. All run
//! on one core, so that a server's batches are the same whoever serves, and take turns: floor, reactor, reactor, floor.
//! Processor time is the kernel's own count in nanoseconds, /proc/PID/schedstat; how much of it is user time is known from
//! the timer's ticks, and so roughly.
//!
//! `cost SIZE [ROUNDS]` measures one size. `cost floor` and `cost reactor` are the servers alone, for other tools;
//! `cost load ADDRESS SIZE MESSAGES` is the load.

mod measuring;

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, ensure};
use nix::libc;
use reactor::{Handler, Input, ServerOptions, TcpConnection, TcpServer};

use measuring::{CONNECTIONS, Readable, compare};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["floor"] => floor(),
        ["reactor"] => reactor(),
        ["load", address, size, messages] => load(address, size.parse()?, messages.parse()?),
        [] => ["64", "1024", "16384"]
            .into_iter()
            .try_for_each(|size| measure(size, 21)),
        [size] => measure(size, 21),
        [size, rounds] => measure(size, rounds.parse()?),
        _ => anyhow::bail!("cost [SIZE [ROUNDS]] | floor | reactor | load ADDRESS SIZE MESSAGES"),
    }
}

fn measure(size: &str, rounds: usize) -> anyhow::Result<()> {
    let messages = if size.parse::<usize>()? < 8192 {
        60_000
    } else {
        20_000
    };
    compare(
        &format!("echo of {size} bytes"),
        "reactor",
        &[size],
        messages,
        rounds,
    )
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
    let mut buffer = vec![0u8; 65536];
    measuring::floor(move |fd| {
        // SAFETY: the buffer has room for its length; what is written was read.
        unsafe {
            let count = libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len());
            if count > 0 {
                libc::write(fd, buffer.as_ptr().cast(), count as usize);
            }
            count > 0
        }
    })
}

/// Each connection sends a message, and the next when that has come back.
fn load(address: &str, size: usize, messages: usize) -> anyhow::Result<()> {
    let message = vec![b'x'; size];
    let mut buffer = vec![0; 65536];
    let mut readable = Readable::new()?;
    let mut streams = Vec::new();
    for number in 0..CONNECTIONS {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        readable.add(&stream, number)?;
        (&stream).write_all(&message)?;
        streams.push((stream, size));
    }
    let mut left = messages.saturating_sub(CONNECTIONS);
    let mut under_way = CONNECTIONS;
    while under_way > 0 {
        for number in readable.wait()? {
            let (stream, missing) = &mut streams[number];
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
