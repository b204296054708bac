//! A server that is four callbacks. The loop that calls them is the reactor's.

use std::os::fd::{AsFd, AsRawFd};

use common::address::Listen;
use common::descriptors::raise_limit;
use common::say;
use common::text::{printable, rot13, without_end};
use reactor::{DispatcherKind, End, Handler, Input, ServerOptions, TcpConnection, TcpServer};

/// Answers many clients from one loop in one thread, rot13, and shows the loop's events on standard error
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// Print nothing but the first line, and errors
    #[arg(long)]
    quiet: bool,
}

// ANCHOR: run
pub fn run(args: &Args) -> anyhow::Result<()> {
    raise_limit()?;
    eventlog::show(!args.quiet);
    let options = ServerOptions {
        threads: 0, // the main thread accepts, reads, answers
        dispatcher: DispatcherKind::Poll,
        stop_on_signals: true,
        ..Default::default()
    };
    let quiet = args.quiet;
    let server = TcpServer::bind(&args.listen.address(), options, move |_| Rot13 { quiet })?;
    if let Some(address) = server.local_address() {
        say!("listening on {address}")?;
    }
    Ok(server.run()?)
}
// ANCHOR_END: run

struct Rot13 {
    quiet: bool,
}

// ANCHOR: handler
impl Handler for Rot13 {
    fn connected(&mut self, _: &mut TcpConnection<Self>) {
        self.report("connection completed");
    }

    /// Decode, compute and encode are one line here: a letter is decoded by being there.
    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        let text = input.take();
        let number = connection.as_fd().as_raw_fd();
        self.report(&format!(
            "get message from tcp connection connection-{number}"
        ));
        self.report(&printable(without_end(text)).to_string());
        let answer: Vec<u8> = text.iter().copied().map(rot13).collect();
        connection.send(&answer);
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
        if !self.quiet {
            let _ = say!("{line}"); // that nobody reads it is no fault of the clients
        }
    }
}
