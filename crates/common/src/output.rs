//! What a program reports: one line per event on standard output, flushed at once.

use std::fmt;
use std::io::{self, Write};

/// Standard output cannot be written to. Where it was a pipe whose reader has gone (`| head`), [`crate::program`] ends
/// the program without a message.
#[derive(Debug, thiserror::Error)]
#[error("standard output")]
pub struct OutputError(#[source] pub(crate) io::Error);

/// Writes one line to standard output and flushes it. Use it through [`say!`](crate::say).
///
/// `println!` would panic when the reader of a pipe has gone.
pub fn line(text: fmt::Arguments) -> Result<(), OutputError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(OutputError)
}

/// Reports an event: a line on standard output, with the arguments of `println!`. To be followed by `?`.
#[macro_export]
macro_rules! say {
    ($($argument:tt)*) => { $crate::output::line(format_args!($($argument)*)) };
}

/// Writes one line to standard error. Use it through [`complain!`](crate::complain).
///
/// `eprintln!` would panic when nobody reads. A complaint that nobody reads is no reason to end.
pub fn complaint(text: fmt::Arguments) {
    // One write for the whole line, so that the lines of two processes do not mix.
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Reports an error that does not end the program: a line on standard error, with the arguments of `println!`.
#[macro_export]
macro_rules! complain {
    ($($argument:tt)*) => { $crate::output::complaint(format_args!($($argument)*)) };
}
