//! read(2) and write(2) on prepared connections, to see what they return.

mod closed_peer;
mod pair;
mod partial_write;
mod read_write;

/// Reads and writes in prepared situations, and prints what comes of it
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    about: About,
}

#[derive(Debug, clap::Subcommand)]
enum About {
    ReadWrite(read_write::Args),
    PartialWrite(partial_write::Args),
    ClosedPeer(closed_peer::Args),
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.about {
        About::ReadWrite(args) => read_write::run(args),
        About::PartialWrite(args) => partial_write::run(args),
        About::ClosedPeer(args) => closed_peer::run(args),
    }
}
