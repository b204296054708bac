//! A pipe has two ends, and each is ready for reasons of its own: pipe(7).

use std::os::fd::OwnedFd;

use common::{Call, CallError, say};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{SysconfVar, pipe2, read, sysconf, write};

use super::table::{Attempt, Complete, Subject, header, row};

/// When are the two ends of a pipe ready?
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Keep a duplicate of each end open, as a process does that forgets to close what fork(2) gave it
    #[arg(long)]
    spare: bool,
}

struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    spares: Vec<OwnedFd>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let page = match sysconf(SysconfVar::PAGE_SIZE).call("sysconf")? {
        Some(bytes) => usize::try_from(bytes)?,
        None => anyhow::bail!("the system does not tell the size of a page"),
    };
    let capacity = fill(&Pipe::new(false)?, page)?;
    say!(
        "a pipe here holds {capacity} bytes, {} pages",
        capacity / page
    )?;
    header()?;

    // ANCHOR: reader
    let read_end = |name, prepare: fn(&Pipe) -> nix::Result<usize>, ended| {
        row(name, &[Attempt::Read], || {
            let pipe = Pipe::new(args.spare)?;
            prepare(&pipe).call("write")?;
            Ok(pipe.watch_reader(ended))
        })
    };
    read_end("read end: nothing in the pipe", |_| Ok(0), false)?;
    read_end(
        "read end: 5 bytes in the pipe",
        |pipe| write(&pipe.writer, b"data1"),
        false,
    )?;
    read_end(
        "read end: 5 bytes, writer gone",
        |pipe| write(&pipe.writer, b"data1"),
        true,
    )?;
    read_end("read end: nothing, writer gone", |_| Ok(0), true)?;
    // ANCHOR_END: reader

    // ANCHOR: writer
    // How many bytes of a full pipe are read again; None: the pipe is not filled.
    let write_end = |name, taken: Option<usize>, ended| {
        row(name, &[Attempt::Write], || {
            let pipe = Pipe::new(args.spare)?;
            if let Some(taken) = taken {
                fill(&pipe, page)?;
                take(&pipe, taken)?;
            }
            Ok(pipe.watch_writer(ended))
        })
    };
    write_end("write end: nothing in the pipe", None, false)?;
    write_end("write end: pipe full", Some(0), false)?;
    write_end("write end: room for 1 byte", Some(1), false)?;
    write_end("write end: 1 byte short of a page", Some(page - 1), false)?;
    write_end("write end: room for a page", Some(page), false)?;
    write_end("write end: reader gone", None, true)?;
    write_end("write end: full, reader gone", Some(0), true)
    // ANCHOR_END: writer
}

/// Fills the pipe a page at a time, so that no room is left in any. Returns how many bytes went in.
fn fill(pipe: &Pipe, page: usize) -> Result<usize, CallError> {
    let data = vec![b'x'; page];
    let mut filled = 0;
    loop {
        match write(&pipe.writer, &data) {
            Ok(count) => filled += count,
            Err(Errno::EAGAIN) => return Ok(filled),
            Err(error) => return Err(error).call("write"),
        }
    }
}

fn take(pipe: &Pipe, count: usize) -> Result<(), CallError> {
    // From a full pipe that many bytes come in one read.
    let mut taken = vec![0; count];
    read(&pipe.reader, &mut taken).call("read")?;
    Ok(())
}

impl Pipe {
    fn new(spare: bool) -> Result<Self, CallError> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).call("pipe2")?;
        let mut spares = Vec::new();
        if spare {
            spares = vec![
                reader.try_clone().call("fcntl")?,
                writer.try_clone().call("fcntl")?,
            ];
        }
        Ok(Self {
            reader,
            writer,
            spares,
        })
    }

    fn watch_reader(self, writer_goes: bool) -> Subject {
        watch(self.reader, self.writer, writer_goes, self.spares)
    }

    fn watch_writer(self, reader_goes: bool) -> Subject {
        watch(self.writer, self.reader, reader_goes, self.spares)
    }
}

fn watch(watched: OwnedFd, other: OwnedFd, goes: bool, mut others: Vec<OwnedFd>) -> Subject {
    match goes {
        true => drop(other),
        false => others.push(other),
    }
    Subject {
        watched,
        others,
        complete: Complete::AtOnce,
    }
}
