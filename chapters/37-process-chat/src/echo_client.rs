//! A client that sends a line and waits for it to come back.

use std::io::stdin;
use std::os::fd::OwnedFd;

use anyhow::bail;
use common::address::Peer;
use common::io::{Filled, Received, readn, send_all};
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, say, tcp};

/// Sends each line that is typed, and prints what comes back
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Peer,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let connection = tcp::connect(&args.server)?;
    let mut typed = LineBuffer::new();
    loop {
        let ended = typed.fill(stdin()).call("read standard input")? == Received::EndOfFile;
        while let Some(line) = typed.next_line() {
            // The pieces are smaller than any socket buffer: sent whole before they are read back, a long line could
            // fill all buffers, and both ends would wait for the other to read.
            for piece in line.chunks(4096) {
                exchange(&connection, piece)?;
            }
        }
        if ended {
            return Ok(());
        }
    }
}

fn exchange(connection: &OwnedFd, piece: &[u8]) -> anyhow::Result<()> {
    send_all(connection, piece).call("send")?;
    let mut back = vec![0; piece.len()];
    match readn(connection, &mut back).call("read")? {
        Filled::Full => say!("{}", printable(&back))?,
        Filled::CutOff(_) | Filled::EndOfFile => bail!("server terminated"),
    }
    Ok(())
}
