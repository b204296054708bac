//! A server whose clients can have each other closed, and what an event is worth whose channel is gone.

mod by_descriptor;
mod by_token;

use clap::ValueEnum;
use common::address::Listen;
use common::text::{printable, rot13};
use common::{output::OutputError, say};

/// Answers rot13; a client that types `kick` has all others closed
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// What a channel is found by
    #[arg(long, value_name = "KEY", default_value = "token")]
    map: Map,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Map {
    /// A name that is never used again: the framework's loop
    Token,
    /// The number of its descriptor, as in the course: wrong on purpose
    Descriptor,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    match args.map {
        Map::Token => by_token::serve(&args.listen.address()),
        Map::Descriptor => by_descriptor::serve(&args.listen.address()),
    }
}

/// What a client wants.
enum Wish {
    Kick,
    Answer(Vec<u8>),
}

fn wish(text: &[u8]) -> Result<Wish, OutputError> {
    let line = text.trim_ascii_end();
    say!("received {} bytes: {}", line.len(), printable(line))?;
    Ok(match line {
        b"kick" => Wish::Kick,
        _ => Wish::Answer(text.iter().map(|&byte| rot13(byte)).collect()),
    })
}
