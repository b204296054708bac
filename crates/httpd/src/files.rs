//! Files from a directory: which one is meant, and what is said about it.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::stat::{FileStat, SFlag, fstat};

use crate::beneath::Root;
use crate::conditional::{Outcome, Validators};
use crate::open_files::OpenFiles;
use crate::range::Ranges;
use crate::request::{Method, Request};
use crate::response::{Later, Piece, Pieces, Response, Source};
use crate::status::Status;
use crate::syntax::{self, PLAIN, is, list, trim};

/// What stands between the parts of a multipart answer. It must not occur in them, and cannot be looked for in a file
/// that goes out without passing through here; this one is as good as a random one.
const BOUNDARY: &str = "ladder-7d1c3a59e2f84b06";

/// A directory whose files are served.
#[derive(Debug)]
pub struct Files {
    root: Root,
    precompressed: bool,
    open: Option<OpenFiles>,
}

/// A file, and what the kernel says of it.
type Opened = (Arc<OwnedFd>, FileStat);

impl Files {
    /// Serves what is below `root`. The directory is opened now: it may be renamed later.
    pub fn new(root: impl AsRef<Path>) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let options = options.read(true).custom_flags(nix::libc::O_DIRECTORY);
        Ok(Self {
            root: Root::new(options.open(root)?.into()),
            precompressed: false,
            open: None,
        })
    }

    /// Sends `name.br` or `name.gz` in place of `name`, where there is one and the client takes it.
    pub fn precompressed(mut self) -> Self {
        self.precompressed = true;
        self
    }

    /// Leaves files open for this time after they were first asked for, 64 of them at most. What is sent is the file as it is
    /// now, also if it was replaced or removed. But a directory or a symbolic link on its path may have changed for so long
    /// before that is seen.
    pub fn kept_open(mut self, time: Duration) -> Self {
        self.open = Some(OpenFiles::new(time));
        self
    }

    /// Answers a GET or HEAD.
    pub fn answer(&self, request: &Request, response: &mut Response) {
        if let Err(status) = self.try_answer(request, response) {
            response.error(status);
        }
    }

    fn try_answer(&self, request: &Request, response: &mut Response) -> Result<(), Status> {
        let mut path = relative(request.raw_path())?;
        let wants_directory = path.is_empty() || path.ends_with(b"/");
        if wants_directory {
            path.extend_from_slice(b"index.html");
        }
        let (mut file, mut about) = self.open(&path)?;
        if kind(&about) == SFlag::S_IFDIR && !wants_directory {
            return redirect(&path, request.query(), response);
        }
        if kind(&about) != SFlag::S_IFREG {
            return Err(Status::NotFound);
        }
        if self.precompressed {
            response.header("Vary", "Accept-Encoding");
            if let Some((sibling, coding)) = self.sibling(&path, request) {
                (file, about) = sibling;
                response.header("Content-Encoding", coding);
            }
        }
        response.content_type(content_type(&path));
        send(request, response, file, &about);
        Ok(())
    }

    fn open(&self, path: &[u8]) -> Result<Opened, Status> {
        if let Some(opened) = self.open.as_ref().and_then(|open| open.get(path)) {
            return Ok(opened);
        }
        let file = Arc::new(self.root.open(path).map_err(status)?);
        let about = fstat(&file).map_err(status)?;
        if let Some(open) = &self.open
            && kind(&about) == SFlag::S_IFREG
        {
            open.keep(path, &file, &about);
        }
        Ok((file, about))
    }

    /// The best compressed form that is there and that the client takes.
    fn sibling(&self, path: &[u8], request: &Request) -> Option<(Opened, &'static str)> {
        let forms = [("br", &b".br"[..]), ("gzip", b".gz")];
        forms.into_iter().find_map(|(coding, suffix)| {
            let accepted = accepts(request, coding);
            let opened = accepted.then(|| self.open(&[path, suffix].concat()).ok())??;
            (kind(&opened.1) == SFlag::S_IFREG).then_some((opened, coding))
        })
    }
}

/// The path within the directory: decoded once, and made of names only. A segment that is empty or made of dots is not one
/// that a client sends (RFC 3986 section 5.2.4); a slash or NUL in encoded form has no meaning in a file's name.
fn relative(path: &[u8]) -> Result<Vec<u8>, Status> {
    let mut names = Vec::with_capacity(path.len());
    let segments = path.strip_prefix(b"/").ok_or(Status::NotFound)?;
    let count = segments.split(|&byte| byte == b'/').count();
    for (index, segment) in segments.split(|&byte| byte == b'/').enumerate() {
        let name = syntax::unescape(segment).ok_or(Status::BadRequest)?;
        if name.iter().any(|byte| matches!(byte, 0 | b'/')) {
            return Err(Status::BadRequest);
        }
        let last = index + 1 == count;
        if (name.is_empty() && !last) || name == b"." || name == b".." {
            return Err(Status::NotFound);
        }
        if index > 0 {
            names.push(b'/');
        }
        names.extend_from_slice(&name);
    }
    Ok(names)
}

fn kind(about: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(about.st_mode) & SFlag::S_IFMT
}

/// What a failed open tells the client. Whether something is there that it may not have is not told.
fn status(error: Errno) -> Status {
    match error {
        Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::EAGAIN => Status::ServiceUnavailable,
        Errno::EIO => Status::InternalServerError,
        Errno::EACCES => Status::Forbidden,
        _ => Status::NotFound,
    }
}

/// A directory is asked for by its name without a slash: the links in its pages would lead elsewhere. The new path is
/// encoded anew, so nothing of what was sent can be taken for something else, and it begins with one slash.
fn redirect(path: &[u8], query: Option<&str>, response: &mut Response) -> Result<(), Status> {
    let mut location = String::from("/");
    for &byte in path {
        match is(byte, PLAIN) || byte == b'/' {
            true => location.push(char::from(byte)),
            false => location.push_str(&format!("%{byte:02X}")),
        }
    }
    location.push('/');
    if let Some(query) = query {
        location = [&location, "?", query].concat();
    }
    response
        .error(Status::MovedPermanently)
        .header("Location", &location);
    Ok(())
}

/// By the name's extension; texts are UTF-8.
fn content_type(path: &[u8]) -> &'static str {
    let name = String::from_utf8_lossy(path);
    let Some(guess) = mime_guess::from_path(&*name).first_raw() else {
        return "application/octet-stream";
    };
    match guess {
        "text/html" => "text/html; charset=utf-8",
        "text/css" => "text/css; charset=utf-8",
        "text/javascript" | "application/javascript" => "text/javascript; charset=utf-8",
        "text/plain" => "text/plain; charset=utf-8",
        "text/markdown" => "text/markdown; charset=utf-8",
        "text/xml" => "text/xml; charset=utf-8",
        "text/csv" => "text/csv; charset=utf-8",
        other => other,
    }
}

/// RFC 9110 section 12.5.3, for a coding that is not `identity`: it is named, or `*` is, with a weight above 0.
fn accepts(request: &Request, coding: &str) -> bool {
    let mut any = false;
    for element in request.all("accept-encoding").flat_map(list) {
        let mut parts = element.split(|&byte| byte == b';').map(trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix(b"q=").or(part.strip_prefix(b"Q=")));
        // A weight is at most 1, and 0 in any number of digits means no.
        let taken =
            weight.is_none_or(|weight| weight.iter().any(|byte| matches!(byte, b'1'..=b'9')));
        if name.eq_ignore_ascii_case(coding.as_bytes()) {
            return taken;
        }
        any |= name == b"*" && taken;
    }
    any
}

/// A file that is there: all of it, parts of it, or that the client has it.
fn send(request: &Request, response: &mut Response, file: Arc<OwnedFd>, about: &FileStat) {
    let size = about.st_size as u64;
    let validators = Validators::of(about);
    let outcome = validators.check(request);
    if outcome == Outcome::Failed {
        response.error(Status::PreconditionFailed);
        return;
    }
    response
        .header("ETag", &validators.etag)
        .header("Last-Modified", &validators.to_string())
        .header("Accept-Ranges", "bytes");
    if outcome == Outcome::NotModified {
        response.content_type("").status(Status::NotModified);
        return;
    }
    // Of a GET only, RFC 9110 section 14.2.
    let reads = request.method() == Method::Get;
    let ranges = match request.header("range") {
        Some(range) if reads && validators.allow_ranges(request) => {
            Ranges::parse(range.as_bytes(), size)
        }
        _ => Ranges::Whole,
    };
    let whole = vec![piece(Vec::new(), 0, size)];
    let (pieces, end) = match ranges {
        Ranges::Whole => (whole, Vec::new()),
        Ranges::Unsatisfiable => {
            response
                .error(Status::RangeNotSatisfiable)
                .header("Content-Range", &format!("bytes */{size}"));
            return;
        }
        Ranges::Parts(parts) => match parts[..] {
            [(start, end)] => {
                response.status(Status::PartialContent).header(
                    "Content-Range",
                    &format!("bytes {start}-{}/{size}", end - 1),
                );
                (vec![piece(Vec::new(), start, end)], Vec::new())
            }
            _ => multipart(response, &parts, size),
        },
    };
    let later = Later::File(Pieces { file, pieces, end });
    response.source = Source::Later(Box::new(later));
}

fn piece(before: Vec<u8>, start: u64, end: u64) -> Piece {
    Piece {
        before,
        offset: start,
        length: end - start,
    }
}

/// Several parts, each with a header of its own: RFC 9110 section 14.6.
fn multipart(response: &mut Response, parts: &[(u64, u64)], size: u64) -> (Vec<Piece>, Vec<u8>) {
    let inner = response.content_type;
    response.content_type("").status(Status::PartialContent);
    response.header(
        "Content-Type",
        &format!("multipart/byteranges; boundary={BOUNDARY}"),
    );
    let pieces = parts.iter().map(|&(start, end)| {
        let last = end - 1;
        let before = format!(
            "\r\n--{BOUNDARY}\r\nContent-Type: {inner}\r\nContent-Range: bytes {start}-{last}/{size}\r\n\r\n"
        );
        piece(before.into_bytes(), start, end)
    });
    let end = format!("\r\n--{BOUNDARY}--\r\n");
    (pieces.collect(), end.into_bytes())
}
