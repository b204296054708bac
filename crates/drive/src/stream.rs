//! One output of a program, cut into lines with the time each one came.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::read;

/// A line of output, without its newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it was read, which is shortly after it was written.
    pub at: Instant,
    /// The line; what is not UTF-8 is replaced.
    pub text: String,
}

/// A line that was waited for.
#[derive(Debug, Clone)]
pub struct Matched {
    /// The line.
    pub line: Line,
    after: usize,
}

impl Matched {
    /// What follows the awaited text on its line: the address after `listening on `.
    pub fn rest(&self) -> String {
        self.line.text[self.after..].to_string()
    }
}

/// How much of an output is kept, in bytes and in lines. A program that prints without end must not take all the memory.
const KEPT: usize = 32 << 20;
const KEPT_LINES: usize = 100_000;

#[derive(Debug, Default)]
struct Content {
    lines: Vec<Line>,
    unfinished: Vec<u8>,
    /// How many bytes have come.
    size: usize,
    /// No more is kept.
    is_full: bool,
    closed: bool,
    /// How many lines earlier waits have passed over.
    cursor: usize,
}

/// One output of a program.
#[derive(Debug)]
pub struct Stream {
    fd: OwnedFd,
    content: Mutex<Content>,
    grown: Condvar,
}

impl Stream {
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
        fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        Ok(Self {
            fd,
            content: Mutex::default(),
            grown: Condvar::new(),
        })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is in the pipe now. False once the other end is closed.
    pub(crate) fn pump(&self) -> bool {
        let mut chunk = [0; 65536];
        let mut content = self.content();
        while !content.closed {
            match read(&self.fd, &mut chunk) {
                Ok(0) => content.close(),
                Ok(count) => content.append(&chunk[..count]),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(_) => content.close(),
            }
        }
        self.grown.notify_all();
        !content.closed
    }

    /// Wakes those who wait for a line, so that they look whether the program has ended.
    pub(crate) fn nudge(&self) {
        let _content = self.content();
        self.grown.notify_all();
    }

    pub(crate) fn closed(&self) -> bool {
        self.content().closed
    }

    /// Every line so far, those included that are still in the pipe.
    pub fn lines(&self) -> Vec<Line> {
        self.pump();
        self.content().lines.clone()
    }

    /// How many lines there are so far.
    pub fn len(&self) -> usize {
        self.content().lines.len()
    }

    /// Whether there is no line so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same as text.
    pub fn text(&self) -> String {
        self.lines()
            .into_iter()
            .map(|line| line.text + "\n")
            .collect()
    }

    /// Waits for a line that contains `text` and comes after the line that the last wait found. `None` when the
    /// deadline passes, or when the stream is closed or `ended` says that nothing more will come.
    pub(crate) fn await_line(
        &self,
        text: &str,
        deadline: Instant,
        ended: impl Fn() -> bool,
    ) -> Option<Matched> {
        let mut content = self.content();
        loop {
            let seen = content.cursor;
            for index in seen..content.lines.len() {
                if let Some(start) = content.lines[index].text.find(text) {
                    content.cursor = index + 1;
                    return Some(Matched {
                        line: content.lines[index].clone(),
                        after: start + text.len(),
                    });
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if content.closed || left.is_zero() || ended() {
                return None;
            }
            content = self
                .grown
                .wait_timeout(content, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Content {
    fn append(&mut self, bytes: &[u8]) {
        let at = Instant::now();
        if self.is_full {
            return;
        }
        self.size += bytes.len();
        self.is_full = self.size > KEPT || self.lines.len() >= KEPT_LINES;
        if self.is_full {
            self.unfinished.clear();
            let text = "... and more than is kept".into();
            return self.lines.push(Line { at, text });
        }
        for &byte in bytes {
            if byte == b'\n' {
                let text = String::from_utf8_lossy(&self.unfinished).into_owned();
                self.lines.push(Line { at, text });
                self.unfinished.clear();
            } else {
                self.unfinished.push(byte);
            }
        }
    }

    fn close(&mut self) {
        self.closed = true;
        if !self.unfinished.is_empty() {
            self.append(b"\n");
        }
    }
}
