//! The end of every `main`: a clear message and an exit code.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use crate::output::OutputError;

/// The exit code of a program whose reader has gone, as a shell shows it: 128 + SIGPIPE.
const OUTPUT_CLOSED: u8 = 141;

/// Runs a lesson's program. An error goes to standard error with its causes, `Error: connect 127.0.0.1:43211:
/// Connection refused (os error 111)`, and the exit code is 1.
pub fn run<E>(program: impl FnOnce() -> Result<(), E>) -> ExitCode
where
    E: AsRef<dyn Error + Send + Sync>,
{
    let Err(error) = program() else {
        return ExitCode::SUCCESS;
    };
    let error: &(dyn Error + 'static) = error.as_ref();
    if let Some(OutputError(cause)) = error.downcast_ref()
        && cause.kind() == io::ErrorKind::BrokenPipe
    {
        return ExitCode::from(OUTPUT_CLOSED);
    }
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let message: Vec<_> = causes.map(|cause| cause.to_string()).collect();
    crate::complain!("Error: {}", message.join(": "));
    ExitCode::FAILURE
}
