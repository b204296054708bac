//! How sockets and users are written in tables.

use std::net::SocketAddr;

use common::text::printable;
use nix::unistd::{Uid, User};

use crate::tables::Local;

/// An address and port, and a star for a port that can be any: of a socket that listens, no peer is known yet.
pub fn end(address: &SocketAddr) -> String {
    match address.port() {
        0 => format!("{}:*", address.to_string().trim_end_matches(":0")),
        _ => address.to_string(),
    }
}

/// The path of a local socket; an abstract name is shown with an @ for its first byte.
pub fn name(socket: &Local) -> String {
    match socket.name.split_first() {
        Some((0, rest)) => format!("@{}", printable(rest)),
        _ => printable(&socket.name).to_string(),
    }
}

/// A user's name, or the number where there is none.
pub fn user(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}
