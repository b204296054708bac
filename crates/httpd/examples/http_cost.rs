//! What the HTTP server costs beyond the least that answering can cost: `cargo run --release -p httpd --example http_cost`
//!
//! The least is the *floor*: a loop of epoll_wait(2), read(2) and write(2) that looks for the end of each head and sends the
//! bytes of one answer. Both servers are this program again, in processes of their own, and so is the load: 64 connections
//! that ask for 26 bytes of text, as wrk asks. All run on one core, and take turns, as in the reactor's example `cost`;
//! processor time is measured as there.
//!
//! `http_cost keep-alive|pipelined|once [ROUNDS]` measures one thing: a request at a time, sixteen at a time, or a
//! connection for each. `http_cost floor` and `http_cost httpd` are the servers alone, for other tools;
//! `http_cost load ADDRESS WHAT REQUESTS` is the load.

#[path = "../../reactor/examples/measuring/mod.rs"]
mod measuring;

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, bail, ensure};
use httpd::{Options, Routes, Server};
use memchr::memmem::Finder;
use nix::libc;

use measuring::{CONNECTIONS, Readable, compare};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: 127.0.0.1:43211\r\n\r\n";
const LAST_REQUEST: &str = "GET / HTTP/1.1\r\nHost: 127.0.0.1:43211\r\nConnection: close\r\n\r\n";
const TEXT: &str = "hello, network programming";

/// As ours is, but for the time.
const ANSWER: &str = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Length: 26\r\n\r\nhello, network programming";

/// Requests that a connection sends at once.
const PIPELINED: usize = 16;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["floor"] => floor(),
        ["httpd"] => httpd(),
        ["load", address, what, requests] => load(address, what, requests.parse()?),
        [] => ["keep-alive", "pipelined", "once"]
            .into_iter()
            .try_for_each(|what| measure(what, 21)),
        [what] => measure(what, 21),
        [what, rounds] => measure(what, rounds.parse()?),
        _ => bail!("http_cost [WHAT [ROUNDS]] | floor | httpd | load ADDRESS WHAT REQUESTS"),
    }
}

fn measure(what: &str, rounds: usize) -> anyhow::Result<()> {
    let (name, requests) = match what {
        "keep-alive" => ("keep-alive", 60_000),
        "pipelined" => ("16 pipelined", 640_000),
        "once" => ("connection per request", 6_000),
        _ => bail!("{what:?} is none of keep-alive, pipelined, once"),
    };
    compare(name, "httpd", &[what], requests, rounds)
}

fn httpd() -> anyhow::Result<()> {
    let options = Options {
        stop_on_signals: true,
        ..Default::default()
    };
    let routes = Routes::new().get("/", |_, response| {
        response.text(TEXT);
    });
    let server = Server::bind(&"127.0.0.1:0".parse()?, options, routes.handler())?;
    let address = server.local_address().context("an address")?;
    common::say!("listening on {address}")?;
    Ok(server.run()?)
}

/// Only what cannot be left out. A head is never cut: the load sends its requests whole.
fn floor() -> anyhow::Result<()> {
    let mut buffer = vec![0u8; 65536];
    let answers = ANSWER.repeat(1024);
    let (end, last) = (Finder::new("\r\n\r\n"), Finder::new("close"));
    measuring::floor(move |fd| {
        // SAFETY: the buffer has room for its length.
        let count = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
        if count <= 0 {
            return false;
        }
        let (mut rest, mut heads, mut closes) = (&buffer[..count as usize], 0, false);
        while let Some(at) = end.find(rest) {
            // The last bytes of a head tell whether the connection ends with it, so that this costs next to nothing.
            closes = last.find(&rest[at.saturating_sub(5)..at]).is_some();
            rest = &rest[at + 4..];
            heads += 1;
        }
        let length = (heads * ANSWER.len()).min(answers.len());
        // SAFETY: the text is longer than that.
        unsafe { libc::write(fd, answers.as_ptr().cast(), length) };
        !closes
    })
}

/// Connections that ask, and ask again when all answers are there.
fn load(address: &str, what: &str, requests: usize) -> anyhow::Result<()> {
    let (at_once, request) = match what {
        "pipelined" => (PIPELINED, REQUEST.repeat(PIPELINED)),
        "once" => (1, LAST_REQUEST.to_owned()),
        _ => (1, REQUEST.to_owned()),
    };
    let once = what == "once";
    let missing = at_once * answer_length(address, &request)?;
    let mut readable = Readable::new()?;
    let connect = |readable: &Readable, number| {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        readable.add(&stream, number)?;
        (&stream).write_all(request.as_bytes())?;
        anyhow::Ok((stream, missing))
    };
    let first = (0..CONNECTIONS).map(|number| connect(&readable, number).map(Some));
    let mut streams = first.collect::<Result<Vec<_>, _>>()?;
    let mut left = (requests / at_once).saturating_sub(CONNECTIONS);
    let mut under_way = CONNECTIONS;
    let mut buffer = vec![0; 65536];
    let mut answered = Vec::new();
    while under_way > 0 {
        for number in readable.wait()? {
            let (stream, awaited) = streams[number].as_mut().context("a connection")?;
            let count = stream.read(&mut buffer)?;
            ensure!(count <= *awaited, "the answer is too long");
            *awaited -= count;
            match (*awaited, count) {
                (0, 0) => answered.push(number),
                (0, _) if !once => answered.push(number),
                (_, 0) => bail!("the connection has ended"),
                _ => {}
            }
        }
        for number in answered.drain(..) {
            if left == 0 {
                streams[number] = None;
                under_way -= 1;
            } else if once {
                streams[number] = Some(connect(&readable, number)?);
            } else if let Some((stream, awaited)) = &mut streams[number] {
                *awaited = missing;
                stream.write_all(request.as_bytes())?;
            }
            left = left.saturating_sub(1);
        }
    }
    Ok(())
}

/// How many bytes an answer has: all of them are equally long.
fn answer_length(address: &str, request: &str) -> anyhow::Result<usize> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(request.as_bytes())?;
    let mut answer = vec![0; 65536];
    let mut length = 0;
    loop {
        let count = stream.read(&mut answer[length..])?;
        ensure!(count > 0, "no answer");
        length += count;
        if let Some(at) = memchr::memmem::find(&answer[..length], TEXT.as_bytes()) {
            return Ok(at + TEXT.len());
        }
    }
}
