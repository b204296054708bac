//! A TCP socket in every situation in which select(2) may be asked about it.

use std::os::fd::{AsRawFd, OwnedFd};

use common::io::set_nonblocking;
use common::{Call, CallError, tcp};
use nix::errno::Errno;
use nix::libc::linger;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    Backlog, MsgFlags, Shutdown, SockaddrStorage, bind, listen, send, setsockopt, shutdown, sockopt,
};
use nix::unistd::{read, write};
use std::net::SocketAddr;
use std::os::fd::AsFd;

use super::table::{Attempt, RDHUP, Subject, header, row};

/// When is a TCP socket ready?
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Make each situation, but ask about another connection, on which nothing happens
    #[arg(long)]
    elsewhere: bool,
}
