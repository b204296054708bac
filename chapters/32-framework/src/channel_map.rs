//! The table in which an event loop finds its channels, without a loop around it.

use clap::ValueEnum;
use common::output::OutputError;
use common::say;
use reactor::Table;

/// Fills the framework's table of channels and empties it, and shows when it moves to a larger or a smaller place
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many channels
    #[arg(long, value_name = "COUNT", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    channels: u32,
    /// Who goes first when it is emptied
    #[arg(long, value_name = "WHO", default_value = "newest")]
    first: First,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum First {
    /// Those who came last
    Newest,
    /// Those who came first
    Oldest,
}

// ANCHOR: map
pub fn run(args: &Args) -> anyhow::Result<()> {
    // What the loop has in a slot is a box and the kind of channel.
    let mut table: Table<(u8, Box<u32>)> = Table::default();
    let (mut tokens, mut room) = (Vec::new(), table.capacity());
    for number in 0..args.channels {
        let token = table.reserve();
        let _ = table.put(token, (0, Box::new(number)));
        tokens.push(token);
        show(&table, &mut room)?;
    }
    if args.first == First::Newest {
        tokens.reverse();
    }
    for token in tokens {
        table.remove(token);
        show(&table, &mut room)?;
    }
    say!("channels: {}, room for {}", table.len(), table.capacity())?;
    Ok(())
}

/// Prints a line if the room has changed.
fn show<T>(table: &Table<T>, room: &mut usize) -> Result<(), OutputError> {
    if table.capacity() == *room {
        return Ok(());
    }
    *room = table.capacity();
    say!("channels: {}, room for {room}", table.len())
}
// ANCHOR_END: map
