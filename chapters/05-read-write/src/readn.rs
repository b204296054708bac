//! Reading a block of a known size from a stream that knows no blocks.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::unistd::read;

/// What reading a block came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// All of it.
    Full,
    /// So many bytes, at least one and fewer than asked for.
    Short(usize),
    /// The peer has said that nothing will follow (FIN), and this block has not begun.
    EndOfFile,
    /// The peer has aborted the connection (RST), so many bytes into the block.
    Reset(usize),
}

// ANCHOR: readn
/// Reads until `block` is full or the peer has ended (UNP 3.9, `readn`). On a blocking descriptor: `WouldBlock` is an
/// error here.
pub fn readn(fd: impl AsFd, block: &mut [u8]) -> io::Result<Block> {
    let mut filled = 0;
    while filled < block.len() {
        match read(&fd, &mut block[filled..]) {
            Ok(0) if filled == 0 => return Ok(Block::EndOfFile),
            Ok(0) => return Ok(Block::Short(filled)),
            // What has arrived so far: one segment, a part of one, or several.
            Ok(count) => filled += count,
            // A signal came before any data, signal(7). Nothing is lost: ask again.
            Err(Errno::EINTR) => {}
            Err(Errno::ECONNRESET) => return Ok(Block::Reset(filled)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Block::Full)
}
// ANCHOR_END: readn

// ANCHOR: read_once
/// One read(2) and no more, to see what it brings. A signal makes it fail, and few bytes make it short.
pub fn read_once(fd: impl AsFd, block: &mut [u8]) -> io::Result<Block> {
    match read(&fd, block) {
        Ok(0) => Ok(Block::EndOfFile),
        Ok(count) if count < block.len() => Ok(Block::Short(count)),
        Ok(_) => Ok(Block::Full),
        Err(Errno::ECONNRESET) => Ok(Block::Reset(0)),
        Err(error) => Err(error.into()),
    }
}
// ANCHOR_END: read_once

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use common::io::writen;
    use nix::unistd::pipe;

    use super::*;

    fn ended_pipe(content: &[u8]) -> OwnedFd {
        let (reader, writer) = pipe().unwrap();
        writen(&writer, content).unwrap();
        reader
    }

    #[test]
    fn e3_readn_tells_a_short_block_from_end_of_file() {
        let reader = ended_pipe(b"abcde");
        let mut block = [0; 3];
        assert_eq!(readn(&reader, &mut block).unwrap(), Block::Full);
        assert_eq!(&block, b"abc");
        assert_eq!(readn(&reader, &mut block).unwrap(), Block::Short(2));
        assert_eq!(&block[..2], b"de");
        assert_eq!(readn(&reader, &mut block).unwrap(), Block::EndOfFile);
    }

    /// The original gave −1 back as a huge count.
    #[test]
    fn e3_readn_reports_failure_as_an_error() {
        let directory = std::fs::File::open("/").unwrap();
        let error = readn(&directory, &mut [0; 3]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::EISDIR as i32));
    }

    #[test]
    fn read_once_is_short_where_readn_waits() {
        let (reader, writer) = pipe().unwrap();
        let mut block = [0; 4];
        writen(&writer, b"abc").unwrap();
        assert_eq!(read_once(&reader, &mut block).unwrap(), Block::Short(3));
        writen(&writer, b"abcd").unwrap();
        assert_eq!(read_once(&reader, &mut block).unwrap(), Block::Full);
        drop(writer);
        assert_eq!(read_once(&reader, &mut block).unwrap(), Block::EndOfFile);
    }
}
