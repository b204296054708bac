//! Datagrams on one machine. They are not lost and not swapped; but an answer needs a name to go to.

use std::os::fd::{AsRawFd, OwnedFd};

use common::signal::StopSignal;
use common::text::printable;
use common::{Call, CallError, complain, say};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, recv, recvfrom, sendto, socket,
};

use crate::name::shown;
use crate::socket_file::SocketFile;
use crate::unixstreamserver::Listen;
use crate::wait::{Woken, wait};

/// Answers each datagram with "Hi, …" until Ctrl-C
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let stop = StopSignal::new()?;
    // ANCHOR: open
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None).call("socket")?;
    let name = &args.listen.name;
    let _file = SocketFile::bind(&socket, name, !args.listen.no_unlink)?;
    say!("listening on {name}")?;
    // ANCHOR_END: open
    while wait(&stop, &socket, PollFlags::POLLIN, None)? == Woken::Ready {
        let Some((message, client)) = receive(&socket)? else {
            continue;
        };
        // An empty datagram is a datagram. There is no connection, so nothing here can be an end of file.
        say!("received {} bytes: {}", message.len(), printable(&message))?;

        // ANCHOR: answer
        // Without bind(2) a client has no name, and nothing can be sent to it.
        let Some((client, name)) = client.and_then(|client| Some((client, shown(&client)?))) else {
            complain!("no answer: the client has no name");
            continue;
        };
        let answer = [b"Hi, ", &message[..]].concat();
        say!("now sending {}", printable(&answer))?;
        // A local datagram is not dropped where the receiver's queue is full: the sender
        // waits. One client that does not read must not make this server wait, so the socket
        // is non-blocking, and that client loses the answer (EAGAIN).
        let sent = loop {
            match sendto(socket.as_raw_fd(), &answer, &client, MsgFlags::empty()) {
                Err(Errno::EINTR) => {}
                sent => break sent,
            }
        };
        // The client may be gone, file and all. That is no end of the service.
        if let Err(error) = sent.call(format_args!("sendto {name}")) {
            complain!("{:#}", anyhow::Error::from(error));
        }
        // ANCHOR_END: answer
    }
    Ok(()) // The file is removed here.
}

/// What was sent, and its sender's name if it has one.
type Datagram = (Vec<u8>, Option<UnixAddr>);

// ANCHOR: receive
/// The next datagram, whole; `None` when there is none now.
pub fn receive(socket: &OwnedFd) -> Result<Option<Datagram>, CallError> {
    let raw = socket.as_raw_fd();
    // How long is it? MSG_TRUNC makes the result the length that was sent, MSG_PEEK leaves
    // the datagram where it is.
    let ask = MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC;
    loop {
        let datagram = recv(raw, &mut [], ask).and_then(|length| {
            let mut datagram = vec![0; length];
            let (_, sender) = recvfrom::<UnixAddr>(raw, &mut datagram)?;
            Ok((datagram, sender))
        });
        match datagram {
            Ok(datagram) => return Ok(Some(datagram)),
            Err(Errno::EAGAIN) => return Ok(None),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error).call("recvfrom"),
        }
    }
}
// ANCHOR_END: receive
