//! An error that says which system call failed, and on what.

use std::fmt::Display;
use std::io;

/// A system call that failed. Printed with its source: `connect 127.0.0.1:43211: Connection refused (os error 111)`.
#[derive(Debug, thiserror::Error)]
#[error("{call}")]
pub struct CallError {
    call: String,
    source: io::Error,
}

impl CallError {
    /// The error number, errno(3), where the failure came from the kernel.
    pub fn errno(&self) -> Option<nix::errno::Errno> {
        self.source.raw_os_error().map(nix::errno::Errno::from_raw)
    }

    /// Whether there was no descriptor or no memory left, accept(2): a moment later there may be, so a server goes on,
    /// after a pause.
    pub fn is_shortage(&self) -> bool {
        use nix::errno::Errno::{EMFILE, ENFILE, ENOBUFS, ENOMEM};
        matches!(self.errno(), Some(EMFILE | ENFILE | ENOBUFS | ENOMEM))
    }

    /// The kind of the failure, as the standard library groups error numbers.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

/// Adds the name of the system call, and what it was called on, to its error.
pub trait Call<T> {
    /// `socket::connect(…).call("connect 127.0.0.1:43211")?`; use `format_args!` for the parts that vary.
    fn call(self, what: impl Display) -> Result<T, CallError>;
}

impl<T, E: Into<io::Error>> Call<T> for Result<T, E> {
    fn call(self, what: impl Display) -> Result<T, CallError> {
        self.map_err(|error| CallError {
            call: what.to_string(),
            source: error.into(),
        })
    }
}
