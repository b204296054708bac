//! The servers that this program is itself: the floors, and the thinnest programs on the course's libraries.

mod floor;
mod ours;

use std::path::PathBuf;

use common::say;
use reactor::DispatcherKind;

/// Path and file name of the large answer.
pub const FILE: &str = "/100k";

/// The small answer.
const TEXT: &str = "hello, network programming";

/// Is a server to be measured: the floor, or one on the course's libraries
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    server: Server,
}

#[derive(Debug, clap::Subcommand)]
enum Server {
    /// The system calls of an HTTP server, and nothing else
    FloorHttp(Http),
    /// The system calls of an echo server, and nothing else
    FloorEcho(Listen),
    /// The HTTP server of chapter 34
    Httpd(Http),
    /// An echo on the reactor of chapters 27 to 33
    Reactor {
        #[command(flatten)]
        listen: Listen,
        /// How the loop waits: select, poll, epoll, epoll-edge
        #[arg(long, default_value_t)]
        dispatcher: DispatcherKind,
    },
}

#[derive(Debug, clap::Args)]
struct Listen {
    /// Port to listen on; 0 lets the kernel pick a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
}

#[derive(Debug, clap::Args)]
struct Http {
    #[command(flatten)]
    listen: Listen,
    /// Directory with the file 100k, which is served at /100k
    #[arg(long, value_name = "DIRECTORY")]
    files: Option<PathBuf>,
}

/// Serves until SIGTERM.
pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.server {
        Server::FloorHttp(http) => floor::http(http.listen.port, http.files.as_deref()),
        Server::FloorEcho(listen) => floor::echo(listen.port),
        Server::Httpd(http) => ours::http(http.listen.port, http.files.as_deref()),
        Server::Reactor { listen, dispatcher } => ours::echo(listen.port, *dispatcher),
    }
}

/// The first line, by which whoever has started us knows that clients can come.
fn listening(address: impl std::fmt::Display) -> anyhow::Result<()> {
    Ok(say!("listening on {address}")?)
}
