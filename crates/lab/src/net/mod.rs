//! Networks made and looked at through the kernel's own interfaces, with no outside program.
//!
//! Everything here acts on the network namespace of the **calling thread**: a netlink socket belongs to the
//! namespace in which it was made, and so does what /proc/thread-self/net shows (network_namespaces(7)). A thread
//! that wants to work elsewhere calls `setns` first. Root inside a user namespace is enough.
//!
//! Errors say what was attempted, `add address 10.0.0.1/24 to wire0: File exists (os error 17)`; [`os_error`] gives
//! the number back.

use std::fmt;
use std::io;

pub mod capture;
pub mod netlink;
pub mod proc;
pub mod route;
pub mod sock_diag;

/// An error of the kernel with what was attempted; it travels inside an [`io::Error`].
///
/// The cause is part of the message and therefore not also a `source`: a chain would print it twice.
#[derive(Debug, thiserror::Error)]
#[error("{attempted}: {cause}")]
pub struct Failed {
    /// `add address 10.0.0.1/24 to wire0`.
    pub attempted: String,
    /// What the kernel said.
    pub cause: io::Error,
}

/// The errno behind an error of this module, for example `EEXIST`.
pub fn os_error(error: &io::Error) -> Option<i32> {
    let failed = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Failed>());
    match failed {
        Some(failed) => os_error(&failed.cause),
        None => error.raw_os_error(),
    }
}

/// Says what was attempted when a call fails: `result.map_err(attempted(format_args!("set {name} up")))`.
fn attempted<E: Into<io::Error>>(what: impl fmt::Display) -> impl FnOnce(E) -> io::Error {
    move |cause| {
        let cause = cause.into();
        io::Error::new(
            cause.kind(),
            Failed {
                attempted: what.to_string(),
                cause,
            },
        )
    }
}

#[cfg(test)]
mod tests;
