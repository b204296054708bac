//! Going on after an error, to see what the next call says.

use common::complain;

/// How many errors are still to be reported and survived.
pub struct Errors(u32);

impl Errors {
    /// The last of `count` errors, which is at least one, ends the program.
    pub fn new(count: u32) -> Self {
        Self(count)
    }

    /// Reports an error. The last one comes back to the caller, to be the program's own.
    pub fn happened(&mut self, error: anyhow::Error) -> anyhow::Result<()> {
        self.0 -= 1;
        if self.0 == 0 {
            return Err(error);
        }
        complain!("{error:#}");
        Ok(())
    }
}
