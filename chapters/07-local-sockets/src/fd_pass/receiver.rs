//! Receives the descriptor of a file that it never opened.

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context, bail};
use common::io::{Received, receive};
use common::signal::StopSignal;
use common::text::printable;
use common::{Call, say};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use crate::unixstreamserver::{self, Listen, accept};
use crate::wait::{Woken, wait};

/// Waits for one descriptor, and reads from it when the sender has ended
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let stop = StopSignal::new()?;
    let (listener, _file) = unixstreamserver::open(&args.listen)?;
    say!("listening on {}", args.listen.name)?;
    let Some(connection) = accept(&stop, &listener)? else {
        return Ok(());
    };
    if wait(&stop, &connection, PollFlags::POLLIN, None)? == Woken::Stop {
        return Ok(());
    }
    let file = receive_descriptor(&connection)?;
    let more = |_: &[u8]| bail!("more came than one descriptor");
    if read_all(&stop, &connection, more)? == Woken::Ready {
        say!("sender closed")?;
        let tell = |data: &[u8]| Ok(say!("read {} bytes: {}", data.len(), printable(data))?);
        read_all(&stop, &file, tell)?;
    }
    Ok(())
}

// ANCHOR: receive
fn receive_descriptor(connection: &OwnedFd) -> anyhow::Result<OwnedFd> {
    let mut text = [0; 16];
    let mut slices = [IoSliceMut::new(&mut text)];
    let mut space = cmsg_space!([i32; 1]);
    // What arrives is CLOEXEC from the first moment.
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(connection.as_raw_fd(), &mut slices, Some(&mut space), flags)
        .call("recvmsg")?;
    let mut descriptors = Vec::new();
    for control in message.cmsgs().call("recvmsg")? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            // All of them, wanted or not: a sender may send more than one, and what is not
            // owned stays open for ever.
            // SAFETY: the kernel has just made these descriptors for us; nobody else has them.
            let owned = |raw| unsafe { OwnedFd::from_raw_fd(raw) };
            descriptors.extend(numbers.into_iter().map(owned));
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
