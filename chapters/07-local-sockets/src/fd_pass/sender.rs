//! Sends the descriptor of an open file.

use std::io::IoSlice;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use common::io::{Received, receive};
use common::text::printable;
use common::{Call, say};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::sys::stat::Mode;

use crate::name::Name;
use crate::unixstreamclient::connected;

/// Opens a file, sends the descriptor, closes it and ends
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The receiver's socket file, or an abstract name after an @
    #[arg(value_name = "PATH")]
    receiver: Name,
    /// The file to open
    file: PathBuf,
    /// Read this many bytes first: the receiver goes on where the sender stopped
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    read: u16,
    /// Send the descriptor's number alone, to see that it is worth nothing
    #[arg(long)]
    number_only: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let connection = connected(&args.receiver)?;
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let file = open(&args.file, flags, Mode::empty())
        .call(format_args!("open {}", args.file.display()))?;
    if args.read > 0 {
        let mut start = vec![0; args.read.into()];
        if let Received::Data(length) = receive(&file, &mut start).call("read")? {
            say!("read {length} bytes: {}", printable(&start[..length]))?;
        }
    }
    // ANCHOR: send
    let number = file.as_raw_fd();
    let text = number.to_string();
    // At least one byte of data has to go with it. What it says is ours to choose.
    let data = [IoSlice::new(text.as_bytes())];
    let descriptors = [number];
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let control = if args.number_only { &[][..] } else { &rights };
    let (socket, flags) = (connection.as_raw_fd(), MsgFlags::MSG_NOSIGNAL);
    loop {
        match sendmsg::<()>(socket, &data, control, flags, None) {
            Err(Errno::EINTR) => {}
            sent => break sent.call("sendmsg").map(drop)?,
        }
    }
    say!("now sending descriptor {number}")?;
    drop(file); // The message holds the file open, and then the receiver does.
    say!("closed descriptor {number}")?;
    // ANCHOR_END: send
    Ok(())
}
