//! The course's program: it asks again and again whether it is done.

use common::say;

use crate::aio::{Operation, silently, write_and_read_back};
use crate::target::Target;

/// Writes and reads with aio_write and aio_read, and keeps asking with aio_error: a busy loop, on purpose
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let target = args.target.open()?;
    let mut asked = 0_u64;
    // ANCHOR: ask
    let mut ask_again_and_again = |operation: &mut Operation| {
        asked += 1;
        while !operation.is_over() {
            asked += 1;
        }
        Ok(())
    };
    // ANCHOR_END: ask
    write_and_read_back(&target, silently(), &mut ask_again_and_again)?;
    say!("asked {asked} times")?;
    Ok(())
}
