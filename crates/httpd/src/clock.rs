//! The time of day, in the two forms that a server needs for every answer, made once a second.

use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use httpdate::HttpDate;

use crate::status::Status;
use crate::writer;

/// What does not change within a second.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// When the next second begins.
    until: Option<Instant>,
    /// The start of the usual answer: status line, Date.
    ok: Vec<u8>,
    /// Where its second line starts.
    date: usize,
    /// The head of the last usual answer, and what was told in it.
    usual: Vec<u8>,
    content_type: &'static str,
    length: u64,
}

impl Clock {
    /// Looks at the time. `now` is when the turn of the loop began, and costs nothing: the clock on the wall is read when a
    /// second is over.
    #[inline]
    pub(crate) fn look(&mut self, now: Instant) {
        if self.until.is_none_or(|until| until <= now) {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let since = since.unwrap_or_default();
            let rest = Duration::from_nanos(1_000_000_000 - u64::from(since.subsec_nanos()));
            self.until = Some(now + rest);
            self.tick(since.as_secs());
        }
    }

    #[cold]
    fn tick(&mut self, second: u64) {
        let line = Status::Ok.line();
        self.ok.clear();
        self.ok.extend_from_slice(line);
        self.date = line.len();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        let _ = write!(self.ok, "Date: {}\r\n", HttpDate::from(time));
        self.usual.clear();
    }

    /// The head of a usual answer: `HTTP/1.1 200 OK`, Date, Content-Type, Content-Length. One like the answer before it, and
    /// under load most are, is a single copy.
    #[inline]
    pub(crate) fn usual(&mut self, content_type: &'static str, length: u64) -> &[u8] {
        // Where the type stands, not what it says: one that stands elsewhere as well is made anew, and right.
        let same = std::ptr::eq(self.content_type, content_type) && self.length == length;
        if !same || self.usual.is_empty() {
            self.make_usual(content_type, length);
        }
        &self.usual
    }

    #[inline(never)]
    fn make_usual(&mut self, content_type: &'static str, length: u64) {
        (self.content_type, self.length) = (content_type, length);
        self.usual.clear();
        self.usual.extend_from_slice(&self.ok);
        for part in ["Content-Type: ", content_type, "\r\n"] {
            self.usual.extend_from_slice(part.as_bytes());
        }
        writer::content_length(&mut self.usual, length);
    }

    /// `HTTP/1.1 200 OK` and the Date line.
    #[inline]
    pub(crate) fn ok(&self) -> &[u8] {
        &self.ok
    }

    /// `Date: Sun, 06 Nov 1994 08:49:37 GMT`, RFC 9110 section 6.6.1.
    #[inline]
    pub(crate) fn date(&self) -> &[u8] {
        &self.ok[self.date..]
    }

    /// `06/Nov/1994:08:49:37 +0000`, from the same text: what an access log wants.
    pub(crate) fn log_time(&self) -> String {
        let date = String::from_utf8_lossy(self.date());
        let part = |from: usize, to: usize| date.get(from..to).unwrap_or_default();
        let (day, month, year, time) = (part(11, 13), part(14, 17), part(18, 22), part(23, 31));
        format!("{day}/{month}/{year}:{time} +0000")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let mut clock = Clock::default();
        clock.tick(784_111_777);
        assert_eq!(clock.date(), b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
        assert_eq!(clock.log_time(), "06/Nov/1994:08:49:37 +0000");
        assert!(clock.ok().starts_with(b"HTTP/1.1 200 OK\r\nDate: "));
    }
}
