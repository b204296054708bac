//! What every lesson needs and no lesson teaches any more.
//!
//! A lesson shows its own subject in raw system calls. What an earlier lesson has taught may come from here: the
//! address on the command line, a listening socket, a read that copes with signals, a line of output. Each item names
//! the man page or the RFC that it stands on.
//!
//! | module | what it has | taught in |
//! |---|---|---|
//! | [`address`] | `--bind`, `--port`, names to addresses | chapters 2 to 4 |
//! | [`call`] | an error that names the system call | everywhere |
//! | [`tcp`] | listening, accepting, connecting | chapter 4 |
//! | [`io`] | reading and writing all of it | chapter 5 |
//! | [`udp`] | a bound datagram socket, datagrams and their senders | chapter 6 |
//! | [`descriptors`] | how many descriptors a process may have | chapters 21 and 24 |
//! | [`lines`] | lines from a descriptor that is waited for | chapters 11 and 20 |
//! | [`signal`] | SIGPIPE, and Ctrl-C that can be waited for | chapters 11 and 36 |
//! | [`output`] | one line per event, flushed | everywhere |
//! | [`text`] | binary data made printable, rot13 | everywhere |
//! | [`program`] | the end of every `main` | everywhere |

pub mod address;
pub mod call;
pub mod descriptors;
pub mod io;
pub mod lines;
pub mod output;
pub mod program;
pub mod signal;
pub mod tcp;
pub mod text;
pub mod udp;

pub use call::{Call, CallError};
