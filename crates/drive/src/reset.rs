//! A peer that dies the hard way.

use std::io;
use std::net::TcpStream;

use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};

/// Ends a connection with RST in place of FIN: SO_LINGER with no time, socket(7). Chapter 10 is about it.
pub fn reset(stream: TcpStream) -> io::Result<()> {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&stream, sockopt::Linger, &linger)?;
    Ok(())
}
