//! Conditional requests, RFC 9110 section 8.8 and 13: the client has the file already, or had it when it made up its mind.

use std::fmt;
use std::time::{Duration, SystemTime};

use httpdate::{HttpDate, parse_http_date};
use nix::sys::stat::FileStat;

use crate::request::Request;
use crate::syntax::list;

/// What distinguishes one state of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Validators {
    /// A strong one: two states of a file that differ in a byte have different ones. It is made of the size and of the time
    /// of change to the nanosecond, and of the file's number, which is another one if it was replaced.
    pub(crate) etag: String,
    /// To the second: all that a date in HTTP can say.
    pub(crate) modified: SystemTime,
}

/// What becomes of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is answered as if it had no condition.
    Proceed,
    /// 304: the client's copy is good.
    NotModified,
    /// 412: the client meant another state.
    Failed,
}

impl Validators {
    pub(crate) fn of(about: &FileStat) -> Self {
        let (seconds, nanoseconds) = (about.st_mtime, about.st_mtime_nsec);
        let etag = format!(
            "\"{:x}-{:x}-{seconds:x}.{nanoseconds:x}\"",
            about.st_ino, about.st_size
        );
        // Never later than Date: RFC 9110 section 8.8.2.1.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        let seconds = Duration::from_secs(seconds.try_into().unwrap_or(0).min(now));
        Self {
            etag,
            modified: SystemTime::UNIX_EPOCH + seconds,
        }
    }

    /// Of a GET or HEAD, in the order of RFC 9110 section 13.2.2: a condition on the entity tag takes the place of the one on
    /// the date.
    pub(crate) fn check(&self, request: &Request) -> Outcome {
        let date = |name| {
            request
                .header(name)
                .and_then(|date| parse_http_date(date).ok())
        };
        if request.all("if-match").next().is_some() {
            if !self.is_among(request.all("if-match"), false) {
                return Outcome::Failed;
            }
        } else if date("if-unmodified-since").is_some_and(|date| self.modified > date) {
            return Outcome::Failed;
        }
        if request.all("if-none-match").next().is_some() {
            return match self.is_among(request.all("if-none-match"), true) {
                false => Outcome::Proceed,
                true => Outcome::NotModified,
            };
        }
        match date("if-modified-since").is_some_and(|date| self.modified <= date) {
            true => Outcome::NotModified,
            false => Outcome::Proceed,
        }
    }

    /// May a part be sent? Only of the state that the client has parts of: RFC 9110 section 13.1.5. Weak tags never match.
    pub(crate) fn allow_ranges(&self, request: &Request) -> bool {
        match request.header("if-range") {
            None => request.all("if-range").next().is_none(),
            Some(tag) if tag.contains('"') => tag == self.etag,
            Some(date) => parse_http_date(date).is_ok_and(|date| date == self.modified),
        }
    }

    /// Is our tag in one of the lists? `weak`: a tag marked as weak will do, RFC 9110 section 8.8.3.2.
    fn is_among<'a>(&self, mut lists: impl Iterator<Item = &'a [u8]>, weak: bool) -> bool {
        let ours = |tag: &[u8]| {
            let opaque = match tag.strip_prefix(b"W/") {
                Some(opaque) if weak => opaque,
                _ => tag,
            };
            opaque == self.etag.as_bytes()
        };
        // A star stands alone: within a list it is a part of somebody's tag.
        lists.any(|value| value == b"*" || list(value).any(ours))
    }
}

/// As it stands in Last-Modified.
impl fmt::Display for Validators {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", HttpDate::from(self.modified))
    }
}
