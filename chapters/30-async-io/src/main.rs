//! Lesson 30: asynchronous I/O, and the proactor.

mod aio;
mod aio01;
mod aio02;
mod aio03;
mod connection;
mod epoll_echo;
mod pool;
mod proactor;
mod ring;
mod server;
mod target;
mod uring_echo;
mod uring_file;

use std::process::ExitCode;

use clap::Parser;

/// Lesson 30. read(2) waits, or says that there is nothing, or is told by epoll that there is something; but always it
/// is the program that copies the data. With asynchronous I/O it only says what it wants, and hears when it has been
/// done. Who does it: POSIX aio has threads of its own, io_uring has the kernel.
#[derive(Parser)]
#[command(name = "chap-30", arg_required_else_help = true, after_help = TRY)]
enum Lesson {
    Aio01(aio01::Args),
    Aio02(aio02::Args),
    Aio03(aio03::Args),
    UringFile(uring_file::Args),
    UringEcho(uring_echo::Args),
    EpollEcho(epoll_echo::Args),
}

const TRY: &str = "\
One file, written and read back in four ways:
  cargo run -p chap-30 -- aio01
  cargo run -p chap-30 -- aio02
  cargo run -p chap-30 -- aio03
  cargo run -p chap-30 -- uring-file
A proactor, and a client in another terminal:
  cargo run -p chap-30 -- uring-echo
  nc 127.0.0.1 43211
While it runs, the same by asynchronous I/O on a socket:
  cargo run -p chap-30 -- aio02 --connect 127.0.0.1";

fn main() -> ExitCode {
    common::program::run(|| match Lesson::parse() {
        Lesson::Aio01(args) => aio01::run(&args),
        Lesson::Aio02(args) => aio02::run(&args),
        Lesson::Aio03(args) => aio03::run(&args),
        Lesson::UringFile(args) => uring_file::run(&args),
        Lesson::UringEcho(args) => uring_echo::run(&args),
        Lesson::EpollEcho(args) => epoll_echo::run(&args),
    })
}
