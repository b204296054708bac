//! The server of chapter 28, which leaves it open how its loops wait.

use std::os::fd::{AsFd, AsRawFd};

use clap::ValueEnum;
use common::address::Listen;
use common::descriptors::raise_limit;
use common::say;
use common::text::{printable, rot13};
use reactor::{DispatcherKind, End, Handler, Input, ServerOptions, TcpConnection, TcpServer};

use crate::When;

/// Answers many clients, rot13, from several loops; the main thread only accepts
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// How many loops beside the main one; with 0 the main thread does everything
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u16).range(..=256))]
    threads: u16,
    /// How the loops wait
    #[arg(long, default_value = "epoll")]
    dispatcher: Wait,
    /// When epoll tells of a connection
    #[arg(long, default_value = "level")]
    trigger: When,
    /// Send back what comes as it is, for measuring
    #[arg(long)]
    echo: bool,
    /// Show the loops' events, and the calls of the application
    #[arg(short, long)]
    verbose: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Wait {
    Select,
    Poll,
    Epoll,
}

// ANCHOR: run
pub fn run(args: &Args) -> anyhow::Result<()> {
    raise_limit()?;
    eventlog::show(args.verbose);
    let options = ServerOptions {
        threads: args.threads.into(),
        dispatcher: match args.dispatcher {
            Wait::Select => DispatcherKind::Select,
            Wait::Poll => DispatcherKind::Poll,
            Wait::Epoll => DispatcherKind::Epoll(args.trigger.into()),
        },
        stop_on_signals: true,
        ..Default::default()
    };
    let (echo, verbose) = (args.echo, args.verbose);
    let make = move |_| Rot13 { echo, verbose };
    let server = TcpServer::bind(&args.listen.address(), options, make)?;
    if let Some(address) = server.local_address() {
        say!("listening on {address}")?;
    }
    Ok(server.run()?)
}
// ANCHOR_END: run

struct Rot13 {
    echo: bool,
    verbose: bool,
}

// ANCHOR: handler
/// Not a word in here about how the loop waits, and none about threads.
impl Handler for Rot13 {
    fn connected(&mut self, _: &mut TcpConnection<Self>) {
        self.report("connection completed");
    }

    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        let text = input.take();
        if self.verbose {
            let number = connection.as_fd().as_raw_fd();
            self.report(&format!(
                "get message from tcp connection connection-{number}"
            ));
            self.report(&printable(text.trim_ascii_end()).to_string());
        }
        if self.echo {
            return connection.send(text);
        }
        // The answer is made where it waits to be sent, without a vector of its own.
        let output = connection.out();
        output.reserve(text.len());
        for (place, &byte) in output.room().iter_mut().zip(text) {
            *place = rot13(byte);
        }
        output.filled(text.len());
    }

    fn write_complete(&mut self, _: &mut TcpConnection<Self>) {
        self.report("write completed");
    }

    fn closed(&mut self, _: &mut TcpConnection<Self>, _: End) {
        self.report("connection closed");
    }
}
// ANCHOR_END: handler

impl Rot13 {
    fn report(&self, line: &str) {
        if self.verbose {
            let _ = say!("{line}"); // that nobody reads it is no fault of the clients
        }
    }
}
