//! select(2) asked about one thing at a time, to see what it says.

mod first_argument;
mod limit;
mod pipe;
mod readiness;
mod sets;
mod situations;
mod table;
mod timeouts;

/// Asks select about prepared descriptors, and prints what it says
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    about: About,
}

#[derive(Debug, clap::Subcommand)]
enum About {
    Readiness(readiness::Args),
    Pipe(pipe::Args),
    Timeouts(timeouts::Args),
    Sets(sets::Args),
    Limit(limit::Args),
    FirstArgument(first_argument::Args),
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.about {
        About::Readiness(args) => readiness::run(args),
        About::Pipe(args) => pipe::run(args),
        About::Timeouts(args) => timeouts::run(args),
        About::Sets(args) => sets::run(args),
        About::Limit(args) => limit::run(args),
        About::FirstArgument(args) => first_argument::run(args),
    }
}
