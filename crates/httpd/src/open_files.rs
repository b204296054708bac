//! Files that stay open between requests. To look a path up, open it and close it again is an eighth of the work of sending
//! 100 KiB, and more of a shorter answer.
//!
//! A file is served as it is now all the same: each time fstat(2) tells its size and age, and whether anything about it has
//! changed, its names and permissions included. If so, the path is looked up anew. Other changes of what a path leads to (a
//! directory or a link along the way) are seen when the time is over.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::stat::{FileStat, fstat};

/// How many stay open: descriptors are needed for connections, too.
const MOST: usize = 64;

/// Files by their paths.
type ByPath = HashMap<Vec<u8>, Kept>;

#[derive(Debug)]
pub(crate) struct OpenFiles {
    time: Duration,
    files: Mutex<ByPath>,
}

#[derive(Debug)]
struct Kept {
    file: Arc<OwnedFd>,
    until: Instant,
    /// When anything about it changed last: what is in it, its names, who may read it.
    changed: (i64, i64),
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
        let kept = files.get(path)?;
        if let Ok(about) = fstat(&kept.file)
            && about.st_nlink > 0
            && changed(&about) == kept.changed
            && kept.until > Instant::now()
        {
            return Some((Arc::clone(&kept.file), about));
        }
        files.remove(path);
        None
    }

    /// Keeps it, if there is room.
    pub(crate) fn keep(&self, path: &[u8], file: &Arc<OwnedFd>, about: &FileStat) {
        let (mut files, now) = (self.lock(), Instant::now());
        files.retain(|_, kept| kept.until > now);
        if files.len() < MOST {
            let kept = Kept {
                file: Arc::clone(file),
                until: now + self.time,
                changed: changed(about),
            };
            files.insert(path.to_vec(), kept);
        }
    }

    fn lock(&self) -> MutexGuard<'_, ByPath> {
        // Nothing in here is left half done.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// On kernels before 6.13 the clock of files ticks some milliseconds apart: of two changes in one tick, one is not seen.
fn changed(about: &FileStat) -> (i64, i64) {
    (about.st_ctime, about.st_ctime_nsec)
}
