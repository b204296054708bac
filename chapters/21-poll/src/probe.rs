//! poll(2) asked about one thing at a time, to see what it says.

mod negative_fd;
mod revents_only;
mod situations;

/// Asks poll about prepared descriptors, and prints what it says
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    about: About,
}

#[derive(Debug, clap::Subcommand)]
enum About {
    NegativeFd(negative_fd::Args),
    ReventsOnly(revents_only::Args),
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.about {
        About::NegativeFd(args) => negative_fd::run(args),
        About::ReventsOnly(args) => revents_only::run(args),
    }
}

/// Words of poll(2).
const WORDS: [(i16, &str); 7] = [
    (libc::POLLIN, "IN"),
    (libc::POLLPRI, "PRI"),
    (libc::POLLOUT, "OUT"),
    (libc::POLLERR, "ERR"),
    (libc::POLLHUP, "HUP"),
    (libc::POLLNVAL, "NVAL"),
    (libc::POLLRDHUP, "RDHUP"),
];

/// Bits in words, 0 for none.
fn words(bits: i16) -> String {
    let set = WORDS.iter().filter(|(bit, _)| bits & bit != 0);
    let words: Vec<_> = set.map(|(_, word)| *word).collect();
    match words.is_empty() {
        true => "0".to_string(),
        false => words.join(" "),
    }
}
