//! The course's program: it asks again and again whether it is done.

use common::say;

use crate::aio::{Operation, silently, write_and_read_back};
use crate::target::Target;

/// How often it says so. The course says it each time.
const SAID: u64 = 20;

/// Writes and reads with aio_write and aio_read, and keeps asking with aio_error: a busy loop, on purpose
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let target = args.target.open()?;
    write_and_read_back(&target, silently(), &mut ask_again_and_again)
}

// ANCHOR: ask
fn ask_again_and_again(operation: &mut Operation, doing: &str) -> anyhow::Result<()> {
    let mut asked = 1_u64;
    while !operation.is_over() {
        if asked <= SAID {
            say!("{doing}...")?;
        }
        asked += 1;
    }
    say!("asked {asked} times")?;
    Ok(())
}
// ANCHOR_END: ask
