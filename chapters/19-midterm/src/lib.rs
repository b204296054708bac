//! The midterm without its sockets: lines out of bytes, commands, replies. Chapter 27 puts the same on a reactor.

pub mod commands;
pub mod line_reader;
pub mod reply;
