//! What is written to and read back from: a new file, or a connection to an echo server.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use common::address::{PORT, Peer};
use common::{Call, say, tcp};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

/// How many bytes the course's example writes.
pub const SIZE: usize = 512;
/// And what they are.
pub const BYTE: u8 = 0xfa;

/// The same arguments for all programs that write and read back.
#[derive(Debug, clap::Args)]
pub struct Target {
    /// File to make; it must not be there yet, and it stays [default: /tmp/aio_test_PID]
    #[arg(value_name = "FILE", conflicts_with = "connect")]
    file: Option<PathBuf>,
    /// Write to this echo server and read from it, in place of a file
    #[arg(long, value_name = "ADDR")]
    connect: Option<String>,
    /// Port of the echo server
    #[arg(long, default_value_t = PORT)]
    port: u16,
}

impl Target {
    /// Whether it is a connection.
    pub fn connected(&self) -> bool {
        self.connect.is_some()
    }

    /// Makes the file, or connects.
    pub fn open(&self) -> anyhow::Result<OwnedFd> {
        if let Some(host) = self.connect.clone() {
            let server = Peer {
                host,
                port: self.port,
            };
            let connection = tcp::connect(&server)?;
            say!("connected to {}", tcp::peer_address(&connection)?)?;
            return Ok(connection);
        }
        let path = self
            .file
            .clone()
            .unwrap_or_else(|| PathBuf::from(format!("/tmp/aio_test_{}", std::process::id())));
        // O_EXCL: in /tmp somebody else may have put a link of that name.
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let file = open(&path, flags, mode).call(format_args!("open {}", path.display()))?;
        say!("made {}", path.display())?;
        Ok(file)
    }
}
