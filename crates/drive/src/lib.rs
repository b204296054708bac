//! Drives a program as a person at a terminal does: starts it, types lines, waits for what it says, sees how it ends.
//!
//! The lessons' tests and the lab stand on it. Nothing here sleeps to wait for a fact: every wait is for a line of
//! output or for the end of the process, with a deadline, and says what it saw instead when the deadline passes.
//!
//! ```no_run
//! # use std::process::Command;
//! # use drive::Program;
//! # fn main() -> Result<(), drive::DriveError> {
//! let server = Program::start("graceserver", Command::new("chap-11").args(["graceserver", "--port", "0"]))?;
//! let port = server.listens()?.port().to_string();
//! let client = Program::start("client", Command::new("telnet").args(["127.0.0.1", &port]))?;
//! client.types("data1")?;
//! server.says("received 5 bytes: data1")?;
//! # Ok(())
//! # }
//! ```

mod program;
mod reset;
mod stream;
mod usage;
mod wait;

pub use nix::sys::signal::Signal;
pub use program::{DriveError, End, Ending, Keeper, Program};
pub use reset::reset;
pub use stream::{Line, Matched, Stream};
pub use wait::{asks, awaits, connect, greedy};
