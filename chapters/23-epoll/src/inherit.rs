//! What becomes of an epoll instance when the process runs another program.

use std::ffi::CString;
use std::fs;
use std::io::stdin;

use common::io::{Received, receive};
use common::{Call, say};
use nix::sys::epoll::{Epoll, EpollCreateFlags};
use nix::unistd::execv;

/// Makes an epoll instance and becomes another program, which looks at what it has inherited
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Make the instance with EPOLL_CLOEXEC
    #[arg(long)]
    cloexec: bool,
    /// Be that other program
    #[arg(long, hide = true)]
    look: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.look {
        return look();
    }
    // ANCHOR: exec
    let flags = match args.cloexec {
        true => EpollCreateFlags::EPOLL_CLOEXEC,
        false => EpollCreateFlags::empty(), // on purpose: everything else here is close-on-exec
    };
    let _epoll = Epoll::new(flags).call("epoll_create1")?;
    let words = ["chap-23", "inherit", "--look"]
        .map(|word| CString::new(word).expect("no zero byte in it"));
    execv(c"/proc/self/exe", &words).call("execve /proc/self/exe")?;
    // ANCHOR_END: exec
    Ok(())
}

fn look() -> anyhow::Result<()> {
    say!("another program, the same process")?;
    let entries = fs::read_dir("/proc/self/fd").call("read /proc/self/fd")?;
    let mut inherited = 0;
    for path in entries.flatten().map(|entry| entry.path()) {
        let target = fs::read_link(&path).unwrap_or_default();
        if target.as_os_str() == "anon_inode:[eventpoll]" {
            say!("inherited: {} is {}", path.display(), target.display())?;
            inherited += 1;
        }
    }
    if inherited == 0 {
        say!("no epoll descriptor")?;
    }
    // Stays for those who want to look.
    while receive(stdin(), &mut [0; 512]).call("read standard input")? != Received::EndOfFile {}
    Ok(())
}
