//! Lines to send and datagrams that come back, whichever is first: for programs that do not know how many answers there
//! will be.

use std::io::stdin;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use common::io::Received;
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, CallError, complain, say, udp};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};

/// Hands each typed line to `typed_line`, and prints each datagram and each error of the socket, until the input ends.
pub fn talk(
    socket: &OwnedFd,
    mut typed_line: impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut typed = LineBuffer::new();
    let mut buffer = vec![0; udp::LARGEST];
    loop {
        let input = stdin();
        let mut fds = [socket.as_fd(), input.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).call("poll")?,
        }
        // An error that waits in the socket makes it readable as well: poll(2), POLLERR.
        let [answered, entered] = fds.map(|fd| fd.any().unwrap_or(false));
        if answered {
            match udp::receive_from(socket, &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(Some(datagram)) => {
                    let (length, from) = (datagram.length, datagram.from);
                    let text = printable(&buffer[..length]);
                    say!("received {length} bytes from {from}: {text}")?;
                }
                Ok(None) => {}
                Err(error) => complain!("recvmsg: {}", std::io::Error::from(error)),
            }
        }
        if entered {
            let ended = typed.fill(stdin()).call("read standard input")? == Received::EndOfFile;
            while let Some(line) = typed.next_line() {
                typed_line(&line)?;
            }
            if ended {
                return Ok(());
            }
        }
    }
}

/// Sends one datagram: to this address, or else to the peer that the socket is connected to.
pub fn send_datagram(
    socket: &OwnedFd,
    data: &[u8],
    to: Option<&SocketAddr>,
) -> Result<usize, CallError> {
    let Some(to) = to else {
        loop {
            match send(socket.as_raw_fd(), data, MsgFlags::empty()) {
                Err(Errno::EINTR) => {}
                outcome => return outcome.call("send"),
            }
        }
    };
    udp::send_to(socket, data, to).call(format_args!("sendto {to}"))
}
