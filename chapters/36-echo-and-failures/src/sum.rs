//! Two numbers to the server, their sum back: as text, or as a C struct just as it lies in memory.

mod client;
mod server;

use clap::ValueEnum;
use common::address::{Listen, Peer};
use common::tcp;

/// Adds two numbers, on the server
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, clap::Subcommand)]
enum Role {
    /// Adds, for one client after the other
    Server {
        #[command(flatten)]
        listen: Listen,
        /// Take and give structs in place of lines of text
        #[arg(long)]
        binary: bool,
    },
    /// Sends the two numbers of each line that is typed, and prints the sum that comes back
    Client {
        #[command(flatten)]
        server: Peer,
        /// Send and read structs in place of lines of text
        #[arg(long)]
        binary: bool,
        /// Whose memory the struct comes from, with --binary
        #[arg(long, default_value = "ours")]
        machine: Machine,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Machine {
    /// This machine's: 4 bytes, 4 bytes of padding, 8 bytes
    Ours,
    /// One like it with the other byte order
    OtherOrder,
    /// One that does not pad, as 32-bit x86: 4 bytes, 8 bytes
    Unpadded,
}

// ANCHOR: layout
/// `struct { int first; long long second; }`: a compiler puts 4 bytes between the two, so that the second is aligned.
const SIZE: usize = 16;

fn to_struct(first: i32, second: i64, machine: Machine) -> Vec<u8> {
    let (mut first, mut second) = (first.to_ne_bytes(), second.to_ne_bytes());
    if let Machine::OtherOrder = machine {
        first.reverse();
        second.reverse();
    }
    // Memory that nobody has written would show what was there before. Zeros tell nothing.
    let padding: &[u8] = if let Machine::Unpadded = machine {
        &[]
    } else {
        &[0; 4]
    };
    [&first[..], padding, &second].concat()
}
// ANCHOR_END: layout

fn sum_of_struct(memory: &[u8; SIZE]) -> i64 {
    let [a, b, c, d, _, _, _, _, second @ ..] = *memory;
    i64::from(i32::from_ne_bytes([a, b, c, d])).wrapping_add(i64::from_ne_bytes(second))
}

fn numbers(line: &[u8]) -> Option<(i32, i64)> {
    let mut words = str::from_utf8(line).ok()?.split_whitespace();
    let both = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some(both)
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.role {
        Role::Server { listen, binary } => server::serve(listen, *binary),
        Role::Client {
            server,
            binary,
            machine,
        } => client::ask(&tcp::connect(server)?, *binary, *machine),
    }
}
