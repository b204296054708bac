//! One observation after the other: what an epoll instance answers, and what that says about it.

mod arguments;
mod closed;
mod events;
mod nested;
mod overflow;
mod ready_list;
mod tree;
mod waiting;

use clap::Subcommand;
use common::say;

/// Shows from outside what an epoll instance does inside
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Say what there is to observe
    #[arg(long)]
    list: bool,
    #[command(subcommand)]
    about: Option<About>,
}

#[derive(Debug, Subcommand)]
enum About {
    AddTwice(tree::AddTwice),
    ModUnknown(tree::ModUnknown),
    OneFileTwoDescriptors(tree::OneFileTwoDescriptors),
    ClosedButDuplicated(closed::ClosedButDuplicated),
    RegularFile(arguments::RegularFile),
    NotAnEpoll(arguments::NotAnEpoll),
    BadArguments(arguments::BadArguments),
    ErrHupUnasked(events::ErrHupUnasked),
    EventFilter(events::EventFilter),
    Revalidated(ready_list::Revalidated),
    LevelRequeues(ready_list::LevelRequeues),
    ReadyListOrder(ready_list::ReadyListOrder),
    OverflowList(overflow::OverflowList),
    Nested(nested::Nested),
    WakeReasons(waiting::WakeReasons),
    OneOfMany(waiting::OneOfMany),
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.about {
        None => list(),
        Some(About::AddTwice(args)) => args.run(),
        Some(About::ModUnknown(args)) => args.run(),
        Some(About::OneFileTwoDescriptors(args)) => args.run(),
        Some(About::ClosedButDuplicated(args)) => args.run(),
        Some(About::RegularFile(args)) => args.run(),
        Some(About::NotAnEpoll(args)) => args.run(),
        Some(About::BadArguments(args)) => args.run(),
        Some(About::ErrHupUnasked(args)) => args.run(),
        Some(About::EventFilter(args)) => args.run(),
        Some(About::Revalidated(args)) => args.run(),
        Some(About::LevelRequeues(args)) => args.run(),
        Some(About::ReadyListOrder(args)) => args.run(),
        Some(About::OverflowList(args)) => args.run(),
        Some(About::Nested(args)) => args.run(),
        Some(About::WakeReasons(args)) => args.run(),
        Some(About::OneOfMany(args)) => args.run(),
    }
}

/// The names and their first lines of help, so that the list cannot differ from what there is.
fn list() -> anyhow::Result<()> {
    let command = About::augment_subcommands(clap::Command::new("probe"));
    for observation in command.get_subcommands() {
        let about = observation.get_about().map(ToString::to_string);
        say!(
            "{:<25} {}",
            observation.get_name(),
            about.unwrap_or_default()
        )?;
    }
    Ok(())
}
