//! Which byte of a number comes first: in this machine's memory, and on the network.

use std::num::ParseIntError;

use common::say;
use nix::libc::{htonl, htons};

/// Prints the bytes of a number in this machine's order and in the network's
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A number of 32 bits: 5, or 0x0201
    #[arg(value_name = "N", value_parser = number)]
    number: u32,
}

// ANCHOR: byteorder
pub fn run(args: &Args) -> anyhow::Result<()> {
    let number = args.number;
    // The C way: a number whose bytes in memory are in network order. As a number it means
    // nothing any more.
    let swapped = htonl(number);
    say!(
        "{number} in this machine's memory: {}",
        hex(&number.to_ne_bytes())
    )?;
    say!(
        "htonl({number}) = {swapped}, in memory: {}",
        hex(&swapped.to_ne_bytes())
    )?;
    // Rust's way: bytes are bytes and a number is a number, so that nobody can calculate with
    // the wrong one.
    say!("{number}.to_be_bytes(): {}", hex(&number.to_be_bytes()))?;
    if let Ok(short) = u16::try_from(number) {
        let swapped = htons(short);
        say!(
            "htons({short}) = {swapped}, in memory: {}",
            hex(&swapped.to_ne_bytes())
        )?;
    }
    let forgotten = u32::from_be_bytes(number.to_ne_bytes());
    say!("sent without htonl, it is received as {forgotten}")?;
    Ok(())
}
// ANCHOR_END: byteorder

fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}

fn number(text: &str) -> Result<u32, ParseIntError> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    }
}
