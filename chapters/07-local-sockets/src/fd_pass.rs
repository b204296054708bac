//! An open file handed to another process: SCM_RIGHTS, unix(7). The number of a descriptor means nothing to others; the
//! kernel gives the receiver a number of its own for the same open file.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;

use anyhow::{Context, bail};
use common::io::{Received, receive};
use common::signal::StopSignal;
use common::text::printable;
use common::{Call, say};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::PollFlags;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use nix::sys::stat::Mode;

use crate::name::Name;
use crate::unixstreamclient::connected;
use crate::unixstreamserver::{self, Listen, accept};
use crate::wait::{Woken, wait};

/// Hands an open file from one process to another
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, clap::Subcommand)]
enum Role {
    /// Waits for one descriptor, and reads from it when the sender has ended
    Receiver(Listen),
    /// Opens a file, sends the descriptor, closes it and ends
    Sender(Sender),
}

#[derive(Debug, clap::Args)]
struct Sender {
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
    match &args.role {
        Role::Receiver(args) => run_receiver(args),
        Role::Sender(args) => run_sender(args),
    }
}

fn run_sender(args: &Sender) -> anyhow::Result<()> {
    let connection = connected(&args.receiver)?;
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let file = open(&args.file, flags, Mode::empty()).call(format_args!("open {}", args.file.display()))?;
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
    loop {
        match sendmsg::<()>(connection.as_raw_fd(), &data, control, MsgFlags::MSG_NOSIGNAL, None) {
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

fn run_receiver(args: &Listen) -> anyhow::Result<()> {
    let stop = StopSignal::new()?;
    let (listener, _file) = unixstreamserver::open(args)?;
    say!("listening on {}", args.name)?;
    let Some(connection) = accept(&stop, &listener)? else { return Ok(()) };
    if wait(&stop, &connection, PollFlags::POLLIN, None)? == Woken::Stop {
        return Ok(());
    }
    let file = receive_descriptor(&connection)?;
    if read_all(&stop, &connection, |_| bail!("more came than one descriptor"))? == Woken::Stop {
        return Ok(());
    }
    say!("sender closed")?;
    read_all(&stop, &file, |data| Ok(say!("read {} bytes: {}", data.len(), printable(data))?))?;
    Ok(())
}

// ANCHOR: receive
fn receive_descriptor(connection: &OwnedFd) -> anyhow::Result<OwnedFd> {
    let mut text = [0; 16];
    let mut slices = [IoSliceMut::new(&mut text)];
    let mut space = cmsg_space!([i32; 1]);
    // What arrives is CLOEXEC from the first moment.
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(connection.as_raw_fd(), &mut slices, Some(&mut space), flags).call("recvmsg")?;
    let mut descriptors = Vec::new();
    for control in message.cmsgs().call("recvmsg")? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            // All of them, wanted or not: a sender may send more than one, and what is not owned stays open for ever.
            // SAFETY: the kernel has just made these descriptors for us; nobody else has them.
            descriptors.extend(numbers.into_iter().map(|raw| unsafe { OwnedFd::from_raw_fd(raw) }));
        }
    }
    let length = message.bytes;
    if length == 0 {
        bail!("the sender closed without a word");
    }
    say!("received {length} bytes: {}", printable(&text[..length]))?;
    let file = descriptors.pop().context("no descriptor came with them")?;
    say!("received descriptor {}", file.as_raw_fd())?;
    Ok(file)
}
// ANCHOR_END: receive

/// Reads to the end of file, or until it is time to stop.
fn read_all(
    stop: &StopSignal,
    from: &OwnedFd,
    mut each: impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<Woken> {
    let mut data = [0; 4096];
    while wait(stop, from, PollFlags::POLLIN, None)? == Woken::Ready {
        match receive(from, &mut data).call("read")? {
            Received::Data(length) => each(&data[..length])?,
            Received::EndOfFile => return Ok(Woken::Ready),
            Received::WouldBlock => {}
            Received::Reset => Err(Errno::ECONNRESET).call("read")?,
        }
    }
    Ok(Woken::Stop)
}
