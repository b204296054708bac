//! Opens files below a directory, and none outside of it, whatever the path says. The kernel does it: openat2(2) with
//! RESOLVE_BENEATH refuses `..`, absolute links and links that lead out at the moment at which it follows them, so there
//! is no time between a check and its use. Kernels before 5.6 and some sandboxes lack the call: there the path is walked
//! one name at a time, and no link is followed at all.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;

/// How often openat2 is asked again after a rename somewhere made it give up, openat2(2) EAGAIN.
const TRIES: usize = 8;

/// A directory below which files are opened.
#[derive(Debug)]
pub(crate) struct Root {
    directory: OwnedFd,
    /// The kernel has no openat2, or a sandbox forbids it.
    walks: bool,
}

/// Not to block on a FIFO; no terminal becomes ours.
const FLAGS: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_CLOEXEC)
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_NOCTTY);

impl Root {
    pub(crate) fn new(directory: OwnedFd) -> Self {
        let mut root = Self {
            directory,
            walks: false,
        };
        let itself = root.open_beneath(b".");
        root.walks = matches!(itself, Err(Errno::ENOSYS | Errno::EPERM));
        root
    }

    /// Opens a relative path for reading. The names in it are separated by single slashes; an empty path is the directory.
    pub(crate) fn open(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        match self.walks {
            true => self.walk(path),
            false => self.open_beneath(path),
        }
    }

    fn open_beneath(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let how = OpenHow::new().flags(FLAGS).resolve(resolve);
        let mut outcome = Err(Errno::EAGAIN);
        for _ in 0..TRIES {
            outcome = openat2(&self.directory, OsStr::from_bytes(path), how);
            if !matches!(outcome, Err(Errno::EAGAIN | Errno::EINTR)) {
                break;
            }
        }
        outcome
    }

    /// Name by name; O_NOFOLLOW holds for the last name of a path, and here each is the last one.
    fn walk(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let mut names = path.split(|&byte| byte == b'/').peekable();
        let mut here: Option<OwnedFd> = None;
        while let Some(name) = names.next() {
            if name == b".." || name.is_empty() {
                return Err(Errno::EXDEV);
            }
            let last = names.peek().is_none();
            let flags = match last {
                true => FLAGS | OFlag::O_NOFOLLOW,
                false => OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_DIRECTORY,
            };
            let directory: BorrowedFd = match &here {
                Some(here) => here.as_fd(),
                None => self.directory.as_fd(),
            };
            let next = openat(directory, OsStr::from_bytes(name), flags, Mode::empty())?;
            here = Some(next);
        }
        here.ok_or(Errno::ENOENT)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Both ways of opening agree, but for links within the root.
    #[test]
    fn nothing_outside_the_root_is_opened() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), "inside").unwrap();
        fs::write(place.path().join("secret"), "outside").unwrap();
        symlink("../secret", root.join("up")).unwrap();
        symlink("/etc/passwd", root.join("absolute")).unwrap();
        symlink("..", root.join("parent")).unwrap();
        symlink("/proc/self/cwd", root.join("magic")).unwrap();
        symlink("a/b/file", root.join("within")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let directory: OwnedFd = fs::File::open(&root).unwrap().into();
        let kernel = Root::new(directory.try_clone().unwrap());
        let mut walking = Root::new(directory);
        walking.walks = true;
        for opener in [&kernel, &walking] {
            assert!(opener.open(b"a/b/file").is_ok());
            assert!(opener.open(b"a").is_ok());
            assert!(opener.open(b"").is_ok());
            for path in [
                "../secret",
                "a/../../secret",
                "up",
                "absolute",
                "parent/secret",
                "magic/Cargo.toml",
                "loop",
                "/etc/passwd",
                "a/b/file/x",
                "missing",
                "..",
                "a//b",
            ] {
                let opened = opener.open(path.as_bytes());
                // The kernel takes `a//b` for `a/b`, which is inside.
                assert!(opened.is_err() || path == "a//b", "{path}");
            }
        }
        assert!(kernel.open(b"within").is_ok());
        assert_eq!(walking.open(b"within").unwrap_err(), Errno::ELOOP);
    }
}
