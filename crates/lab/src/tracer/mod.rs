//! The system calls of a program, seen through ptrace(2): nothing needs to be installed for it.
//!
//! Tracing belongs to a thread: each traced program has a tracer thread of its own, which also follows the threads and
//! the children of the program. It asks the kernel what a call is (PTRACE_GET_SYSCALL_INFO, since Linux 5.3), so it needs
//! no knowledge of registers.

mod decode;
mod keeper;
mod log;
mod table;
#[cfg(test)]
mod tests;

pub use keeper::keeper;
pub use log::{Calls, SystemCall};
