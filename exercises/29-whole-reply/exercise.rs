//! Exercise 29/whole-reply, 10 minutes: a server that ends a connection, and loses nothing of its reply.
//!
//! A client sends a line, and gets a long text and then the end of the connection. One loop serves all clients, also those that
//! read slowly.
//!
//! What goes wrong now: a client that reads slowly gets a part of the text only.
//!
//! `22/partial-write` and `11/shutdown` show parts of it. Man pages: send(2), shutdown(2).
//! `cargo doc -p reactor --no-deps --open`: `Handler`, `TcpConnection`.
//! Your program is checked by `scripts/exercise 29/whole-reply`, as often as you like.

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

impl Handler for Client {
    /// The whole line is the question, whatever it says. A part of it stays until the rest has come.
    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        if input.line().is_some() {
            connection.send(&vec![b'x'; TEXT]);
            connection.close();
        }
    }
}
