//! Datagrams on one machine. They are not lost and not swapped; but an answer needs a name to go to.

use std::io::IoSliceMut;
use std::os::fd::AsRawFd;

use common::signal::StopSignal;
use common::text::printable;
use common::{Call, complain, say};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, recvmsg, sendto, socket,
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
    /// Room for a datagram; what is longer is cut, and the rest of it lost
    #[arg(long, value_name = "BYTES", default_value_t = 262_144, value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    buffer: u32,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let stop = StopSignal::new()?;
    // ANCHOR: open
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None).call("socket")?;
    let name = &args.listen.name;
    let _file = SocketFile::bind(&socket, name, !args.listen.no_unlink)?;
    say!("listening on {name}")?;
    // ANCHOR_END: open
    let mut buffer = vec![0; args.buffer as usize];
    while wait(&stop, &socket, PollFlags::POLLIN, None)? == Woken::Ready {
        // MSG_TRUNC as an argument makes the result the datagram's length and not what fitted, recv(2).
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let (sent, client) = match recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut slices, None, flags) {
            Ok(datagram) => (datagram.bytes, datagram.address),
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            Err(error) => Err(error).call("recvmsg")?,
        };
        // An empty datagram is a datagram. There is no connection, so nothing here can be an end of file.
        let message = &buffer[..sent.min(buffer.len())];
        say!("received {} bytes: {}", message.len(), printable(message))?;
        if sent > message.len() {
            let lost = sent - message.len();
            say!("cut: the datagram had {sent} bytes, {lost} are lost")?;
        }

        // ANCHOR: answer
        // Without bind(2) a client has no name, and nothing can be sent to it.
        let Some((client, name)) = client.and_then(|client| Some((client, shown(&client)?))) else {
            complain!("no answer: the client has no name");
            continue;
        };
        let answer = [b"Hi, ", message].concat();
        say!("now sending {}", printable(&answer))?;
        // A local datagram is not dropped where the receiver's queue is full: the sender waits. One client that does not
        // read must not make this server wait, so it loses the answer instead (EAGAIN).
        let sent = loop {
            match sendto(socket.as_raw_fd(), &answer, &client, MsgFlags::MSG_DONTWAIT) {
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
