//! Exercise 6/ask-again, 15 minutes: a client that asks again when no answer comes.
//!
//! It numbers each line that is typed and sends it: `1 hello`. The answer is `Hi, ` and the same again: `Hi, 1 hello`. When there
//! is no answer within 0.5 seconds the client asks again, in the same words. After the third time it says that there is none,
//! and goes on with the next line. It prints no answer under another line than its own.
//!
//! What goes wrong now: one datagram is lost, and the client waits for ever.
//!
//! `6/timeout` and `6/reliable` show it. Man pages: recv(2), SO_RCVTIMEO in socket(7).
//! Your program is checked by `scripts/exercise 6/ask-again`, as often as you like.

use std::io::stdin;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use clap::Parser;
use common::address::Peer;
use common::io::Received;
use common::lines::LineBuffer;
use common::text::printable;
use common::udp::{self, LARGEST, receive_from, send_to};
use common::{Call, complain, say};
use nix::sys::socket::MsgFlags;

/// Asks a server about each line that is typed
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    server: Peer,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let server = args.server.first()?;
    let socket = udp::bind(&udp::any_for(&server))?;
    let mut typed = LineBuffer::new();
    let mut number = 0;
    while typed.fill(stdin()).call("read standard input")? != Received::EndOfFile {
        while let Some(line) = typed.next_line() {
            number += 1;
            let request = [format!("{number} ").as_bytes(), &line].concat();
            match ask(&socket, &server, &request)? {
                Some(answer) => say!("{number}: {}", printable(&answer))?,
                None => complain!("{number}: no answer"),
            }
        }
    }
    Ok(())
}

/// Sends the request and returns the server's answer to it, or `None` if there is none.
fn ask(socket: &OwnedFd, server: &SocketAddr, request: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
    let mut answer = [0; LARGEST];
    send_to(socket, request, server).call("sendto")?;
    loop {
        let datagram = receive_from(socket, &mut answer, MsgFlags::empty()).call("recvmsg")?;
        // Anybody may send to this socket.
        if let Some(datagram) = datagram.filter(|datagram| datagram.from == *server) {
            return Ok(Some(answer[..datagram.length].to_vec()));
        }
    }
}
