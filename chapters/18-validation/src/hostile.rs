//! What no friendly client would do.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use common::io::send_all;
use common::{Call, CallError, say};
use nix::errno::Errno;
use nix::libc::linger;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};

/// What to send in place of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Hostile {
    /// 128 bytes, which fill samplebuffer01's buffer, and five more, all in one segment
    Full,
    /// A line of ten bytes for samplebuffer03's buffer of ten
    Fits,
    /// The line "quit" with a 0 behind it: for strcmp it is "quit", for the stream it is not
    Nul,
    /// A line of 600 bytes: samplebuffer03 reads at most 512 at once
    Long,
    /// A megabyte without a newline
    Endless,
    /// Each value that a byte can have
    Binary,
    /// Half a line, then a reset
    Reset,
    /// Half a line, then nothing more
    Silent,
    /// A byte, and each second one more, for ever
    Dribble,
}

/// What is left to do when the bytes are sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Then {
    /// End our direction and see what the server says.
    End,
    /// Leave our direction open and see what the server does.
    Stay,
    /// The connection is to be dropped as it is.
    Leave,
}

impl Hostile {
    /// Sends it.
    pub fn send(self, connection: &OwnedFd) -> anyhow::Result<Then> {
        let bytes = self.bytes();
        say!("now sending {} bytes", bytes.len())?;
        send_all(connection, &bytes).call("send")?;
        match self {
            Self::Dribble => dribble(connection)?,
            Self::Reset => {
                // SO_LINGER with no time: close(2) sends RST, chapter 10.
                let at_once = linger {
                    l_onoff: 1,
                    l_linger: 0,
                };
                setsockopt(connection, sockopt::Linger, &at_once).call("setsockopt SO_LINGER")?;
            }
            _ => {}
        }
        Ok(match self {
            Self::Reset => Then::Leave,
            Self::Silent | Self::Dribble => Then::Stay,
            _ => Then::End,
        })
    }

    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Full => [&[b'x'; 128][..], b"next\n"].concat(),
            Self::Fits => b"012345678\n".to_vec(),
            Self::Nul => b"quit\0\n".to_vec(),
            Self::Long => [&[b'x'; 599][..], b"\n"].concat(),
            Self::Endless => vec![b'x'; 1 << 20],
            Self::Binary => (0..=255).collect(),
            Self::Reset | Self::Silent => b"half".to_vec(),
            Self::Dribble => b"x".to_vec(),
        }
    }
}

/// One byte each second, until the server has ended its direction or the connection.
fn dribble(connection: &OwnedFd) -> Result<(), CallError> {
    const SECOND: Duration = Duration::from_secs(1);
    let pause = PollTimeout::try_from(SECOND).expect("in the range of poll");
    loop {
        let mut server = [PollFd::new(connection.as_fd(), PollFlags::POLLIN)];
        match poll(&mut server, pause) {
            Ok(0) => send_all(connection, b"x").call("send")?,
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error).call("poll"),
        }
    }
}
