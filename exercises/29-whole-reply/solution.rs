//! The solution of exercise 29/whole-reply.

use std::process::ExitCode;

use clap::Parser;
use common::address::Listen;
use common::say;
use reactor::{Handler, Input, ServerOptions, TcpConnection, TcpServer};

/// The size of the text, in bytes: more than the kernel's buffers take.
const TEXT: usize = 8 << 20;

/// Sends a long text to whoever asks
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    listen: Listen,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let options = ServerOptions {
        stop_on_signals: true,
        ..Default::default()
    };
    let server = TcpServer::bind(&args.listen.address(), options, |_| Client)?;
    if let Some(address) = server.local_address() {
        say!("listening on {address}")?;
    }
    Ok(server.run()?)
}

/// Each connection has one of these.
struct Client;

// ANCHOR: answer
impl Handler for Client {
    /// The whole line is the question, whatever it says. A part of it stays until the rest has come.
    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        if input.line().is_some() {
            connection.send(&vec![b'x'; TEXT]);
            // `send` has given the kernel what there was room for, and keeps the rest; to close now would be to forget it. This
            // ends our direction when the rest has gone out, and reads until the client's end. `close_when_sent` would keep the
            // rest, too; but with something unread, close(2) is a reset, and what the kernel still holds is lost.
            connection.shutdown();
        }
    }
}
// ANCHOR_END: answer
