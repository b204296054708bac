//! The solution of exercise 28/ctrl-c.

use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use anyhow::{Context, anyhow};
use clap::Parser;
use common::address::Listen;
use common::say;
use common::signal::StopSignal;
use reactor::{End, Handler, Input, ServerOptions, TcpConnection, TcpServer};

/// The size of the text, in bytes: more than the kernel's buffers take.
const TEXT: usize = 8 << 20;

/// Sends a long text to whoever asks
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    listen: Listen,
}

/// Each connection has one of these.
struct Client {
    log: Sender<&'static str>,
}

impl Client {
    fn logs(&self, line: &'static str) {
        let _ = self.log.send(line); // it fails when the log has ended: that is no fault of the clients
    }
}

impl Handler for Client {
    fn connected(&mut self, _: &mut TcpConnection<Self>) {
        self.logs("client connected");
    }

    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        while input.line().is_some() {
            connection.send(&vec![b'x'; TEXT]);
        }
    }

    fn closed(&mut self, _: &mut TcpConnection<Self>, _: End) {
        self.logs("client left");
    }
}

/// The log's thread. It ends when nobody is left who could write into it.
fn write_log(lines: &Receiver<&'static str>) -> anyhow::Result<()> {
    for line in lines {
        say!("{line}")?;
    }
    Ok(())
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

// ANCHOR: answer
fn run(args: &Args) -> anyhow::Result<()> {
    // Before the first thread: each inherits what is blocked. The framework does the same, but later, in `bind`, and the log's thread
    // would be the one that blocks nothing: the kernel gives it the signal, and the default action ends the whole process. A
    // handler in that thread would keep the process alive, but the signal would never reach the descriptor that the loop watches.
    drop(StopSignal::new()?);
    let (log, lines) = channel();
    let thread = thread::Builder::new().name("log".into());
    let log_thread = thread.spawn(move || write_log(&lines));
    let log_thread = log_thread.context("no thread")?;
    // ANCHOR_END: answer

    let options = ServerOptions {
        threads: 2,
        stop_on_signals: true,
        ..Default::default()
    };
    let make = move |_| Client { log: log.clone() };
    let server = TcpServer::bind(&args.listen.address(), options, make)?;
    if let Some(address) = server.local_address() {
        say!("listening on {address}")?;
    }
    server.run()?; // the last sender of the log goes with it
    let end = log_thread.join();
    end.map_err(|_| anyhow!("the log's thread has panicked"))?
}
