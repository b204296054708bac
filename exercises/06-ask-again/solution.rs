//! The solution of exercise 6/ask-again.

use std::io::stdin;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use common::address::Peer;
use common::io::Received;
use common::lines::LineBuffer;
use common::text::printable;
use common::udp::{self, LARGEST, receive_from, send_to};
use common::{Call, complain, say};
use nix::sys::socket::{MsgFlags, setsockopt, sockopt};
use nix::sys::time::TimeVal;

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

// ANCHOR: answer
/// How often a request is sent, and how long each time is waited for.
const TRIES: u32 = 3;
const WAIT: Duration = Duration::from_millis(500);

/// Sends the request and returns the server's answer to it, or `None` if there is none.
fn ask(socket: &OwnedFd, server: &SocketAddr, request: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
    let mut answer = [0; LARGEST];
    for _ in 0..TRIES {
        send_to(socket, request, server).call("sendto")?;
        let deadline = Instant::now() + WAIT;
        loop {
            // The rest of the time, each time: what is no answer must not start it again. And 0 would be no limit at all.
            let left = deadline.saturating_duration_since(Instant::now());
            if left < Duration::from_micros(1) {
                break;
            }
            let left = TimeVal::new(left.as_secs() as i64, left.subsec_micros().into());
            setsockopt(socket, sockopt::ReceiveTimeout, &left).call("setsockopt SO_RCVTIMEO")?;
            let datagram = receive_from(socket, &mut answer, MsgFlags::empty()).call("recvmsg")?;
            // Anybody may send to this socket.
            if let Some(datagram) = datagram.filter(|datagram| datagram.from == *server) {
                // Who asks twice may be answered twice, and the second answer comes when the next line has been asked. So
                // the text is compared, number and all; to throw away what is there before asking would not see what is
                // still on its way.
                let text = &answer[..datagram.length];
                if text.strip_prefix(b"Hi, ") == Some(request) {
                    return Ok(Some(text.to_vec()));
                }
            }
        }
    }
    Ok(None)
}
// ANCHOR_END: answer
