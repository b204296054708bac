//! An open file handed to another process: SCM_RIGHTS, unix(7). The number of a descriptor means nothing to others; the
//! kernel gives the receiver a number of its own for the same open file.

mod receiver;
mod sender;

/// Hands an open file from one process to another
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, clap::Subcommand)]
enum Role {
    Receiver(receiver::Args),
    Sender(sender::Args),
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.role {
        Role::Receiver(args) => receiver::run(args),
        Role::Sender(args) => sender::run(args),
    }
}
