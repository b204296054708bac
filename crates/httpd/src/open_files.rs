//! Files that stay open between requests. To look a path up, open it and close it again is an eighth of the work of sending
//! 100 KiB, and more of a shorter answer.
//!
//! A file is served as it is now all the same: each time fstat(2) tells its size and age, and whether it has a name left. One
//! that was removed, or replaced by rename(2), has none. Other changes of what a path leads to (a directory or a link along the
//! way, permissions) are seen when the time is over.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::stat::{FileStat, fstat};

/// How many stay open: descriptors are needed for connections, too.
const MOST: usize = 64;

/// Each with the end of its time.
type ByPath = HashMap<Vec<u8>, (Arc<OwnedFd>, Instant)>;

#[derive(Debug)]
pub(crate) struct OpenFiles {
    time: Duration,
    files: Mutex<ByPath>,
}

impl OpenFiles {
    /// Each is kept for this time.
    pub(crate) fn new(time: Duration) -> Self {
        Self {
            time,
            files: Mutex::default(),
        }
    }

    pub(crate) fn get(&self, path: &[u8]) -> Option<(Arc<OwnedFd>, FileStat)> {
        let mut files = self.lock();
        let (file, until) = files.get(path)?;
        if let Ok(about) = fstat(file)
            && about.st_nlink > 0
            && *until > Instant::now()
        {
            return Some((Arc::clone(file), about));
        }
        files.remove(path);
        None
    }

    /// Keeps it, if there is room.
    pub(crate) fn keep(&self, path: &[u8], file: &Arc<OwnedFd>) {
        let (mut files, now) = (self.lock(), Instant::now());
        if files.len() >= MOST {
            files.retain(|_, (_, until)| *until > now);
        }
        if files.len() < MOST {
            files.insert(path.to_vec(), (Arc::clone(file), now + self.time));
        }
    }

    fn lock(&self) -> MutexGuard<'_, ByPath> {
        // Nothing in here is left half done.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
